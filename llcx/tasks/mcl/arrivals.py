"""Levels that are waited for, and when runs came to them, from rows of curves.

The level of few-shot adaptation is midway between copying the input and the control arm fully fine-tuned on the most
examples, composition by composition; that of training a share of the control's median at its end. Both are known from
the control alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from statistics import fmean
from typing import NamedTuple

from llcx.tasks.mcl import censoring
from llcx.tasks.mcl.censoring import Reached
from llcx.tasks.mcl.contrasts import Arms, Cells, Row, middle, where
from llcx.tasks.summary import number

FIT = ("arm", "seed", "composition", "n")  # what names an adaptation of one method and cue
RUN = ("arm", "seed")

Key = tuple[str, ...]


class Times(NamedTuple):
    """When each came to its level, and until when all were followed."""

    found: dict[Key, Reached]
    horizon: float

    def censored(self) -> float:
        return censoring.censored(list(self.found.values()), self.horizon)


def adaptation_levels(few_shot: Sequence[Row], control: str) -> dict[str, float]:
    """By composition, of rows of one cue; empty without the control's full fine-tuning."""
    full = where(few_shot, arm=control, method="full")
    most = max((number(row, "n") for row in full), default=0)
    found = defaultdict(list)
    for row in full:
        if number(row, "n") == most:
            found[str(row["composition"])].append((number(row, "iou") + number(row, "copy_iou")) / 2)
    return {composition: fmean(some) for composition, some in found.items()}


def training_level(course: Sequence[Row], control: str, share: float) -> float:
    """nan without a run of the control."""
    ends = [rows[-1] for rows in curves(where(course, arm=control), RUN).values()]
    return share * middle(ends, "iou")


def adaptations(paths: Sequence[Row], levels: Mapping[str, float]) -> Times:
    """Steps, with 1 added so that 0 has a logarithm. What stopped early without the level would never have come."""
    found, horizon = {}, max((number(row, "step") for row in paths), default=0.0) + 1
    for key, rows in curves(paths, FIT).items():
        level = levels.get(key[FIT.index("composition")], inf)
        each = _reached(rows, "step", level)
        found[key] = Reached(each.time + 1 if each.seen else horizon, each.seen)
    return Times(found, horizon)


def trainings(course: Sequence[Row], clock: str, level: float) -> Times:
    """By arm and seed, in steps or seconds."""
    some = curves(course, RUN)
    horizon = min((number(rows[-1], clock) for rows in some.values()), default=0.0)
    return Times({key: _reached(rows, clock, level) for key, rows in some.items()}, horizon)


def examples(fits: Sequence[Row], levels: Mapping[str, float]) -> Times:
    """By arm, seed and composition: the number of examples at which the level is reached.

    A composition without the most examples is left out: it is not known when it would have come.
    """
    most = max((number(row, "n") for row in fits), default=0.0)
    whole = {key: curve for key, curve in by_number(fits).items() if most in curve}
    return Times({key: censoring.samples_to(curve, levels.get(key[2], inf)) for key, curve in whole.items()}, most)


def by_number(fits: Iterable[Row]) -> dict[Key, dict[float, float]]:
    """By arm, seed and composition: IoU by number of examples."""
    found: dict[Key, dict[float, float]] = defaultdict(dict)
    for row in fits:
        found[str(row["arm"]), str(row["seed"]), str(row["composition"])][number(row, "n")] = number(row, "iou")
    return found


def pairs(values: Mapping[Key, float], arms: Arms) -> Cells:
    """Of values by arm, seed and whatever else: the mean of a unit, its third name, that both arms have.

    What is named further, as numbers of examples are, must be in both arms too.
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for (arm, seed, *names), treated in values.items():
        control = values.get((arms.control, seed, *names))
        if arm == arms.treated and control is not None and isfinite(treated) and isfinite(control):
            found[seed][names[0] if names else "run"].append((treated, control))
    return {
        seed: {name: (fmean(a for a, _ in each), fmean(b for _, b in each)) for name, each in some.items()}
        for seed, some in found.items()
    }


def restricted(times: Times, arms: Arms) -> Cells:
    """min(T, horizon) of both arms."""
    return pairs({key: each.within(times.horizon) for key, each in times.found.items()}, arms)


def matched(course: Sequence[Row], arms: Arms) -> Cells:
    """Of each seed, val_ood IoU where either arm first has the val_id IoU that both come to.

    At one val_id IoU the gap between the two is smaller by as much as val_ood IoU is larger.
    """
    some = curves([row for row in course if isfinite(number(row, "iou") + number(row, "ood"))], RUN)
    values: dict[Key, float] = {}
    for (arm, seed), rows in some.items():
        if arm == arms.treated and (other := some.get((arms.control, seed))):
            level = min(max(number(row, "iou") for row in each) for each in (rows, other))
            values[arm, seed], values[arms.control, seed] = _ood(rows, level), _ood(other, level)
    return pairs(values, arms)


def curves(rows: Iterable[Row], names: Sequence[str]) -> dict[Key, list[Row]]:
    """Rows of one run each, by step."""
    found = defaultdict(list)
    for row in rows:
        found[tuple(str(row[name]) for name in names)].append(row)
    return {key: sorted(some, key=lambda row: number(row, "step")) for key, some in found.items()}


def _reached(rows: Sequence[Row], clock: str, level: float) -> Reached:
    return censoring.reached([number(row, clock) for row in rows], [number(row, "iou") for row in rows], level)


def _ood(rows: Sequence[Row], level: float) -> float:
    """On straight lines between events."""
    from numpy import interp

    step = _reached(rows, "step", level).time
    return float(interp(step, [number(row, "step") for row in rows], [number(row, "ood") for row in rows]))
