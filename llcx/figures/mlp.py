"""Multilayer perceptrons: what samplers cost that were asked about one target.

mlp_samplers.png where a run has more than one sampler: estimates, their variance for the work done, and seconds.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import rows, style, wording
from llcx.figures.rows import Row

PANELS: tuple[tuple[str, str], ...] = (  # column, what its axis says
    ("llc", r"estimate $\hat\lambda$, 95 % interval"),
    ("wnv", "variance of the estimate \u00d7 full-gradient equivalents"),
    ("seconds", "seconds of sampling"),
)
SPREAD = 0.6  # of a lane that its points take


def draw(folder: RunFolder) -> list[Path]:
    """Write the figure that this run's rows give."""
    picture = samplers(folder)
    return [] if picture is None else [style.save(picture, folder.path / "mlp_samplers.png")]


@style.look
def samplers(folder: RunFolder) -> Figure | None:
    """A lane a sampler, a dot a point, hollow where flagged; None for a single sampler."""
    every = [row for row in rows.read(folder) if not row.combination]
    alive = [row for row in every if not row.failed]
    groups = rows.by_series(alive)
    if len(groups) < 2:
        return None
    picture = Figure(figsize=(style.WIDTH, 1.7 + 0.45 * max(3, len(groups))), layout="constrained")
    axes = list(picture.subplots(1, len(PANELS), sharey=True))
    for axis, (column, label) in zip(axes, PANELS, strict=True):
        values = number(column)
        for lane, group in enumerate(groups.values()):
            dots(axis, lane, group, values)
        axis.set_xlabel(label)
        scale(axis, np.array([values(row) for row in alive]), bounded=column != "llc")
    intervals(axes[0], groups.values())
    lanes(axes[0], [", ".join(wording.series(group[0], alive)) for group in groups.values()])
    notes = [wording.conditions(alive), wording.flagged(every), wording.failures(every)]
    legend = {"a point": style.key("o"), "flagged": style.key("o", hollow=True)}
    return style.finish(picture, "Samplers of one target: estimate, efficiency, time", notes, legend)


def number(column: str) -> Callable[[Row], float]:
    """A column of the file, nan where it is empty."""
    return lambda row: rows.number(row.raw.get(column, ""))


def dots(axis: Axes, lane: int, group: Sequence[Row], values: Callable[[Row], float]) -> None:
    """The points of one sampler, one below the other."""
    colour, marker = style.colour(group[0].sampler), style.marker(group[0].sampler)
    for height, row in zip(heights(lane, len(group)), group, strict=True):
        if np.isfinite(values(row)):
            style.dots(axis, [(values(row), height)], colour, marker, hollow=not row.healthy)


def heights(lane: int, count: int) -> np.ndarray:
    """Within the lane, top to bottom."""
    return lane + SPREAD * ((np.arange(count) + 0.5) / count - 0.5)


def intervals(axis: Axes, groups: Collection[Sequence[Row]]) -> None:
    """The interval of each estimate."""
    for lane, group in enumerate(groups):
        places = heights(lane, len(group))
        low, high = [row.low for row in group], [row.high for row in group]
        axis.hlines(places, low, high, color=style.colour(group[0].sampler), lw=3, alpha=0.4)


def scale(axis: Axes, values: np.ndarray, *, bounded: bool) -> None:
    """Logarithmic where positive values are far apart; from 0 where they cannot be below it."""
    kept = values[np.isfinite(values)]
    if bounded and style.wide(kept):
        axis.set_xscale("log")
        style.plain_log(axis.xaxis, (float(kept.min()), float(kept.max())))
        axis.margins(x=0.12)
    elif bounded:
        axis.set_xlim(0, 1.15 * float(kept.max(initial=1e-12)))
        axis.locator_params(axis="x", nbins=4)  # numbers of five digits fit side by side
    else:
        axis.margins(x=0.12)


def lanes(axis: Axes, names: Sequence[str]) -> None:
    """Names of the lanes, top to bottom."""
    axis.set_yticks(range(len(names)), [wording.plain(name) for name in names])
    axis.tick_params(axis="y", length=0, labelcolor=style.INK)
    axis.set_ylim(len(names) - 0.5, -0.5)
