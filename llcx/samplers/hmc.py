"""Hamiltonian Monte Carlo with jittered trajectories and a step size adapted during warm-up.

    u ~ N(0, I);  L leapfrog steps of H = -log p(w) + |u|^2 / 2;  accept with probability min(1, exp(-dH))

Targets p exactly, whatever the step size. L is uniform on [leapfrog/2, 3 leapfrog/2] and shared by the chains, the step
of a chain is jittered by +-20 %: periodic orbits of near-Gaussian directions would otherwise return to their start.
During the first `adapt` steps the step size follows Nesterov's dual averaging of the chains' mean acceptance
(Hoffman and Gelman 2014, JMLR 15:1593, section 3.2), begun anew half-way because the chains start at one point, where
it is less stiff than where they go; after that it stands still.

Neal (2011), "MCMC using Hamiltonian dynamics", arXiv:1206.1901.
"""

from dataclasses import dataclass
from math import exp, log
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.registry import SAMPLERS
from llcx.samplers.sgld import check_step_size
from llcx.types import Chains, Index, Kernel, Noise, PerChain, Target

Steps = Float[Tensor, "C 1"]  # a step size for each chain


@dataclass(frozen=True)
class HMC:
    """Settings of HMC."""

    step_size: Any = "auto"  # leapfrog step; auto: calibrated, then adapted during the warm-up; a number stays fixed
    leapfrog: int = 48  # mean leapfrog steps a trajectory
    jitter: float = 0.2  # relative half-width of the step size around its value
    accept: float = 0.9  # acceptance that the adaptation aims at; 0.8 leaves 30 of 100 deep networks below 0.6 later on
    adapt: int | None = None  # trajectories of adaptation; null: the warm-up where step_size is auto, else 0
    name: str = "hmc"

    needs: ClassVar[tuple[str, ...]] = ("gradient", "full_data")
    unbiased: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        if self.leapfrog < 1:
            raise ValueError(f"sampler.leapfrog must be >= 1, got {self.leapfrog}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"sampler.jitter must lie in [0, 1), got {self.jitter}")
        if not 0 < self.accept < 1:
            raise ValueError(f"sampler.accept must lie in (0, 1), got {self.accept}")


class Averaging(NamedTuple):
    """Dual averaging of log eps: `center` is where it shrinks to, `error` the running mean of (aim - acceptance)."""

    center: float
    updates: int
    error: float
    log_step: float
    log_mean: float

    def update(self, accept: float, aim: float) -> "Averaging":
        """Constants gamma = 0.05, t0 = 10, kappa = 0.75 of the paper."""
        updates = self.updates + 1
        error = self.error + (aim - accept - self.error) / (updates + 10)
        log_step = self.center - updates**0.5 / 0.05 * error
        log_mean = self.log_mean + updates**-0.75 * (log_step - self.log_mean)
        return Averaging(self.center, updates, error, log_step, log_mean)

    @classmethod
    def begin(cls, step_size: float, reach: float) -> "Averaging":
        """Shrinking towards `reach` times the step size at hand."""
        return cls(log(reach * step_size), 0, 0.0, log(step_size), log(step_size))


class HMCState(NamedTuple):
    w: Chains
    logp: PerChain
    grad: Chains
    accept: PerChain  # acceptance probability of the last trajectory
    step_size: float
    trajectories: int  # so far
    averaging: Averaging


@SAMPLERS.register("hmc", HMC)
def build(cfg: HMC, target: Target) -> Kernel:
    """Bind the settings (step size and adaptation are numbers by now) and the target."""
    start, adapt = float(cfg.step_size), cfg.adapt or 0

    def init(w: Chains, noise: Noise) -> HMCState:
        del noise
        logp, grad = target(w, None)
        return HMCState(w, logp, grad, torch.zeros_like(logp), start, 0, Averaging.begin(start, 10.0))

    def step(state: HMCState, batch: Index | None, noise: Noise) -> HMCState:
        del batch
        eps = (state.step_size * (1 + cfg.jitter * (2 * noise.uniform() - 1))).to(state.w).unsqueeze(1)
        length = max(1, round(cfg.leapfrog * (0.5 + noise.shared())))
        momentum = noise.normal(state.w)
        w, logp, grad, end = _leapfrog(target, state, momentum, eps, length)
        gain = (logp - 0.5 * _square(end)) - (state.logp - 0.5 * _square(momentum))
        accept = torch.where(gain.isnan(), -torch.inf, gain).clamp(max=0).exp()
        taken = noise.uniform() < accept
        row = taken.unsqueeze(1)
        step_size, averaging = _adapted(state, float(accept.mean()), cfg.accept, adapt)
        return HMCState(
            torch.where(row, w, state.w),
            torch.where(taken, logp, state.logp),
            torch.where(row, grad, state.grad),
            accept,
            step_size,
            state.trajectories + 1,
            averaging,
        )

    return Kernel(init, step)


def _adapted(state: HMCState, accept: float, aim: float, adapt: int) -> tuple[float, Averaging]:
    """Step size and averaging after a trajectory of mean acceptance `accept`, the next of `adapt`."""
    done = state.trajectories + 1
    if done > adapt:
        return state.step_size, state.averaging
    averaging = state.averaging.update(accept, aim)
    settled = done == adapt or done == adapt // 2
    step_size = exp(min(averaging.log_mean if settled else averaging.log_step, 50.0))
    return step_size, Averaging.begin(step_size, 1.0) if done == adapt // 2 else averaging


def _square(momentum: Chains) -> PerChain:
    return momentum.double().square().sum(1)


def _leapfrog(
    target: Target, state: HMCState, momentum: Chains, eps: Steps, length: int
) -> tuple[Chains, PerChain, Chains, Chains]:
    w, logp, grad = state.w, state.logp, state.grad
    momentum = momentum + 0.5 * eps * grad
    for k in range(length):
        w = w + eps * momentum
        logp, grad = target(w, None)
        momentum = momentum + (eps if k < length - 1 else 0.5 * eps) * grad
    return w, logp, grad, momentum
