"""parity_encoding.png: the same strings in several encodings, with a constant input and without: speed and errors."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import parity_study, style
from llcx.figures.parity_study import COLOURS, CUT, Cells, Study, number

CONSTANT = {"False": "inputs alone", "True": "with a constant input"}
SPLITS = {"test": "test error", "train": "training error"}
DOTS = {"t1": r"time $t_1$ to half of the loss [flow time]", "test_err": "test error at the end [share of rows]"}


@style.look
def figure(study: Study) -> Figure | None:
    """None where inputs were encoded in one way only."""
    kinds = [(group.cells["encoding"], group.cells["bias_column"]) for group in study.groups]
    constants = [constant for constant in CONSTANT if constant in {each for _, each in kinds}]
    if len(set(kinds)) < 2:
        return None
    colours = dict(zip(dict.fromkeys(encoding for encoding, _ in kinds), COLOURS, strict=False))
    across = len(constants) + 1
    picture = Figure(figsize=(style.WIDTH, 7.6), layout="constrained")
    axes = picture.subplots(2, across, squeeze=False, sharex="col")
    for line, split in zip(axes, SPLITS, strict=True):
        for axis, constant in zip(line, constants, strict=False):
            curves(axis, study, split, constant, colours)
    for axis, column in zip(axes[:, -1], DOTS, strict=True):
        dots(axis, study, column, constants)
    encodings = {name: style.key(line="-", color=colour) for name, colour in colours.items()}
    legend = encodings | {CONSTANT[each]: style.key("os"[place]) for place, each in enumerate(constants)}
    if why := parity_study.stopped_by(study):
        legend[f"stopped by {why}"] = style.key("o", hollow=True)
    count = study.task.get("seeds", 1)
    seeds = f"A line and a dot a seed ({count}); bars: means. " if count > 1 else ""
    several = len(parity_study.alphas(study.moments)) > 1
    more = "A line and a dot for each output scale too. " if several else ""
    notes = [parity_study.conditions(study), seeds + more + meaning(study), parity_study.cut(study)]
    return style.finish(picture, "Sparse parity: encodings of the same strings", notes, legend)


def meaning(study: Study) -> str:
    """What the encodings are."""
    said = {"pm1": "1 \u2212 2b", "01": "b", "centred": "b \u2212 1/2", "sphere": "b over the norm of all of them"}
    present = dict.fromkeys(group.cells["encoding"] for group in study.groups)
    return "Of bit b: " + ", ".join(f"{name}: {said.get(name, name)}" for name in present) + "."


def curves(axis: Axes, study: Study, split: str, constant: str, colours: dict[str, str]) -> None:
    """Errors of one split against time, a thin line a member."""
    kinds = {group.training: group.cells for group in study.groups}
    for member, course in study.courses.items():
        cells = kinds.get(member.training)
        if cells is not None and cells["bias_column"] == constant:
            x, values = course.error(split, "t")
            axis.plot(x, values, color=colours[cells["encoding"]], lw=1.0, alpha=0.8)
    axis.set_xscale("log")
    axis.set_ylim(-0.015, 0.6)
    axis.set_title(f"{SPLITS[split]}, {CONSTANT[constant]}")
    axis.set_xlabel("" if split == "test" else "time of the flow")
    axis.set_ylabel("share of rows" if constant == "False" else "")


def dots(axis: Axes, study: Study, column: str, constants: Sequence[str]) -> None:
    """A dot a member, encodings side by side, the means as bars; hollow where a training stopped early."""
    encodings = list(dict.fromkeys(group.cells["encoding"] for group in study.groups))
    finals = [cells for cells in parity_study.finals(study) if np.isfinite(number(cells, column))]
    for place, constant in enumerate(constants):
        middle = 0.2 * (2 * place - len(constants) + 1)
        for x, encoding in enumerate(encodings):
            found = [c for c in finals if (c["encoding"], c["bias_column"]) == (encoding, constant)]
            spread(axis, found, column, x + middle, (COLOURS[x % len(COLOURS)], "os"[place]))
    axis.set_xticks(range(len(encodings)), encodings)
    axis.tick_params(labelbottom=True)
    axis.set_xlim(-0.6, len(encodings) - 0.4)
    axis.set_title(DOTS[column])
    values = [number(cells, column) for cells in finals]
    if column == "t1" and values:
        parity_study.logarithmic(axis)
    elif values:
        most = max(*values, 0.05)
        axis.set_ylim(-0.04 * most, 1.1 * most)


def spread(axis: Axes, found: Sequence[Cells], column: str, x: float, look: tuple[str, str]) -> None:
    """The members of one encoding side by side around x, and their mean."""
    colour, marker = look
    sides = np.linspace(-0.12, 0.12, len(found)) if len(found) > 1 else [0.0]
    for cells, side in zip(found, sides, strict=True):
        early = column != "t1" and cells.get("stopped") in CUT
        style.dots(axis, [(x + side, number(cells, column))], colour, marker, hollow=early, s=26)
    if len(found) > 1:
        mean = float(np.mean([number(cells, column) for cells in found]))
        axis.plot([x - 0.17, x + 0.17], [mean, mean], color=style.INK, lw=1.1, zorder=2)
