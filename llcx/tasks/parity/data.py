"""Strings of sparse parity: all different, drawn in blocks, and fresh batches as functions of (seed, step).

    y = prod_{j in S} (-1)^{b_j},  b in {0, 1}^d uniform,  |S| = k

Training and test strings are the first and the next ones of one sequence without repetition; support, label noise and
fresh batches have streams of their own.
"""

from collections.abc import Callable, Iterator, Sequence
from math import comb
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from llcx import rng
from llcx.tasks.parity import schema
from llcx.types import Streams

WORD = 62  # bits packed into one int64
PERMUTED = 2**16  # up to so many strings there are, or 4 times those asked for, they are permuted, not drawn

Bits = Int[Tensor, "N d"]
Support = Int[Tensor, " k"]
Fresh = Callable[[int], tuple[Tensor, Tensor]]  # step -> (x [B, inputs], y [B])


class Strings(NamedTuple):
    """Inputs and labels +-1, float64; `stacked` puts a member axis before the rows."""

    x_train: Tensor  # [.., n_train, inputs]
    y_train: Tensor  # [.., n_train]
    x_test: Tensor  # [.., n_test, inputs]
    y_test: Tensor  # [.., n_test]
    support: Tensor  # [.., k], positions


def draw(cfg: schema.Strings, streams: Streams) -> Strings:
    """The strings of one seed; label noise falls on the training labels alone."""
    bits = distinct(cfg.d, cfg.n_train + cfg.n_test, streams.generator("strings"))
    support = draw_support(cfg, streams)
    x, y = encode(cfg, bits), parity(bits, support)
    flips = torch.rand(cfg.n_train, generator=streams.generator("label_noise"), dtype=torch.float64) < cfg.label_noise
    y[: cfg.n_train] = torch.where(flips, -y[: cfg.n_train], y[: cfg.n_train])
    return Strings(x[: cfg.n_train], y[: cfg.n_train], x[cfg.n_train :], y[cfg.n_train :], support)


def every(cfg: schema.Strings, support: Support) -> tuple[Float[Tensor, "N inputs"], Float[Tensor, " N"]]:
    """All 2^d strings and their clean labels."""
    bits = (torch.arange(2**cfg.d).unsqueeze(1) >> torch.arange(cfg.d)) & 1
    return encode(cfg, bits), parity(bits, support)


def stacked(members: Sequence[Strings]) -> Strings:
    """The strings of several members, [M, ..]."""
    return Strings(*(torch.stack(parts) for parts in zip(*members, strict=True)))


def fresh(cfg: schema.Strings, streams: Streams, size: int) -> Fresh:
    """Batch number `step`, (x [size, inputs], y [size]): strings with repetition, a function of (seed, step)."""
    key, support = streams.key("fresh"), draw_support(cfg, streams)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        uniform = rng.counter_uniform(key, torch.arange(step * size, (step + 1) * size), cfg.d + 1)
        bits = (uniform[:, :-1] < 0.5).long()
        noise = 1 - 2 * (uniform[:, -1] < cfg.label_noise).double()
        return encode(cfg, bits), parity(bits, support) * noise

    return batch


def draw_support(cfg: schema.Strings, streams: Streams) -> Support:
    """S, ascending."""
    if cfg.support == "first":
        return torch.arange(cfg.k)
    return torch.randperm(cfg.d, generator=streams.generator("support"))[: cfg.k].sort().values


def parity(bits: Bits, support: Support) -> Float[Tensor, " N"]:
    """y in {-1, +1}."""
    return 1 - 2 * (bits[:, support].sum(1) % 2).double()


def encode(cfg: schema.Strings, bits: Bits) -> Float[Tensor, "N inputs"]:
    """What the network sees of the strings."""
    b = bits.double()
    if cfg.encoding == "pm1":
        x = 1 - 2 * b
    elif cfg.encoding == "01":
        x = b
    elif cfg.encoding == "centred":
        x = b - 0.5
    elif cfg.encoding == "sphere":
        x = b / b.norm(dim=1, keepdim=True).clamp(min=1)  # the string of zeros stays where it is
    else:
        raise ValueError(f"task.data.encoding must be one of {', '.join(schema.ENCODINGS)}, got {cfg.encoding}")
    return torch.cat([x, torch.ones(len(x), 1).to(x)], 1) if cfg.bias_column else x


def signs(cfg: schema.Strings, x: Float[Tensor, "*M N inputs"]) -> Float[Tensor, "*M N d"]:
    """1 - 2 b of each bit, back from what the network sees."""
    ones = x[..., : cfg.d] < 0 if cfg.encoding == "pm1" else x[..., : cfg.d] > 0
    return 1 - 2 * ones.to(x)


def distinct(d: int, count: int, generator: Generator) -> Bits:
    """`count` different strings of d bits, uniform; a longer sequence begins with a shorter one. Needs count <= 2^d."""
    if 2**d <= max(PERMUTED, 4 * count):
        ids = torch.randperm(2**d, generator=generator)[:count]
        return (ids.unsqueeze(1) >> torch.arange(d)) & 1
    found = torch.empty(0, d, dtype=torch.int64)
    while len(found) < count:
        found = torch.cat([found, torch.randint(2, (count, d), generator=generator)])
        found = found[_first_occurrences(found)]
    return found[:count]


def complexity(cfg: schema.Strings) -> dict[str, float]:
    """How hard the problem is: all strings, the share of them that is trained on, how many supports there could be."""
    return {
        "strings": 2.0**cfg.d,
        "coverage": cfg.n_train / 2.0**cfg.d,
        "supports": float(comb(cfg.d, cfg.k)),
    }


def _first_occurrences(bits: Bits) -> Int[Tensor, " n"]:
    """Rows that no earlier row equals, ascending."""
    words = torch.stack(list(_words(bits)), 1)
    _, owner = torch.unique(words, dim=0, return_inverse=True)
    rows = torch.arange(len(bits))
    first = torch.full((len(bits),), len(bits)).scatter_reduce(0, owner, rows, "amin")
    return rows[first[owner] == rows]


def _words(bits: Bits) -> Iterator[Int[Tensor, " N"]]:
    for part in bits.split(WORD, dim=1):
        yield (part << torch.arange(part.shape[1])).sum(1)
