"""The sequences of task=lm: what a row of each split is, as tokens.

    bigrams   sequences of one language (bigrams.py), each a function of (seed, row)
    text      windows of the documentation that the running interpreter ships (pydoc's topics: the language reference),
              in characters, or in the tokens of the model that is given; the last tenth is for testing

The text differs from version to version of Python, and numbers with it.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from llcx import rng
from llcx.tasks.lm import pretrained
from llcx.tasks.lm.bigrams import Language, Tokens, language
from llcx.tasks.lm.schema import LM
from llcx.types import Streams

LETTERS = "\n" + "".join(map(chr, range(32, 127)))  # the others are left out
HELD_OUT = 0.1  # share of the text, its end

Draw = Callable[[Int[Tensor, " R"]], Tokens]


class Corpus(NamedTuple):
    """Rows [R] -> tokens [R, context + 1] of each split."""

    train: Draw
    test: Draw
    vocabulary: int  # different tokens
    language: Language | None  # of bigrams


def corpus(cfg: LM, streams: Streams) -> Corpus:
    if cfg.data.source == "text":
        return _text(cfg, streams)
    data = cfg.data
    spoken = language(data.vocabulary, data.concentration, data.triggers, data.context + 1, streams)

    def of(split: str) -> Draw:
        key = streams.key(split)
        return lambda rows: spoken.rows(key, rows)

    return Corpus(of("data"), of("test"), data.vocabulary, spoken)


def _text(cfg: LM, streams: Streams) -> Corpus:
    encoded, vocabulary = _encoded(cfg.model.folder)
    border = round((1 - HELD_OUT) * len(encoded))
    parts: Mapping[str, Tensor] = {"data": encoded[:border], "test": encoded[border:]}
    if min(map(len, parts.values())) <= cfg.data.context:
        raise ValueError(
            f"task.data.context must be below {len(parts['test'])}, the tokens of the text's last tenth, "
            f"got {cfg.data.context}"
        )

    def of(split: str) -> Draw:
        key, tokens = streams.key(split), parts[split]

        def windows(rows: Int[Tensor, " R"]) -> Tokens:
            starts = rng.counter_uniform(key, rows, 1) * (len(tokens) - cfg.data.context)
            return tokens[starts.long() + torch.arange(cfg.data.context + 1)]

        return windows

    return Corpus(of("data"), of("test"), vocabulary, None)


@lru_cache(maxsize=2)
def _encoded(folder: str | None) -> tuple[Int[Tensor, " N"], int]:
    """The text in tokens, and how many different ones there may be."""
    if folder is not None:
        return pretrained.encoded(folder, documentation())
    places = {letter: place for place, letter in enumerate(LETTERS)}
    return torch.tensor([places[letter] for letter in documentation() if letter in places]), len(LETTERS)


def documentation() -> str:
    """The language reference as `help()` shows it. Raises ValueError for an interpreter without it."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise ValueError(
            "task.data.source=text needs pydoc's topics, which this Python is installed without; "
            "install the whole standard library, or choose task.data.source=bigrams"
        ) from None
    return "\n\n".join(topics[name] for name in sorted(topics))
