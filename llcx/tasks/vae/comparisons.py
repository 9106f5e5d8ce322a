"""Trainings compared by what their courses tell: along gamma at one step, until a target, and how steadily they went.

A series is all trainings that differ in gamma and seed alone. Seeds are paired: those of one number share data, first
weights, minibatches and noise, whatever gamma is. A number that is missing is None.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx.diagnostics import t_quantile
from llcx.types import State

ABOUT = ("training", "seed", "variant", "kind", "gamma", "parametrisation", "latent_dim", "learning_rate")
SERIES = tuple(name for name in ABOUT if name not in ("training", "seed", "gamma"))
SPLITS = ("test/", "train/")  # what the names of an event's numbers begin with
TOLD = 8  # steps of a series that are told, at most
STEADY = 50  # steps before which nothing is said of steadiness, and over which it is measured what is usual

Row = dict[str, Any]
Ladder = dict[Any, dict[int, "Run"]]  # gamma -> seed -> training


class Run(NamedTuple):
    """A training: whose it is, the columns ABOUT, and what happened (llcx.course)."""

    about: Row
    course: State

    def values(self, name: str) -> Tensor:
        """The course's numbers of one name, float64; none where the course has not got them."""
        return torch.as_tensor(self.course.get(name, [])).double()

    def at(self, name: str, step: int) -> float:
        """A number of the event after so many steps, nan where there is none."""
        values, steps = self.values(name), self.values("at")
        place = (steps[: len(values)] == step).nonzero()
        return float(values[place[0, 0]]) if len(place) else float("nan")

    def end(self, name: str) -> float:
        """A number of the last event; nan where the training did not come to its last step."""
        values = self.values(name)
        return float(values[-1]) if self.ended and len(values) else float("nan")

    @property
    def ended(self) -> bool:
        return bool(self.course["ended"])

    def key(self, *left_out: str) -> tuple[Any, ...]:
        """What its series is, but for some columns."""
        return tuple(self.about[name] for name in SERIES if name not in left_out)


def gammas(runs: Sequence[Run]) -> list[Row]:
    """Of each series, gamma, step and name of an event's number: its mean over seeds, and what it differs by.

    Each with the 95 % interval of Student's t, which one seed has not got. difference: minus that of gamma = 0 in the
    same series, seed by seed. The steps are at most TOLD: the start, the last, and those evenly between in log. Seeds
    whose number is not finite, or that ended before, are left out and not counted: where stability.csv has any, the
    mean is that of the others.
    """
    found: list[Row] = []
    for series, ladder in _ladders(runs).items():
        steps = told({int(step) for run in _all(ladder) for step in run.values("at")})
        names = dict.fromkeys(name for run in _all(ladder) for name in run.course if name.startswith(SPLITS))
        for gamma, some in ladder.items():
            for step in steps:
                for name in names:
                    values, usual = (_finite(which, name, step) for which in (some, ladder.get(0, {})))
                    apart = [value - usual[seed] for seed, value in values.items() if seed in usual]
                    where = {**_series(series), "gamma": gamma, "step": step, "metric": name}
                    row = where | mean(list(values.values()), "") | {"seeds": len(values)} | mean(apart, "difference")
                    found += [row] if values else []
    return found


def told(steps: Iterable[int], most: int = TOLD) -> list[int]:
    """At most so many of the steps, ascending: the first, the last, and those nearest to even steps of the log."""
    every = sorted(steps)
    later = torch.tensor([step for step in every if step > 0]).double()
    if len(every) <= most:
        return every
    aims = torch.logspace(float(later[0].log10()), float(later[-1].log10()), most - 1).double()
    nearest = (aims.log()[:, None] - later.log()).abs().argmin(1)
    return sorted({every[0], *(int(step) for step in later[nearest])})


def mean(values: Sequence[float], name: str) -> Row:
    """Mean and 95 % interval: columns mean, low, high, or <name>, <name>_low, <name>_high."""
    columns = (name, f"{name}_low", f"{name}_high") if name else ("mean", "low", "high")
    if not values:
        return dict.fromkeys(columns)
    centre = fmean(values)
    if len(values) == 1:
        return dict(zip(columns, (centre, None, None), strict=True))
    reach = t_quantile(len(values)) * stdev(values) / len(values) ** 0.5
    return dict(zip(columns, (centre, centre - reach, centre + reach), strict=True))


def targets(runs: Sequence[Run]) -> list[Row]:
    """Of each training: when its test loss first was what gamma = 0 has at the end, or what the smallest gamma has.

    target: of the same seed and series, parametrisations together, so that all of them have one; of the smallest gamma
    that came to its end. reached: the step, on straight lines between events; None for never. ratio: over the step at
    which that training itself first was there.
    """
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((*run.key("parametrisation"), run.about["seed"]), []).append(run)
    targets = {key: _target(group) for key, group in groups.items()}
    found = []
    for run in runs:
        target, first = targets[*run.key("parametrisation"), run.about["seed"]]
        step = None if target is None else reached(run, target)
        ratio = step / first if step is not None and first else None
        numbers = {"target": target, "reached": step, "steps": len(run.values("loss")), "ratio": ratio}
        found.append({**run.about, **numbers})
    return found


