"""Which networks a study asks about: integers only, so that every point is known before anything is built."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from zlib import crc32

import torch
from torch import Generator

from llcx.tasks.dln.schema import DLN, OWN_RANK, Model, Size
from llcx.tasks.generic import Arm
from llcx.types import Streams

DEFAULT_N = 100_000
DEFAULT_RANK = 2


def replicas(cfg: DLN, streams: Streams) -> Iterator[Arm]:
    """`nets` networks of every class, each as the configuration of a single one.

    Network i of a class is a function of (seed, class, i): the same whatever the sampler, the mode of the data or the
    other classes.
    """
    classes: dict[str, Size | None] = {**cfg.sizes} or {"single": None}
    for name, size in classes.items():
        of_class = streams.replicate(crc32(name.encode()))
        for net in range(cfg.nets):
            own = of_class.replicate(net)
            drawn = _drawn(cfg, size, own)
            point = "dln" if size is None and cfg.nets == 1 else f"{name}-{net}"
            yield Arm(point, {"class": name, "net": net}, drawn, own)


def coordinates(cfg: DLN, streams: Streams) -> dict[str, int]:
    """Depth, rank and number of parameters of a single network."""
    widths = cfg.model.widths
    parameters = sum(i * o for i, o in pairwise(widths))
    return {"layers": len(widths) - 1, "rank": rank(cfg.model, streams), "parameters": parameters}


def rank(model: Model, streams: Streams) -> int:
    """The rank of the true map."""
    ranks = layer_ranks(model, streams)
    return _configured(model) if ranks is None else min(ranks)


def layer_ranks(model: Model, streams: Streams) -> tuple[int, ...] | None:
    """The ranks of W_1..W_L at w*, None where training decides them.

    Every kind draws its layers in general position, so that a product of layers has the smallest of their ranks: with
    probability one, and without a tolerance.
    """
    narrow = [min(pair) for pair in pairwise(model.widths)]
    if model.w_star == "trained":
        return None
    if model.w_star == "zero":
        return (0,) * len(narrow)
    if model.w_star == "layerwise":
        generator = streams.generator("layer_ranks")
        return tuple(_integer(0, most, generator) if _integer(0, 1, generator) else most for most in narrow)
    if model.w_star == "random_svd":
        return (*narrow[:-1], _configured(model))
    return (_configured(model),) * len(narrow)


def _configured(model: Model) -> int:
    return min(DEFAULT_RANK, *model.widths) if model.rank is None else model.rank


def _drawn(cfg: DLN, size: Size | None, streams: Streams) -> DLN:
    """The configuration of one network of the class."""
    n = (DEFAULT_N if size is None else size.n) if cfg.data.n is None else cfg.data.n
    model = cfg.model if size is None else _random(cfg.model, size, streams.generator("network"))
    return replace(cfg, model=model, data=replace(cfg.data, n=n), sizes={}, nets=1)


def _random(model: Model, size: Size, generator: Generator) -> Model:
    """Widths and rank of a random network (Lau et al. 2023, arXiv:2308.12108, appendix J)."""
    layers = _integer(size.layers[0], size.layers[1], generator)
    widths = [_integer(size.widths[0], size.widths[1], generator) for _ in range(layers + 1)]
    most = min(widths)
    drawn = _integer(0, most, generator)
    if model.w_star == "random_svd":  # full rank half of the time
        drawn = most if _integer(0, 1, generator) else drawn
    if model.rank is not None or model.w_star in OWN_RANK:
        return replace(model, widths=widths)
    return replace(model, widths=widths, rank=drawn)


def _integer(least: int, most: int, generator: Generator) -> int:
    """Uniform on least..most, both ends included."""
    return int(torch.randint(least, most + 1, (), generator=generator))
