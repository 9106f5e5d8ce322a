"""parity_phase_diagram.png: heat maps over output scale and width, of errors and losses at three times of training."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from llcx.figures import parity_study, style, wording
from llcx.figures.parity_study import Course, Study, number

FEWEST = 3  # alphas, and widths
APART = 3  # times: how much later each of the three times is than the one before
NOTHING = "#d0d0d0"  # where there is no number
Cell = tuple[float, float]  # h, alpha
Numbers = Mapping[Cell, float]


class Map(NamedTuple):
    """A line of panels, or a panel."""

    title: str
    colours: str
    logarithmic: bool = False
    deep: float = 0.0  # share of the greatest value: what is smaller has the colour of this


ACCURACY = Map("test accuracy", "viridis")
LOSS = Map(r"$\alpha\,\times$ training loss", "magma", logarithmic=True, deep=1e-6)
GAP = Map("test error less training error", "cividis")
CHANGE = Map("kernel change at the end", "inferno", logarithmic=True)
T1 = Map(r"time $t_1$ to half of the loss", "viridis", logarithmic=True)
ALIGNMENT = Map("alignment of kernel and labels at the end", "magma", logarithmic=True)
OF_COURSES: dict[Map, Callable[[Course, float], float]] = {
    ACCURACY: lambda course, step: 1 - course.at(step, "err", "test"),
    LOSS: lambda course, step: course.at(step, "aloss"),
    GAP: lambda course, step: course.at(step, "err", "test") - course.at(step, "err"),
}
OF_MOMENTS = {CHANGE: "kernel_change", T1: "t1", ALIGNMENT: "alignment"}


@style.look
def figure(study: Study) -> Figure | None:
    """Three maps at up to three steps, then what moments.csv says of the end; None without three alphas and widths."""
    members = placed(study)
    sides = [sorted({cell[side] for cell in members}) for side in (0, 1)]
    if min(map(len, sides)) < FEWEST:
        return None
    times = steps(study)
    ends = {of: found for of, column in OF_MOMENTS.items() if (found := at_the_end(study, column))}
    lines = len(OF_COURSES) + bool(ends)
    picture = Figure(figsize=(style.WIDTH, 2.75 * lines + 1.4), layout="constrained")
    axes = [list(line) for line in picture.subplots(lines, 3, squeeze=False)]
    for line, (of, value) in zip(axes, OF_COURSES.items(), strict=False):
        maps = [
            mean({cell: [value(course, step) for course in found] for cell, found in members.items()}) for step in times
        ]
        row(picture, line, of, maps, [f"{of.title}, step {step}" for step in times])
    for axis, (of, found) in zip(axes[-1], ends.items(), strict=False):
        row(picture, [axis], of, [found], [of.title])
    for axis in [axis for line in axes for axis in line if not axis.has_data()]:
        axis.remove()
    finish_axes(picture, study)
    return style.finish(picture, "Sparse parity: output scale and width", notes(study, len(members)))


def placed(study: Study) -> dict[Cell, list[Course]]:
    """Courses by width and output scale, all seeds of the first encoding; members that do not say theirs are none."""
    found: dict[Cell, list[Course]] = defaultdict(list)
    first = None
    for member, course in study.courses.items():
        said = member.said
        kind = said.get("encoding"), said.get("bias_column")
        first = first or kind
        if "h" in said and "alpha" in said and kind == first:
            found[float(said["h"]), float(said["alpha"])].append(course)
    return found


def steps(study: Study) -> list[int]:
    """The last step that any member came to, a third of it and a ninth, to one digit."""
    last = max(max(values) for course in study.courses.values() for values in course.values.values())
    rounded = [int(float(f"{last / APART**k:.1g}")) for k in (2, 1)]
    return [step for step in rounded if 0 < step < last] + [last]


def mean(values: Mapping[Cell, Sequence[float]]) -> Numbers:
    """Over seeds; nan where one has no number."""
    return {cell: float(np.mean(found)) for cell, found in values.items()}


def at_the_end(study: Study, column: str) -> Numbers:
    """A column of moments.csv, over the first encoding."""
    found: dict[Cell, list[float]] = defaultdict(list)
    finals = parity_study.finals(study)
    kinds = [(cells.get("encoding"), cells.get("bias_column")) for cells in finals]
    for cells, kind in zip(finals, kinds, strict=True):
        if kind == kinds[0] and np.isfinite(value := number(cells, column)):
            found[number(cells, "h"), number(cells, "alpha")].append(value)
    return mean(found)


def row(picture: Figure, line: Sequence[Axes], of: Map, maps: Sequence[Numbers], titles: Sequence[str]) -> None:
    """Heat maps with one scale of colours, which stands right of the last."""
    known = np.array([value for found in maps for value in found.values() if np.isfinite(value)])
    known = known[known > 0] if of.logarithmic else known
    norm = scale(of, known)
    for axis, found, title in zip(line, maps, titles, strict=False):
        mesh = heat(axis, found, of, norm)
        axis.set_title(title)
    beyond = "min" if known.size and known.min() < norm.vmin else "neither"
    bar = picture.colorbar(mesh, ax=list(line[: len(maps)]), aspect=18, pad=0.01, extend=beyond)
    if of.logarithmic and norm.vmax < 300 * norm.vmin:
        style.plain_log(bar.ax.yaxis, (norm.vmin, norm.vmax))


def scale(of: Map, known: np.ndarray) -> Any:
    """Of colours: from the least to the greatest value, never empty."""
    low, high = (float(known.min()), float(known.max())) if known.size else (0.5, 1.0)
    if of.logarithmic:
        low = max(low, of.deep * high)
        return LogNorm(low, high if high > low else 2 * low)
    return Normalize(low, high if high > low else low + 0.1)


def heat(axis: Axes, found: Numbers, of: Map, norm: Any) -> Any:
    """One map, output scale to the right, width upwards, both logarithmic; grey where there is no number."""
    h, alpha = (np.array(sorted({cell[side] for cell in found})) for side in (0, 1))
    values = np.array([[found.get((a, b), np.nan) for b in alpha] for a in h])
    values = np.where(values > 0, values, np.nan) if of.logarithmic else values
    colours = matplotlib.colormaps[of.colours].with_extremes(bad=NOTHING)
    mesh = axis.pcolormesh(edges(alpha), edges(h), np.ma.masked_invalid(values), cmap=colours, norm=norm)
    axis.set(xscale="log", yscale="log")
    axis.set_facecolor(NOTHING)
    axis.grid(False)
    return mesh


def edges(values: np.ndarray) -> np.ndarray:
    """Of cells around positive values, in the middle between their logarithms."""
    logs = np.log(values)
    middles = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middles[0]], middles, [2 * logs[-1] - middles[-1]]]))


def finish_axes(picture: Figure, study: Study) -> None:
    """Names and ticks; where the scale is ntk, lines along which the reduced output scale is the same."""
    for axis in [axis for axis in picture.axes if axis.get_label() != "<colorbar>"]:
        spec = axis.get_subplotspec()
        (low, high), (left, right) = axis.get_ylim(), axis.get_xlim()
        style.plain_log(axis.yaxis, (low, high))
        if study.setting("model", "out_scale") == "ntk":
            h = np.array([low, high])
            for reduced in 10.0 ** np.arange(-6, 9):
                axis.plot(reduced / h**0.5, h, color="white", lw=0.9, ls=(0, (4, 3)))
            axis.set(xlim=(left, right), ylim=(low, high))
        if spec is not None and spec.colspan.start == 0:
            axis.set_ylabel("width $h$")
        axis.set_xlabel(r"output scale $\alpha$" if spec is None or spec.is_last_row() else "")


def notes(study: Study, cells: int) -> list[str]:
    """What was run, and what the maps are of."""
    seeds = study.task.get("seeds", 1)
    over = f"Means over {seeds} seeds. " if seeds > 1 else ""
    lines = (
        "White lines: equal \u03b1 \u221ah, a decade apart. " if study.setting("model", "out_scale") == "ntk" else ""
    )
    when = "At each step the last checkpoint before it, or where a network had stopped. Grey: no number."
    kinds = len({(m.said.get("encoding"), m.said.get("bias_column")) for m in study.courses})
    first = f"The first of {kinds} encodings. " if kinds > 1 else ""
    told = f"{wording.number(cells)} cells. {over}{lines}{first}{when}"
    return [parity_study.conditions(study), told]
