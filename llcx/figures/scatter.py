"""Estimate against known value, a panel a series, axes shared: what llc_comparison.png and llc_loglog.png share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from llcx.figures import style, wording
from llcx.figures.rows import Row

Paint = Callable[[Axes, Sequence[Row], bool], None]  # (axis, rows, hollow): markers at their places


def panel(axis: Axes, group: Sequence[Row], paint: Paint) -> None:
    """Interval bars, full markers of healthy rows, hollow ones of flagged rows, the line of equality.

    Estimates beyond the frame stand as triangles on the edge that they have left.
    """
    lower, upper = axis.get_ylim()
    axis.plot([lower, upper], [lower, upper], color=style.INK, lw=1, ls=(0, (4, 2)), zorder=1)
    below, above = [row for row in group if row.llc < lower], [row for row in group if row.llc > upper]
    inside = [row for row in group if lower <= row.llc <= upper]
    known, low, high = (np.array([getattr(row, key) for row in inside]) for key in ("known", "low", "high"))
    axis.vlines(known, low, high, color=style.MUTED, lw=0.9, alpha=0.7, zorder=2)
    for hollow in (False, True):
        chosen = [row for row in inside if row.healthy != hollow]
        if chosen:
            paint(axis, chosen, hollow)
    for outside, marker, place in ((below, "v", 0.012), (above, "^", 0.988)):
        if outside:
            at = float(axis.transData.inverted().transform(axis.transAxes.transform((0, place)))[1])
            edge = [(row.known, at) for row in outside]
            style.dots(axis, edge, style.ALERT, marker, hollow=True, label="beyond")


def places(group: Sequence[Row]) -> list[tuple[float, float]]:
    """(known, estimate) of each row."""
    return [(row.known, row.llc) for row in group]


def kind(hollow: bool) -> str:
    """What a marker says of its row's health."""
    return "flagged" if hollow else "healthy"


def limits(rows: Sequence[Row], *, logarithmic: bool) -> tuple[float, float]:
    """One range for both axes. On logarithmic ones 0.8 times the least to 1.2 times the greatest value, but no further
    than a factor of 5 beyond the known ones: a wild estimate must not shrink the others to a spot.
    """
    values = np.array([value for row in rows for value in (row.known, row.llc) if np.isfinite(value)])
    if logarithmic:
        known, positive = [row.known for row in rows if row.known > 0], values[values > 0]
        return max(0.8 * float(positive.min()), min(known) / 5), min(1.2 * float(positive.max()), 5 * max(known))
    ends = np.array([value for row in rows for value in (row.low, row.high) if np.isfinite(value)])
    values = np.concatenate([values, ends])
    margin = 0.06 * float(np.ptp(values)) or 1.0
    return float(values.min()) - margin, float(values.max()) + margin


def scale(axes: Sequence[Axes], rows: Sequence[Row], *, logarithmic: bool) -> None:
    """Give all panels the same square axes."""
    ends = limits(rows, logarithmic=logarithmic)
    kind = "log" if logarithmic else "linear"
    for axis in axes:
        axis.set(xscale=kind, yscale=kind, xlim=ends, ylim=ends, aspect="equal")
        if logarithmic:
            style.plain_log(axis.xaxis, ends)
            style.plain_log(axis.yaxis, ends)


def box(axis: Axes, group: Sequence[Row], failed: int, *, below: bool = False, fontsize: float = 9) -> None:
    """N, mean and median relative error of the rows drawn, upper left or, `below` the line of equality, lower right."""
    errors = np.abs([row.rel_error for row in group if np.isfinite(row.rel_error)])
    ill = sum(not row.healthy for row in group)
    lines = [f"N = {len(group)}" + (f"  ({ill} flagged)" if ill else "") + (f", {failed} failed" if failed else "")]
    if errors.size:
        mean, median = wording.percent(float(errors.mean())), wording.percent(float(np.median(errors)))
        lines += [f"mean |rel. error| {mean}", f"median |rel. error| {median}"]
    frame = {"facecolor": "white", "edgecolor": style.RULE, "boxstyle": "round,pad=0.4", "alpha": 0.92}
    (x, y), (ha, va) = ((0.965, 0.035), ("right", "bottom")) if below else ((0.035, 0.965), ("left", "top"))
    place: Any = {"transform": axis.transAxes, "ha": ha, "va": va, "fontsize": fontsize, "linespacing": 1.4}
    axis.text(x, y, "\n".join(lines), multialignment="left", bbox=frame, zorder=6, **place)


def keys(axes: Sequence[Axes]) -> dict[str, Line2D]:
    """The legend, in ink: the kinds of markers that the panels have."""
    kinds = style.entries(axes)
    every = {
        "healthy": ("healthy", style.key("o")),
        "flagged": ("flagged", style.key("o", hollow=True)),
        "beyond": ("estimate beyond the frame", style.key("v", hollow=True, color=style.ALERT)),
    }
    lines = {"95 % interval": style.key(line="-", color=style.MUTED), "estimate = known": style.key(line="--")}
    return {label: entry for kind, (label, entry) in every.items() if kind in kinds} | lines
