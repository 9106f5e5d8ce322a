"""mcl_sweep.png: scores, geometry and learning coefficient against what a study sweeps beside its arms."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import mcl_llc, mcl_panels, mcl_study, style
from llcx.figures.mcl_study import AXES, KINDS, Arm, Study

SAID = {"alpha": "\u03b1, weight of the sharing loss", "k": "k, shared directions", "encoder": "encoder"}
DASHES: Any = (0, (4, 1.6))
Values = dict[str, np.ndarray]  # by the name of an arm, a number a seed


class Measure(NamedTuple):
    """What a panel shows."""

    title: str
    values: Values
    beside: Values  # dashed


@style.look
def figure(study: Study) -> Figure | None:
    """A line a swept axis, a panel a measure; None where the arm alone, or nothing, is swept."""
    axes_of = [axis for axis in AXES if len({arm.values[axis] for arm in study.arms if axis in arm.values}) > 1]
    found = [measure for make in MEASURES if (measure := make(study)).values]
    if not axes_of or not found:
        return None
    picture, axes = style.grid(len(axes_of) * len(found), len(found), 0.95 if len(found) > 3 else 0.75)
    for line, name in enumerate(axes_of):
        for axis, measure in zip(axes[line * len(found) :], found, strict=False):
            panel(axis, study, name, measure)
    return style.finish(picture, "Mutual concepts: what was swept", notes(study, axes_of), keys(study, found))


def panel(axis: Axes, study: Study, name: str, measure: Measure) -> None:
    """A line an arm through the means of numbers, a dot a seed; level where the arm has no such axis."""
    levels = ordered([arm.values[name] for arm in study.arms if name in arm.values])
    kinds = list(dict.fromkeys(arm.kind for arm in study.arms if name in arm.values))
    for kind in dict.fromkeys(arm.kind for arm in study.arms if name not in arm.values):
        for values, dashes in ((measure.beside, DASHES), (measure.values, "-")):
            flat(axis, unmoved(study, values, kind, name), colour(kind), dashes)
    shifts = 0.35 * mcl_panels.offsets(len(kinds))
    for shift, kind in zip(shifts, kinds, strict=True):
        for values, dashes in ((measure.beside, DASHES), (measure.values, "-")):
            told = [pooled(study, values, kind, name, level) for level in levels]
            at = [place + shift for place, each in enumerate(told) if len(each)]
            means = [each.mean() for each in told if len(each)]
            if measured(levels):
                axis.plot(at, means, color=colour(kind), lw=1.2, ls=dashes)
            elif values is measure.beside:
                axis.hlines(means, np.subtract(at, 0.12), np.add(at, 0.12), color=colour(kind), lw=1.2, ls=dashes)
            for place, each in enumerate(told if values is measure.values else []):
                mcl_panels.dots(axis, place + shift, each, colour(kind), width=0.26 / len(kinds))
    mcl_panels.places(axis, levels, longest=12)
    axis.set_xlabel(SAID[name])
    axis.set_title(measure.title)


def colour(kind: str) -> str:
    return KINDS.get(kind, (style.OTHERS[0], ""))[0]


def ordered(levels: Sequence[str]) -> list[str]:
    """Numbers ascending, names as they came."""
    found = list(dict.fromkeys(levels))
    return sorted(found, key=float) if measured(found) else found


def measured(levels: Sequence[str]) -> bool:
    """Whether they are numbers, between which a line has a meaning."""
    try:
        return all(np.isfinite(float(each)) for each in levels)
    except ValueError:
        return False


def flat(axis: Axes, found: np.ndarray, ink: str, dashes: Any) -> None:
    """The mean from end to end, and of what is not dashed a thin line a seed."""
    if len(found):
        axis.axhline(float(found.mean()), color=ink, lw=1.2, ls=dashes, zorder=1.9)
    for value in found if dashes == "-" and len(found) > 1 else ():
        axis.axhline(float(value), color=ink, lw=0.5, alpha=0.45, zorder=1.8)


def unmoved(study: Study, values: Values, kind: str, name: str) -> np.ndarray:
    """Of all arms of a kind that this axis makes no difference to."""
    arms = [arm for arm in study.arms if arm.kind == kind and name not in arm.values]
    return np.concatenate([np.empty(0), *(values[arm.name] for arm in arms if arm.name in values)])


def pooled(study: Study, values: Values, kind: str, name: str, level: str) -> np.ndarray:
    """Of all arms of a kind that have this level, whatever else they have."""
    arms = [arm for arm in study.arms if arm.kind == kind and arm.values.get(name) == level]
    return np.concatenate([np.empty(0), *(values[arm.name] for arm in arms if arm.name in values)])


def scores(study: Study, column: str, title: str) -> Measure:
    table = study.table("zero_shot")
    unseen, seen = (mcl_study.where(table, split=split) for split in (unseen_split(table), "val_id"))
    return Measure(title, by_arm(study, unseen, column), by_arm(study, seen, column))


def unseen_split(table: Sequence[mcl_study.Cells]) -> str:
    """test_len3, or test_pair where there is none."""
    return "test_len3" if any(cells["split"] == "test_len3" for cells in table) else "test_pair"


def geometry(study: Study) -> Measure:
    """Of the layers that verdicts look at, between tasks never trained."""
    layers = str(study.setting("verdicts", "layers", "enc"))
    table = [cells for cells in study.table("geometry") if cells["layer"].startswith(layers)]
    unseen = mcl_study.where(table, split="unseen")
    return Measure(f"distance, {layers}*", by_arm(study, unseen, "grassmann"), by_arm(study, unseen, "floor"))


def learning(study: Study) -> Measure:
    """At the last moment, of the first part."""
    every = mcl_llc.measured(study)
    own = mcl_llc.last([each for each in every if each.part == every[0].part]) if every else []
    found = {arm.name: np.array([each.row.llc for each in own if each.arm == arm]) for arm in study.arms if own}
    return Measure(r"learning coefficient $\hat\lambda$", found, {})


def by_arm(study: Study, table: Sequence[mcl_study.Cells], column: str) -> Values:
    found = {arm.name: mcl_study.by_seed(table, arm, column) for arm in study.arms}
    return {name: values for name, values in found.items() if len(values)}


MEASURES: tuple[Callable[[Study], Measure], ...] = (
    lambda study: scores(study, "iou", "macro IoU"),
    lambda study: scores(study, "exact", "exact match [share]"),
    geometry,
    learning,
)


def keys(study: Study, found: Sequence[Measure]) -> dict[str, Any]:
    kinds = dict.fromkeys(arm.kind for arm in study.arms)
    told: dict[str, Any] = {Arm(kind, "").label: style.key("o", line="-", color=colour(kind)) for kind in kinds}
    dashes = mcl_panels.dashed(DASHES)
    return told | ({"val_id; of distances the noise floor": dashes} if any(each.beside for each in found) else {})


def notes(study: Study, axes_of: Sequence[str]) -> list[str]:
    split = unseen_split(study.table("zero_shot"))
    told = f"IoU and exact match on {split}, means over its compositions; distances between tasks never trained, "
    told += "beyond the floor, relative to random subspaces. "
    told += "A dot a seed, lines at or through the means. " if study.seeds > 1 else ""
    still = list(dict.fromkeys(arm.kind for arm in study.arms if any(name not in arm.values for name in axes_of)))
    told += f"Level: {', '.join(still)}, to which what is swept makes no difference; thin: its seeds. " if still else ""
    alone = any(arm.kind == "b0" and "k" in arm.values for arm in study.arms)
    told += "b0 does not share: only how many directions are compared can change in it." if alone else ""
    return [mcl_study.conditions(study), told]
