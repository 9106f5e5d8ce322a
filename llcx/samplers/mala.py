"""Metropolis-adjusted Langevin: a step of SGLD on all data, accepted or refused.

    w+ = w + (eps / 2) grad log p(w) + sqrt(eps) xi,    xi ~ N(0, I)
    accept with probability min(1, p(w+) q(w | w+) / (p(w) q(w+ | w))),    q the density of the proposal

Targets p exactly, whatever the step size. It is HMC with trajectories of one leapfrog step of sqrt(eps), and moves as
slowly as that. During the first `adapt` steps the step size follows dual averaging of the chains' mean acceptance
(averaging.py) towards 0.574, the optimum in many dimensions.

Roberts and Tweedie (1996), Bernoulli 2:341; Roberts and Rosenthal (1998), JRSS B 60:255, for 0.574.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from llcx.registry import SAMPLERS
from llcx.samplers.metropolis import MetropolisState, Proposal, begun, decided, square
from llcx.samplers.steps import check_metric, check_step_size, within
from llcx.types import Chains, Index, Kernel, Noise, Target


@dataclass(frozen=True)
class MALA:
    """Settings of MALA."""

    step_size: Any = "auto"  # eps; auto: calibrated, then adapted during the warm-up; a number stays fixed
    accept: float = 0.574  # acceptance that the adaptation aims at
    adapt: int | None = None  # steps of adaptation; null: the warm-up where step_size is auto, else 0
    metric: str = "auto"  # coordinates: identity | diagonal | ggn | auto, which calibration settles
    name: str = "mala"

    needs: ClassVar[tuple[str, ...]] = ("gradient", "full_data")
    unbiased: ClassVar[bool] = True
    watched: ClassVar[tuple[str, ...]] = ("step_size", "accept")

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        check_metric(self.metric)
        within("accept", self.accept, 0, 1)

    def first_step(self, stiff: float, noise: float) -> float:
        """A careful start of the adaptation."""
        del noise
        return 0.01 / stiff


@SAMPLERS.register("mala", MALA)
def build(cfg: MALA, target: Target) -> Kernel:
    """Bind the settings (step size and adaptation are numbers by now) and the target."""
    start, adapt = float(cfg.step_size), cfg.adapt or 0

    def init(w: Chains, noise: Noise) -> MetropolisState:
        del noise
        return begun(target, w, start)

    def step(state: MetropolisState, batch: Index | None, noise: Noise) -> MetropolisState:
        del batch
        eps, xi = state.step_size, noise.normal(state.w)
        w = state.w + 0.5 * eps * state.grad + eps**0.5 * xi
        logp, grad = target(w, None)
        back = xi + 0.5 * eps**0.5 * (state.grad + grad)  # the noise that leads from w back, up to its sign
        gain = (logp - 0.5 * square(back)) - (state.logp - 0.5 * square(xi))
        return decided(state, Proposal(w, logp, grad, gain), noise, cfg.accept, adapt)

    return Kernel(init, step)
