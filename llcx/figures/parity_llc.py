"""parity_llc.png: the learning coefficient along training, its paired differences, and what training did meanwhile."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import over_time, parity_study, style, trajectories, wording
from llcx.figures.parity_study import COLOURS, Cells, Study, number
from llcx.figures.rows import Row

MOST = 24  # differences drawn
ALPHAS = 3  # that make an axis
APART = 0.05  # of members at one moment, sideways
ORDER = ("init", "fitted", "t1", "margin", "final")


class Measured(NamedTuple):
    """The estimates of one network, in the order of its moments."""

    label: str  # what tells it from the others
    colour: str
    alpha: float
    reduced: float
    rows: list[Row]


@style.look
def figure(study: Study) -> Figure | None:
    """Of the first sampler; None where it has no network with two moments."""
    members = networks(study)
    if not any(len(member.rows) > 1 for member in members):
        return None
    moments = order([moment(row) for member in members for row in member.rows])
    across = len({member.alpha for member in members}) >= ALPHAS
    lines, left_out = differences(study, members)
    high = 0.5 + 0.21 * len(lines)
    picture = Figure(figsize=(style.WIDTH, 7.4 + high * bool(lines) + 1.2), layout="constrained")
    grid = picture.add_gridspec(3 if lines else 2, 2, height_ratios=[3.7, 3.7, high][: 3 if lines else 2])
    axes = [picture.add_subplot(grid[place // 2, place % 2]) for place in range(4)]
    at_moments(axes[0], members, moments)
    if across:
        against_alpha(axes[1], study, members, moments)
    else:
        moved(axes[1], study, members, moments)
    along(axes[2], study, members, "aloss", "train", r"$\alpha\,\times$ training loss")
    along(axes[3], study, members, "err", "test", "test error [share of rows]")
    if lines:
        changes(picture.add_subplot(grid[2, :]), lines)
    every = [row for member in members for row in member.rows]
    notes = [parity_study.conditions(study), told(study, every, bool(lines)), left_out]
    notes += [
        backwards(study, members, moments),
        wording.conditions(every),
        wording.flagged(every),
        wording.failures(study.rows),
    ]
    return style.finish(picture, "Sparse parity: the learning coefficient along training", notes, keys(members, lines))


def networks(study: Study) -> list[Measured]:
    """Every network that the first sampler has a number of; coloured by alpha where alphas differ."""
    alive = [row for row in study.rows if not row.failed and row.raw.get("at.moment")]
    alive = [row for row in alive if row.series == alive[0].series]
    groups: dict[str, list[Row]] = {}
    for row in alive:
        groups.setdefault(owner(row.point), []).append(row)
    said = {name: trajectories.named(name) for name in groups}
    every = dict.fromkeys(key for one in said.values() for key in one)
    differ = [key for key in every if len({one.get(key) for one in said.values()}) > 1]
    alphas = sorted({number(group[0].raw, "at.alpha") for group in groups.values()})
    shades = over_time.hues(len(alphas)) if len(alphas) >= ALPHAS else COLOURS
    found = []
    for name, group in groups.items():
        label = ", ".join(f"{key} = {said[name].get(key)}" for key in differ).replace("alpha", "\u03b1")
        alpha, reduced = (number(group[0].raw, f"at.{key}") for key in ("alpha", "alpha_reduced"))
        ordered = sorted(group, key=lambda row: order([moment(each) for each in group]).index(moment(row)))
        found.append(Measured(label or "network", shades[alphas.index(alpha)], alpha, reduced, ordered))
    return found


def owner(point: str) -> str:
    """The point's name without its moment."""
    return point.rpartition(",")[0]


def moment(row: Row) -> str:
    return row.raw["at.moment"]


def order(moments: Sequence[str]) -> list[str]:
    """Moments in the order of training; shares of the loss, the largest first, around t1, which is one half."""

    def place(name: str) -> tuple[float, float]:
        if name.startswith("loss="):
            share = float(name.removeprefix("loss="))
            return ORDER.index("t1") + (-0.5 if share > 0.5 else 0.5), -share
        return (ORDER.index(name) if name in ORDER else len(ORDER)), 0.0

    return sorted(dict.fromkeys(moments), key=place)


