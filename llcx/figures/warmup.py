"""llc_warmup.png: what happened before the first draw: energies, step size, acceptance, and whatever else adapted.

Beside them the norms of a step's gradient, drift and noise at kept draws, where a kernel tells them: a drift that
outweighs the noise is a chain that still descends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import panels, rows, style, wording
from llcx.figures.rows import Row

TITLE = "Warm-up, and the steps after it"
MOST = 4  # measurements
SETTLING, NORM = "settling.", "norm."
FLAG = "warmup_not_settled"
HEADS = {  # column -> what it shows, and what stands where a kernel has none of it
    "energy": (r"$n\beta(L-L^*)$  [nats]", "no warm-up"),
    "step_size": ("step size", "fixed step"),
    "accept": ("acceptance", "no Metropolis step"),
    "metric": ("metric", "no metric"),
    "others": ("over its last value", "nothing else adapts"),
    "norms": ("norm", "not told"),
}
NORMS = {"grad": (style.INK, "gradient"), "drift": ("#D55E00", "drift"), "noise": ("#56B4E9", "noise")}

Arrays = Mapping[str, np.ndarray]


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """A line of panels a measurement: the first few, unsettled ones before others; None where nothing was watched."""
    every = rows.read(folder)
    alive = [row for row in every if not row.failed]
    shown = sorted(alive, key=lambda row: (row.combination, FLAG not in row.flags, row.healthy))[:MOST]
    found = [arrays(folder, row) for row in shown]
    columns = [head for head in HEADS if head == "energy" or any(names(held, head) for held in found)]
    if len(columns) < 2:
        return None
    picture = Figure(figsize=(style.WIDTH, 2.1 * len(shown) + 1.3), layout="constrained")
    axes = picture.subplots(len(shown), len(columns), squeeze=False)
    for line, row, held in zip(axes, shown, found, strict=True):
        for axis, head in zip(line, columns, strict=True):
            fill(axis, head, row, held)
        title(line[0], row, every)
    for axis, head in zip(axes[-1], columns, strict=True):
        if axis.lines:
            axis.set_xlabel("draw" if head == "norms" else "warm-up step")
    notes = [left_out(alive, shown), unsettled(alive), wording.failures(every)]
    return style.finish(picture, TITLE, notes, style.entries(axes.ravel().tolist()))


def title(axis: Axes, row: Row, every: Sequence[Row]) -> None:
    """Above the first panel of a line: which measurement, how long its warm-up was, and in colour its flags."""
    axis.set_title(f"{wording.brief(row, every, 50)},  {row.raw['warmup']} steps", pad=18).set_in_layout(False)
    place: Any = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (0, 5), "textcoords": "offset points"}
    note = axis.annotate(panels.said(row), **place, fontsize=8, color=style.ALERT, va="bottom")
    note.set_parse_math(False)
    note.set_in_layout(False)
    axis.annotate(" ", **{**place, "xytext": (0, 20)}, fontsize=9, va="bottom")  # holds the place of both


def arrays(folder: RunFolder, row: Row) -> Arrays:
    """The row's draws; nothing where their file is missing or damaged."""
    try:
        return folder.draws(row.raw)
    except (OSError, ValueError):
        return {}


def names(held: Arrays, head: str) -> list[str]:
    """The arrays of a column: of `settling` those it is named after, or all that no other column has."""
    settling = [key for key in held if key.startswith(SETTLING) and held[key].size > 1]
    if head == "energy":
        return [key for key in held if key == "warmup"]
    if head == "norms":
        return [f"{NORM}{name}" for name in NORMS if f"{NORM}{name}" in held]
    if head == "metric":
        return [key for key in settling if key.startswith(f"{SETTLING}metric")]
    own = [key for key in settling if key == f"{SETTLING}{head}"]
    taken = (f"{SETTLING}step_size", f"{SETTLING}accept")
    others = [key for key in settling if key not in taken and not key.startswith(f"{SETTLING}metric")]
    return others if head == "others" else own


