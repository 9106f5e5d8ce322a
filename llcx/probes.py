"""What calibration measures before the first draw: curvature and gradient noise, at w* and where draws will be.

Both are taken in the coordinates of the kernel's diagonal preconditioner G (1 where it has none), sqrt(G) H sqrt(G).
Degenerate points are flat at w*, so the curvature is also taken at a typical draw's distance.

The largest eigenvalues bound every bias, far from tightly where parameters are many: a handful of directions are a
hundred times as stiff at a draw as at w*, and the largest eigenvalue of 256 gradients' covariance holds a 256th of its
trace at least. So where lambda is known about (`planned`), traces over 2 lambda are told beside them: means over the
directions that the energy has, which is what its inflation goes with (samplers/minibatch.py).
"""

from typing import Any, NamedTuple

import torch
from torch import Generator

from llcx.types import Flat, Potential

SQUARES = 16  # minibatches from which the mean squared gradient of a preconditioner is taken


class Probes(NamedTuple):
    """What was measured."""

    curvature: float  # largest |eigenvalue| of the Hessian of K
    noise: float  # largest eigenvalue of the covariance of example gradients; 0 without minibatches
    gradients: int
    stretch: float = 1.0  # largest entry of G
    mean_curvature: float = 0.0  # tr of the Gauss-Newton matrix of K / (2 lambda); 0: lambda is not known about
    mean_noise: float = 0.0  # tr of the covariance of example gradients / (2 lambda)


def probe(
    potential: Potential, nbeta: float, gamma: float, generator: Generator, sampler: Any, planned: float = 0.0
) -> Probes:
    """Probes for `sampler`, whose `batch_size` and `preconditioner` count where it has them.

    `planned`: lambda of the quadratic at w*, of a potential that has factor rows; 0: unknown.
    """
    batch = getattr(sampler, "batch_size", None)
    away, spent = _typical(potential, nbeta, gamma, generator, planned)
    scale = torch.ones_like(away)
    quiet = getattr(sampler, "control_variate", False)
    if hasattr(sampler, "preconditioner"):
        square, more = _square(potential, away, batch, generator, quiet)
        scale, spent = sampler.preconditioner(square).sqrt(), spent + more
    rounds = 12 if potential.flops < 1e10 else 3
    curvature = max(_curvature(potential, at, rounds, generator, scale) for at in (potential.at, away))
    noise, total = (0.0, 0.0) if batch is None else _noise(potential, away, generator, scale, quiet)
    spent += 4 * rounds + (0 if batch is None else 1)
    found = Probes(curvature, noise, spent, float(scale.double().square().max()))
    if not planned > 0:
        return found
    stiff = _trace(potential, away, generator)
    return found._replace(gradients=spent + 1, mean_curvature=stiff / (2 * planned), mean_noise=total / (2 * planned))


def strain(sampler: Any, probes: Probes, nbeta: float, gamma: float) -> tuple[float, float]:
    """Precision of log p, and variance of its minibatch gradient, in the kernel's own coordinates.

    The worst direction's; or means over the effective ones, tr M / (2 lambda) and tr S / (2 lambda), see minibatch.py.
    """
    batch, means = getattr(sampler, "batch_size", None), by_means(sampler, probes)
    stiff = nbeta * probes.mean_curvature if means else stiffest(probes, nbeta, gamma)
    noise = probes.mean_noise if means else probes.noise
    return stiff, nbeta**2 * noise / batch if batch else 0.0


def by_means(sampler: Any, probes: Probes) -> bool:
    """Whether the step is one whose bias of lambda can be told."""
    return bool(probes.mean_curvature) and not hasattr(sampler, "adapt")


def stiffest(probes: Probes, nbeta: float, gamma: float) -> float:
    """Largest precision of log p, in the kernel's own coordinates."""
    return max(nbeta * probes.curvature + gamma * probes.stretch, 1e-12)


def _normal(like: Flat, generator: Generator) -> Flat:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)


