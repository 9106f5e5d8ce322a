"""Linear self-attention for tests, and its loss the long way: prompt after prompt through the module."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from llcx import rng
from llcx.params import flatten, layout
from llcx.tasks.generic import Arm, GenericTask
from llcx.tasks.lsa.schema import LSA, Grid, Model
from llcx.tasks.lsa.task import build
from llcx.types import Batch, Point

SHAPES = [
    Model(d, d_l, rank, alpha) for d, d_l, rank, alpha in [(3, 3, 1, 1), (4, 2, 1, 0), (4, 6, 2, 2), (1, 1, 0, 1)]
]


def task(seed: int = 0, **settings: Any) -> GenericTask:
    return build(LSA(**settings), rng.streams(seed))


def arms(seed: int = 0, **settings: Any) -> list[Arm]:
    return list(task(seed, **settings).arms.values())


def arm(seed: int = 0, **settings: Any) -> Arm:
    """The only problem of a task; alpha is no axis."""
    (only,) = arms(seed, **{"grid": Grid(alpha=[]), **settings})
    return only


def point(seed: int = 0, **settings: Any) -> Point:
    """The only point of a task; alpha is no axis."""
    made = task(seed, **{"grid": Grid(alpha=[]), **settings})
    (spec,) = made.points()
    return made.point(spec, None)


def around(found: Point, chains: int = 3, step: float = 0.2) -> Tensor:
    """Flat weights [C, P] at a distance from w*."""
    at = flatten(found.model.module)
    return at + step * torch.randn(chains, len(at), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def excess(found: Point, w: Tensor, batch: Batch, target: str = "data") -> Tensor:
    """Loss of each row above its value at w*, [C, N]."""
    model, names = found.model, layout(found.model.module)
    rows = [flatten(model.module).detach(), *w]
    outputs = [functional_call(model.module, names.unflatten(row), (batch[0],)).reshape(batch[1].shape) for row in rows]
    if target == "self":
        assert model.kl is not None
        return torch.stack([model.kl(outputs[0], output) for output in outputs[1:]])
    losses = torch.stack([model.nll(output, batch) for output in outputs])
    return losses[1:] - losses[0]
