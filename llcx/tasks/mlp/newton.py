"""The end of a training of a small network, and the proof that it is a minimum: gradient and Hessian of the mean loss.

    w' = w - (|H| + damping)^-1 g,    |H| with the absolute values of H's eigenvalues

descends from saddles too (Dauphin et al. 2014, arXiv:1406.2572); damping, relative to the greatest curvature, falls
while steps succeed. A noisy loss of many parameters has valleys without end, along which such steps would go to another
network, |w| many times larger: none leads further than FAR from where the training ended. What is left to gain is
n/2 g' (|H| + FLAT)^-1 g, in nats of all rows. Where an activation has corners the loss has them too, and a minimum on a
corner keeps a gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev

from llcx.params import layout
from llcx.types import Batch, Flat, StatModel

UP_TO = 500  # parameters whose Hessian is formed
AT_ONCE = 16  # its rows
FLAT = 1e-6  # relative curvature below which a direction counts as flat
FAR = 1.0  # of |w|
LEFT = 0.01  # nats of all rows: less is left to gain at a minimum

Loss = Callable[[Flat], Tensor]


class Place(NamedTuple):
    """What the mean loss does at w."""

    loss: float
    gradient: float  # norm
    least: float  # eigenvalue of the Hessian
    most: float
    flat: int  # eigenvalues of a size below FLAT of the largest
    left: float  # nats of all rows that a Newton step would gain

    @property
    def minimum(self) -> bool:
        """Whether nothing is left to gain, to second order."""
        return self.left <= LEFT and self.least >= -FLAT * self.most


def mean_loss(model: StatModel, batch: Batch) -> Loss:
    """Mean nll over `batch` as a function of the flat parameters."""
    named = layout(model.module)

    def loss(w: Flat) -> Tensor:
        return model.nll(functional_call(model.module, named.unflatten(w), (batch[0],)), batch).mean()

    return loss


def place(loss: Loss, w: Flat, rows: int) -> Place:
    """`loss` at w, over so many rows."""
    value, slope = loss(w), grad(loss)(w)
    curvature, frame = torch.linalg.eigh(_hessian(loss, w))
    sizes = curvature.abs()
    most = float(sizes.max())
    inner = frame.T @ slope
    left = 0.5 * rows * float((inner.square() / (sizes + FLAT * most + 1e-300)).sum())
    flat = int((sizes < FLAT * most).sum())
    return Place(float(value), float(slope.norm()), float(curvature[0]), most, flat, left)


def settled(loss: Loss, w: Flat, steps: int) -> Flat:
    """w after at most `steps` Newton steps; none that raises the loss or leads far from where they began."""
    start, damping = w, 1e-3
    for _ in range(steps):
        value, slope = loss(w), grad(loss)(w)
        curvature, frame = torch.linalg.eigh(_hessian(loss, w))
        found = None
        while found is None and damping <= 1e3:
            scales = curvature.abs() + damping * curvature.abs().max() + 1e-300
            tried = w - frame @ ((frame.T @ slope) / scales)
            near = bool((tried - start).norm() <= FAR * start.norm())
            if near and _better(loss, tried, value, slope):
                found, damping = tried, max(damping / 10, 1e-12)
            else:
                damping *= 10
        if found is None:
            break
        w = found
    return w


def _better(loss: Loss, w: Flat, value: Tensor, slope: Tensor) -> bool:
    """Lower, or, where rounding leaves the loss no digits, flatter."""
    found = loss(w)
    if found < value - 1e-12 * value.abs():
        return True
    return bool(found <= value + 1e-12 * value.abs()) and bool(grad(loss)(w).norm() < 0.9 * slope.norm())


def _hessian(loss: Loss, w: Flat) -> Tensor:
    found = jacrev(grad(loss), chunk_size=AT_ONCE)(w)
    assert isinstance(found, Tensor)
    return 0.5 * (found + found.T)
