"""vae_stability.png: against gamma, how many trainings diverge, how far seeds lie apart, and how rough training is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import style, vae_study
from llcx.figures.vae_study import Cells, Series, Study, number


class Panel(NamedTuple):
    """Columns of stability.csv, the first a line and the second dashed, and what they are called."""

    title: str
    columns: dict[str, str]
    share: bool = False  # from 0 to 1
    survivors: bool = False  # of what did not diverge alone


PANELS = (
    Panel("share of trainings", {"diverged": "diverged", "not_finite": "loss not finite"}, share=True),
    Panel("spread over seeds of the last test loss, over its mean", {"spread_relative": ""}, survivors=True),
    Panel(
        "largest rise of the loss in a step, over its usual change",
        {"jump": "median over seeds", "jump_max": "worst seed"},
    ),
    Panel("gradient norm after the first 50 steps: 99 % quantile over median", {"tail": ""}),
)
FIRST = [next(iter(panel.columns)) for panel in PANELS]


@style.look
def figure(study: Study) -> Figure | None:
    """A colour a series; None without analysis/stability.csv of two gammas or more."""
    table = [cells for cells in study.table("stability") if cells.get("gamma")]
    shown = [
        panel for panel, name in zip(PANELS, FIRST, strict=True) if any(np.isfinite(number(c, name)) for c in table)
    ]
    if not study.swept or not shown:
        return None
    picture, axes = style.grid(len(shown), 2, 0.5)
    for axis, panel in zip(axes, shown, strict=True):
        draw(axis, study, table, panel)
    style.outer_labels(axes, r"$\gamma$", "")
    runs = sorted({int(number(cells, "runs")) for cells in table})
    over = f"Each number is of {' or '.join(map(str, runs))} trainings. " if max(runs) > 1 else ""
    ill = "Diverged: the loss was not finite, or the training loss at the end above that at the start. "
    rough = "Usual: the median size of the 50 changes before." + " Gradient norm: median over seeds." * (max(runs) > 1)
    notes = [vae_study.conditions(study), over + ill + rough, vae_study.stopped(study)]
    return style.finish(picture, "Autoencoders: how safely they train", notes, keys(study, table))


def draw(axis: Axes, study: Study, table: Sequence[Cells], panel: Panel) -> None:
    """The columns of one panel."""
    columns = panel.columns if study.seeds > 1 or panel.share else dict.fromkeys(list(panel.columns)[:1], "")
    for column, dashes in zip(columns, ("-", "--"), strict=False):
        for series in study.series:
            line(axis, series, [cells for cells in table if series.has(cells)], panel, column)
        if columns[column]:
            axis.plot([], [], color=style.INK, lw=1.2, ls=dashes, label=columns[column])
    seen = [number(cells, column) for cells in table for column in columns]
    if panel.share:
        axis.set_ylim(-0.03, 1.03)
    else:
        vae_study.scaled(axis, seen)
    if axis.get_yscale() == "linear" and not panel.share:
        axis.set_ylim(bottom=min(0.0, *(value for value in seen if np.isfinite(value))))
    if all(columns.values()):
        axis.legend(**vae_study.INSIDE)
    axis.set_title(panel.title)


def line(axis: Axes, series: Series, of: Sequence[Cells], panel: Panel, column: str) -> None:
    """One series; hollow where it is of fewer seeds than there are."""
    cells = sorted((each for each in of if np.isfinite(number(each, column))), key=lambda each: number(each, "gamma"))
    points = [(number(each, "gamma"), number(each, column)) for each in cells]
    if not points:
        return
    first = column == next(iter(panel.columns))
    axis.plot(*zip(*points, strict=True), color=series.colour, lw=1.6 if first else 1.1, ls="-" if first else "--")
    for hollow in (False, True) if first else ():
        few = [panel.survivors and number(each, "not_finite") > 0 for each in cells]
        if at := [point for point, fewer in zip(points, few, strict=True) if fewer == hollow]:
            style.dots(axis, at, series.colour, hollow=hollow, s=24)


def keys(study: Study, table: Sequence[Cells]) -> dict[str, Any]:
    """The legend."""
    several = len(study.series) > 1
    ink = style.INK if several else study.series[0].colour
    found = {each.label: style.key("o", line="-", color=each.colour) for each in study.series if several}
    fewer = any(number(cells, "not_finite") > 0 and cells.get("spread_relative") for cells in table)
    return found | ({"not of all seeds": style.key("o", hollow=True, color=ink)} if fewer else {})
