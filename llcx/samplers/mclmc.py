"""Microcanonical Langevin Monte Carlo: a step of microcanonical dynamics, then noise that turns the direction.

    u' ~ u + nu z,    nu^2 = (exp(2 eps / T) - 1) / P,    z ~ N(0, I)

after each step of size eps (microcanonical.py: `leapfrog` takes one gradient, `minimal_norm` two for a longer step), so
that directions decohere over the time T = `length`. Targets p up to O(eps^2). What a step fails to conserve,
Var(dE) / P, measures that bias: it grows as eps^6, and the warm-up tunes eps to `desired_energy_var` and T to the time
in which log p forgets itself (pacing.py). The papers' 5e-4 is a bias of the average direction; the energy of a
singular model lives in a few stiff ones, where it left 3 and 8 per cent on two deep linear networks, and 1e-6 0 and 1.
For P large, a stiff direction among softer ones has the variance of the integrator (`inflation`).

With `adjusted`, a step is a trajectory of random length, T on average, from a fresh direction, accepted with
probability min(1, exp(-dE)), which targets p exactly; the step size then follows dual averaging (averaging.py).

Robnik and Seljak (2023), "Fluctuation without dissipation: microcanonical Langevin Monte Carlo", arXiv:2303.18221;
the tuning is that of arXiv:2212.08549; adjusted: Robnik, Cohn-Gordon and Seljak (2025), arXiv:2503.01707.
"""

from dataclasses import dataclass
from math import expm1
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from llcx.registry import SAMPLERS
from llcx.samplers.averaging import Adapted
from llcx.samplers.microcanonical import INTEGRATORS, Motion, directions, inflation, moved
from llcx.samplers.pacing import Pace
from llcx.samplers.steps import Factors, check_metric, check_step_size, within
from llcx.settings import one_of, real
from llcx.types import Chains, Index, Kernel, Noise, PerChain, Target


@dataclass(frozen=True)
class MCLMC:
    """Settings of MCLMC."""

    step_size: Any = "auto"  # in time, as HMC's; auto: calibrated, then tuned during the warm-up
    length: Any = "auto"  # T, time of decoherence (adjusted: mean length of a trajectory); auto: tuned; else 20 steps
    integrator: str = "leapfrog"  # leapfrog | minimal_norm
    desired_energy_var: float = 1e-6  # Var(dE) / P of a step that the tuning aims at
    adjusted: bool = False  # a Metropolis step: exact
    accept: float = 0.9  # acceptance that the adaptation aims at where adjusted
    adapt: int | None = None  # steps of tuning; null: the warm-up where step_size is auto, else 0
    metric: str = "identity"  # coordinates: identity | diagonal | ggn | auto
    name: str = "mclmc"

    needs: ClassVar[tuple[str, ...]] = ("gradient", "full_data")
    watched: ClassVar[tuple[str, ...]] = ("step_size", "length", "energy_var")

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        if self.length != "auto" and not (real(self.length) and 0 < self.length < float("inf")):
            raise ValueError(f"sampler.length must be a time > 0 or auto, got {self.length!r}")
        one_of("sampler.integrator", self.integrator, tuple(INTEGRATORS))
        within("desired_energy_var", self.desired_energy_var, 0, float("inf"))
        within("accept", self.accept, 0, 1)
        check_metric(self.metric)

    @property
    def unbiased(self) -> bool:
        return self.adjusted

    def first_step(self, stiff: float, noise: float) -> float:
        """A careful start of the tuning, as HMC's."""
        del noise
        return 0.08 / stiff**0.5

    def inflation(self, step_size: float, stiff: float, noise: float) -> Factors:
        """The integrator's factor on the stiffest of many directions; there are no minibatches."""
        del noise
        return inflation(self.integrator, step_size, stiff), 1.0


