"""The Metropolis step that hmc and mala share: what is kept of a proposal, and what the step size learns from it."""

from typing import NamedTuple

import torch

from llcx.samplers.averaging import Adapted
from llcx.types import Chains, Noise, PerChain, Target


class MetropolisState(NamedTuple):
    w: Chains
    logp: PerChain
    grad: Chains
    accept: PerChain  # acceptance probability of the last proposal
    tuning: Adapted

    @property
    def step_size(self) -> float:
        return self.tuning.step_size


def begun(target: Target, w: Chains, step_size: float) -> MetropolisState:
    """The state at w, before the first proposal."""
    logp, grad = target(w, None)
    return MetropolisState(w, logp, grad, torch.zeros_like(logp), Adapted.begin(step_size, 10.0))


class Proposal(NamedTuple):
    """Where a chain may go, and the logarithm of its acceptance ratio."""

    w: Chains
    logp: PerChain
    grad: Chains
    gain: PerChain


def decided(state: MetropolisState, proposal: Proposal, noise: Noise, aim: float, adapt: int) -> MetropolisState:
    """The proposal where it is accepted, with probability min(1, exp(gain)); a gain that is no number is refused."""
    accept = torch.where(proposal.gain.isnan(), -torch.inf, proposal.gain).clamp(max=0).exp()
    taken = noise.uniform() < accept
    row = taken.unsqueeze(1)
    return MetropolisState(
        torch.where(row, proposal.w, state.w),
        torch.where(taken, proposal.logp, state.logp),
        torch.where(row, proposal.grad, state.grad),
        accept,
        state.tuning.after(float(accept.mean()), aim, adapt),
    )


def square(momentum: Chains) -> PerChain:
    """|u|^2 [C] in float64."""
    return momentum.double().square().sum(1)
