"""One run of a plan on a potential: kernel, noise, minibatches and what is measured at draws, put together."""

from collections.abc import Callable, Mapping
from time import perf_counter

import torch
from torch import Tensor

from llcx import rng
from llcx.posterior import Posterior
from llcx.registry import SAMPLERS
from llcx.sample import finite, sample
from llcx.types import Chains, Draws, External, ExternalChain, Index, Plan, Potential, Progress

Observed = Mapping[str, Callable[[Chains], Tensor]]


def run(
    potential: Potential,
    plan: Plan,
    seed: int,
    *,
    start: Chains | None = None,
    role: str = "chains",
    observe: Observed | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
) -> Draws:
    """Draws of `plan` from `start`, or from w* with every chain; `role` names the random stream.

    Raises FloatingPointError where a chain diverges.
    """
    noise = rng.ChainNoise(rng.streams(seed).key(role), plan.chains, potential.at.device)
    control = getattr(plan.sampler, "control_variate", False)
    target = Posterior(potential, plan.nbeta, plan.gamma, control_variate=control)
    kernel = SAMPLERS.builder(plan.sampler.name)(plan.sampler, target)
    if isinstance(kernel, External):
        return _in_turn(kernel, plan, target, seed, role, observe or {}, progress)
    size = getattr(plan.sampler, "batch_size", None)

    def minibatch() -> Index | None:
        return None if size is None else noise.indices(potential.rows, size)

    def paired(w: Chains) -> Tensor:
        """n*beta*K on the minibatch of the step before: free, and as noisy as it is."""
        return target.energy(w) if target.last is None else plan.nbeta * target.last

    return sample(
        kernel,
        potential.at.repeat(plan.chains, 1) if start is None else start,
        noise,
        plan,
        energy=paired if getattr(plan.sampler, "baseline", "full") == "paired" else target.energy,
        distance=target.distance,
        minibatch=minibatch,
        counts=lambda: (target.gradients, target.examples),
        observe=observe,
        budget=budget,
        progress=progress,
    )


def _in_turn(
    kernel: External,
    plan: Plan,
    target: Posterior,
    seed: int,
    role: str,
    observe: Observed,
    progress: Progress | None,
) -> Draws:
    """Draws of a sampler that runs by itself, chain after chain from w*."""
    begun, chains = perf_counter(), list[ExternalChain]()
    for chain in range(plan.chains):
        stream = rng.streams(seed).replicate(chain).generator(role)
        chains.append(kernel.run(target.potential.at, plan.warmup, plan.draws * plan.every, stream))
        if progress:
            progress("sample", chain + 1, plan.chains, {})
    w = torch.stack([found.w[plan.every - 1 :: plan.every] for found in chains], 1)  # [T, C, P]
    energy = torch.stack([finite(target.energy(row), f"draw {draw}") for draw, row in enumerate(w)], 1)
    return Draws(
        energy=energy,
        distance=torch.stack([target.distance(row) for row in w], 1),
        warmup=energy.new_zeros(plan.chains, 1),
        last=w[-1],
        accept=torch.tensor([found.accept for found in chains], dtype=torch.float64),
        step_size=sum(found.step_size for found in chains) / len(chains),
        gradients=-(-target.gradients // plan.chains),
        examples=target.examples,
        seconds=perf_counter() - begun,
        observed={name: torch.stack([function(row) for row in w], 1) for name, function in observe.items()},
    )
