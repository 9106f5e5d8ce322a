"""Activations, their derivatives, and the gain with which E (gain act(z))^2 = 1 for z ~ N(0, 1)."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llcx.settings import one_of
from llcx.tasks.parity.schema import ACTIVATIONS

NODES = 250  # of the quadrature: relative error 1e-9 for softplus of beta 5, 1e-5 at beta 50


class Activation(NamedTuple):
    """An activation by itself; what it is multiplied with stands in `gain`."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]  # its derivative
    both: Callable[[Tensor], tuple[Tensor, Tensor]]  # value and slope at once; writes over its argument
    gain: float


def build(kind: str, beta: float, normalise: bool) -> Activation:
    """`beta` is that of softplus; without `normalise` the gain is 1. Raises ValueError for an unknown kind."""
    one_of("task.model.act", kind, ACTIVATIONS)
    functions = {
        "softplus": (
            lambda z: functional.softplus(z, beta, threshold=40),
            lambda z: torch.sigmoid(beta * z),
            lambda z: _softplus(z, beta),
        ),
        "relu": (torch.relu, lambda z: (z > 0).to(z), _relu),
        "tanh": (torch.tanh, lambda z: 1 - z.tanh().square(), _tanh),
        "silu": (functional.silu, lambda z: _silu(z.clone())[1], _silu),
    }[kind]
    return Activation(*functions, second_moment(kind, beta) ** -0.5 if normalise else 1.0)


@cache
def second_moment(kind: str, beta: float) -> float:
    """E act(z)^2, z ~ N(0, 1), by Gauss-Hermite quadrature; relu's 1/2 as it is."""
    if kind == "relu":
        return 0.5
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    values = build(kind, beta, normalise=False).value(torch.from_numpy(nodes))
    return float((torch.from_numpy(weights / weights.sum()) * values.square()).sum())


def _softplus(z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """max(z, 0) - log(1 - m) / beta, m = min(s, 1 - s), s the slope: nothing overflows or is rounded away."""
    s = (beta * z).sigmoid_()
    m = 1 - s
    torch.minimum(m, s, out=m)
    return z.clamp_(min=0).sub_(m.neg_().log1p_(), alpha=1 / beta), s


def _relu(z: Tensor) -> tuple[Tensor, Tensor]:
    slope = (z > 0).to(z)
    return z.relu_(), slope


def _tanh(z: Tensor) -> tuple[Tensor, Tensor]:
    value = z.tanh_()
    return value, 1 - value.square()


def _silu(z: Tensor) -> tuple[Tensor, Tensor]:
    s = torch.sigmoid(z)
    value = z.mul_(s)
    return value, s + value * (1 - s)
