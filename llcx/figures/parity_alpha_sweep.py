"""parity_alpha_sweep.png: from learning features to lazy, against the output scale; kernel machines beside networks.

Where training is lazy, t1 and the relative change of the kernel are proportional to 1 / alpha: slope -1.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import log10
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from llcx.figures import parity_study, style
from llcx.figures.parity_study import CUT, Cells, Group, Study, number

FEWEST = 3  # alphas
LINES = 3  # trainings that get a line of slope -1 each; of more the first has one
MACHINES = {"init": "--", "final": ":"}  # kernels whose machines are drawn


class Quantity(NamedTuple):
    """A panel."""

    title: str
    column: str  # of moments.csv
    moment: str
    machine: str = ""  # column of kernels.csv
    machines: tuple[str, ...] = ("init", "final")
    lazy: bool = False  # proportional to 1 / alpha in the end
    logarithmic: bool = True


QUANTITIES = (
    Quantity(r"time $t_1$ to half of the loss [flow time]", "t1", "final", "machine_t1", ("init",), lazy=True),
    Quantity(r"kernel change $|\Delta\Theta|\,/\,|\Theta_0|$ at $t_1$", "kernel_change", "t1", lazy=True),
    Quantity(r"kernel change $|\Delta\Theta|\,/\,|\Theta_0|$ at the end", "kernel_change", "final", lazy=True),
    Quantity("test error at the end [share of rows]", "test_err", "final", "machine_test_err", logarithmic=False),
    Quantity(r"$\alpha\,\times$ training loss at the end", "aloss", "final", "machine_train_aloss"),
    Quantity("alignment of kernel and labels at the end", "alignment", "final", "alignment", ("init",)),
)


class Spot(NamedTuple):
    """The members of one alpha: mean and range over seeds."""

    x: float
    mean: float
    low: float
    high: float
    cut: bool  # whether one of them stopped early


@style.look
def figure(study: Study) -> Figure | None:
    """A colour a training, against alpha_reduced; None with fewer than three alphas."""
    if len(parity_study.alphas(study.moments)) < FEWEST:
        return None
    picture, axes = style.grid(len(QUANTITIES), 3, 0.8)
    reduced = [number(cells, "alpha_reduced") for cells in study.moments]
    for axis, quantity in zip(axes, QUANTITIES, strict=True):
        axis.set(xscale="log", xlim=(min(reduced) / 1.8, max(reduced) * 1.8))
        panel(axis, study, quantity)
        axis.set_xlabel(study.reduced)
    notes = [parity_study.conditions(study), told(study), parity_study.cut(study)]
    return style.finish(picture, "Sparse parity: from features to lazy", notes, keys(study))


def told(study: Study) -> str:
    """What the panels do not say of themselves."""
    narrow = study.setting("model", "out_scale") == "ntk"
    scale = "Reduced: \u03b1 \u221ah, of networks f / \u221ah. " if narrow else ""
    stop = study.setting("fit.stop", "max_t1")
    ended = f"The end is {stop:g} t1. " if stop else ""
    of_machines = "Machines learn with a kernel that stays as it is, at the same \u03b1 and with the same stops."
    ends = [cells for cells in study.kernels if cells.get("machine_stopped")]
    early = sum(cells["machine_stopped"] in CUT for cells in ends)
    counted = f" {early} of {len(ends)} of them stopped early." if early else ""
    return scale + ended + (of_machines + counted if ends else "")


def panel(axis: Axes, study: Study, quantity: Quantity) -> None:
    """One quantity of all trainings; what its last decade does, where it should have slope -1."""
    drawn = {group.training: spots(study, quantity, group) for group in study.groups}
    for group in study.groups:
        beside(axis, study, quantity, group)
        curve(axis, drawn[group.training], group.colour)
    every = [spot for found in drawn.values() for spot in found]
    largest = max(number(cells, "alpha_reduced") for cells in study.moments)
    if quantity.logarithmic and every:
        parity_study.logarithmic(axis)
    if not quantity.logarithmic:
        axis.set_ylim(bottom=-0.02 * axis.get_ylim()[1])
    if quantity.lazy:
        slope(axis, [found for found in drawn.values() if found and found[-1].x > 0.3 * largest])
    axis.set_title(quantity.title)


def spots(study: Study, quantity: Quantity, group: Group) -> list[Spot]:
    """Of a training, in order of alpha; those without a number are left out."""
    cells = [each for each in study.moments if each["training"] == group.training]
    early = {(each["training"], each["member"]) for each in cells if each.get("stopped") in CUT}
    late = quantity.moment == "final" and quantity.column != "t1"
    values = defaultdict(list)
    for each in (each for each in cells if each["moment"] == quantity.moment):
        value = number(each, quantity.column)
        if np.isfinite(value) and (value > 0 or not quantity.logarithmic):
            values[number(each, "alpha_reduced")].append((value, late and (each["training"], each["member"]) in early))
    return [spot(x, found) for x, found in sorted(values.items())]


def spot(x: float, found: Sequence[tuple[float, bool]]) -> Spot:
    values = [value for value, _ in found]
    return Spot(x, float(np.mean(values)), min(values), max(values), any(cut for _, cut in found))


def curve(axis: Axes, found: Sequence[Spot], colour: Any) -> None:
    """Mean as a line, its range as a band, hollow where a network stopped early."""
    if not found:
        return
    x, mean, low, high, _ = zip(*found, strict=True)
    axis.plot(x, mean, color=colour, lw=1.5)
    axis.fill_between(x, low, high, color=colour, alpha=0.16, lw=0)
    for hollow in (False, True):
        if at := [(each.x, each.mean) for each in found if each.cut == hollow]:
            style.dots(axis, at, colour, hollow=hollow, s=28)


def beside(axis: Axes, study: Study, quantity: Quantity, group: Group) -> None:
    """What the machines of a training's kernels do, the mean over seeds."""
    for kernel in quantity.machines if quantity.machine else ():
        values = defaultdict(list)
        for each in of_kernel(study.kernels, group, kernel):
            if np.isfinite(value := number(each, quantity.machine)):
                values[number(each, "alpha_reduced")].append(value)
        if values:
            x = sorted(values)
            means = [float(np.mean(values[at])) for at in x]
            axis.plot(x, means, color=group.colour, ls=MACHINES[kernel], lw=1.3, alpha=0.85)