def fill(axis: Axes, head: str, row: Row, held: Arrays) -> None:
    """One panel; where the row has nothing for it, the panel says so."""
    keys, (label, none) = names(held, head), HEADS[head]
    if not keys:
        step = f" {wording.three(rows.number(row.raw.get('step_size', '')))}" if head == "step_size" else ""
        panels.blank(axis, f"{none}{step}" if held else "draws not found\nin draws/")
        axis.spines[:].set_visible(False)
        return
    axis.set_ylabel(label, fontsize=8)
    if head == "energy":
        energies(axis, row, held["warmup"])
    elif head == "norms":
        norms(axis, {key.removeprefix(NORM): held[key] for key in keys})
    else:
        adapted(axis, head, row, {key.removeprefix(SETTLING): held[key] for key in keys})


def adapted(axis: Axes, head: str, row: Row, held: Arrays) -> None:
    """Numbers [W] of the kernel's state; what has units of its own is drawn over its last value."""
    for index, (name, values) in enumerate(held.items()):
        steps = along(row, len(values))
        if head == "accept":  # before its first step a kernel has accepted nothing
            steps, values = steps[1:], values[1:]
        lone = head in ("step_size", "accept")
        shown = values / (values[-1] or 1.0) if head == "others" else values
        colour = style.colour(row.sampler) if lone else style.CYCLE[index]
        axis.plot(steps, shown, color=colour, lw=1.3, label=None if lone else name.replace("_", " "))
    if head == "accept":
        axis.set_ylim(-0.03, 1.03)
    else:
        logarithmic(axis)


def logarithmic(axis: Axes) -> None:
    """A logarithmic axis where all lines are positive, with plain numbers."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.lines])
    if (values > 0).all():
        axis.set_yscale("log")
        style.plain_log(axis.yaxis, (float(values.min()), float(values.max())))


def along(row: Row, marks: int) -> np.ndarray:
    """The kernel steps at which `marks` numbers were noted, evenly, from the start to the end of the warm-up."""
    return np.linspace(0, rows.known_or(rows.number(row.raw.get("warmup", "")), marks - 1), marks)


def energies(axis: Axes, row: Row, warmup: np.ndarray) -> None:
    """Chains [C, W], their mean, and the estimate that the draws gave."""
    steps = along(row, warmup.shape[1])
    colours = matplotlib.colormaps["Blues"](np.linspace(0.35, 0.75, len(warmup)))
    for index, chain in enumerate(warmup):
        axis.plot(steps, chain, color=colours[index], lw=0.4, label=None if index else "a chain")
    axis.plot(steps, warmup.mean(0), color=style.INK, lw=1.4, label="mean of the chains")
    band: Any = {"color": "#F0A500", "lw": 1.4, "ls": (0, (4, 2)), "label": r"$\hat\lambda$ of the draws after it"}
    axis.axhline(row.llc, **band)
    top = 1.4 * max(float(np.quantile(warmup[:, warmup.shape[1] // 2 :], 0.98)), row.high, 1e-12)
    axis.set_ylim(min(0.0, 1.1 * float(warmup.min())), top)


def norms(axis: Axes, held: Arrays) -> None:
    """The median over chains of each norm [C, T], in a band from least to greatest."""
    for name, values in held.items():
        colour, label = NORMS[name]
        draws = np.arange(values.shape[1])
        axis.plot(draws, np.median(values, 0), color=colour, lw=1.1, label=f"norm of the {label}")
        axis.fill_between(draws, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
    logarithmic(axis)


def left_out(alive: Sequence[Row], shown: Sequence[Row]) -> str:
    """How many measurements have no line here."""
    more = len(alive) - len(shown)
    return f"{len(shown)} of {len(alive)} measurements shown, unsettled and flagged ones first." if more else ""


def unsettled(alive: Sequence[Row]) -> str:
    """Which measurements began to draw too early."""
    found = [wording.label(row, alive) for row in alive if FLAG in row.flags]
    return (
        f"Not settled when the draws began ({len(found)}): {wording.listing(found)}; raise estimator.warmup."
        if found
        else ""
    )
