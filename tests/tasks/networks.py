"""Deep linear networks for tests, and their loss the long way: example after example through the module."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from llcx import rng
from llcx.params import flatten, layout
from llcx.tasks.dln.schema import DLN
from llcx.tasks.dln.task import build
from llcx.tasks.generic import Arm, GenericTask
from llcx.types import Batch, Point, State


def task(seed: int = 0, **settings: Any) -> GenericTask:
    return build(DLN(**settings), rng.streams(seed))


def arm(seed: int = 0, **settings: Any) -> Arm:
    """The only problem of a task."""
    (only,) = task(seed, **settings).arms.values()
    return only


def points(made: GenericTask) -> Iterator[Point]:
    """All points, their trainings run."""
    kept: dict[str, dict[str, State]] = {}
    for training in made.trainings():
        kept[training.name] = {}
        for event in training.steps(training.start()):
            kept[training.name] |= event.snapshots
    for spec in made.points():
        yield made.point(spec, kept[spec.training][spec.role] if spec.training else None)


def point(seed: int = 0, **settings: Any) -> Point:
    """The only point of a task."""
    (only,) = points(task(seed, **settings))
    return only


def untrained(seed: int = 0, **settings: Any) -> Point:
    """The point at which a training starts: no minimum of the data's loss."""
    made = task(seed, **settings)
    (spec,) = made.points()
    (training,) = made.trainings()
    state = training.start()
    cut = len("module.")
    return made.point(spec, {name[cut:]: value for name, value in state.items() if name.startswith("module.")})


def around(found: Point, chains: int = 3, step: float = 0.2) -> Tensor:
    """Flat weights [C, P] at a distance from w*."""
    at = flatten(found.model.module)
    noise = torch.randn(chains, len(at), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return at + step * noise.to(at)


def excess(found: Point, w: Tensor, batch: Batch, target: str = "data") -> Tensor:
    """Loss of each row above its value at w*, [C, N]."""
    model, names = found.model, layout(found.model.module)
    reference = model.module(batch[0]).detach()
    outputs = [functional_call(model.module, names.unflatten(row), (batch[0],)) for row in w]
    if target == "self":
        assert model.kl is not None
        return torch.stack([model.kl(reference, output) for output in outputs])
    return torch.stack([model.nll(output, batch) - model.nll(reference, batch) for output in outputs])
