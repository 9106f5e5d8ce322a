"""vae_curves.png: the test loss along training, and how far ahead of gamma = 0 each gamma is at the same step.

Where gamma changes the path alone, curves that are apart early meet in the end.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from llcx.figures import over_seeds, style, vae_study, wording
from llcx.figures.vae_study import NAMED, Cells, Curve, Study

LOSS = "test/loss"
COUNTED = "test/active"
METRICS = (LOSS, "test/mse", "test/kl", COUNTED)  # of series without a sweep of gamma
MOST = 6  # series that have a panel
ACROSS = 3
BANDS = 8  # lines of a panel that have a band each


class Line(NamedTuple):
    """Trainings that differ in their seed alone."""

    label: str
    colour: str
    trainings: list[Cells]


@style.look
def figure(study: Study) -> Figure | None:
    """A panel a series and a colour a gamma, or a panel a metric and a colour a series; None without curves.npz."""
    if not any(len(study.curve(cells["training"], LOSS)[0]) > 1 for cells in study.networks):
        return None
    return against_gamma(study) if study.swept else against_series(study)


def against_gamma(study: Study) -> Figure:
    """Below each panel of losses one of differences, where there is a gamma = 0 to be compared with."""
    swept = [series for series in study.series if len(lines(study, study.of(series))) > 1]
    shown = swept[:MOST]
    families = [lines(study, study.of(series)) for series in shown]
    below = any(reference(study, family) for family in families)
    across = min(len(shown), ACROSS)
    rows = -(-len(shown) // across)
    high = 3.3 if across < 3 else 2.8
    width = style.WIDTH if across > 1 else 8.0
    picture = Figure(figsize=(width, high * rows * (1 + below) + 1.4), layout="constrained")
    axes = picture.subplots(rows * (1 + below), across, squeeze=False)
    for place, (series, family) in enumerate(zip(shown, families, strict=True)):
        row, column = divmod(place, across)
        upper = axes[row * (1 + below)][column]
        drawn(upper, study, family, LOSS)
        title = "test loss" if across == ACROSS else study.titled(LOSS)  # room for the unit, which the note says too
        upper.set_title(": ".join(filter(None, [series.label, title])))
        if below:
            ahead(axes[row * 2 + 1][column], study, family)
    for spare in (axis for axis in axes.flat if not axis.has_data()):
        spare.remove()
    hidden = [series.label for series in study.series if series not in shown]
    notes = [vae_study.conditions(study), told(study), f"Not drawn: {wording.listing(hidden)}." if hidden else ""]
    legend = keys(families, ends=bool(vae_study.stopped(study)), seeds=study.seeds)
    return style.finish(picture, "Autoencoders: the loss along training", [*notes, vae_study.stopped(study)], legend)


def against_series(study: Study) -> Figure:
    """What was reached, of every metric."""
    family = [Line(series.label, series.colour, study.of(series)) for series in study.series]
    names = [name for name in METRICS if any(len(study.curve(c["training"], name)[0]) for c in study.networks)]
    picture, axes = style.grid(len(names), 2, 0.55)
    for axis, name in zip(axes, names, strict=True):
        drawn(axis, study, family, name)
        axis.set_title(study.titled(name))
        if name == COUNTED:
            axis.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend = keys([family], ends=bool(vae_study.stopped(study)), seeds=study.seeds)
    notes = [vae_study.conditions(study), told(study), vae_study.stopped(study)]
    return style.finish(picture, "Autoencoders along training", notes, legend)


def lines(study: Study, trainings: Sequence[Cells]) -> list[Line]:
    """By gamma, in ascending order; a prior without one is drawn in ink."""
    cells = sorted({each.get("gamma", "") for each in trainings}, key=lambda cell: float(cell or "inf"))
    found = []
    for cell in cells:
        same = [each for each in trainings if each.get("gamma", "") == cell]
        label = f"\u03b3 = {wording.number(float(cell))}" if cell else "no \u03b3"
        found.append(Line(label, study.shades[float(cell)] if cell else style.INK, same))
    return found


def drawn(axis: Axes, study: Study, family: Sequence[Line], name: str) -> None:
    """Mean and range over seeds of a metric; what ended early is a line of its own and does not stretch the axis."""
    steps, seen = [np.empty(0)], [np.empty(0)]
    early: list[tuple[str, Curve]] = []
    for line in family:
        whole = [study.curve(cells["training"], name) for cells in line.trainings if vae_study.ended(cells)]
        early += [(line.colour, study.curve(c["training"], name)) for c in line.trainings if not vae_study.ended(c)]
        times, values = over_seeds.pooled(whole)
        if len(times):
            band(axis, line, times, values, wide=len(family) <= BANDS)
            steps.append(times)
            seen.append(values.ravel())
    vae_study.scaled(axis, np.concatenate(seen).tolist())
    limits = axis.get_ylim() if len(seen) > 1 else None
    for colour, (times, values) in early:
        cut(axis, times, values, colour, limits)
        steps.append(times)
    vae_study.stepwise(axis, np.concatenate(steps))


def band(axis: Axes, line: Line, times: np.ndarray, values: np.ndarray, *, wide: bool) -> None:
    """The mean over seeds [K] of values [S, K] and, if `wide`, their range."""
    axis.plot(times, np.nanmean(values, 0), color=line.colour, lw=1.5)
    if wide and len(values) > 1:
        ends = np.nanmin(values, 0), np.nanmax(values, 0)
        axis.fill_between(times, *ends, color=line.colour, alpha=0.14, lw=0)


def cut(axis: Axes, times: np.ndarray, values: np.ndarray, colour: str, limits: tuple[float, float] | None) -> None:
    """A training until its loss was not finite; a cross where it ends, at the edge where that is out of the frame."""
    known = np.isfinite(values)
    if not known.any():
        return
    times, values = times[known], values[known]
    axis.plot(times, values, color=colour, lw=0.9, ls=(0, (1, 1.2)))
    last = float(values[-1]) if limits is None else float(np.clip(values[-1], *limits))
    axis.plot([times[-1]], [last], color=style.ALERT, marker="x", ms=6, mew=1.4, ls="", zorder=4, clip_on=False)
    if limits is not None:
        axis.set_ylim(limits)


def reference(study: Study, family: Sequence[Line]) -> dict[str, Curve]:
    """The loss of gamma = 0 by seed; empty where it, or all else, is not there."""
    first = [
        line for line in family if any(cells.get("gamma") and not float(cells["gamma"]) for cells in line.trainings)
    ]
    if not first or len(family) < 2:
        return {}
    return {
        cells["seed"]: study.curve(cells["training"], LOSS) for cells in first[0].trainings if vae_study.ended(cells)
    }


def ahead(axis: Axes, study: Study, family: Sequence[Line]) -> None:
    """Of every gamma, paired by seed."""
    base = reference(study, family)
    if not base:
        return
    steps, seen = [np.empty(0)], [np.empty(0)]
    for line in family:
        curves = [
            difference(study.curve(cells["training"], LOSS), base[cells["seed"]])
            for cells in line.trainings
            if vae_study.ended(cells) and cells["seed"] in base
        ]
        times, values = over_seeds.pooled(curves)
        if len(times):
            band(axis, line, times, values, wide=len(family) <= BANDS)
            steps.append(times)
            seen.append(values.ravel() if len(family) <= BANDS else np.nanmean(values, 0))
    axis.set_title("the same, less that of \u03b3 = 0" + vae_study.around_zero(axis, np.concatenate(seen).tolist()))
    vae_study.stepwise(axis, np.concatenate(steps))


def difference(one: Curve, other: Curve) -> Curve:
    """Of two curves, at the steps of both."""
    at = dict(zip(*other, strict=True))
    found = [(step, value - at[step]) for step, value in zip(*one, strict=True) if step in at]
    return np.array([step for step, _ in found]), np.array([value for _, value in found])


def told(study: Study) -> str:
    """What the panels do not say of themselves."""
    over = f"Means over {study.seeds} seeds. " if study.seeds > 1 else ""
    paired = "Differences are of trainings with the same seed. " if study.swept and 0.0 in study.gammas else ""
    return f"{over}{paired}At most 2000 test rows at frozen noise."


def keys(families: Sequence[Sequence[Line]], *, ends: bool, seeds: int) -> dict[str, Any]:
    """The legend: lines by colour, a choice of them where they are many."""
    every = {line.label: line.colour for family in families for line in family if line.label}
    labels = list(every)
    if len(labels) > NAMED:
        labels = [labels[round(place)] for place in np.linspace(0, len(labels) - 1, NAMED)]
    found: dict[str, Any] = {label: style.key(line="-", color=every[label]) for label in labels}
    if seeds > 1 and min(map(len, families)) <= BANDS:
        found["range over seeds"] = Patch(color=style.MUTED, alpha=0.3)
    if ends:
        found["loss not finite"] = style.key("x", line=":", color=style.ALERT)
    return found
