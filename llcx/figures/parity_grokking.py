"""parity_grokking.png: training rows are right long before test rows are, and what weight decay does in between.

After it few neurons carry the parity, the others have shrunk: Merrill et al. (2023), arXiv:2303.11873.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import over_time, parity_study, style, wording
from llcx.figures.parity_study import Cells, Course, Study, number

TRAIN, TEST = "#0072B2", "#D55E00"
LINES: dict[str, tuple[str, Any]] = {"train": (TRAIN, "-"), "test": (TEST, (0, (4, 2)))}
NORMS = {"norm": r"$|w|$", "dnorm": r"$|w - w_0|$", "relevant": "relevant inputs", "irrelevant": "other inputs"}
RIGHT = 0.99  # share of rows


@style.look
def figure(study: Study) -> Figure | None:
    """Of the only network of a run in discrete steps with weight decay; None for all other runs."""
    decay = study.setting("fit.descent", "weight_decay") or 0.0
    if study.setting("fit", "dynamics", "flow") == "flow" or not decay or len(study.courses) != 1:
        return None
    (course,) = study.courses.values()
    panels: list[Callable[[Axes], None]] = [
        lambda axis: accuracies(axis, course),
        lambda axis: losses(axis, course),
        lambda axis: norms(axis, course, ("norm", "dnorm"), "norms of the weights"),
        lambda axis: norms(axis, course, ("relevant", "irrelevant"), "weights of an input, rms"),
    ]
    neurons, needed = study.table("neurons"), study.table("sparsity")
    panels += [lambda axis: sizes(axis, neurons)] if neurons else []
    panels += [lambda axis: sparsity(axis, needed)] if needed else []
    picture, axes = style.grid(len(panels), 2, 0.56)
    for axis, panel in zip(axes, panels, strict=True):
        panel(axis)
    legend = {"training rows": style.key(line="-", color=TRAIN), "test rows": style.key(line="--", color=TEST)}
    notes = [parity_study.conditions(study), delay(course)]
    return style.finish(picture, "Sparse parity: grokking", notes, legend)


def accuracies(axis: Axes, course: Course) -> None:
    for split, (colour, dashes) in LINES.items():
        steps, errors = course.error(split)
        axis.plot(steps, 1 - errors, color=colour, ls=dashes, lw=1.6)
    stepwise(axis, "accuracy [share of rows]")
    axis.set_ylim(top=1.03)


def losses(axis: Axes, course: Course) -> None:
    values = []
    for split, (colour, dashes) in LINES.items():
        steps, found = course.curve("aloss", split)
        axis.plot(steps[found > 0], found[found > 0], color=colour, ls=dashes, lw=1.6)
        values.append(found[found > 0])
    if style.wide(np.concatenate(values)):
        parity_study.logarithmic(axis)
    stepwise(axis, r"$\alpha\,\times$ loss")


def norms(axis: Axes, course: Course, names: Sequence[str], title: str) -> None:
    for name, colour in zip(names, (style.INK, "#CC79A7"), strict=True):
        if course.has(name):
            axis.plot(*course.curve(name), color=colour, lw=1.6, label=NORMS[name])
    stepwise(axis, title)
    axis.legend(**parity_study.INSIDE)


def stepwise(axis: Axes, title: str) -> None:
    axis.set_xscale("symlog", linthresh=1, linscale=0.4)
    axis.set_xlim(left=0)
    axis.set_xlabel("step")
    axis.set_title(title)


def sizes(axis: Axes, neurons: Sequence[Cells]) -> None:
    """Norms of the neurons at each moment, the largest first."""
    moments = list(dict.fromkeys(cells["moment"] for cells in neurons))
    for moment, colour in zip(moments, over_time.hues(len(moments)), strict=True):
        found = sorted((number(cells, "norm") for cells in neurons if cells["moment"] == moment), reverse=True)
        axis.plot(range(1, len(found) + 1), np.array(found), color=colour, lw=1.5, label=moment)
    parity_study.logarithmic(axis)
    axis.set_xscale("log")
    axis.legend(**parity_study.INSIDE)
    axis.set_xlabel("neuron, the largest first")
    axis.set_title("norm of a neuron")


def sparsity(axis: Axes, needed: Sequence[Cells]) -> None:
    """How many neurons keep the network's accuracy, at each moment."""
    names = [cells["moment"] for cells in needed]
    values = [number(cells, "neurons_needed") for cells in needed]
    axis.plot(range(len(values)), values, color=style.INK, lw=1.2)
    style.dots(axis, list(zip(map(float, range(len(values))), values, strict=True)), style.INK, hollow=False)
    for place, cells in enumerate(needed):
        told = wording.percent(number(cells, "accuracy"))
        axis.annotate(told, (place, values[place]), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    axis.set_xticks(range(len(names)), names)
    axis.margins(x=0.12, y=0.2)
    axis.set_ylim(bottom=0)
    axis.set_title("neurons needed, and the accuracy that they have")


def delay(course: Course) -> str:
    """When training and test rows were right for the first time."""
    first = {}
    for split in LINES:
        steps, errors = course.error(split)
        right = steps[1 - errors >= RIGHT]
        first[split] = wording.number(float(right[0])) if len(right) else "never"
    return f"{RIGHT:.0%} of the training rows right: step {first['train']}, of the test rows: step {first['test']}."
