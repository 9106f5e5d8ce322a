"""Drive C chains through warm-up and draws. Knows no model, no loss and no disk."""

from collections.abc import Callable, Mapping, Sequence
from math import nan
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from llcx.diagnostics import standard_error
from llcx.types import Chains, Draws, Index, Kernel, Noise, PerChain, Plan, Progress

WARMUP_MARKS = 100  # energies recorded along the warm-up, for the trace figure
LOOK = 20  # draws before the standard error is looked at for the first time
MOVES = ("grad", "drift", "noise")  # vectors [C, P] of a kernel's last step


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
    draw, with at least four; `plan.target_se` ends it where the standard error is no larger, looked at each time the
    draws have grown by a quarter. Raises FloatingPointError, naming chain and draw, where an energy is not finite.
    """
    begun = perf_counter()
    run = _Run(kernel, kernel.init(start, noise), noise, minibatch)
    watched = getattr(type(plan.sampler), "watched", ())
    warmup, settling = _warm_up(run, plan, energy, watched, None if budget is None else begun + budget / 2, progress)
    watch = {"energy": energy, "distance": distance, **{f"?{name}": f for name, f in (observe or {}).items()}}
    kept: dict[str, list[Tensor]] = {}
    enough = _Enough(plan, begun, budget)
    for draw in range(plan.draws):
        run.advance(plan.every)
        found = {name: function(run.state.w) for name, function in watch.items()} | run.beside()
        finite(found["energy"], f"draw {draw}")
        for name, value in found.items():
            kept.setdefault(name, []).append(value)
        if progress:
            progress("sample", draw + 1, plan.draws, _shown(kept["energy"]))
        if enough.after(kept["energy"]):
            break
    traces = {name: torch.stack(values, 1) for name, values in kept.items()}
    gradients, examples = counts()
    return Draws(
        energy=traces["energy"],
        distance=traces["distance"],
        warmup=warmup,
        last=run.state.w,
        accept=traces["accept"].mean(1) if "accept" in traces else None,
        step_size=float(getattr(run.state, "step_size", getattr(plan.sampler, "step_size", nan))),
        gradients=gradients,
        examples=examples,
        seconds=perf_counter() - begun,
        stopped_by=enough.by,
        observed={name[1:]: trace for name, trace in traces.items() if name[0] == "?"},
        settling=settling,
        norms={name[1:]: trace for name, trace in traces.items() if name[0] == "|"},
    )


class _Enough:
    """When a run has its draws, or ends before that."""

    def __init__(self, plan: Plan, begun: float, budget: float | None) -> None:
        self.plan, self.begun, self.budget = plan, begun, budget
        self.by, self.look = "draws", LOOK

    def after(self, energies: Sequence[PerChain]) -> bool:
        """Whether to stop with these draws; `by` says why."""
        kept = len(energies)
        if kept >= self.plan.draws:
            return True
        if self.budget is not None and kept >= 4 and perf_counter() - self.begun > self.budget:
            self.by = "budget"
        elif self.plan.target_se is not None and kept >= self.look:
            self.look = kept + max(1, kept // 4)
            if standard_error(torch.stack(list(energies), 1)) <= self.plan.target_se:
                self.by = "target_se"
        return self.by != "draws"


class _Run:
    """A kernel, its state and where its minibatches come from."""

    def __init__(self, kernel: Kernel, state: Any, noise: Noise, minibatch: Callable[[], Index | None]) -> None:
        self.kernel, self.state, self.noise, self.minibatch = kernel, state, noise, minibatch

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.state = self.kernel.step(self.state, self.minibatch(), self.noise)

    def beside(self) -> dict[str, PerChain]:
        """What the kernel tells of its last step: acceptance, and the norms of its vectors."""
        found = {} if (accept := getattr(self.state, "accept", None)) is None else {"accept": accept}
        vectors = {f"|{name}": getattr(self.state, name, None) for name in MOVES}
        return found | {name: v.double().norm(dim=1) for name, v in vectors.items() if v is not None}

    def watched(self, names: Sequence[str]) -> dict[str, float]:
        """Numbers of the state, averaged over chains."""
        return {name: float(torch.as_tensor(getattr(self.state, name), dtype=torch.float64).mean()) for name in names}


def _warm_up(
    run: _Run,
    plan: Plan,
    energy: Callable[[Chains], PerChain],
    watched: Sequence[str],
    deadline: float | None,
    progress: Progress | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Energies [C, W] along the warm-up, and the watched numbers [W]."""
    stride = max(1, plan.warmup // WARMUP_MARKS)
    marks, told = [finite(energy(run.state.w), "the start")], [run.watched(watched)]
    for step in range(0, plan.warmup, stride):
        run.advance(min(stride, plan.warmup - step))
        marks.append(finite(energy(run.state.w), f"warm-up step {step}"))
        told.append(run.watched(watched))
        if progress:
            progress("warm-up", min(step + stride, plan.warmup), plan.warmup, {})
        if deadline is not None and perf_counter() > deadline:
            break
    return torch.stack(marks, 1), {name: torch.tensor([mark[name] for mark in told]) for name in watched}


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