class MCLMCState(NamedTuple):
    w: Chains
    u: Chains  # direction, of length 1
    logp: PerChain
    grad: Chains
    pace: Pace
    accept: PerChain | None = None  # where adjusted

    @property
    def step_size(self) -> float:
        return self.pace.step.step_size

    @property
    def length(self) -> float:
        return self.pace.length

    @property
    def energy_var(self) -> float:
        return self.pace.energy_var


@SAMPLERS.register("mclmc", MCLMC)
def build(cfg: MCLMC, target: Target) -> Kernel:
    """Bind the settings (step size and steps of tuning are numbers by now) and the target."""
    start = float(cfg.step_size)

    def init(w: Chains, noise: Noise) -> MCLMCState:
        if w.shape[1] < 2:
            raise ValueError("sampler must be another than mclmc, got a single parameter; its directions need two")
        logp, grad = target(w, None)
        length = 20 * start if cfg.length == "auto" else float(cfg.length)
        pace = Pace(Adapted.begin(start, 10.0), length)
        return MCLMCState(w, directions(noise, w), logp, grad, pace, torch.zeros_like(logp) if cfg.adjusted else None)

    def step(state: MCLMCState, batch: Index | None, noise: Noise) -> MCLMCState:
        del batch
        eps, begin = state.step_size, _at_rest(state, state.u)
        end = moved(target, begin, eps, cfg.integrator)
        error = end.kinetic - (end.logp - begin.logp)
        if state.pace.step.moves < (cfg.adapt or 0):  # later a broken chain is the driver's to report
            end = _chosen(error.isfinite(), end, begin)
        nu = (expm1(min(2 * eps / state.length, 50.0)) / end.w.shape[1]) ** 0.5
        u = end.u + nu * noise.normal(end.u)
        pace = _paced(cfg, state.pace, error, end)
        return MCLMCState(end.w, u / u.norm(dim=1, keepdim=True), end.logp, end.grad, pace)

    def trajectory(state: MCLMCState, batch: Index | None, noise: Noise) -> MCLMCState:
        del batch
        length = max(1, round(2 * noise.shared() * state.length / state.step_size))
        begin = end = _at_rest(state, directions(noise, state.w))
        for _ in range(length):
            end = moved(target, end, state.step_size, cfg.integrator)
        error = end.kinetic - (end.logp - begin.logp)
        accept = torch.where(error.isnan(), torch.inf, error).neg().clamp(max=0).exp()
        end = _chosen(noise.uniform() < accept, end, begin)
        pace = _paced(cfg, state.pace, error, end, float(accept.mean()))
        return MCLMCState(end.w, end.u, end.logp, end.grad, pace, accept)

    return Kernel(init, trajectory if cfg.adjusted else step)


def _at_rest(state: MCLMCState, u: Chains) -> Motion:
    return Motion(state.w, u, state.logp, state.grad, torch.zeros_like(state.logp))


def _chosen(taken: Tensor, one: Motion, other: Motion) -> Motion:
    """Row by row one or the other."""
    row = taken.unsqueeze(1)
    return Motion(*(torch.where(row if a.ndim == 2 else taken, a, b) for a, b in zip(one, other, strict=True)))


def _paced(cfg: MCLMC, pace: Pace, error: PerChain, end: Motion, accept: float = 0.0) -> Pace:
    """After a step with energy errors `error` that led to `end`; `accept` is its mean acceptance where adjusted."""
    error, adapt = error / end.w.shape[1] ** 0.5, cfg.adapt or 0
    adapting, pace = pace.step.moves < adapt, pace.noted(error)
    taken = max(1, round(pace.length / pace.step.step_size)) if cfg.adjusted else 1
    if cfg.adjusted or not adapting:
        pace = pace._replace(step=pace.step.after(accept, cfg.accept, adapt))
    else:
        pace = pace.timed(error, cfg.desired_energy_var)
    return pace.lasting(end.logp, taken, adapt) if adapting and cfg.length == "auto" else pace
