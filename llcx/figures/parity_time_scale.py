"""parity_time_scale.png: one network under gradient flow, against accepted steps and against time, and its steps."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import parity_study, style, wording
from llcx.figures.parity_study import Course, Study, number

CLOCKS = {"accepted": "accepted steps", "t": "time of the flow"}
TRAIN, TEST = "#0072B2", "#D55E00"
LINES: dict[str, tuple[str, Any]] = {"train": (TRAIN, "-"), "test": (TEST, (0, (4, 2)))}


class Gauge(NamedTuple):
    """A panel of what the steps were like."""

    title: str
    names: dict[str, str]  # metric -> label; a panel of one needs none
    limit: str = ""  # of the step rule: a setting of fit.flow
    logarithmic: bool = True
    noisy: bool = False  # from step to step: drawn as dots


GAUGES = (
    Gauge(r"change of the gradient of a step, dgrad", {"dgrad": ""}, "max_dgrad", noisy=True),
    Gauge(r"largest change of F of a step, dout", {"dout": ""}, "max_dout", noisy=True),
    Gauge("step dt [flow time]", {"dt": ""}, noisy=True),
    Gauge("norms of the weights", {"norm": r"$|w|$", "dnorm": r"$|w - w_0|$"}),
    Gauge(r"norm of the gradient of the loss", {"grad_norm": ""}),
    Gauge("rejected steps, all until then", {"rejected": ""}, logarithmic=False),
)


@style.look
def figure(study: Study) -> Figure | None:
    """Of the only network of a run under gradient flow; None for all other runs."""
    if len(study.courses) != 1:
        return None
    (course,) = study.courses.values()
    if not course.has("dt"):
        return None
    picture = Figure(figsize=(style.WIDTH, 10.6), layout="constrained")
    grid = picture.add_gridspec(4, 6, height_ratios=[1.25, 1.25, 1, 1])
    for place, clock in enumerate(CLOCKS):
        loss, accuracy = (picture.add_subplot(grid[line, 3 * place : 3 * place + 3]) for line in (0, 1))
        losses(loss, course, clock)
        accuracies(accuracy, course, clock)
        mark(study, course, (loss, accuracy), clock)
        accuracy.set_xlabel(CLOCKS[clock])
    for place, gauge in enumerate(GAUGES):
        line, column = divmod(place, 3)
        axis = picture.add_subplot(grid[2 + line, 2 * column : 2 * column + 2])
        measured(axis, study, course, gauge)
        axis.set_xlabel(CLOCKS["accepted"] if line else "")
    legend = {"train": style.key(line="-", color=TRAIN), "test": style.key(line="--", color=TEST)}
    legend |= {"limit of a step": style.key(line="-", color=style.KNOWN)}
    alpha = wording.number(float(study.setting("model", "alpha", np.nan)))
    notes = [parity_study.conditions(study), ended(study, course)]
    return style.finish(picture, f"Sparse parity: one network at \u03b1 = {alpha}, step by step", notes, legend)


def losses(axis: Axes, course: Course, clock: str) -> None:
    for split, (colour, dashes) in LINES.items():
        axis.plot(*course.curve("aloss", split, clock), color=colour, ls=dashes, lw=1.5)
    parity_study.logarithmic(axis)
    axis.set_title(r"$\alpha\,\times$ loss")


def accuracies(axis: Axes, course: Course, clock: str) -> None:
    for split, (colour, dashes) in LINES.items():
        x, errors = course.error(split, clock)
        axis.plot(x, 1 - errors, color=colour, ls=dashes, lw=1.5)
    axis.set_title("accuracy [share of rows]")
    axis.set_ylim(top=1.03)


def mark(study: Study, course: Course, axes: tuple[Axes, Axes], clock: str) -> None:
    """A line at the moments of moments.csv between start and end."""
    steps, values = course.curve(clock)
    for cells in study.moments:
        x = float(np.interp(number(cells, "step"), steps, values)) if len(steps) else 0.0
        if not 0 < x < 0.99 * values.max():
            continue
        for axis in axes:
            axis.axvline(x, color=style.MUTED, lw=0.8, ls=":", zorder=1)
        place: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "rotation": 90}
        axes[0].annotate(cells["moment"], (x, 0.04), (-3, 0), ha="right", fontsize=8, color=style.MUTED, **place)


def measured(axis: Axes, study: Study, course: Course, gauge: Gauge) -> None:
    """One or two metrics against accepted steps, and the limit that the step rule keeps."""
    for name, colour in zip(gauge.names, (TRAIN, TEST), strict=False):
        x, values = course.curve(name, against="accepted")
        seen = (values > 0) | (not gauge.logarithmic)
        look: Any = {"ls": "", "marker": ".", "ms": 2.5} if gauge.noisy else {"lw": 1.4}
        axis.plot(x[seen], values[seen], color=colour, label=gauge.names[name], **look)
    if gauge.logarithmic:
        parity_study.logarithmic(axis)
    limit = study.setting("fit.flow", gauge.limit) if gauge.limit else None
    if limit is not None:
        axis.axhline(limit, color=style.KNOWN, lw=1.1)
    if any(gauge.names.values()):
        axis.legend(**parity_study.INSIDE)
    axis.set_title(gauge.title)


def ended(study: Study, course: Course) -> str:
    """Where the training ended, and why."""
    last = {name: course.at(np.inf, name) for name in ("accepted", "rejected", "t")}
    steps = f"{wording.number(last['accepted'])} accepted and {wording.number(last['rejected'])} rejected steps"
    finals = parity_study.finals(study)
    why = f" (stopped by {finals[0]['stopped']})" if finals else ""
    error = f"test error {wording.number(course.at(np.inf, 'err', 'test'))}"
    begun = "Accuracies begin at the first step: at the start F = 0."
    return f"{steps} until t = {wording.number(last['t'])}{why}, {error}. {begun}"
