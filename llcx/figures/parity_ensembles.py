"""parity_ensembles.png: what initial weights do to trained networks, and what the mean over them is worth.

Of networks that share their strings and differ in their initial weights: the variance of F on the test rows falls as
1 / h, and the mean of their outputs has a smaller error than their errors' mean (Geiger et al. 2020, arXiv:1906.08034).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import over_time, parity_study, style, trajectories
from llcx.figures.parity_study import COLOURS, Cells, Study, number

MEAN = {"error": "-", "error_of_mean": (0, (4, 2))}
Value = Callable[[Cells], float]


@style.look
def figure(study: Study) -> Figure | None:
    """Variance and errors against width and output scale; None where both are the same everywhere."""
    table = one_encoding(study.table("ensembles"))
    widths, scales = (sorted({number(cells, name) for cells in table}) for name in ("h", "alpha"))
    if len(widths) * len(scales) < 2 or len(table) < 2:
        return None
    of_scale = dict(zip(scales, over_time.hues(len(scales)), strict=True))
    of_width = dict(zip(widths, COLOURS if len(widths) <= len(COLOURS) else over_time.hues(len(widths)), strict=False))
    picture, axes = style.grid(4, 2, 0.58)
    lines(axes[0], table, ("h", "alpha"), of_scale, variance)
    inverse(axes[0], table)
    lines(axes[1], table, ("alpha_reduced", "h"), of_width, per_unit)
    for column, dashes in MEAN.items():
        error = partial(number, name=column)
        lines(axes[2], table, ("h", "alpha"), of_scale, error, dashes)
        lines(axes[3], table, ("alpha_reduced", "h"), of_width, error, dashes)
    finish_axes(axes, study)
    legend = {f"\u03b1 = {scale:g}": style.key("o", line="-", color=colour) for scale, colour in of_scale.items()}
    legend |= {f"h = {width:g}": style.key("s", line="-", color=colour) for width, colour in of_width.items()}
    legend |= {"slope \u22121": style.key(line=":", color=style.KNOWN)}
    legend |= {"mean of the errors": style.key(line="-"), "error of the mean": style.key(line="--")}
    return style.finish(picture, "Sparse parity: ensembles of initial weights", notes(study, table), legend)


def one_encoding(table: Sequence[Cells]) -> list[Cells]:
    """Lines of the trainings that encode as the first does."""
    kinds = [trajectories.named(cells["training"]) for cells in table]
    told = [(kind.get("encoding"), kind.get("bias_column")) for kind in kinds]
    return [cells for cells, kind in zip(table, told, strict=True) if kind == told[0]]


def lines(
    axis: Axes,
    table: Sequence[Cells],
    columns: tuple[str, str],
    colours: Mapping[float, str],
    value: Value,
    dashes: Any = "-",
) -> None:
    """A line for each value of the second column, against the first."""
    x, by = columns
    marker = "o" if by == "alpha" else "s"
    for key, colour in colours.items():
        found = sorted((number(cells, x), value(cells)) for cells in table if number(cells, by) == key)
        if found:
            axis.plot(*zip(*found, strict=True), color=colour, ls=dashes, lw=1.4, marker=marker, ms=4.5)
    axis.set_xscale("log")


def variance(cells: Cells) -> float:
    return number(cells, "variance")


def per_unit(cells: Cells) -> float:
    return number(cells, "h") * variance(cells)


def inverse(axis: Axes, table: Sequence[Cells]) -> None:
    """The slope -1 through the largest output scale at the smallest width."""
    widths = sorted({number(cells, "h") for cells in table})
    if len(widths) < 2:
        return
    start = max((cells for cells in table if number(cells, "h") == widths[0]), key=lambda cells: number(cells, "alpha"))
    h = np.array([widths[0], widths[-1]])
    axis.plot(h, variance(start) * widths[0] / h, color=style.KNOWN, lw=1.4, ls=":", zorder=1.5)


def finish_axes(axes: Sequence[Axes], study: Study) -> None:
    """Names, and logarithms where values span more than a decade."""
    titles = (
        "variance of $F$ over initial weights",
        r"$h\,\times$ that variance",
        "test error [share of rows]",
        "test error [share of rows]",
    )
    for place, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        axis.set_title(title)
        axis.set_xlabel("width $h$" if place % 2 == 0 else study.reduced)
        low, high = axis.get_xlim()
        if place % 2 == 0:
            style.plain_log(axis.xaxis, (low, high))
        if place < 2:
            parity_study.logarithmic(axis)
        else:
            axis.set_ylim(bottom=-0.03 * axis.get_ylim()[1])


def notes(study: Study, table: Sequence[Cells]) -> list[str]:
    """What was run, and how many networks an ensemble has."""
    seeds = sorted({int(number(cells, "seeds")) for cells in table})
    counted = " to ".join(dict.fromkeys(str(each) for each in (seeds[0], seeds[-1])))
    told = f"Ensembles of {counted} networks with the same strings, on the test rows, at the end of each training."
    early = parity_study.cut(study).removeprefix("Hollow: ")
    return [parity_study.conditions(study), told, early[:1].upper() + early[1:]]
