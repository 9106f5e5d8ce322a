"""Kernel machines: the flow of a network whose tangent kernel Theta stays as it is.

    f = Theta a,    a' = v,    v driven by b = d(mean loss)/df as a network's velocity is by its gradient

in dual coefficients a [N], from a = 0. A network that moves by w - w0 = J^T a has the gradient J^T b, whose length is
|b|^2 = b . Theta b; in that norm the steps of a lazy network and of its kernel are accepted alike. A factor
Theta = Phi Phi^T makes it the ordinary one:

    w = Phi^T a,    f = Phi w,    g = Phi^T b,    |g|^2 = b . Theta b

So a kernel machine is a linear model of features Phi and goes the course of every other ensemble, with the same steps,
milestones and metrics. Phi is V S^(1/2) of Theta = V S V^T. At test inputs f = Theta_te a = Phi_te w with
Phi_te = Theta_te V S^(-1/2).

All alphas have one course: F = alpha f is a function of alpha t, but for tau.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.parity import course
from llcx.tasks.parity.data import Strings
from llcx.tasks.parity.ensemble import Ensemble, Member, Problem
from llcx.tasks.parity.flow import Flowing
from llcx.tasks.parity.kernels import Blocks
from llcx.tasks.parity.network import Inputs, Members, Outputs
from llcx.tasks.parity.schema import Fit, Loss
from llcx.types import Training


class Machine(NamedTuple):
    """A kernel machine to be trained."""

    name: str  # no other's
    kernel: int  # which member of the blocks is its kernel; several machines may share one
    alpha: float
    tau: float = 0.0  # of the flow's momentum


class Features(NamedTuple):
    """Phi of M kernels. R is the largest of their ranks; where a rank is smaller, columns are zeros."""

    train: Float[Tensor, "M N R"]
    test: Float[Tensor, "M K R"]
    duals: Float[Tensor, "M N R"]  # a = duals w


class Linear:
    """f(w, x) = w . x as a field."""

    def outputs(self, w: Members, x: Inputs) -> Outputs:
        return (x @ w.unsqueeze(2)).squeeze(2)

    def pull(self, w: Members, x: Inputs, slopes: Callable[[Outputs], Outputs]) -> tuple[Outputs, Members]:
        f = self.outputs(w, x)
        return f, (slopes(f).unsqueeze(1) @ x).squeeze(1)


def features(theta: Blocks) -> Features:
    """Of train/train and test/train kernels.

    Eigenvalues below N eps of the largest are rounding and left out: so is what test inputs have of them, since
    |Theta_te v|^2 <= s Theta_te,te. Raises ValueError where a kernel has none above, or is not finite.
    """
    if not theta.trtr.isfinite().all():
        raise ValueError("kernel must be finite, got nan or inf; the network that it is of diverged")
    values, vectors = torch.linalg.eigh(theta.trtr)
    values, vectors = values.flip(-1), vectors.flip(-1)
    kept = values > values.shape[-1] * torch.finfo(values.dtype).eps * values[:, :1]
    if (values[:, 0] <= 0).any():
        raise ValueError(f"kernel must have a positive eigenvalue, got {values[:, 0].min().item():g} as the largest")
    rank = int(kept.sum(-1).max())
    roots, vectors = values[:, None, :rank].clamp(min=0).sqrt(), vectors[..., :rank]
    duals = torch.where(kept[:, None, :rank], vectors / roots, 0)
    return Features(torch.where(kept[:, None, :rank], vectors * roots, 0), theta.tetr @ duals, duals)


def flow(
    name: str,
    theta: Blocks,
    labels: Strings,
    machines: Sequence[Machine],
    loss: Loss,
    fit: Fit,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Training:
    """The training of machines with the kernels theta on `labels`, whose y are [M, ..] as the blocks or shared.

    As `course.training` of a network with `fit`; a snapshot's `w` [R] are the coordinates of `features(theta)`.
    """
    of_all = cache(lambda: features(theta))

    def build() -> Ensemble:
        members = [_member(of_all(), labels, machine) for machine in machines]
        return Ensemble(Problem(Linear(), loss), members)

    return course.training(name, build, fit, Flowing(fit.flow), clock=clock)


def _member(phi: Features, labels: Strings, machine: Machine) -> Member:
    at = machine.kernel
    own = labels if labels.y_train.ndim == 1 else Strings(*(part[at] for part in labels))
    strings = own._replace(x_train=phi.train[at], x_test=phi.test[at], y_train=own.y_train.to(phi.train))
    return Member(machine.name, phi.train.new_zeros(phi.train.shape[-1]), strings, machine.alpha, machine.tau)
