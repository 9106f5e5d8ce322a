"""The course of a training, whatever moves its members: milestones, ends, what is told, and a state to go on from.

Each member goes by itself: it has its own time, is judged by itself, and stays where it is once it stopped. Milestones
of a member, each of them a snapshot `role/name`:

    init      where it starts
    fitted    F y is for the first time at least the loss's margin in more than a tenth of the training rows
    loss=F    alpha loss is for the first time below the share F of that at the start, F in fit.losses
    t1        the same for a half; the time t1 itself is interpolated linearly
    margin    F y is for the first time at least the loss's margin in all training rows
    final     where it stopped, for whatever reason

Geiger, Spigler, Jacot and Wyart (2020), "Disentangling feature and lazy training in deep neural networks",
arXiv:1906.08034.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import exp, nan
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from llcx.tasks.parity.ensemble import Ensemble
from llcx.tasks.parity.schema import Checkpoints, Fit
from llcx.types import Event, State, Training

Rows = dict[str, Tensor]  # of an ensemble's members, a leading axis M each; never written in place
FITTED = 0.1  # share of the rows
WORK = 1e11  # products of a weight and an example between two events, some seconds: where a training can be cut
ENDS = "running margin aloss max_t max_t1 max_steps max_wall not_finite zero_gradient stalled".split()


@runtime_checkable
class Dynamics(Protocol):
    """What moves the members."""

    every_step: bool  # whether f is at hand after every step, not only where it is looked at

    def begin(self, ensemble: Ensemble) -> Rows:
        """At w0: `w` [M, P], `f` [M, N] on the training rows, the time `t` [M], and what else the next step needs."""

    def advance(self, ensemble: Ensemble, rows: Rows, step: int, look: bool) -> Rows:
        """Step number `step`, from 1 on; `f` need be right only where `look`. It may set `stopped`."""

    def told(self, rows: Rows) -> Mapping[str, Tensor]:
        """Metrics [M] of the last step."""


def training(
    name: str,
    build: Callable[[], Ensemble],
    cfg: Fit,
    dynamics: Dynamics,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Training:
    """Of `build()`, which is called when it starts; the clock [s] is read where cfg.stop.max_wall asks for it."""

    def start() -> State:
        return _saved(_begun(build(), cfg, dynamics), -1, 0.0)

    def steps(state: State) -> Iterator[Event]:
        yield from _Course(build(), cfg, dynamics, clock).events(state)

    return Training(name, cfg.stop.max_steps, start, steps)


def role(kind: str, name: str) -> str:
    """The snapshot of a member at one of its milestones."""
    return f"{kind}/{name}" if name else kind


def checkpoints(cfg: Checkpoints, after: int) -> Iterator[int]:
    """Steps > `after` at which all members are measured, without end."""
    step = 0
    while True:
        if step > after:
            yield step
        step = int(step + 1 + cfg.spacing * (1 - exp(-step * cfg.rate / cfg.spacing)))


@dataclass
class _Course:
    whole: Ensemble
    cfg: Fit
    dynamics: Dynamics
    clock: Callable[[], float]

    def events(self, state: State) -> Iterator[Event]:
        """From any state that an event carried, or from the start."""
        rows = {key: value for key, value in state.items() if isinstance(value, Tensor)}
        step, wall = int(state["step"]), float(state["wall"])
        began = self._now() - wall
        if step < 0:
            step, everyone = 0, range(len(self.whole.members))
            ended = [("final", i) for i in everyone if rows["stopped"][i]]
            kept = self._snapshots(rows, [("init", i) for i in everyone] + ended, 0)
            yield Event(_saved(rows, 0, wall), 0, self._metrics(self.whole, rows, list(everyone)), kept)
        while live := (rows["stopped"] == 0).nonzero().flatten().tolist():
            for event in self._together(rows, live, step, began):
                rows = {key: value for key, value in event.state.items() if isinstance(value, Tensor)}
                step = event.step
                yield event

    def _together(self, whole: Rows, live: list[int], step: int, began: float) -> Iterator[Event]:
        """Until one of the living stops."""
        some = self.whole if len(live) == len(self.whole.members) else self.whole.only(live)
        index = torch.tensor(live)
        rows = {key: value[index] for key, value in whole.items()}
        due = checkpoints(self.cfg.checkpoints, step)
        coming, pulse = next(due), max(1, int(WORK / (some.w0.numel() * some.base.shape[1])))
        while not rows["stopped"].any():
            step += 1
            look = step == coming or step >= self.cfg.stop.max_steps
            before, rows = rows, self._step(some, rows, step, look, began)
            news = self._news(before, rows)
            if look or news or step % pulse == 0:
                whole = {key: value.index_copy(0, index, rows[key]) for key, value in whole.items()}
                told = list(range(len(live))) if look else sorted({i for _, i in news})
                kept = self._snapshots(whole, [(kind, live[i]) for kind, i in news], step)
                wall = self._now() - began
                yield Event(_saved(whole, step, wall), step, self._metrics(some, rows, told), kept)
            coming = next(due) if step == coming else coming

    def _step(self, some: Ensemble, rows: Rows, step: int, look: bool, began: float) -> Rows:
        late = self.cfg.stop.max_wall is not None and self._now() - began >= self.cfg.stop.max_wall
        moved = self.dynamics.advance(some, rows, step, look or late)
        if self.dynamics.every_step or look or late:
            moved = _judged(some, self.cfg, moved)
        end = ENDS.index("max_wall" if late else "max_steps")
        if late or step >= self.cfg.stop.max_steps:
            moved["stopped"] = torch.where(moved["stopped"] == 0, end, moved["stopped"])
        return moved

    def _news(self, before: Rows, after: Rows) -> list[tuple[str, int]]:
        """(role, member) of what happened to the living between two states."""
        new = after["passed"] & ~before["passed"]
        found = [(kind, i) for k, kind in enumerate(milestones(self.cfg)) for i in _where(new[:, k])]
        return found + [("final", i) for i in _where(after["stopped"] != 0)]

    def _now(self) -> float:
        return 0.0 if self.cfg.stop.max_wall is None else self.clock()

    def _metrics(self, some: Ensemble, rows: Rows, members: list[int]) -> dict[str, float]:
        """Of some members, by `split name/metric`."""
        if not members:
            return {}
        own = {f"train/{name}": value for name, value in ({"t": rows["t"]} | dict(self.dynamics.told(rows))).items()}
        columns = [
            (key.split("/"), value.tolist()) for key, value in (some.measured(rows["w"], rows["f"]) | own).items()
        ]
        named = [(i, f" {name}" if (name := some.members[i].name) else "") for i in members]
        return {f"{split}{name}/{key}": float(values[i]) for i, name in named for (split, key), values in columns}

    def _snapshots(self, rows: Rows, news: list[tuple[str, int]], step: int) -> dict[str, State]:
        return {role(kind, self.whole.members[i].name): self._snapshot(rows, i, step) for kind, i in news}

    def _snapshot(self, rows: Rows, i: int, step: int) -> State:
        numbers: State = {key: float(rows[key][i]) for key in ("t", "t1", "aloss")}
        return {"w": rows["w"][i].clone(), "step": step, "stopped": ENDS[int(rows["stopped"][i])], **numbers}


def milestones(cfg: Fit) -> tuple[str, ...]:
    """Roles between init and final, in the order of the columns of `passed`."""
    return ("t1", "margin", "fitted", *(f"loss={share:g}" for share in cfg.losses))


def _begun(ensemble: Ensemble, cfg: Fit, dynamics: Dynamics) -> Rows:
    rows, zero = dynamics.begin(ensemble), torch.zeros_like(ensemble.aloss0)
    passed = torch.zeros(len(zero), len(milestones(cfg)), dtype=torch.bool)
    rows |= {"aloss": ensemble.aloss0, "judged": zero, "t1": zero + nan, "passed": passed, "stopped": zero.long()}
    return _judged(ensemble, cfg, rows)


def _judged(ensemble: Ensemble, cfg: Fit, rows: Rows) -> Rows:
    """With milestones and ends as the outputs f have it; `judged` is the time at which they were last looked at."""
    t, before, after = rows["t"], rows["aloss"], ensemble.aloss(rows["f"])
    half = ensemble.aloss0 / 2
    within = (ensemble.margins(rows["f"]) >= ensemble.problem.loss.margin).double().mean(1)
    below = [after < share * ensemble.aloss0 for share in cfg.losses]
    reached = torch.stack([after < half, within >= cfg.stop.share, within > FITTED, *below], 1)
    between = rows["judged"] + (t - rows["judged"]) * (before - half) / (before - after)
    t1 = torch.where(reached[:, 0] & ~rows["passed"][:, 0], between, rows["t1"])
    rows = rows | {"aloss": after, "judged": t, "t1": t1, "passed": rows["passed"] | reached}
    return rows | {"stopped": _ends(ensemble, cfg, rows)}


def _ends(ensemble: Ensemble, cfg: Fit, rows: Rows) -> Tensor:
    """`stopped` [M]: the first reason that holds, or what the dynamics said."""
    stop, aloss, t = cfg.stop, rows["aloss"], rows["t"]
    holding = {"not_finite": ~aloss.isfinite()}
    if stop.margin is not None:
        enough = (ensemble.margins(rows["f"]) >= stop.margin).double().mean(1) >= stop.share
        holding["margin"] = enough
    if stop.aloss is not None:
        holding["aloss"] = aloss <= stop.aloss * ensemble.aloss0
    if stop.max_t is not None:
        holding["max_t"] = t >= stop.max_t
    if stop.max_t1 is not None:
        holding["max_t1"] = t >= stop.max_t1 * rows["t1"]
    stopped = rows["stopped"]
    for name, holds in reversed(holding.items()):
        stopped = torch.where(holds, ENDS.index(name), stopped)
    return stopped


def _where(holds: Bool[Tensor, " M"]) -> list[int]:
    return holds.nonzero().flatten().tolist()


def _saved(rows: Rows, step: int, wall: float) -> State:
    return {**rows, "step": step, "wall": wall}
