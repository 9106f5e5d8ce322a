"""llc_over_training.png: of a model of the user's own, the loss and the learning coefficient along its checkpoints."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import over_time, rows, style, trajectories, wording
from llcx.figures.rows import Row
from llcx.figures.trajectories import time_at, unit_of

MOST = 6  # panels of estimates
MOVED: Any = {"lw": 2.4, "alpha": 0.55, "zorder": 2.2}
STILL: Any = {"lw": 0.9, "alpha": 0.7, "ls": (0, (1, 1.5)), "zorder": 2.2}
Lines = Sequence[Mapping[str, str]]  # of analysis/changes.csv


def draw(folder: RunFolder) -> list[Path]:
    """Write the figure where there are checkpoints to draw."""
    picture = figure(folder)
    return [] if picture is None else [style.save(picture, folder.path / "llc_over_training.png")]


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """The loss above, below it a panel for each place and target; None without two checkpoints that have numbers."""
    every = [row for row in rows.read(folder) if not row.combination and unit_of(trajectories.coordinates(row))]
    alive = [row for row in every if not row.failed]
    if len(set(map(time_at, alive))) < 2:
        return None
    panels = places(alive)
    shown = list(panels)[:MOST]
    picture = Figure(figsize=(8.5, 3.0 + 2.9 * len(shown)), layout="constrained")
    axes = list(picture.subplots(1 + len(shown), 1, sharex=True, height_ratios=[0.7, *([1.0] * len(shown))]))
    losses(axes[0], alive)
    changes = trajectories.analysis(folder, "changes")
    for axis, place in zip(axes[1:], shown, strict=True):
        over_time.estimates(axis, panels[place])
        joined(axis, panels[place], changes)
        axis.set_ylabel(r"$\hat\lambda$" if len(shown) == 1 else rf"$\hat\lambda$ ({wording.plain(', '.join(place))})")
        axis.grid(False, axis="x")
    axes[-1].set_xlabel(unit_of(trajectories.coordinates(alive[0])))
    over_time.stretch(axes[-1], sorted(set(map(time_at, alive))))
    notes = [wording.conditions(alive), told(changes), left_out(list(panels)[MOST:])]
    notes += [wording.flagged(alive), wording.failures(every)]
    return style.finish(picture, "The learning coefficient over training", notes, keys(axes[1:], changes))


def places(alive: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """(where, target) -> rows."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in alive:
        found.setdefault((row.where or "all", row.target), []).append(row)
    return found


def losses(axis: Axes, alive: Sequence[Row]) -> None:
    """L(w*) on the data, a line a seed."""
    found: dict[str, dict[int, float]] = {}
    for row in alive:
        value = rows.number(row.raw.get("loss_at", ""))
        if np.isfinite(value):
            found.setdefault(row.raw.get("at.seed", ""), {})[time_at(row)] = value
    for line in found.values():
        times = sorted(line)
        axis.plot(times, [line[time] for time in times], color=style.INK, lw=1.3, marker="o", ms=3.5)
    axis.set_ylabel("loss at w* [nats]")
    axis.grid(False, axis="x")
    over_time.logarithmic(axis, np.array([value for line in found.values() for value in line.values()]))


def joined(axis: Axes, group: Sequence[Row], changes: Lines) -> None:
    """Lines between successive estimates of one sampler and seed: bold where the change is significant."""
    real = {key(line) for line in changes if line["significant"] == "True"}
    for name in {(row.sampler, row.raw.get("at.seed", "")) for row in group}:
        line = sorted((row for row in group if (row.sampler, row.raw.get("at.seed", "")) == name), key=time_at)
        for one, two in pairwise(line):
            moved = (one.point, two.point, one.sampler, one.where) in real
            how: Any = MOVED if moved else STILL
            axis.plot([time_at(one), time_at(two)], [one.llc, two.llc], color=style.colour(one.sampler), **how)


def key(line: Mapping[str, str]) -> tuple[str, str, str, str]:
    return line["from"], line["to"], line["sampler"], line["where"]


def keys(axes: Sequence[Axes], changes: Lines) -> dict[str, Any]:
    """The legend."""
    found = {label: handle for label, handle in style.entries(axes).items() if label != over_time.THEORY}
    found["95 % interval"] = style.key(line="-", color=style.MUTED)
    if changes:
        found["change whose interval leaves out zero"] = bold = style.key(line="-", color=style.MUTED)
        bold.set(lw=MOVED["lw"], alpha=MOVED["alpha"])
    return found


def told(changes: Lines) -> str:
    """How a change is judged."""
    return (
        "Changes are judged from chains with the same random numbers at all checkpoints (analysis/changes.csv); a bold "
        "line joins two whose 95 % interval of the difference leaves out zero."
        if changes
        else ""
    )


def left_out(places: Sequence[tuple[str, str]]) -> str:
    return (
        f"Not drawn, in metrics_summary.csv: {wording.listing([', '.join(place) for place in places])}."
        if places
        else ""
    )
