"""What a language model has learned to do in context.

in_context     nats of a late prediction minus nats of an early one: below 0 where context helps (Olsson et al. 2022,
               arXiv:2209.11895, with the last tenth of the predictions and the second)
repeated, new  nats of predictions whose token before occurred earlier in the sequence, and of the others
previous       of a head: weight of attention on the token before, mean over places
induction      of a head: weight on the tokens that came after earlier occurrences of the present token, mean over
               places that have some
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llcx.likelihoods import NextToken
from llcx.tasks.lm.bigrams import Nats, Tokens, repeated
from llcx.tasks.lm.transformer import Pattern, Transformer

CHUNK = 64  # rows at once
HEADS = ("previous", "induction")


class Head(NamedTuple):
    """What a head looks at."""

    layer: int
    head: int
    previous: float
    induction: float


def losses(module: nn.Module, tokens: Tokens) -> dict[str, float]:
    """loss, in_context, repeated and new, in nats a prediction; nan where there is none of a kind."""
    likelihood = NextToken()
    return summary(_whole(lambda some: likelihood.each(likelihood.forward(module, (some,)), (some,)), tokens), tokens)


def summary(nats: Nats, tokens: Tokens) -> dict[str, float]:
    """The same of the nats [R, T] of each prediction."""
    tenth, again, nats = nats.shape[1] // 10, repeated(tokens), nats.double()
    score = nats[:, -tenth:].mean() - nats[:, tenth : 2 * tenth].mean()
    kinds = {"repeated": nats[again].mean(), "new": nats[~again].mean()}
    return {"loss": float(nats.mean()), "in_context": float(score), **{name: float(v) for name, v in kinds.items()}}


def heads(module: Transformer, tokens: Tokens) -> list[Head]:
    """Layer by layer."""
    found = _whole(lambda some: torch.stack([_looks(each, some) for each in module.patterns(some[:, :-1])], 1), tokens)
    return [Head(at, h, *map(float, each)) for at, of in enumerate(found.mean(0)) for h, each in enumerate(of)]


def _looks(pattern: Pattern, tokens: Tokens) -> Float[Tensor, "R H 2"]:
    """Of each sequence and head: weight on the token before, and after earlier occurrences."""
    now = tokens[:, :-1]
    time = torch.arange(now.shape[1])
    same = (now.unsqueeze(2) == now.unsqueeze(1)) & (time.unsqueeze(1) > time)
    after = torch.zeros_like(same)
    after[:, :, 1:] = same[:, :, :-1]
    weight = (pattern * after.unsqueeze(1)).sum(3)  # [R, H, T]
    some = after.any(2).unsqueeze(1)
    copied = (weight * some).sum(2) / some.sum(2).clamp(min=1)
    return torch.stack([pattern.diagonal(-1, 2, 3).mean(2), copied], 2)


@torch.no_grad()
def _whole(value: Callable[[Tokens], Tensor], tokens: Tokens) -> Tensor:
    return torch.cat([value(some) for some in tokens.split(CHUNK)])
