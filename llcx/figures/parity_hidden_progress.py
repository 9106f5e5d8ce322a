"""parity_hidden_progress.png: what moves in a network while its loss does not yet.

The population's gradient is larger along the relevant inputs than along the others before anything is learned; weights
follow it, and F's coefficient on the support, long before the loss does. Definitions: llcx/tasks/parity/probes.py.
Barak et al. (2022), arXiv:2207.08799.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import over_time, parity_study, style
from llcx.figures.parity_study import COLOURS, Course, Member, Study

NAMED = len(COLOURS)  # networks that get a colour and a line in the legend each
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)))


class Line(NamedTuple):
    """One metric of a panel."""

    name: str
    split: str
    label: str


class Panel(NamedTuple):
    """Lines that share an axis; those that a run does not have are left out."""

    title: str
    lines: tuple[Line, ...]
    logarithmic: bool = True


TRAIN, TEST = "training rows", "test rows"
PANELS = (
    Panel(r"$\alpha\,\times$ loss", (Line("aloss", "train", TRAIN), Line("aloss", "test", TEST))),
    Panel("error [share of rows]", (Line("err", "train", TRAIN), Line("err", "test", TEST)), False),
    Panel(
        "Fourier coefficients of $F$",
        (Line("fourier", "train", "on the support"), Line("fourier_other", "train", "largest other of k bits")),
    ),
    Panel("gap between these", (Line("fourier_gap", "train", ""),)),
    Panel(
        "gradient of the population, rms",
        (Line("gradient_relevant", "train", "relevant inputs"), Line("gradient_irrelevant", "train", "other inputs")),
    ),
    Panel("its gap, weakest relevant less strongest other", (Line("gradient_gap", "train", ""),)),
    Panel(
        "weights of an input, rms",
        (Line("relevant", "train", "relevant inputs"), Line("irrelevant", "train", "other inputs")),
    ),
    Panel(
        "their change since the start, rms",
        (Line("drelevant", "train", "relevant inputs"), Line("dirrelevant", "train", "other inputs")),
    ),
    Panel(r"change of all weights $|w - w_0|$", (Line("dnorm", "train", ""),)),
)


@style.look
def figure(study: Study) -> Figure | None:
    """Of networks trained in discrete steps; None for gradient flow, and where no weights were looked at."""
    courses = {m: c for m, c in study.courses.items() if c.has("relevant")}
    if study.setting("fit", "dynamics", "flow") == "flow" or not courses:
        return None
    shown = [panel for panel in PANELS if any(has(courses, line) for line in panel.lines)]
    picture, axes = style.grid(len(shown), 3, 0.72)
    colours = shades(courses)
    for axis, panel in zip(axes, shown, strict=True):
        draw(axis, panel, courses, colours)
        axis.set_xlabel("step")
    legend: dict[str, Any] = {}
    if 1 < len(courses) <= NAMED:
        legend = {label(member): style.key(line="-", color=colours[member]) for member in courses}
    many = f"{len(courses)} networks, the darker the earlier in metrics.csv. " if len(courses) > NAMED else ""
    begins = "Errors begin at the first step: at the start F = 0." if study.setting("model", "subtract", True) else ""
    told = many + begins
    batches = (
        " Rows called training are never trained on: batches are fresh." if study.setting("data", "online") else ""
    )
    notes = [parity_study.conditions(study), told + batches]
    return style.finish(picture, "Sparse parity: hidden progress", notes, legend)


def has(courses: Mapping[Member, Course], line: Line) -> bool:
    return any(course.has(line.name, line.split) for course in courses.values())


def shades(courses: Mapping[Member, Course]) -> dict[Member, str]:
    """A colour a network."""
    return dict(zip(courses, COLOURS if len(courses) <= NAMED else over_time.hues(len(courses)), strict=False))


def label(member: Member) -> str:
    """What its names say."""
    return ", ".join(f"{key} = {value}" for key, value in member.said.items()).replace("alpha", "\u03b1")


def draw(axis: Axes, panel: Panel, courses: Mapping[Member, Course], colours: Mapping[Member, str]) -> None:
    """Lines by dash; by colour too where there is one network alone."""
    alone = len(courses) == 1
    entries: dict[str, Any] = {}
    values = []
    for member, course in courses.items():
        for place, line in enumerate(each for each in panel.lines if has(courses, each)):
            x, y = course.error(line.split) if line.name == "err" else course.curve(line.name, line.split)
            seen = (y > 0) | (not panel.logarithmic)
            dashes, colour = DASHES[place], COLOURS[place] if alone else colours[member]
            axis.plot(x[seen], y[seen], color=colour, ls=dashes, lw=1.4 if alone else 1.1)
            entries[line.label] = style.key(line="-" if place == 0 else "--", color=colour if alone else style.INK)
            values.append(y[seen])
    if panel.logarithmic and style.wide(np.concatenate(values)):
        parity_study.logarithmic(axis)
    named = {name: handle for name, handle in entries.items() if name}
    if len(named) > 1:
        axis.legend(list(named.values()), list(named), **parity_study.INSIDE)
    axis.set_title(panel.title)
