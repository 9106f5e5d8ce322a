"""Problems of full attention for tests: small, and trained in a fraction of a second."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from llcx import rng
from llcx.fit import Fit
from llcx.params import layout
from llcx.tasks.full_attn.schema import FullAttn, Grid, Model, RegressionPrompts
from llcx.tasks.full_attn.task import build
from llcx.tasks.generic import GenericTask
from llcx.types import Batch, Point, State
from tests.tasks.networks import points

SMALL = RegressionPrompts(n=60, train=40, context=8)
SHORT = Fit("adam", 0.01, epochs=6, batch_size=10, checkpoints=[0, 2])


def task(seed: int = 0, **settings: Any) -> GenericTask:
    return build(FullAttn(**{"data": SMALL, "fit": SHORT, "seeds": 1, **settings}), rng.streams(seed))


def point(seed: int = 0, **settings: Any) -> Point:
    """The only point of a task."""
    (only,) = points(task(seed, **settings))
    return only


def icl(d: int = 2, d_l: int = 3, rank: int | None = None, **settings: Any) -> Point:
    """At the solution that is known."""
    return point(model=Model(d, d_l, "icl", rank), **settings)


def at(factors: list[Tensor], view: str = "full", **settings: Any) -> Point:
    """The last point of a task, at weights of our own."""
    p, d_l = factors[0].shape
    made = task(model=Model(p - 1, d_l), grid=Grid(view=[view]), **settings)
    state: State = dict(zip(("W_Q", "W_K", "W_V", "W_O"), factors, strict=True))
    return made.point(made.points()[-1], state)


def balanced(U: Tensor, o: Tensor, d_l: int) -> list[Tensor]:
    """Factors [p, d_l] of U [d, p] and o [p], as deep as they can lie."""
    left, values, right = torch.linalg.svd(U, full_matrices=False)
    W_Q, W_K, W_V, W_O = (torch.zeros(len(o), d_l, dtype=torch.float64) for _ in range(4))
    most = min(d_l, len(values))
    roots = values[:most].sqrt()
    W_Q[:-1, :most], W_K[:, :most] = left[:, :most] * roots, right[:most].T * roots
    W_V[:, 0], W_O[-1, 0] = o / o.norm().sqrt(), o.norm().sqrt()
    return [W_Q, W_K, W_V, W_O]


def excess(found: Point, w: Tensor, batch: Batch, target: str) -> Tensor:
    """Loss of each prompt above its value at w*, [C, N], one after the other through the module."""
    model, names = found.model, layout(found.model.module)

    def outputs(weights: dict[str, Tensor]) -> Tensor:
        found = functional_call(model.module, weights, (batch[0],))
        return found.unsqueeze(-1) if found.dim() == 1 else found

    reference = outputs({name: value.detach() for name, value in model.module.named_parameters()})
    moved = [outputs(names.unflatten(row)) for row in w]
    if target == "self":
        assert model.kl is not None
        return torch.stack([model.kl(reference, output) for output in moved])
    return torch.stack([model.nll(output, batch) - model.nll(reference, batch) for output in moved])
