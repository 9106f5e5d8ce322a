"""mcl_llc.png: the learning coefficient by arm, along training, and beside what was learned by then."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import mcl_panels, mcl_study, style, trajectories, wording
from llcx.figures.mcl_study import Arm, Study, number
from llcx.figures.rows import Row

PARTS = {"bottleneck": "bottleneck, all else frozen", "whole": "whole machine"}


class Measured(NamedTuple):
    """An estimate, and the training that it is of."""

    row: Row
    arm: Arm
    training: str
    part: str
    step: float  # nan where the run has one moment alone
    iou: float  # of val_id at that step


Panel = Callable[[Axes, Study, Sequence[Measured]], None]


@style.look
def figure(study: Study) -> Figure | None:
    """A line a part, of the first sampler; None where no machine has a number."""
    every = measured(study)
    if not every:
        return None
    parts = list(dict.fromkeys(each.part for each in every))
    kinds: list[Panel] = [
        by_arm,
        *[along] * (len(steps(every)) > 1),
        *[beside] * any(np.isfinite(each.iou) for each in every),
    ]
    picture, axes = style.grid(len(parts) * len(kinds), len(kinds), 0.62 if len(kinds) < 3 else 0.85)
    for line, part in enumerate(parts):
        own = [each for each in every if each.part == part]
        same = axes[line * len(kinds) : (line + 1) * len(kinds)]
        for axis, panel in zip(same, kinds, strict=True):
            panel(axis, study, own)
            axis.set_title(f"{PARTS.get(part, part)}, {axis.get_title('left')}")
            axis.set_ylim(*limits(own))
        same[0].set_ylabel(r"learning coefficient $\hat\lambda$")
    title = "Mutual concepts: the learning coefficient"
    return style.finish(picture, title, notes(study, every), keys(study, every))


def measured(study: Study) -> list[Measured]:
    """Rows with a number of the first sampler, each with its training."""
    alive = [row for row in study.rows if not row.failed]
    known = sorted(study.trainings, key=lambda cells: -len(cells["training"]))
    default, arms = str(study.task.get("part", "bottleneck")), {arm.name: arm for arm in study.arms}
    courses = study.table("course")
    found = []
    for row in (row for row in alive if row.series == alive[0].series):
        of = next((cells for cells in known if f"{row.point},".startswith(f"{cells['training']},")), None)
        if of is not None:
            step = number(row.raw, "at.step")
            lines = [cells for cells in courses if (cells["arm"], cells["seed"]) == (of["arm"], of["seed"])]
            part = row.raw.get("at.part") or default
            found.append(Measured(row, arms[of["arm"]], of["training"], part, step, iou_at(lines, step)))
    return found


def iou_at(course: Sequence[mcl_study.Cells], step: float) -> float:
    """Of val_id, on straight lines; the last one where there is no step."""
    known = sorted((number(cells, "step"), number(cells, "iou")) for cells in course if cells.get("iou"))
    if not known:
        return np.nan
    at, values = zip(*known, strict=True)
    return float(np.interp(at[-1] if np.isnan(step) else step, at, values))


def steps(found: Sequence[Measured]) -> list[float]:
    """All different ones, ascending; nan where there is one alone that is not said."""
    return sorted({each.step for each in found if np.isfinite(each.step)}) or [np.nan]


def last(found: Sequence[Measured]) -> list[Measured]:
    end = steps(found)[-1]
    return [each for each in found if each.step == end or np.isnan(end)]


def by_arm(axis: Axes, study: Study, found: Sequence[Measured]) -> None:
    """At the last moment: a dot a seed, and the mean."""
    for place, arm in enumerate(study.arms):
        own = [each for each in last(found) if each.arm == arm]
        spread = place + mcl_panels.offsets(len(own)) * 0.5
        draw(axis, own, spread.tolist())
        if len(own) > 1:
            mean = float(np.mean([each.row.llc for each in own]))
            axis.hlines(mean, place - 0.32, place + 0.32, color=arm.colour, lw=1.6, zorder=2.6)
    mcl_panels.places(axis, [arm.short for arm in study.arms], longest=20)
    axis.set_title("at the end")


def along(axis: Axes, study: Study, found: Sequence[Measured]) -> None:
    """A line a training."""
    del study
    for training in dict.fromkeys(each.training for each in found):
        own = sorted((each for each in found if each.training == training), key=lambda each: each.step)
        axis.plot([each.step for each in own], [each.row.llc for each in own], color=own[0].arm.colour, lw=1.1)
        draw(axis, own, [each.step for each in own])
    axis.set_xlabel("step")
    axis.set_title("along training")


def beside(axis: Axes, study: Study, found: Sequence[Measured]) -> None:
    """Every estimate against val_id IoU at its moment."""
    del study
    told = [each for each in found if np.isfinite(each.iou)]
    draw(axis, told, [each.iou for each in told])
    axis.set_xlabel("macro IoU, val_id, at the same step")
    axis.set_title("beside IoU")


def draw(axis: Axes, found: Sequence[Measured], x: Sequence[float]) -> None:
    """Estimates with 95 % intervals, hollow where flagged."""
    for each, place in zip(found, x, strict=True):
        axis.vlines(place, each.row.low, each.row.high, color=each.arm.colour, lw=1.1)
        style.dots(axis, [(place, each.row.llc)], each.arm.colour, hollow=not each.row.healthy, s=26)


def limits(found: Sequence[Measured]) -> tuple[float, float]:
    """One range for the panels of a part."""
    ends = [end for each in found for end in (each.row.low, each.row.high, each.row.llc) if np.isfinite(end)]
    spare = 0.08 * (max(ends) - min(ends)) or 0.1
    return min(ends) - spare, max(ends) + spare


def keys(study: Study, every: Sequence[Measured]) -> dict[str, Any]:
    flagged = any(not each.row.healthy for each in every)
    return mcl_panels.key(study.arms) | ({"flagged": style.key("o", hollow=True)} if flagged else {})


def notes(study: Study, every: Sequence[Measured]) -> list[str]:
    rows = [each.row for each in every]
    others = list(dict.fromkeys(row.sampler for row in study.rows if row.sampler != rows[0].sampler))
    more = f" Not drawn: {', '.join(others)} (metrics_summary.csv)." if others else ""
    told = f"Each machine against itself on {study.task.get('llc_rows', 'some')} rows of the training stream, the same "
    told += f"for all arms of a seed; nats an example, summed over 64 cells; {rows[0].sampler}, 95 % intervals.{more}"
    asked = wording.conditions(rows).replace("\u03b3 ", "localisation ").replace("and \u03b3", "and localisation")
    return [mcl_study.conditions(study), told, asked, trajectories.flagged(rows), wording.failures(study.rows)]
