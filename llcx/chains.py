"""One run of a plan on a potential: kernel, noise, minibatches and what is measured at draws, put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from llcx import gradients, groups, journal, metric, rng, subsets
from llcx.journal import Keeper, Resumable
from llcx.posterior import Posterior
from llcx.registry import SAMPLERS
from llcx.sample import finite, sample
from llcx.types import Chains, Draws, External, ExternalChain, Kernel, Plan, Potential, Progress, State, Streams

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
    keep: Keeper | None = None,
) -> Draws:
    """Draws of `plan` from `start`, or from w* with every chain; `role` names the random stream.

    What `keep` has found is gone on with, or is the result. Raises FloatingPointError where a chain diverges.
    """
    streams, observe, whole = rng.streams(seed), dict(observe or {}), potential
    counting = journal.resumable(observe)
    if keep is not None and (done := _recalled(keep, counting, potential.at.device)):
        return done
    if plan.subset:
        potential = subsets.freeze(whole, plan.subset, plan.chains, streams)
        observe[subsets.FULL] = lambda w: plan.nbeta * whole.value(w)
    together = _Run(potential, whole, plan, streams, role, start, observe, budget)
    calls = (plan.warmup + plan.draws * plan.every) * getattr(plan.sampler, "gradients", 1)  # not of what is left
    with gradients.repeated(calls) as told, gradients.pages.held():
        parts = groups.of(potential, plan, budget)
        if len(parts) == 1:
            found = together(parts[0], keep, progress)
        else:
            found = groups.one_by_one(parts, together, counting, keep, progress)
    found = replace(subsets.bracketed(found) if plan.subset else found, backend=told.backend)
    if keep is not None:
        keep.finish(_result(found, counting))
    return found


@dataclass(frozen=True)
class _Run:
    """A run of chains, of which any may be asked for (groups.Together)."""

    potential: Potential
    whole: Potential  # on all rows
    plan: Plan
    streams: Streams
    role: str
    start: Chains | None
    observe: Observed
    budget: float | None

    def __call__(self, some: slice, keep: Keeper | None, progress: Progress | None) -> Draws:
        plan, streams, at, count = self.plan, self.streams, self.potential.at, some.stop - some.start
        noise = rng.ChainNoise(streams.key(self.role), count, at.device, first=some.start)
        control, size = (getattr(plan.sampler, name, None) for name in ("control_variate", "batch_size"))
        target = Posterior(self.potential, plan.nbeta, plan.gamma, control_variate=bool(control))
        kernel = _kernel(plan, target, self.whole, self.start, streams.generator(f"{self.role} metric"))
        if isinstance(kernel, External):
            own = [streams.replicate(chain).generator(self.role) for chain in range(some.start, some.stop)]
            return _in_turn(kernel, plan, target, own, self.observe, progress)
        return sample(
            kernel,
            at.repeat(count, 1) if self.start is None else self.start[some],
            noise,
            plan,
            energy=_energy(plan, target),
            distance=target.distance,
            minibatch=lambda: None if size is None else noise.indices(self.potential.rows, size),
            tally=target,
            observe=self.observe,
            budget=self.budget,
            progress=progress,
            keep=keep,
        )


def _result(draws: Draws, counting: Mapping[str, Resumable]) -> State:
    """Draws, and what was counted along them."""
    found = journal.within("draws", journal.of_draws(draws))
    for name, each in counting.items():
        found |= journal.within(f"watch {name}", each.state())
    return found


def _recalled(keep: Keeper, counting: Mapping[str, Resumable], device: torch.device) -> Draws | None:
    """The result that an earlier process left; None where it left a state or nothing."""
    found = journal.part("draws", done := keep.found() or {})
    if not found:
        return None
    for name, each in counting.items():
        each.load(journal.part(f"watch {name}", done))
    return journal.to_draws(found, device)


def _energy(plan: Plan, target: Posterior) -> Callable[[Chains], Tensor]:
    """n*beta*K of a kept draw: on all rows, or on the minibatch of the step before, free and as noisy as it is."""

    def paired(w: Chains) -> Tensor:
        return target.energy(w) if target.last is None else plan.nbeta * target.last

    return paired if getattr(plan.sampler, "baseline", "full") == "paired" else target.energy


def _kernel(
    plan: Plan, target: Posterior, whole: Potential, start: Chains | None, generator: Generator
) -> Kernel | External:
    """The kernel in the coordinates of `plan.metric`: found at w* and again at mid warm-up, or at `start` for good.

    `whole` is the potential on all rows.
    """
    build = SAMPLERS.builder(plan.sampler.name)
    if plan.metric in ("", "identity"):
        return build(plan.sampler, target)
    half, adapt, at = plan.warmup // 2, getattr(plan.sampler, "adapt", 0) or 0, whole.at

    def first(there: metric.Coordinates, step_size: float | None) -> Kernel:
        """Adaptation is shared out between the metrics."""
        if not adapt:
            return build(plan.sampler, there)
        if step_size is None:
            return build(replace(plan.sampler, adapt=min(adapt, half)), there)
        return build(replace(plan.sampler, adapt=max(0, adapt - half), step_size=step_size), there)

    def gauss_newton(path: Float[Tensor, "S C P"]) -> metric.Metric:
        found = metric.gauss_newton(whole, path[-1], generator)
        return metric.low_rank(at, found, plan.nbeta, plan.gamma).rounded()

    def diagonal(path: Float[Tensor, "S C P"]) -> metric.Metric:
        return metric.diagonal_of(at, path.flatten(0, 1))

    def scaled(there: metric.Coordinates, step_size: float | None) -> Kernel:
        """A step that was right for the narrowest weight is right for all of them now."""
        return first(there, step_size and step_size / float(there.metric.scale.min()))

    if plan.metric == "diagonal":
        return metric.placed(scaled, target, metric.identity(at), metric.Renewal(diagonal, half, max(2, half // 2)))
    if start is not None:
        return metric.placed(lambda there, _: build(plan.sampler, there), target, gauss_newton(start.unsqueeze(0)))
    return metric.placed(first, target, gauss_newton(at.view(1, 1, -1)), metric.Renewal(gauss_newton, half))


def _in_turn(
    kernel: External,
    plan: Plan,
    target: Posterior,
    streams: list[Generator],
    observe: Observed,
    progress: Progress | None,
) -> Draws:
    """Draws of a sampler that runs by itself, chain after chain from w*."""
    begun, chains = perf_counter(), list[ExternalChain]()
    for chain, stream in enumerate(streams):
        chains.append(kernel.run(target.potential.at, plan.warmup, plan.draws * plan.every, stream))
        if progress:
            progress("chain", chain + 1, plan.chains, {})
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