def of_kernel(kernels: Sequence[Cells], group: Group, kernel: str) -> list[Cells]:
    return [each for each in kernels if (each["training"], each["kernel"]) == (group.training, kernel)]


def slope(axis: Axes, drawn: Sequence[Sequence[Spot]]) -> None:
    """A line of slope -1 through the largest alpha of each training, and the slopes found over the last decade."""
    ends = [found[-1] for found in drawn]
    limits, reach = axis.get_ylim(), axis.get_xlim()
    for last in ends if len(ends) <= LINES else ends[:1]:
        x = np.array(reach)
        axis.plot(x, last.mean * last.x / x, color=style.KNOWN, lw=0.9, zorder=1.5)
    axis.set(xlim=reach, ylim=limits)
    found = [value for spots in drawn if (value := last_slope(spots)) is not None]
    if found:
        spread = dict.fromkeys(f"{value:.3f}" for value in (max(found), min(found)))
        text = f"last decade: slope {' to '.join(spread)}".replace("-", "\u2212")
        place: Any = {"transform": axis.transAxes, "fontsize": 8, "color": style.KNOWN}
        axis.text(0.03, 0.04, text, **place)


def last_slope(found: Sequence[Spot]) -> float | None:
    """d log y / d log alpha from a decade before the largest alpha to it; None where there is no such stretch."""
    before = [spot for spot in found if 0.03 * found[-1].x < spot.x <= 0.11 * found[-1].x]
    if not before:
        return None
    first, last = before[-1], found[-1]
    return log10(last.mean / first.mean) / log10(last.x / first.x)


def keys(study: Study) -> dict[str, Any]:
    """The legend: trainings by colour, then what lines and filling say."""
    several = len(study.groups) > 1
    found: dict[str, Any] = {}
    if several:
        found |= {group.label: style.key("o", line="-", color=group.colour) for group in study.groups}
    ink = style.INK if several else study.groups[0].colour
    found["network"] = style.key("o", line="-", color=ink)
    present = {cells["kernel"] for cells in study.kernels}
    named = {"init": "machine, kernel of the start", "final": "machine, kernel of the end"}
    found |= {named[kernel]: style.key(line=ls, color=ink) for kernel, ls in MACHINES.items() if kernel in present}
    found["slope \u22121"] = style.key(line="-", color=style.KNOWN)
    if study.task.get("seeds", 1) > 1:
        found["mean and range over seeds"] = Patch(color=style.MUTED, alpha=0.25)
    if why := parity_study.stopped_by(study):
        found[f"stopped by {why}"] = style.key("o", hollow=True)
    return found
