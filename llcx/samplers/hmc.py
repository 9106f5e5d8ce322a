"""Hamiltonian Monte Carlo with jittered trajectories and a step size adapted during warm-up.

    u ~ N(0, I);  L leapfrog steps of H = -log p(w) + |u|^2 / 2;  accept with probability min(1, exp(-dH))

Targets p exactly, whatever the step size; inside of a trajectory the gradient may be rounded to float32's digits
(gradients/slope.py). log L is uniform, the longest trajectory `spread` times the shortest and their mean `leapfrog`,
and L is shared by the chains; the step of a chain is jittered by +-20 %: periodic orbits of near-Gaussian directions
would otherwise return to their start. However long, a trajectory makes the energy a third of an independent draw at
most, while flat directions are crossed by long ones alone; a wide spread buys some of both.
During the first `adapt` steps the step size follows dual averaging of the chains' mean acceptance (averaging.py).

Neal (2011), "MCMC using Hamiltonian dynamics", arXiv:1206.1901.
"""

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from llcx.registry import SAMPLERS
from llcx.samplers.metropolis import MetropolisState, Proposal, begun, decided, square
from llcx.samplers.steps import check_metric, check_step_size, within
from llcx.types import Chains, Index, Kernel, Noise, PerChain, Target

LEAPFROG = 48
SLACK = 0.005  # of |u|^2: one per cent of the kinetic energy
MANY = 1000  # directions from which chains are led out of the mode; fewer can do without, and adapt for longer
Steps = Float[Tensor, "C 1"]  # a step size for each chain


@dataclass(frozen=True)
class HMC:
    """Settings of HMC."""

    step_size: Any = "auto"  # leapfrog step; auto: calibrated, then adapted during the warm-up; a number stays fixed
    leapfrog: int | None = None  # mean leapfrog steps a trajectory; null: calibrated, 48 where nobody calibrates
    jitter: float = 0.2  # relative half-width of the step size around its value
    spread: float = 3.0  # longest trajectory over the shortest; 1: all of one length
    accept: float = 0.9  # acceptance that the adaptation aims at; 0.8 leaves 30 of 100 deep networks below 0.6 later on
    adapt: int | None = None  # trajectories of adaptation; null: the warm-up where step_size is auto, else 0
    leave: int = 0  # first trajectories that lead chains out of the mode by a step that is fixed; with adapt: a quarter
    metric: str = "auto"  # coordinates: identity | diagonal | ggn | auto, which calibration settles
    name: str = "hmc"

    needs: ClassVar[tuple[str, ...]] = ("gradient", "full_data")
    unbiased: ClassVar[bool] = True
    watched: ClassVar[tuple[str, ...]] = ("step_size", "accept")

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        check_metric(self.metric)
        within("accept", self.accept, 0, 1)
        if self.leapfrog is not None and self.leapfrog < 1:
            raise ValueError(f"sampler.leapfrog must be >= 1, got {self.leapfrog}")
        if self.leave < 0:
            raise ValueError(f"sampler.leave must be >= 0, got {self.leave}; 0 refuses what Metropolis refuses")
        if not 1 <= self.spread < float("inf"):
            raise ValueError(f"sampler.spread must be >= 1, got {self.spread}; 1 makes all trajectories alike")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"sampler.jitter must lie in [0, 1), got {self.jitter}")

    @property
    def gradients(self) -> int:
        """Of a step, in the mean."""
        return self.leapfrog or LEAPFROG

    def first_step(self, stiff: float, noise: float) -> float:
        """A careful start of the adaptation: 4 % of the largest stable step, which is 2 / sqrt(stiff)."""
        del noise
        return 0.08 / stiff**0.5


@SAMPLERS.register("hmc", HMC)
def build(cfg: HMC, target: Target) -> Kernel:
    """Bind the settings (step size and adaptation are numbers by now) and the target."""
    start, adapt = float(cfg.step_size), cfg.adapt or 0
    shortest = cfg.gradients * (log(cfg.spread) / (cfg.spread - 1) if cfg.spread > 1 else 1.0)

    def init(w: Chains, noise: Noise) -> MetropolisState:
        del noise
        return begun(target, w, start)

    def step(state: MetropolisState, batch: Index | None, noise: Noise) -> MetropolisState:
        del batch
        eps = (state.step_size * (1 + cfg.jitter * (2 * noise.uniform() - 1))).to(state.w).unsqueeze(1)
        length = max(1, round(shortest * cfg.spread ** noise.shared()))
        momentum = noise.normal(state.w)
        w, logp, grad, end = _leapfrog(target, state, momentum, eps, length)
        gain = (logp - 0.5 * square(end)) - (state.logp - 0.5 * square(momentum))
        slack = SLACK * square(momentum) if momentum.shape[1] >= MANY else None
        return decided(state, Proposal(w, logp, grad, gain, slack), noise, cfg.accept, adapt, cfg.leave)

    return Kernel(init, step)


def _leapfrog(
    target: Target, state: MetropolisState, momentum: Chains, eps: Steps, length: int
) -> tuple[Chains, PerChain, Chains, Chains]:
    w, lead = state.w, getattr(target, "slope", None) or (lambda w: target(w, None)[1])
    momentum = momentum + 0.5 * eps * state.grad
    for _ in range(length - 1):
        w = w + eps * momentum
        momentum = momentum + eps * lead(w)
    w = w + eps * momentum
    logp, grad = target(w, None)
    return w, logp, grad, momentum + 0.5 * eps * grad
