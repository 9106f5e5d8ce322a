"""Linear self-attention: estimates against its two theories, for each alpha = rank B - rank M.

lsa_llc_comparison.png and lsa_errors.png where a run has more than one problem; lsa_gap.png and lsa_phases.png where it
holds the table of the two theories.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from llcx.artifacts import RunFolder
from llcx.figures import lsa_errors, lsa_phases, lsa_theory, rows, scatter, shading, style, theories, wording
from llcx.figures.rows import Row
from llcx.figures.theories import Study

MARKERS = ("o", "s", "^", "D", "v")  # of the values of alpha where they share a panel
FEW = 3  # problems that a line of panels of its own needs
Line = Mapping[str, Sequence[Row]]  # of panels: alpha -> rows


def draw(folder: RunFolder) -> list[Path]:
    """Write the figures that this run's rows and tables give."""
    pictures = {
        "lsa_llc_comparison.png": comparison(folder),
        "lsa_errors.png": lsa_errors.figure(folder),
        "lsa_gap.png": lsa_theory.gap(folder),
        "lsa_phases.png": lsa_phases.figure(folder),
    }
    return [style.save(picture, folder.path / name) for name, picture in pictures.items() if picture is not None]


class Column(NamedTuple):
    """What the panels of a column show."""

    series: tuple[str, str, str]
    theory: str


@style.look
def comparison(folder: RunFolder) -> Figure | None:
    """A line of panels an alpha, a column a sampler and theory; None for a single problem."""
    study = theories.read(folder)
    if len({row.point for row in study.known}) < 2 or not any(row.llc > 0 for row in study.known):
        return None
    lines = lines_of(study)
    columns = [Column(series, name) for series in rows.by_series(study.known) for name in study.names]
    picture, axes = panels(len(lines), columns)
    shown = [row for name in study.names for row in theories.against(study.known, name)]
    scatter.scale(list(axes.flat), shown, logarithmic=wide(shown))
    norm = shading.norm(study.known)
    for across, line in zip(axes, lines, strict=True):
        for axis, column in zip(across, columns, strict=True):
            panel(axis, line, column, norm)
    name_axes(axes, lines, columns, study)
    if len({row.parameters for row in study.known}) > 1:
        shading.bar(picture, list(axes.flat), norm)
    legend = scatter.keys(list(axes.flat)) | alphas(lines)
    return style.finish(picture, "Linear self-attention: estimate against theory", notes(study), legend)


def wide(shown: Sequence[Row]) -> bool:
    """Whether theories and estimates ask for logarithmic axes."""
    positive = [value for row in shown for value in (row.known, row.llc) if value > 0]
    return max(positive) > 3 * min(positive)


def lines_of(study: Study) -> list[Line]:
    """A line an alpha; all on one where no alpha has more than a few problems."""
    few = max(len({row.point for row in group}) for group in study.alphas.values()) < FEW
    return [study.alphas] if few else [{alpha: group} for alpha, group in study.alphas.items()]


def panels(lines: int, columns: Sequence[Column]) -> tuple[Figure, np.ndarray]:
    """Square panels [lines, columns], the fewer the larger; between samplers there is a gap."""
    count, edges = len(columns), [i for i in range(1, len(columns)) if columns[i].series != columns[i - 1].series]
    if count == len(edges) + 1:
        edges = []
    side = max(2.55, min(6.0, 10.2 / count, 9.6 / lines))
    size = max(7.0, side * count + 1.4), side * lines + 1.9
    picture = Figure(figsize=size, layout="compressed")
    ratios = np.insert(np.ones(count), edges, 0.08)
    across = [column for column, ratio in enumerate(ratios) if ratio == 1]
    grid = picture.add_gridspec(lines, len(ratios), width_ratios=ratios)
    axes = np.array([[picture.add_subplot(grid[line, column]) for column in across] for line in range(lines)])
    for axis in axes.flat:
        axis.label_outer(remove_inner_ticks=False)
    return picture, axes


def panel(axis: Axes, line: Line, column: Column, norm: Normalize) -> None:
    """One sampler against one theory; a marker an alpha."""
    groups = {alpha: [row for row in group if row.series == column.series] for alpha, group in line.items()}
    marks = {row.point: MARKERS[i % len(MARKERS)] for i, group in enumerate(groups.values()) for row in group}

    def paint(axis: Axes, group: Sequence[Row], hollow: bool) -> None:
        for marker in dict.fromkeys(marks[row.point] for row in group):
            here = [row for row in group if marks[row.point] == marker]
            shading.paint(axis, here, hollow, norm, marker, size=40 if len(line) == 1 else 70)

    shown = theories.against([row for group in groups.values() for row in group], column.theory)
    scatter.panel(axis, shown, paint)
    scatter.box(axis, shown, 0, below=free_below(axis, shown), fontsize=8)


def free_below(axis: Axes, shown: Sequence[Row]) -> bool:
    """Whether the lower right corner has no marker."""
    places = axis.transLimits.transform(axis.transScale.transform(scatter.places(shown) or [(1.0, 1.0)]))
    return not np.any((places[:, 0] > 0.3) & (places[:, 1] < 0.32))


def name_axes(axes: np.ndarray, lines: Sequence[Line], columns: Sequence[Column], study: Study) -> None:
    """Samplers above, theories below, alpha on the left."""
    samplers = [row.series for row in study.known]
    for index, (top, bottom, column) in enumerate(zip(axes[0], axes[-1], columns, strict=True)):
        row = study.known[samplers.index(column.series)]
        if index % len(study.names) == 0:
            top.set_title("sampler " + wording.plain(", ".join(wording.series(row, study.known))), fontsize=10)
        size = theories.SIZES[column.theory]
        bottom.set_xlabel(rf"theory {theories.NAMES[column.theory]},  ${size}$")
    for first, line in zip(axes[:, 0], lines, strict=True):
        alpha = next(iter(line))
        named = rf"$\mathbf{{\alpha = {alpha}}}$" + "\n" if len(line) == 1 and alpha else ""
        first.set_ylabel(rf"{named}estimate $\hat\lambda$")


def alphas(lines: Sequence[Line]) -> dict[str, Line2D]:
    """Legend entries of the markers, where several alphas share the panels."""
    if len(lines[0]) == 1:
        return {}
    marked = zip(lines[0], MARKERS * len(lines[0]), strict=False)
    return {rf"$\alpha$ = {alpha}": style.key(marker) for alpha, marker in marked}


def notes(study: Study) -> list[str]:
    """Conditions, and what is flagged, left out or without a number."""
    drawn = {id(row) for row in study.known}
    left = [row for row in study.every if id(row) not in drawn]
    absent = wording.absent("Without these theories, not drawn", left, study.every)
    told = "\u03b1 = rank B \u2212 rank M" if "" not in study.alphas else ""
    return [wording.conditions(study.known), told, wording.flagged(study.every), absent, wording.failures(study.every)]
