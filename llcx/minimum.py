"""Is w* a minimum? The gradient there, and the Newton decrement: what L could still lose, in nats of n*beta*L.

    decrement = n*beta/2 g' (H + gamma/n*beta)^-1 g

A detector, not a correction: it predicts the loss of a polish when it is a few nats, not when it is tens.
Boyd and Vandenberghe (2004), "Convex optimization", section 9.5.1.
"""

from typing import NamedTuple

import torch

from llcx.types import Flat, Potential


class Minimum(NamedTuple):
    """What was found at w*."""

    gradient: float  # |g|, nats per unit of w
    decrement: float  # nats of n*beta*L; inf where a direction curves downwards (a saddle)
    gradients: int  # evaluations spent


def decrement(potential: Potential, nbeta: float, gamma: float, rounds: int = 30) -> Minimum:
    """Newton decrement at w* by conjugate gradients on central differences of the gradient."""
    at = potential.at
    _, grad = potential.full(at.unsqueeze(0))
    g = grad[0].double()
    norm, ridge = float(g.norm()), gamma / nbeta
    if nbeta * norm**2 <= 2e-3 * ridge:  # even a flat Hessian would give less than a thousandth of a nat
        return Minimum(norm, 0.0, 1)
    x, r, p, spent = torch.zeros_like(g), g.clone(), g.clone(), 1
    for _ in range(rounds):
        hp = _curve(potential, p) + ridge * p
        spent += 2
        bend = float(p @ hp)
        if bend < -0.01 * float(hp.norm() * p.norm()):  # beyond the rounding of the differences
            return Minimum(norm, float("inf"), spent)
        if bend <= 0:
            break
        before = float(r @ r)
        x, r = x + before / bend * p, r - before / bend * hp
        after = float(r @ r)
        if after < 1e-6 * norm**2:
            break
        p = r + after / before * p
    return Minimum(norm, 0.5 * nbeta * float(g @ x), spent)


class Polished(NamedTuple):
    """A minimum near w*, and how far it lies."""

    at: Flat
    moved: float  # |w - w*| / |w*|
    drop: float  # n*beta*(L(w*) - L(w)), nats
    gradients: int


def polish(potential: Potential, nbeta: float, gamma: float, evaluations: int = 500) -> Polished:
    """argmin of K(w) + gamma / (2 n*beta) |w - w*|^2, by L-BFGS from w* in at most about `evaluations` gradients.

    Anchored, because without the localiser the minimum that is found can be another network's: along flat directions
    nothing holds it. Nocedal and Wright (2006), "Numerical optimization", section 7.2.
    """
    start, ridge, spent = potential.at, gamma / nbeta, 0
    w = start.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [w], max_iter=evaluations, max_eval=evaluations, tolerance_grad=1e-9, tolerance_change=1e-14,
        history_size=20, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        nonlocal spent
        spent += 1
        k, grad = potential.full(w.detach().unsqueeze(0))
        shift = w.detach() - start
        w.grad = grad[0] + ridge * shift
        return k[0] + 0.5 * ridge * shift.double().square().sum()

    optimizer.step(closure)
    at = w.detach()
    drop = nbeta * float(potential.value(start.unsqueeze(0)) - potential.value(at.unsqueeze(0)))
    return Polished(at, float((at - start).norm() / start.norm().clamp(min=1e-30)), drop, spent)


def _curve(potential: Potential, direction: Flat) -> Flat:
    """Hessian times `direction`, float64."""
    at = potential.at
    scale = max(float(at.double().square().mean().sqrt()), 1e-3) * len(at) ** 0.5
    step = (1e-5 if at.dtype == torch.float64 else 1e-2) * scale / float(direction.norm())
    shift = (step * direction).to(at)
    _, grads = potential.full(torch.stack([at + shift, at - shift]))
    return (grads[0].double() - grads[1].double()) / (2 * step)
