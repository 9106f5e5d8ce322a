"""Which problems a study asks about: integers only, so that every point is known before anything is built."""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, floor
from typing import NamedTuple
from zlib import crc32

import torch
from torch import Generator

from llcx.tasks.generic import Arm
from llcx.tasks.lsa.schema import DEFAULT_RANK, LSA, Draw, Grid, Model, Size, most
from llcx.types import Streams

DEFAULT_N = 100_000


class Ranks(NamedTuple):
    """Of M [d, d] and of B [d+1, d+1]."""

    of_m: int
    of_b: int


def ranks(model: Model) -> Ranks:
    """As constructed; the d x d block of a matrix of rank r in general position has rank min(r, d)."""
    rank = min(DEFAULT_RANK, most(model)) if model.rank is None else model.rank
    if model.w_star == "simple":
        return Ranks(min(rank, model.d), rank)
    return Ranks(rank, rank + (model.alpha or 0))


def coordinates(cfg: LSA, streams: Streams) -> dict[str, int]:
    """Shape, ranks and number of parameters of a single problem."""
    del streams
    d, d_l, (of_m, of_b) = cfg.model.d, cfg.model.d_l, ranks(cfg.model)
    parameters = 2 * (d + 1) * d_l
    return {"d": d, "d_l": d_l, "alpha": of_b - of_m, "rank_m": of_m, "rank_b": of_b, "parameters": parameters}


def replicas(cfg: LSA, streams: Streams) -> Iterator[Arm]:
    """`nets` problems of every class, each as the configuration of a single one.

    Problem i of a class is a function of (seed, class, i): the same whatever the sampler, the mode of the data or the
    other classes. Raises ValueError where the class has no problem of the kind asked for.
    """
    classes: dict[str, Size | None] = {**cfg.sizes} or {"single": None}
    for name, size in classes.items():
        of_class = streams.replicate(crc32(name.encode()))
        for net in range(cfg.nets):
            own = of_class.replicate(net)
            point = "lsa" if size is None and cfg.nets == 1 else f"{name}-{net}"
            yield Arm(point, {"class": name, "net": net}, _single(cfg, name, net, own), own)


def _single(cfg: LSA, name: str, net: int, streams: Streams) -> LSA:
    """The configuration of one problem of the class."""
    size = cfg.sizes.get(name)
    n = (DEFAULT_N if size is None else size.n) if cfg.data.n is None else cfg.data.n
    model = cfg.model
    if size is not None:
        alpha = None if model.w_star == "simple" else cfg.draw.alpha[net % len(cfg.draw.alpha)]
        _require(size, cfg.draw, alpha, name)
        model = _random(cfg, size, alpha, streams.generator("problem"))
    return replace(cfg, model=model, data=replace(cfg.data, n=n), sizes={}, nets=1, grid=Grid(alpha=[]))


def _random(cfg: LSA, size: Size, alpha: int | None, generator: Generator) -> Model:
    """d, then d_l, drawn until the rank has room, then the rank, uniform on what there is."""
    low, high = cfg.draw.ratio
    while True:
        d = _integer(size.d[0], size.d[1], generator)
        share = float(torch.rand((), generator=generator, dtype=torch.float64))
        d_l = max(1, floor(d * (low + (high - low) * share)))
        if (top := room(d, d_l, alpha, cfg.draw.bottleneck)) >= 1:
            return replace(cfg.model, d=d, d_l=d_l, alpha=alpha, rank=_integer(1, top, generator))


def room(d: int, d_l: int, alpha: int | None, bottleneck: bool) -> int:
    """The largest rank to draw: of B where `alpha` is None, else of M; below 1 there is none."""
    if alpha is None:
        return min(d_l, d)
    top = min(d_l - alpha, d - 1)
    return min(top, 2 * d - d_l) if bottleneck else top


def _require(size: Size, draw: Draw, alpha: int | None, name: str) -> None:
    """Raise ValueError where no d and d_l of the class leave room for a rank."""
    shapes = [(d, d_l) for d in range(size.d[0], size.d[1] + 1) for d_l in _inner(d, draw)]
    if any(room(d, d_l, alpha, draw.bottleneck) >= 1 for d, d_l in shapes):
        return
    where = f"task.draw.ratio={list(draw.ratio)} and d={list(size.d)} of size {name}"
    if draw.bottleneck and any(room(d, d_l, alpha, False) >= 1 for d, d_l in shapes):
        raise ValueError(
            f"task.draw.bottleneck must be false for {where} and alpha={alpha}, got true: no rank of M has "
            "rank <= d_l <= 2 d - rank; a ratio below 2 leaves room too"
        )
    raise ValueError(
        f"task.draw.alpha must hold values that a problem can have, got {alpha}: for {where} no rank of M has "
        "1 <= rank < d and rank + alpha <= d_l; raise the ratio or d"
    )


def _inner(d: int, draw: Draw) -> range:
    """The d_l that are drawn with positive probability."""
    low, high = (d * end for end in draw.ratio)
    return range(max(1, floor(low)), max(1, floor(low), ceil(high) - 1) + 1)


def _integer(least: int, most: int, generator: Generator) -> int:
    """Uniform on least..most, both ends included."""
    return int(torch.randint(least, most + 1, (), generator=generator))