def at_moments(axis: Axes, members: Sequence[Measured], moments: Sequence[str]) -> None:
    """Estimates with intervals, moments in their order, networks a little apart."""
    for place, member in enumerate(members):
        shift = APART * (place - (len(members) - 1) / 2) / max(1.0, len(members) / 8)
        x = [moments.index(moment(row)) + shift for row in member.rows]
        estimates(axis, x, member.rows, member.colour)
    axis.set_xticks(range(len(moments)), moments)
    axis.set_xlim(-0.45, len(moments) - 0.55)
    positive(axis, members)
    axis.set_title(r"learning coefficient $\hat\lambda$ at moments of training")


def estimates(axis: Axes, x: Sequence[float], rows: Sequence[Row], colour: str) -> None:
    """A line through estimates, their 95 % intervals, hollow where flagged."""
    axis.plot(x, [row.llc for row in rows], color=colour, lw=1.3)
    axis.vlines(x, [row.low for row in rows], [row.high for row in rows], color=colour, lw=1.3)
    for hollow in (False, True):
        if at := [(place, row.llc) for place, row in zip(x, rows, strict=True) if row.healthy != hollow]:
            style.dots(axis, at, colour, hollow=hollow, s=30)


def positive(axis: Axes, members: Sequence[Measured]) -> None:
    """A logarithmic axis where all estimates are positive and far apart."""
    values = np.array([row.llc for member in members for row in member.rows])
    if style.wide(values):
        parity_study.logarithmic(axis)


def against_alpha(axis: Axes, study: Study, members: Sequence[Measured], moments: Sequence[str]) -> None:
    """A line a moment, through the means over whatever else differs."""
    for name, colour in zip(moments, COLOURS, strict=False):
        of = [(member.reduced, row) for member in members for row in member.rows if moment(row) == name]
        reduced = sorted({x for x, _ in of})
        means = [float(np.mean([row.llc for at, row in of if at == x])) for x in reduced]
        axis.plot(reduced, means, color=colour, lw=1.5, label=name)
        axis.vlines([x for x, _ in of], [r.low for _, r in of], [r.high for _, r in of], color=colour, lw=1.1)
        for hollow in (False, True):
            if at := [(x, row.llc) for x, row in of if row.healthy != hollow]:
                style.dots(axis, at, colour, hollow=hollow, s=26)
    axis.set_xscale("log")
    positive(axis, members)
    axis.legend(**parity_study.INSIDE)
    axis.set_xlabel(study.reduced)
    axis.set_title(r"learning coefficient $\hat\lambda$ against output scale")


def moved(axis: Axes, study: Study, members: Sequence[Measured], moments: Sequence[str]) -> None:
    """The kernel's change until the same moments: where there are too few alphas for an axis of their own."""
    for member in members:
        of = {cells["moment"]: cells for cells in cells_of(study, member)}
        x = [place for place, name in enumerate(moments) if number(of.get(name, {}), "kernel_change") > 0]
        values = [number(of[moments[place]], "kernel_change") for place in x]
        axis.plot(x, values, color=member.colour, lw=1.4, marker="o", ms=4)
    axis.set_xticks(range(len(moments)), moments)
    axis.set_xlim(-0.45, len(moments) - 0.55)
    if axis.has_data():
        parity_study.logarithmic(axis)
    axis.set_title(r"kernel change $|\Delta\Theta|\,/\,|\Theta_0|$ until then")


def cells_of(study: Study, member: Measured) -> list[Cells]:
    """Lines of moments.csv of a network."""
    name = owner(member.rows[0].point)
    return [each for each in study.moments if joined(each["training"], each["member"]) == name]


def joined(*parts: str) -> str:
    return ",".join(part for part in parts if part)


def along(axis: Axes, study: Study, members: Sequence[Measured], metric: str, split: str, title: str) -> None:
    """A metric against time in units of t1, with dots at the moments that were measured."""
    courses = {joined(*key): course for key, course in study.courses.items()}
    for member in members:
        course, cells = courses.get(owner(member.rows[0].point)), cells_of(study, member)
        t1 = next((value for each in cells if (value := number(each, "t1")) > 0), np.nan)
        if course is None or not t1 > 0:
            continue
        x, values = course.error(split, "t") if metric == "err" else course.curve(metric, split, "t")
        later = x > 0
        axis.plot(x[later] / t1, values[later], color=member.colour, lw=1.4)
        seen = {moment(row) for row in member.rows}
        times = [t / t1 for each in cells if each["moment"] in seen and (t := number(each, "t")) > 0]
        at = [(time, float(np.interp(time, x / t1, values))) for time in times]
        if at:
            style.dots(axis, at, member.colour, hollow=False, s=22)
    axis.set_xscale("log")
    axis.set_xlim(left=max(axis.get_xlim()[0], 1e-3))
    if metric == "aloss":
        parity_study.logarithmic(axis)
    axis.set_xlabel(r"time $t\,/\,t_1$")
    axis.set_title(title)