def _typical(
    potential: Potential, nbeta: float, gamma: float, generator: Generator, planned: float
) -> tuple[Flat, int]:
    """A point w* + s z at which n*beta*K + gamma/2 |s z|^2 is P/2, as for a draw of a regular model.

    Nearer where n*beta*K would be above `planned`: a random direction has more of it than draws have.
    """
    z, low, high, rounds = _normal(potential.at, generator), -7.0, 2.0, 16
    for _ in range(rounds):
        middle = (low + high) / 2
        w = (potential.at + 10**middle * z).unsqueeze(0)
        loss = nbeta * float(potential.value(w))
        energy = loss + 0.5 * gamma * 10 ** (2 * middle) * float(z.double().square().sum())
        near = energy < len(z) / 2 and not 0 < planned < loss
        low, high = (middle, high) if near else (low, middle)
    return potential.at + 10**low * z, rounds // 2  # a value costs about half a gradient


def _square(potential: Potential, at: Flat, batch: int | None, generator: Generator, quiet: bool) -> tuple[Flat, int]:
    """Mean squared gradient [P] of K at `at`, of minibatches where there are any, and the gradients it took.

    Where it is `quiet`, of minibatches with a control variate, which a kernel then sees.
    """
    if batch is None or potential.mini is None:
        return potential.full(at.unsqueeze(0))[1][0].square(), 1
    idx = torch.randint(potential.rows, (SQUARES, batch), generator=generator).to(at.device)
    grads = potential.mini(at.expand(SQUARES, -1), idx)[1]
    if not quiet or potential.target != "data":
        return grads.square().mean(0), SQUARES
    there = potential.mini(potential.at.expand(SQUARES, -1), idx)[1]
    return (grads - there + potential.full(potential.at.unsqueeze(0))[1]).square().mean(0), 2 * SQUARES + 1


def _curvature(potential: Potential, at: Flat, rounds: int, generator: Generator, scale: Flat) -> float:
    """Largest |eigenvalue| of the Hessian, by power iteration on central differences of the gradient."""
    v = _normal(at, generator)
    size = 0.0
    weight = max(float(at.double().square().mean().sqrt()), 1e-3)
    step = (1e-5 if at.dtype == torch.float64 else 1e-2) * weight * len(at) ** 0.5
    for _ in range(rounds):
        v = v / v.norm().clamp(min=1e-30)
        direction = scale * v
        reach = step / float(direction.norm().clamp(min=1e-30))
        _, grads = potential.full(torch.stack([at + reach * direction, at - reach * direction]))
        v = scale * (grads[0] - grads[1]) / (2 * reach)
        size = float(v.double().norm())
    return size


def _trace(potential: Potential, at: Flat, generator: Generator) -> float:
    """Trace of the Gauss-Newton matrix of K, from at most 256 factor rows."""
    assert potential.factors is not None
    idx = torch.randint(potential.rows, (1, _examples(potential)), generator=generator).to(at.device)
    rows = potential.factors(at.unsqueeze(0), idx)[0]
    return float(rows.double().square().sum(1).mean()) * potential.rows / potential.n


def _examples(potential: Potential) -> int:
    """How many examples' gradients are looked at: fewer where they would take more than half a gigabyte."""
    return max(8, min(256, potential.rows, 2**26 // len(potential.at)))


def _noise(potential: Potential, at: Flat, generator: Generator, scale: Flat, quiet: bool) -> tuple[float, float]:
    """Largest eigenvalue and trace of the covariance of single examples' gradients, from at most 256 of them.

    Where it is `quiet`, of their differences from those at w*, which is what a control variate leaves.
    """
    assert potential.mini is not None
    count = _examples(potential)
    idx = torch.randint(potential.rows, (count, 1), generator=generator).to(at.device)
    _, grads = potential.mini(at.expand(count, -1), idx)
    if quiet:
        grads = grads.sub_(potential.mini(potential.at.expand(count, -1), idx)[1])
    grads = grads.sub_(grads.mean(0)).mul_(scale)
    gram, total = torch.zeros(count, count, dtype=torch.float64, device=at.device), 0.0
    for piece in grads.split(2**20, dim=1):  # in float64 a piece at a time
        piece = piece.double()
        gram, total = gram + piece @ piece.T, total + float(piece.square().sum())
    return float(torch.linalg.eigvalsh(gram / count)[-1]), total / count
