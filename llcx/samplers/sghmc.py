"""Stochastic gradient Hamiltonian Monte Carlo: Langevin dynamics with momentum and friction, one gradient a step.

    u  = p + t grad log p(w; batch),        t = sqrt(eps / 2)
    p' = (1 - a) u + sqrt(a (2 - a)) xi,    xi ~ N(0, I)
    w' = w + (t / 2) (u + p')

This is the splitting BAOAB (kick, half a drift, friction and noise, half a drift), its two half kicks in one. Targets p
up to O(eps^2), where the symplectic Euler steps of the paper are O(eps): on a Gaussian direction of precision h and
gradient variance s^2 the law is exactly

    h Var w = 1 + (2 - a) / a (eps s^2 / 8) / (1 - eps h / 8)    while eps h < 8

which is 1 at any step where gradients are exact, and 1 + eps s^2 / (4 a) to leading order, as for the paper's update
v' = (1 - a) v + (eps / 2) grad + sqrt(a eps) xi, w' = w + v', whose units of eps and a these are. What is left of the
discretisation is anharmonic, so a calibrated step stops at eps h = `bound`, not at a predicted factor.

Chen, Fox and Guestrin (2014), arXiv:1402.4102, eq. 15; Leimkuhler and Matthews (2013), J. Chem. Phys. 138:174102.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from llcx.registry import SAMPLERS
from llcx.samplers.minibatch import Minibatch
from llcx.samplers.steps import Factors
from llcx.types import Chains, Index, Kernel, Noise, Target


@dataclass(frozen=True)
class SGHMC(Minibatch):
    """Settings of SGHMC. Biases: O(eps^2) discretisation, minibatch noise 1/friction times SGLD's."""

    step_size: Any = "auto"  # eps, a squared time; auto: calibrated
    friction: float = 0.1  # a, share of the momentum that a step replaces
    name: str = "sghmc"

    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    unbiased: ClassVar[bool] = False
    watched: ClassVar[tuple[str, ...]] = ()
    bound: ClassVar[float] = 0.05  # far below what is stable: chains come to places a hundred times as stiff as w*

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.friction <= 1:
            raise ValueError(f"sampler.friction must lie in (0, 1], got {self.friction}")

    def inflation(self, step_size: float, stiff: float, noise: float) -> Factors:
        """The law above: a quadratic is not discretised at all, or unstable."""
        left = 1 - step_size * stiff / 8
        if left <= 0:
            return float("inf"), float("inf")
        return 1.0, 1 + (2 - self.friction) / self.friction * step_size * noise / 8 / left


class SGHMCState(NamedTuple):
    w: Chains
    momentum: Chains  # p
    grad: Chains | None = None
    drift: Chains | None = None
    noise: Chains | None = None


@SAMPLERS.register("sghmc", SGHMC)
def build(cfg: SGHMC, target: Target) -> Kernel:
    """Bind the settings (step size a number by now) and the target."""
    t, a = (float(cfg.step_size) / 2) ** 0.5, cfg.friction

    def init(w: Chains, noise: Noise) -> SGHMCState:
        return SGHMCState(w, noise.normal(w))

    def step(state: SGHMCState, batch: Index | None, noise: Noise) -> SGHMCState:
        _, grad = target(state.w, batch)
        kicked = state.momentum + t * grad
        xi = (a * (2 - a)) ** 0.5 * noise.normal(grad)
        momentum = (1 - a) * kicked + xi
        w = state.w + 0.5 * t * (kicked + momentum)
        return SGHMCState(w, momentum, grad, (1 - 0.5 * a) * t**2 * grad, 0.5 * t * xi)

    return Kernel(init, step)
