"""llc_comparison.png: estimates against known values; interval bars where there are few points or no known value."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import bars, rows, scatter, style, wording
from llcx.figures.rows import Row

FEW = 5  # different known values: fewer are read more easily as bars


@style.look
def figure(folder: RunFolder) -> Figure:
    """A panel a (sampler, where, target) against the known value, and one of interval bars for rows without."""
    every = rows.read(folder)
    alive = [row for row in every if not row.failed]
    notes = [wording.conditions(alive), wording.flagged(every), wording.failures(every)]
    if not alive:
        return style.empty("Estimates", "No measurement has a number yet.", notes)
    known = [row for row in alive if np.isfinite(row.known)]
    if len({row.known for row in known}) < FEW:
        return bars.figure(alive, notes)
    unknown = [row for row in alive if not np.isfinite(row.known)]
    return against_known(known, unknown, every, notes)


def against_known(known: Sequence[Row], unknown: Sequence[Row], every: Sequence[Row], notes: list[str]) -> Figure:
    """The panels with a line of equality, samplers side by side."""
    groups = rows.by_series(known)
    picture, axes = style.grid(len(groups) + bool(unknown), 3, 1.0, square=True)
    values = np.array([value for row in known for value in (row.known, row.llc)])
    positive = values[values > 0]
    squares = axes[: len(groups)]
    scatter.scale(squares, known, logarithmic=style.wide(positive))
    for axis, (series, group) in zip(squares, groups.items(), strict=True):
        scatter.panel(axis, group, paint)
        scatter.box(axis, group, rows.lost(every, series))
        axis.set_title(heading(series, group))
    style.outer_labels(squares, r"known $\lambda$", r"estimate $\hat\lambda$")
    if unknown:
        bars.draw(axes[-1], unknown)
        axes[-1].set_title("no known value")
    legend = scatter.keys(squares) | style.entries(axes[len(squares) :])
    return style.finish(picture, "Estimate against known value", notes, legend)


def heading(series: tuple[str, str, str], group: Sequence[Row]) -> str:
    """Sampler, then what its rows target."""
    sampler, where, target = series
    place = "" if where in ("", "all") else f"  where {wording.plain(where)}"
    nbeta, gamma = (wording.span([getattr(row, key) for row in group]) for key in ("nbeta", "gamma"))
    return f"sampler {wording.plain(sampler)}{place}\ntarget {target}, n\u03b2 {nbeta}, \u03b3 {gamma}"


def paint(axis: Axes, group: Sequence[Row], hollow: bool) -> None:
    """Markers in the sampler's colour."""
    colour, marker = style.colour(group[0].sampler), style.marker(group[0].sampler)
    style.dots(axis, scatter.places(group), colour, marker, hollow=hollow, label=scatter.kind(hollow))
