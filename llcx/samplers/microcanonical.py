"""Microcanonical dynamics: a momentum of fixed length that the gradient only turns.

    dw = sqrt(P) u dt,    du = (I - u u^T) sqrt(P) / (P - 1) grad log p dt,    |u| = 1

Time is HMC's: sqrt(P) u is its momentum. A kick for the time t along e = grad / |grad| is exact,

    u' ~ u + e (sinh d + e.u (cosh d - 1)),    d = t sqrt(P) |grad| / (P - 1)

and adds (P - 1) log(cosh d + e.u sinh d) to the kinetic energy; with the potential energy -log p the sum is conserved,
and what an integrator fails to conserve is its error.

Robnik, De Luca, Silverstein and Seljak (2023), JMLR 24:311, arXiv:2212.08549; minimal norm: Omelyan, Mryglod and Folk
(2003), Comput. Phys. Commun. 151:272.
"""

from math import inf, log
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from llcx.types import Chains, Noise, PerChain, Target

Time = float | Float[Tensor, "C 1"]
OUTER = 0.1931833275037836  # share of the outer kicks at which the minimal norm's leading errors are smallest
INTEGRATORS = {  # shares of the step: kick, drift, kick, drift, ...
    "leapfrog": (0.5, 1.0, 0.5),
    "minimal_norm": (OUTER, 0.5, 1 - 2 * OUTER, 0.5, OUTER),
}


class Motion(NamedTuple):
    """Where the chains are, where they are heading, and the kinetic energy gained so far."""

    w: Chains
    u: Chains  # of length 1
    logp: PerChain
    grad: Chains
    kinetic: PerChain


def directions(noise: Noise, like: Chains) -> Chains:
    """Uniform on the sphere."""
    z = noise.normal(like)
    return z / z.norm(dim=1, keepdim=True)


def moved(target: Target, motion: Motion, time: Time, integrator: str) -> Motion:
    """One step of the integrator."""
    w, u, logp, grad, kinetic = motion
    reach = w.shape[1] ** 0.5
    for i, share in enumerate(INTEGRATORS[integrator]):
        if i % 2:
            w = w + share * time * reach * u
            logp, grad = target(w, None)
        else:
            u, gained = kicked(u, grad, share * time)
            kinetic = kinetic + gained
    return Motion(w, u, logp, grad, kinetic)


def kicked(u: Chains, grad: Chains, time: Time) -> tuple[Chains, PerChain]:
    """Directions after a kick, and the kinetic energy it adds; both without overflow however strong the kick."""
    parameters = u.shape[1]
    norm = grad.norm(dim=1, keepdim=True).clamp(min=1e-30)
    e, d = grad / norm, time * parameters**0.5 / (parameters - 1) * norm
    along, decay = (e * u).sum(1, keepdim=True), (-d).exp()
    turned = 2 * decay * u + e * (1 - decay) * (1 + decay + along * (1 - decay))  # 2 exp(-d) times the formula
    grown = d.double() - log(2) + (1 + along + (1 - along) * decay.square()).double().log()
    return turned / turned.norm(dim=1, keepdim=True), (parameters - 1) * grown.squeeze(1)


def inflation(integrator: str, step_size: float, stiff: float) -> float:
    """Factor on the variance of a Gaussian direction among many, whose energy is that of a canonical momentum.

    A step is linear, (q, p) -> ((a, b), (c, a)) (q, p), and conserves b p^2 - c q^2; inf where it is unstable.
    """
    s = step_size * stiff**0.5
    rows = [[1.0, 0.0], [0.0, 1.0]]  # q and p in terms of those before
    for i, share in enumerate(INTEGRATORS[integrator]):
        sign = 1 if i % 2 else -1
        rows[1 - i % 2] = [x + sign * share * s * y for x, y in zip(rows[1 - i % 2], rows[i % 2], strict=True)]
    (a, b), (c, _) = rows
    return b / -c if abs(a) < 1 and b > 0 > c else inf
