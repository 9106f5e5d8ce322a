"""llc_traces.png: n*beta*(L - L*) along every chain, and the running estimate that comes of it."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import panels, rows, style, wording
from llcx.figures.rows import Row

TITLE = "Traces of n\u03b2(L \u2212 L*) by chain"
STRETCHES = 250  # of a long trace: each keeps its least and its greatest value


@style.look
def figure(folder: RunFolder) -> Figure:
    """A panel a measurement, at most twelve: where there are more, flagged and worst first."""
    every = rows.read(folder)
    shown, notes = panels.choose(every)
    if not shown:
        return style.empty(TITLE, "No measurement has a number yet.", notes)
    picture, axes = style.grid(len(shown), 3, 0.6)
    clipped = 0
    for axis, row in zip(axes, shown, strict=True):
        draws = panels.saved(folder, row, axis)
        clipped += trace(axis, row, draws) if draws else 0
    panels.titles(axes, shown, every, [values(row) for row in shown], 54)
    style.outer_labels(axes, "recorded draw, 0 = end of warm-up", r"$n\beta\,(L-L^*)$   [nats]")
    return style.finish(picture, TITLE, [beyond(clipped), *notes], style.entries(axes))


def values(row: Row) -> str:
    """Estimate, interval and known value, as a line of a title."""
    known = f",  known {wording.number(row.known)}" if np.isfinite(row.known) else ""
    return rf"$\hat\lambda$ {wording.interval(row.llc, row.low, row.high)}{known}"


def trace(axis: Axes, row: Row, draws: Mapping[str, np.ndarray]) -> int:
    """Draw warm-up [C, W] and kept draws [C, T]; returns how many values lie above the panel."""
    warmup, energy = draws["warmup"], draws["energy"]
    start, end = -warmup.shape[1], energy.shape[1]
    colours = matplotlib.colormaps["Blues"](np.linspace(0.35, 0.75, len(energy)))
    thickness = 0.5 if len(energy) <= 8 else 0.35
    for index, chain in enumerate(np.concatenate([warmup, energy], 1)):
        label = None if index else "a chain"
        axis.plot(*thin(np.arange(start, end), chain), color=colours[index], lw=thickness, label=label)
    if start:
        axis.axvspan(start, 0, color="#e9ecef", lw=0, zorder=0, label="warm-up, dropped")
    axis.set_xlim(start, max(1, end - 1))
    estimates(axis, row, energy)
    return limit(axis, row, warmup, energy)


def estimates(axis: Axes, row: Row, energy: np.ndarray) -> None:
    """The mean of the draws so far over all chains, and the row's interval and known value."""
    steps = np.arange(1, energy.shape[1] + 1)
    band: Any = {"fc": "#F0A50038", "ec": "#B87A00", "lw": 0.8, "zorder": 2.2, "label": "95 % interval"}
    axis.fill_between([0, len(steps)], row.low, row.high, **band)
    running = np.cumsum(energy.mean(0)) / steps
    axis.plot(steps - 1, running, color=style.INK, lw=1.5, zorder=3, label="running estimate")
    if np.isfinite(row.known):
        dashes = (0, (4, 2))
        axis.axhline(row.known, color=style.KNOWN, lw=1.5, ls=dashes, zorder=2.6, label=r"known $\lambda$")


def limit(axis: Axes, row: Row, warmup: np.ndarray, energy: np.ndarray) -> int:
    """Let neither a spike nor a wild warm-up flatten the draws; returns how many values are out of sight."""
    high = 1.7 * float(np.quantile(energy, 0.99, method="lower"))
    ends = [min(float(energy.max()), high), min(float(warmup.max(initial=0.0)), 1.5 * high)]
    ends += [value for value in (row.high, row.known) if np.isfinite(value)]
    low, top = min(0.0, float(energy.min())), 1.06 * max(*ends, 1e-12)
    axis.set_ylim(low - 0.03 * (top - low), top)
    return int((warmup > top).sum() + (energy > top).sum())


def thin(steps: np.ndarray, chain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most two points a stretch of a long trace, its extremes, so that no spike is lost."""
    block = len(chain) // STRETCHES
    if block < 4:
        return steps, chain
    whole = STRETCHES * block
    blocks = chain[:whole].reshape(STRETCHES, block)
    extremes = np.stack([blocks.min(1), blocks.max(1)], 1).ravel()
    places = np.repeat(steps[:whole:block], 2)
    return np.concatenate([places, steps[whole:]]), np.concatenate([extremes, chain[whole:]])


def beyond(clipped: int) -> str:
    """Say that panels cut values off."""
    return f"Values above the edge of their panel: {clipped}." if clipped else ""