def _target(group: Sequence[Run]) -> tuple[float | None, float | None]:
    """A test loss, and when the training that has it at its end was first there."""
    ended = [run for run in group if isfinite(run.end("test/loss"))]
    if not ended:
        return None, None
    usual = min(ended, key=lambda run: _order(run.about["gamma"]))
    target = usual.end("test/loss")
    return target, reached(usual, target)


def reached(run: Run, target: float) -> float | None:
    """The first step at which the test loss is no larger, on straight lines between events; None where it never is."""
    steps, losses = run.values("at").tolist(), run.values("test/loss").tolist()
    place = next((place for place, loss in enumerate(losses) if loss <= target), None)
    if place is None:
        return None
    if place == 0 or not isfinite(losses[place - 1]):
        return float(steps[place])
    share = (losses[place - 1] - target) / (losses[place - 1] - losses[place])
    return float(steps[place - 1] + share * (steps[place] - steps[place - 1]))


def stability(runs: Sequence[Run]) -> list[Row]:
    """Of each series and gamma: how many trainings failed, how far seeds lie apart, how rough the way was.

    not_finite: share that ended because their loss was not finite. diverged: these, and those whose loss on training
    rows was larger at the end than at the start.
    spread: standard deviation over seeds of the test loss at the end; spread_relative: over the mean's size.
    jump: the largest rise of the minibatch loss from one step to the next, in units of the median size of the STEADY
    changes before it (no offset or scale of the loss changes it; of normal noise it is about 6): median over seeds, and
    jump_max the largest. gradient_median, gradient_q99: quantiles of the gradient's norms, and tail their ratio; each
    the median over seeds. The first STEADY steps, on which all come down, are in none of these; they are in
    gradient_max, the largest norm.
    """
    found: list[Row] = []
    for series, ladder in _ladders(runs).items():
        for gamma, some in ladder.items():
            each = list(some.values())
            ends = [value for run in each if isfinite(value := run.end("test/loss"))]
            apart = stdev(ends) if len(ends) > 1 else None
            size = abs(fmean(ends)) if ends else 0.0
            found.append(
                {
                    **_series(series),
                    "gamma": gamma,
                    "runs": len(each),
                    "not_finite": fmean(not run.ended for run in each),
                    "diverged": fmean(diverged(run) for run in each),
                    "spread": apart,
                    "spread_relative": apart / size if apart is not None and size > 0 else None,
                    **_jumps(each),
                    **_gradients(each),
                }
            )
    return found


def diverged(run: Run) -> bool:
    """Whether a training's loss was not finite, or no smaller on training rows than at its start."""
    losses = run.values("train/loss")
    return not run.ended or not bool(losses[-1].isfinite() & (losses[-1] <= losses[0]))


def jump(losses: Tensor, usual: int = STEADY) -> float | None:
    """The largest rise from one step to the next, over the median size of the `usual` changes before it."""
    changes = losses.diff()
    if len(changes) <= usual:
        return None
    before = changes.abs().unfold(0, usual, 1)[:-1].median(1).values
    rises = changes[usual:] / before
    rises = rises[rises.isfinite()]
    return max(0.0, float(rises.max())) if len(rises) else None


def _jumps(runs: Sequence[Run]) -> Row:
    found = [value for run in runs if (value := jump(run.values("loss"))) is not None]
    return {"jump": median(found) if found else None, "jump_max": max(found, default=None)}


def _gradients(runs: Sequence[Run]) -> Row:
    norms = [values[values.isfinite()] for run in runs if len(values := run.values("gradient"))]
    later = [steps for each in norms if len(steps := each[STEADY:])]
    middle, high = ([float(each.quantile(share)) for each in later] for share in (0.5, 0.99))
    tails = [top / low for top, low in zip(high, middle, strict=True) if low > 0]
    return {
        "gradient_median": median(middle) if middle else None,
        "gradient_q99": median(high) if high else None,
        "gradient_max": max((float(each.max()) for each in norms if len(each)), default=None),
        "tail": median(tails) if tails else None,
    }


def _ladders(runs: Sequence[Run]) -> dict[tuple[Any, ...], Ladder]:
    """Series in the order of `runs`, each by gamma, ascending, and seed.

    Of trainings that agree in all of this, as those of a prior that has no gamma do along an axis of it, the first.
    """
    found: dict[tuple[Any, ...], Ladder] = {}
    for run in sorted(runs, key=lambda run: _order(run.about["gamma"])):
        found.setdefault(run.key(), {}).setdefault(run.about["gamma"], {}).setdefault(run.about["seed"], run)
    return {key: found[key] for key in dict.fromkeys(run.key() for run in runs)}


def _order(gamma: float | str) -> float:
    """Priors without a gamma come last."""
    return gamma if isinstance(gamma, float | int) else inf


def _all(ladder: Ladder) -> list[Run]:
    return [run for some in ladder.values() for run in some.values()]


def _series(key: tuple[Any, ...]) -> Row:
    return dict(zip(SERIES, key, strict=True))


def _finite(some: Mapping[int, Run], name: str, step: int) -> dict[int, float]:
    """Of each seed that has a finite number there."""
    values = {seed: run.at(name, step) for seed, run in some.items()}
    return {seed: value for seed, value in values.items() if isfinite(value)}