class Change(NamedTuple):
    """A line of changes.csv."""

    label: str
    colour: str
    value: float
    low: float
    high: float
    significant: bool


def differences(study: Study, members: Sequence[Measured]) -> tuple[list[Change], str]:
    """Differences of the networks drawn; where they are many, those from the first to the last moment."""
    owners = {owner(member.rows[0].point): member for member in members}
    series = members[0].rows[0].series
    lines = [each for each in study.table("changes") if (each["sampler"], each["where"], each["target"]) == series]
    lines = [each for each in lines if owner(each["from"]) in owners]
    shown = lines
    if len(lines) > MOST:
        last = {owner(each["from"]): each for each in lines}  # of a network from its first moment to its last
        shown = list(last.values())[:MOST]
    hidden = len(lines) - len(shown)
    more = f"{hidden} more differences stand in analysis/changes.csv." if hidden else ""
    return [change(each, owners[owner(each["from"])], len(owners) > 1) for each in shown], more


def change(cells: Cells, member: Measured, several: bool) -> Change:
    ends = " \u2192 ".join(cells[end].rpartition(",")[2] for end in ("from", "to"))
    label = f"{member.label}: {ends}" if several else ends
    value, low, high = (number(cells, name) for name in ("difference", "low", "high"))
    return Change(label, member.colour, value, low, high, cells["significant"] == "True")


def changes(axis: Axes, lines: Sequence[Change]) -> None:
    """Paired differences with 95 % intervals, filled where significant; linear around zero, logarithmic beyond."""
    for place, each in enumerate(lines):
        axis.hlines(place, each.low, each.high, color=each.colour, lw=1.6)
        style.dots(axis, [(each.value, place)], each.colour, "o", hollow=not each.significant, s=34)
    axis.axvline(0, color=style.INK, lw=0.9)
    sizes = np.abs([each.value for each in lines])
    small = float(np.quantile(sizes, 0.25))
    if 0 < small < sizes.max() / 20:
        straight = 10 ** float(np.floor(np.log10(small)))
        axis.set_xscale("symlog", linthresh=straight, linscale=0.5)
        axis.set_xlabel(f"linear within \u00b1{straight:g}, logarithmic beyond")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\u2212"))
    axis.set_yticks(range(len(lines)), [each.label for each in lines])
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.set_title(r"paired differences of $\hat\lambda$ from moment to moment")


def told(study: Study, every: Sequence[Row], differ: bool) -> str:
    """What is drawn, and what is not."""
    series = list(dict.fromkeys(row.series for row in study.rows if row.raw.get("at.moment")))
    others = list(dict.fromkeys(key[0] for key in series if key != every[0].series))
    more = f" Not drawn: {', '.join(others)} (metrics_summary.csv)." if others else ""
    paired = " Differences: of the same chains with the same random numbers." if differ else ""
    mode = "all 2^d strings" if study.setting("data", "mode") == "population" else "the training rows"
    return f"p(y | x) = sigmoid(F y) on {mode}, {every[0].sampler}, 95 % intervals.{paired}{more}"


def backwards(study: Study, members: Sequence[Measured], moments: Sequence[str]) -> str:
    """Networks that came to their moments in another order than the one drawn."""
    found = []
    for member in members:
        steps = {cells["moment"]: number(cells, "step") for cells in cells_of(study, member)}
        times = [steps[moment] for moment in moments if moment in steps]
        found += [member.label] if times != sorted(times) else []
    return f"Not in the order of their time at {wording.listing(found)}." if found else ""


def keys(members: Sequence[Measured], lines: Sequence[Change]) -> dict[str, Any]:
    """The legend: networks by colour, one entry an alpha where they are many."""
    few = len(members) <= len(COLOURS)
    found: dict[str, Any] = {}
    for member in sorted(members, key=lambda member: member.alpha) if not few else members:
        label = member.label if few else f"\u03b1 = {wording.number(member.alpha)}"
        found[label] = style.key("o", line="-", color=member.colour)
    flagged = any(not row.healthy for member in members for row in member.rows)
    unclear = any(not line.significant for line in lines)
    hollow = ["estimate flagged"] * flagged + ["difference not significant"] * unclear
    return found | ({" or ".join(hollow): style.key("o", hollow=True)} if hollow else {})
