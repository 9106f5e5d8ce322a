"""Interval bars: a line a point, its samplers and targets side by side on it, the known value as a tick."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from llcx.figures import rows, style, wording
from llcx.figures.rows import Row

NAMED = 30  # points that have room for their names
TALL = 9.0  # inches
KNOWN = r"known $\lambda$"


def figure(alive: Sequence[Row], notes: Sequence[str]) -> Figure:
    """Every row as an interval bar."""
    points, series = len({row.point for row in alive}), len({row.series for row in alive})
    height = min(TALL, 1.6 + max(points, 2) * (0.16 + 0.17 * series))
    picture = Figure(figsize=(9, height), layout="constrained")
    axis = picture.subplots()
    draw(axis, alive)
    legend = style.entries([axis])
    ordered = dict(sorted(legend.items(), key=lambda entry: entry[0] == KNOWN))  # the known value last
    return style.finish(picture, "Estimates with 95 % intervals", notes, ordered)


def draw(axis: Axes, group: Sequence[Row]) -> None:
    """Points top to bottom in the order of the table; their names where there is room."""
    points = list(dict.fromkeys(row.point for row in group))
    tones = style.tones(list(dict.fromkeys(row.series for row in group)))
    heights = lines(group, points)
    for key, members in rows.by_series(group).items():
        bars(axis, members, [heights[row.point, row.series] for row in members], tones[key], group)
    name(axis, points)
    axis.set_xlabel(r"estimate $\hat\lambda$")
    values = np.array([(row.llc, row.low, row.high, row.known) for row in group])
    values = values[np.isfinite(values)]
    if style.wide(values):
        axis.set_xscale("log")
        style.plain_log(axis.xaxis, (float(values.min()), float(values.max())))
    else:
        axis.margins(x=0.12)


def lines(group: Sequence[Row], points: Sequence[str]) -> dict[tuple[str, tuple[str, str, str]], float]:
    """(point, series) -> height: what is measured at one point lies close together around the point's place."""
    heights = {}
    for place, point in enumerate(points):
        here = [row.series for row in group if row.point == point]
        for index, series in enumerate(here):
            heights[point, series] = place + 0.6 * ((index + 0.5) / len(here) - 0.5)
    return heights


def bars(axis: Axes, members: Sequence[Row], heights: Sequence[float], tone: style.Tone, group: Sequence[Row]) -> None:
    """One series: interval, marker (hollow where flagged) and known value of every row."""
    label = wording.plain(", ".join(wording.series(members[0], group)))
    low, high, known = ([getattr(row, key) for row in members] for key in ("low", "high", "known"))
    axis.hlines(heights, low, high, color=tone.colour, lw=3.5, alpha=0.4)
    for hollow in (False, True):
        at = [(row.llc, y) for row, y in zip(members, heights, strict=True) if row.healthy != hollow]
        if at:
            named = f"{label}, flagged" if hollow else label
            style.dots(axis, at, tone.colour, tone.marker, hollow=hollow, label=named)
    if np.isfinite(known).any():
        axis.scatter(known, heights, s=130, color=style.KNOWN, marker="|", lw=2.2, zorder=2.5, label=KNOWN)


def name(axis: Axes, points: Sequence[str]) -> None:
    """Names of the points on the left, or their numbers where there are too many."""
    if len(points) <= NAMED:
        axis.set_yticks(range(len(points)), [wording.plain(point) for point in points])
        axis.tick_params(axis="y", length=0, labelcolor=style.INK)
    else:
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel("point, numbered from 0 in the order of metrics_summary.csv")
    axis.set_ylim(len(points) - 0.4, -0.6)
    axis.grid(False, axis="y")
