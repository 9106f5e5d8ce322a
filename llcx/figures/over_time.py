"""Panels of one training against time: its loss, its singular values, and estimates beside theory."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import NullLocator

from llcx.figures import panels, rows, style, wording
from llcx.figures.rows import Row
from llcx.figures.trajectories import Trajectory, time_at

BESIDE: Any = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}  # a legend right of its panel
THEORY = "theory"
BEYOND = 3.0  # times the greatest theory or interval: what lies further out stands at the edge of its panel


def theory_of(row: Row) -> float:
    """The value expected at the row's temperature, else the known one."""
    return rows.known_or(rows.number(row.raw.get("known_at", "")), row.known)


def loss(axis: Axes, trajectory: Trajectory) -> None:
    """The training loss, with the checkpoints as dots on it."""
    times, values = trajectory.losses
    if len(times) == 0:
        panels.blank(axis, "no loss in metrics.csv")
        return
    axis.plot(times, values, color=style.INK, lw=1.4)
    marks = [time for time in trajectory.ranks if time >= times[0]]
    axis.plot(marks, np.interp(marks, times, values), "o", color=style.INK, ms=3.5)
    logarithmic(axis, values)


def logarithmic(axis: Axes, values: np.ndarray) -> None:
    """A logarithmic axis where positive values span more than a decade; plain numbers where they span few."""
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size and positive.max() > 10 * positive.min():
        axis.set_yscale("log")
        if positive.max() < 1e3 * positive.min():
            style.plain_log(axis.yaxis, (float(positive.min()), float(positive.max())))


def uneven(times: Sequence[int]) -> bool:
    """Whether half of the checkpoints would stand in a corner of a linear axis."""
    gaps = np.diff(sorted(set(times)))
    return bool(gaps.size > 1 and np.median(gaps) < 0.07 * gaps.sum() and gaps.max() > 0.4 * gaps.sum())


def stretch(axis: Axes, times: Sequence[int]) -> None:
    """A time axis on which uneven checkpoints are told apart: logarithmic after the first of them."""
    first, last = min((time for time in times if time > 0), default=1), max(times, default=1)
    axis.set_xlim(-0.03 * last, 1.03 * last)
    if uneven(times):
        axis.set_xscale("symlog", linthresh=first, linscale=0.5)
        shown = sorted(set(times)) if len(set(times)) <= 9 else [0, *(first * 10**k for k in range(6))]
        axis.set_xticks([time for time in shown if time <= last])
        axis.set_xlim(-0.15 * first, 1.15 * last)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_locator(NullLocator())


def hues(count: int) -> list[str]:
    """Colours of an ordered family, from dark to light."""
    return [to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0.0, 0.86, max(count, 2)))][:count]


def singular(axis: Axes, trajectory: Trajectory, name: str) -> None:
    """Every singular value of a matrix, the first darkest."""
    times, values = trajectory.singular(name)
    if values.size == 0:
        panels.blank(axis, "analysis/spectra.csv is not there yet")
    for index, (colour, line) in enumerate(zip(hues(values.shape[1]), values.T, strict=True)):
        axis.plot(times, line, color=colour, lw=1.6, marker="o", ms=3, label=rf"$\sigma_{{{index + 1}}}$")
    logarithmic(axis, values)


def estimates(axis: Axes, group: Sequence[Row], *, steps: Mapping[int, float] | None = None) -> None:
    """Estimates with intervals, a colour and a marker a sampler; theory as `steps`, or that of the rows.

    Between uneven checkpoints the theory of the rows is no staircase but a line that guides the eye.
    """
    theory = dict(steps or {time_at(row): theory_of(row) for row in sorted(group, key=time_at)})
    if np.isfinite(list(theory.values())).any():
        flat = bool(steps) or not uneven(list(theory))
        look: Any = {"color": style.KNOWN, "zorder": 2.5, "marker": "_", "ms": 11, "mew": 2.2, "label": THEORY}
        look |= {"lw": 1.8, "drawstyle": "steps-mid"} if flat else {"lw": 0.8}
        axis.plot(list(theory), list(theory.values()), **look)
    low, high = frame(group)
    for sampler in dict.fromkeys(row.sampler for row in group):
        points(axis, [row for row in group if row.sampler == sampler], (low, high))
    axis.set_ylim(low, high)


def points(axis: Axes, group: Sequence[Row], ends: tuple[float, float]) -> None:
    """One sampler: intervals and markers, hollow where flagged, triangles at the edge for what lies beyond."""
    colour, marker = style.colour(group[0].sampler), style.marker(group[0].sampler)
    inside = [row for row in group if ends[0] <= row.llc <= ends[1]]
    low, high = [row.low for row in inside], [row.high for row in inside]
    axis.vlines(list(map(time_at, inside)), low, high, color=colour, lw=1.4)
    for hollow in (False, True):
        at = [(float(time_at(row)), row.llc) for row in inside if row.healthy != hollow]
        if at:
            named = wording.plain(group[0].sampler) + (", flagged" if hollow else "")
            style.dots(axis, at, colour, marker, hollow=hollow, label=named, s=48)
    beyond(axis, [row for row in group if row.llc < ends[0]], "v", ends[0] + 0.02 * (ends[1] - ends[0]))
    beyond(axis, [row for row in group if row.llc > ends[1]], "^", ends[1] - 0.02 * (ends[1] - ends[0]))


def beyond(axis: Axes, group: Sequence[Row], shape: str, edge: float) -> None:
    """Triangles at the edge that estimates have left."""
    if group:
        marks = [(float(time_at(row)), edge) for row in group]
        style.dots(axis, marks, style.ALERT, shape, hollow=True, label="estimate beyond the frame")


def frame(group: Sequence[Row]) -> tuple[float, float]:
    """Limits that hold theory and what is not far from it; never so near that noise fills the panel."""
    theory = [value for value in map(theory_of, group) if np.isfinite(value)]
    intervals = [value for row in group for value in (row.low, row.high) if np.isfinite(value)]
    values = np.array([*intervals, *theory] or [0.0, 1.0])
    most = BEYOND * max(theory) if theory and max(theory) > 0 else float(np.abs(values).max())
    near = values[np.abs(values) <= most]
    low, high = float(near.min()), float(near.max())
    spare = max(0.12 * (high - low), 0.06 * abs(high), 0.1)
    return low - spare, high + spare


def outside(group: Sequence[Row]) -> int:
    """How many estimates lie beyond their frame."""
    low, high = frame(group)
    return sum(not low <= row.llc <= high for row in group)
