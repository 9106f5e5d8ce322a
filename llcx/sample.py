"""Drive C chains through warm-up and draws. Knows no model, no loss and no disk."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite, nan
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from llcx import journal
from llcx.diagnostics import standard_error
from llcx.journal import Keeper, Resumable
from llcx.types import Chains, Draws, Index, Kernel, Noise, PerChain, Plan, Progress, State

WARMUP_MARKS = 100  # energies recorded along the warm-up, for the trace figure
LOOK = 20  # draws before the standard error is looked at for the first time
MOVES = ("grad", "drift", "noise")  # vectors [C, P] of a kernel's last step
Watch = Mapping[str, Callable[[Chains], Tensor]]


@runtime_checkable
class Tally(Resumable, Protocol):
    """Who counts gradients (a chain) and example gradients (over all chains)."""

    gradients: int
    examples: int


@runtime_checkable
class Streams(Noise, Resumable, Protocol):
    """Random numbers that know where they are."""


def sample(
    kernel: Kernel,
    start: Chains,
    noise: Streams,
    plan: Plan,
    *,
    energy: Callable[[Chains], PerChain],
    distance: Callable[[Chains], PerChain],
    minibatch: Callable[[], Index | None],
    tally: Tally,
    observe: Watch | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
    keep: Keeper | None = None,
) -> Draws:
    """Run `plan.warmup` steps, then keep every `plan.every`-th of `plan.draws * plan.every` steps.

    `energy` [C] and `distance` [C] are taken at kept draws only. `budget` in seconds ends the run early, at a
    draw, with at least four; `plan.target_se` ends it where the standard error is no larger, looked at each time the
    draws have grown by a quarter. Between steps `keep` is offered what the run needs to go on; what it has found is
    where the run begins. Raises FloatingPointError, naming chain and draw, where an energy is not finite.
    """
    watch = {"energy": energy, "distance": distance, **{f"?{name}": f for name, f in (observe or {}).items()}}
    parts = journal.resumable({"noise": noise, "tally": tally, **watch})
    names = tuple(getattr(type(plan.sampler), "watched", ()))
    run = _Run(kernel, kernel.init(start, noise), noise, minibatch, parts, names)
    if keep is not None and (found := keep.found()):
        run.load(found)

    def rest() -> None:
        if keep is not None:
            keep.offer(run.state)

    _warm_up(run, plan, energy, None if budget is None else budget / 2, progress, rest)
    if not run.draws:
        run.warm = run.seconds, tally.gradients
    stopped_by = _enough(run, plan, budget)
    total = sum(run.kept.get("energy", []), torch.zeros(()))  # of each chain's energies
    while not stopped_by:
        run.advance(plan.every)
        run.keep(watch)
        total = total + finite(run.kept["energy"][-1], f"draw {run.draws - 1}")
        if progress:
            progress("sample", run.draws, plan.draws, _Shown(total, run.draws))
        if not (stopped_by := _enough(run, plan, budget)):
            rest()
    traces = run.traces()
    return Draws(
        energy=traces["energy"],
        distance=traces["distance"],
        warmup=torch.stack(run.marks, 1),
        last=run.now.w,
        accept=traces["accept"].mean(1) if "accept" in traces else None,
        step_size=float(getattr(run.now, "step_size", getattr(plan.sampler, "step_size", nan))),
        gradients=tally.gradients,
        examples=tally.examples,
        seconds=run.seconds,
        stopped_by=stopped_by,
        observed={name[1:]: trace for name, trace in traces.items() if name[0] == "?"},
        settling={name: torch.stack(run.told)[:, k] for k, name in enumerate(names)},
        norms={name[1:]: trace for name, trace in traces.items() if name[0] == "|"},
        warm_seconds=run.warm[0],
        warm_gradients=run.warm[1],
    )


@dataclass
class _Run:
    """A kernel and its state, where its random numbers come from, and what was recorded so far."""

    kernel: Kernel
    now: Any  # the kernel's state
    noise: Streams
    minibatch: Callable[[], Index | None]
    parts: Mapping[str, Resumable]  # with states of their own
    names: tuple[str, ...]  # numbers of the kernel's state that adapt
    begun: float = field(default_factory=perf_counter)
    warmed: int = 0  # steps of warm-up that were taken
    look: int = LOOK  # draws at which the standard error is looked at next
    warm: tuple[float, int] = (0.0, 0)  # seconds and gradients of the warm-up
    marks: list[PerChain] = field(default_factory=list)  # energies along the warm-up
    told: list[Tensor] = field(default_factory=list)  # what adapts along the warm-up
    kept: dict[str, list[Tensor]] = field(default_factory=dict)  # draw by draw

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.now = self.kernel.step(self.now, self.minibatch(), self.noise)

    def keep(self, watch: Watch) -> None:
        """A draw: what is watched, and what the kernel tells of its last step, acceptance and norms of vectors."""
        found = {name: function(self.now.w) for name, function in watch.items()}
        if (accept := getattr(self.now, "accept", None)) is not None:
            found["accept"] = accept
        vectors = {f"|{name}": getattr(self.now, name, None) for name in MOVES}
        found |= {name: torch.linalg.vector_norm(v, dim=1).double() for name, v in vectors.items() if v is not None}
        for name, value in found.items():
            self.kept.setdefault(name, []).append(value)

    def mark(self, energy: PerChain) -> None:
        """A place along the warm-up: energy, and numbers of the state averaged over chains."""
        values = [torch.as_tensor(getattr(self.now, name), dtype=torch.float64).mean() for name in self.names]
        self.marks.append(energy)
        self.told.append(torch.stack(values).float().cpu() if values else torch.zeros(0))

    def traces(self) -> dict[str, Tensor]:
        """Draws [C, T, ...] by name."""
        return {name: torch.stack(values, 1) for name, values in self.kept.items()}

    @property
    def draws(self) -> int:
        return len(self.kept.get("energy", []))

    @property
    def seconds(self) -> float:
        return perf_counter() - self.begun

    def state(self) -> State:
        """All that this run needs to go on elsewhere, bit for bit."""
        found: State = {"warmed": self.warmed, "look": self.look, "seconds": self.seconds}
        found |= {"warm_seconds": self.warm[0], "warm_gradients": self.warm[1]}
        found |= journal.packed("marks", tuple(self.marks)) | journal.packed("told", tuple(self.told))
        found |= journal.packed("kernel", self.now) | journal.within("kept", self.traces())
        for name, part in self.parts.items():
            found |= journal.within(name, part.state())
        return found

    def load(self, found: State) -> None:
        device = self.now.w.device
        self.warmed, self.look = int(found["warmed"]), int(found["look"])
        self.begun = perf_counter() - float(found["seconds"])
        self.warm = float(found["warm_seconds"]), int(found["warm_gradients"])
        self.marks = list(journal.unpacked("marks", (), found, device))
        self.told = list(journal.unpacked("told", (), found, torch.device("cpu")))
        self.now = journal.unpacked("kernel", self.now, found, device)
        kept = journal.part("kept", found).items()
        self.kept = {name: list(torch.as_tensor(value).to(device).unbind(1)) for name, value in kept}
        for name, part in self.parts.items():
            part.load(journal.part(name, found))


def _enough(run: _Run, plan: Plan, budget: float | None) -> str:
    """Why to stop with these draws: draws | budget | target_se; "": not yet."""
    if run.draws >= plan.draws:
        return "draws"
    if budget is not None and run.draws >= 4 and run.seconds > budget:
        return "budget"
    if plan.target_se is not None and run.draws >= run.look:
        run.look = run.draws + max(1, run.draws // 4)
        if standard_error(torch.stack(run.kept["energy"], 1)) <= plan.target_se:
            return "target_se"
    return ""


def _warm_up(
    run: _Run,
    plan: Plan,
    energy: Callable[[Chains], PerChain],
    limit: float | None,
    progress: Progress | None,
    rest: Callable[[], None],
) -> None:
    """What is left of the warm-up, with what is recorded along it; at most `limit` seconds."""
    stride = max(1, plan.warmup // WARMUP_MARKS)
    if not run.marks:
        run.mark(finite(energy(run.now.w), "the start"))
    while run.warmed < plan.warmup and not run.draws:
        run.advance(min(stride, plan.warmup - run.warmed))
        run.warmed = min(run.warmed + stride, plan.warmup)
        run.mark(finite(energy(run.now.w), f"warm-up step {run.warmed}"))
        if progress:
            progress("warm-up", run.warmed, plan.warmup, {"chains": plan.chains})
        if limit is not None and run.seconds > limit:
            break
        rest()


def finite(values: PerChain, when: str) -> PerChain:
    """`values`, or FloatingPointError naming the chain: nothing dead is averaged."""
    if not isfinite(float(values.sum())) and bool((bad := ~values.isfinite()).any()):
        chain = int(bad.nonzero()[0])
        raise FloatingPointError(
            f"chain {chain} has n*beta*K = {float(values[chain])} at {when}; lower sampler.step_size, or n*beta"
        )
    return values


class _Shown(Mapping[str, float]):
    """The running estimate and a standard error from the spread of the chains' means, worked out if somebody looks."""

    def __init__(self, total: PerChain, draws: int) -> None:
        self._total, self._draws = total, draws

    @cached_property
    def _values(self) -> dict[str, float]:
        means = self._total / self._draws
        spread = float(means.std() / len(means) ** 0.5) if len(means) > 1 else nan
        return {"llc": float(means.mean()), "se": spread, "chains": len(means)}

    def __getitem__(self, key: str) -> float:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
