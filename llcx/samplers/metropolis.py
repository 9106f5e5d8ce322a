"""The Metropolis step that hmc and mala share: what is kept of a proposal, and what the step size learns from it.

Chains start at the mode, where all directions move in phase, so that the energy errors of many of them add up: steps
that are right later would be refused there, and the way out be a long one of small steps. So in the first moves what
keeps the energy to within `slack` is taken, as it would be without a Metropolis step: in the first quarter of an
adaptation, or in as many as a kernel whose step stands still is told.
"""

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
    slack: PerChain | None = None  # error of the energy that chains on their way out of the mode may make


def decided(
    state: MetropolisState, proposal: Proposal, noise: Noise, aim: float, adapt: int, leave: int = 0
) -> MetropolisState:
    """The proposal where it is accepted, with probability min(1, exp(gain)); a gain that is no number is refused.

    `leave`: first moves that lead out of the mode where nothing adapts.
    """
    accept = torch.where(proposal.gain.isnan(), -torch.inf, proposal.gain).clamp(max=0).exp()
    taken = noise.uniform() < accept
    if proposal.slack is not None and state.tuning.moves < (adapt // 4 or leave):
        near = proposal.gain > -proposal.slack
        taken, tuning = taken | near, state.tuning.left(float(near.double().mean()), still=not adapt)
    else:
        tuning = state.tuning.after(float(accept.mean()), aim, adapt)
    row = taken.unsqueeze(1)
    return MetropolisState(
        torch.where(row, proposal.w, state.w),
        torch.where(taken, proposal.logp, state.logp),
        torch.where(row, proposal.grad, state.grad),
        accept,
        tuning,
    )


def square(momentum: Chains) -> PerChain:
    """|u|^2 [C] in float64."""
    return momentum.double().square().sum(1)
