"""Chains that run one group after another, where all of them at once would not fit the memory.

Chain c has random numbers of its own, so whom it runs beside changes nothing. Kernels whose chains share what they
learn (a step, a metric) run together, as do runs that end by the clock or by their standard error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from llcx.flat import part, within
from llcx.journal import Keeper, Resumable
from llcx.types import Draws, Plan, Potential, Progress, State

VECTORS = 16  # of length P that a chain takes: weights, gradient, drift, noise of two steps, and what is on the way


Together = Callable[[slice, Keeper | None, Progress | None], Draws]  # draws of some of the chains


def of(potential: Potential, plan: Plan, budget: float | None) -> list[slice]:
    """The chains of each group, as many at once as fit `potential.memory`."""
    shared = not getattr(plan.sampler, "apart", False) or plan.metric not in ("", "identity") or plan.subset
    if shared or budget is not None or plan.target_se is not None:
        return [slice(0, plan.chains)]
    each = VECTORS * len(potential.at) * potential.at.element_size()
    turns = -(-plan.chains // max(1, potential.memory // each))
    return [slice(*ends) for ends in pairwise(plan.chains * turn // turns for turn in range(turns + 1))]


def one_by_one(
    groups: Sequence[slice],
    together: Together,
    counting: Mapping[str, Resumable],
    keep: Keeper | None,
    progress: Progress | None,
) -> Draws:
    """Draws of all groups, each begun when the one before is done; what is `counting` along them is joined too."""
    fresh = {name: each.state() for name, each in counting.items()}
    counted: list[Mapping[str, State]] = []
    turns, found = None if keep is None else _Turns(keep), list[Draws]()
    last: Tensor | None = None
    for turn, some in enumerate(groups):
        for name, each in counting.items():
            each.load(fresh[name])
        over = None if progress is None else _over(progress, turn, len(groups))
        draws = together(some, None if turns is None else _Turn(turns, f"group {turn}"), over)
        last = draws.last.new_empty(groups[-1].stop, draws.last.shape[1]) if last is None else last
        last[some] = draws.last
        found.append(replace(draws, last=last[some]))  # one buffer: two of them would be the largest things here
        counted.append({name: each.state() for name, each in counting.items()})
    for name, each in counting.items():
        each.load(_stacked([of_group[name] for of_group in counted]))
    assert last is not None  # there are groups
    return _joined(found, last)


class _Turns:
    """The journal of a run, and what its groups have left in it."""

    def __init__(self, keep: Keeper) -> None:
        self.keep, self.found = keep, keep.found() or {}
        self.done: State = {}


class _Turn:
    """One group's place in the journal (journal.Keeper)."""

    def __init__(self, turns: _Turns, name: str) -> None:
        self._turns, self._name = turns, name

    def found(self) -> State | None:
        return part(self._name, self._turns.found) or None

    def offer(self, state: Callable[[], State]) -> None:
        self._turns.keep.offer(lambda: {**self._turns.done, **within(self._name, state())})

    def finish(self, result: State) -> None:
        self._turns.done |= within(self._name, result)
        self._turns.keep.offer(lambda: self._turns.done)


def _over(progress: Progress, turn: int, turns: int) -> Progress:
    """`progress` of one group as a part of all of them."""

    def told(stage: str, done: int, total: int, shown: Mapping[str, float]) -> None:
        progress(stage, done + turn * total, turns * total, shown)

    return told


def _stacked(states: Sequence[State]) -> State:
    """Sums [C, ...] of the groups below each other; what is no tensor is the same for all."""
    return {
        key: torch.cat([torch.as_tensor(state[key]) for state in states]) if isinstance(value, Tensor) else value
        for key, value in states[0].items()
    }


def _joined(parts: Sequence[Draws], last: Tensor) -> Draws:
    """The draws of all groups as those of one run; `last` [C, P] are their last weights."""

    def below(field: str) -> Tensor:
        return torch.cat([getattr(each, field) for each in parts])

    def named(field: str) -> dict[str, Tensor]:
        return {name: torch.cat([getattr(each, field)[name] for each in parts]) for name in getattr(parts[0], field)}

    chains = torch.tensor([float(len(each.energy)) for each in parts])
    means = {
        name: (torch.stack([each.settling[name] for each in parts], 1) * chains).sum(1) / chains.sum()
        for name in parts[0].settling
    }
    return replace(
        parts[0],
        energy=below("energy"),
        distance=below("distance"),
        warmup=below("warmup"),
        last=last,
        examples=sum(each.examples for each in parts),
        seconds=sum(each.seconds for each in parts),
        warm_seconds=sum(each.warm_seconds for each in parts),
        observed=named("observed"),
        norms=named("norms"),
        settling=means,
    )
