"""Drive C chains through warm-up and draws. Knows no model, no loss and no disk."""

from collections.abc import Callable, Mapping
from math import nan
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from llcx.types import Chains, Draws, Index, Kernel, Noise, PerChain, Plan, Progress

WARMUP_MARKS = 100  # energies recorded along the warm-up, for the trace figure


def sample(
    kernel: Kernel,
    start: Chains,
    noise: Noise,
    plan: Plan,
    *,
    energy: Callable[[Chains], PerChain],
    distance: Callable[[Chains], PerChain],
    minibatch: Callable[[], Index | None],
    counts: Callable[[], tuple[int, int]],
    observe: Mapping[str, Callable[[Chains], Tensor]] | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
) -> Draws:
    """Run `plan.warmup` steps, then keep every `plan.every`-th of `plan.draws * plan.every` steps.

    `energy` [C] and `distance` [C] are taken at kept draws only. `budget` in seconds ends the run early, at a
    draw, with at least four. Raises FloatingPointError, naming chain and draw, where an energy is not finite.
    """
    begun = perf_counter()
    run = _Run(kernel, kernel.init(start, noise), noise, minibatch)
    warmup = _warm_up(run, plan, energy, None if budget is None else begun + budget / 2, progress)
    observe = observe or {}
    kept: dict[str, list[Tensor]] = {name: [] for name in ("energy", "distance", "accept", *observe)}
    stopped_by = "draws"
    for draw in range(plan.draws):
        run.advance(plan.every)
        w = run.state.w
        kept["energy"].append(finite(energy(w), f"draw {draw}"))
        kept["distance"].append(distance(w))
        if run.accept is not None:
            kept["accept"].append(run.accept)
        for name, function in observe.items():
            kept[name].append(function(w))
        if progress:
            progress("sample", draw + 1, plan.draws, _shown(kept["energy"]))
        if budget is not None and draw >= 3 and perf_counter() - begun > budget and draw + 1 < plan.draws:
            stopped_by = "budget"
            break
    gradients, examples = counts()
    return Draws(
        energy=torch.stack(kept["energy"], 1),
        distance=torch.stack(kept["distance"], 1),
        warmup=warmup,
        last=run.state.w,
        accept=torch.stack(kept["accept"], 1).mean(1) if kept["accept"] else None,
        step_size=float(getattr(run.state, "step_size", getattr(plan.sampler, "step_size", nan))),
        gradients=gradients,
        examples=examples,
        seconds=perf_counter() - begun,
        stopped_by=stopped_by,
        observed={name: torch.stack(kept[name], 1) for name in observe},
    )


class _Run:
    """A kernel, its state and where its minibatches come from."""

    def __init__(self, kernel: Kernel, state: Any, noise: Noise, minibatch: Callable[[], Index | None]) -> None:
        self.kernel, self.state, self.noise, self.minibatch = kernel, state, noise, minibatch

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.state = self.kernel.step(self.state, self.minibatch(), self.noise)

    @property
    def accept(self) -> PerChain | None:
        return getattr(self.state, "accept", None)


def _warm_up(
    run: _Run, plan: Plan, energy: Callable[[Chains], PerChain], deadline: float | None, progress: Progress | None
) -> Tensor:
    """Energies [C, W] along the warm-up."""
    stride = max(1, plan.warmup // WARMUP_MARKS)
    marks = [finite(energy(run.state.w), "the start")]
    for step in range(0, plan.warmup, stride):
        run.advance(min(stride, plan.warmup - step))
        marks.append(finite(energy(run.state.w), f"warm-up step {step}"))
        if progress:
            progress("warm-up", min(step + stride, plan.warmup), plan.warmup, {})
        if deadline is not None and perf_counter() > deadline:
            break
    return torch.stack(marks, 1)


def finite(values: PerChain, when: str) -> PerChain:
    """`values`, or FloatingPointError naming the chain: nothing dead is averaged."""
    bad = ~values.isfinite()
    if bad.any():
        chain = int(bad.nonzero()[0])
        raise FloatingPointError(
            f"chain {chain} has n*beta*K = {float(values[chain])} at {when}; lower sampler.step_size, or n*beta"
        )
    return values


def _shown(energies: list[Tensor]) -> dict[str, float]:
    """The running estimate and a standard error from the spread of the chains' means."""
    means = torch.stack(energies).mean(0)
    spread = float(means.std() / len(means) ** 0.5) if len(means) > 1 else float("nan")
    return {"llc": float(means.mean()), "se": spread}
