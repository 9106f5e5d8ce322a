"""vae_gamma.png: what training came to against gamma, and its paired difference from gamma = 0, step after step.

gamma changes neither the optimum nor the model (but for w2_diag): a gain at a fixed step is one of speed, and has to
vanish along training. So several steps are drawn, the last one darkest.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from llcx.figures import style, vae_study, wording
from llcx.figures.vae_study import Cells, Series, Study, number

COUNTED = "test/active"
METRICS = ("test/mse", "test/kl", "test/loss", COUNTED)
STEPS = 4  # drawn of few series; of more the last one alone
FEW = 3  # series
DOTTED = "test/kl"  # whose start is drawn too


class Spot(NamedTuple):
    """The seeds of one gamma at one step: the mean and its 95 % interval, nan where there is none."""

    gamma: float
    mean: float
    low: float
    high: float
    whole: bool  # whether every seed is in the mean


@style.look
def figure(study: Study) -> Figure | None:
    """A line a metric: values left, differences right; None without analysis/gammas.csv of two gammas or more."""
    table = [cells for cells in study.table("gammas") if cells.get("mean")]
    names = [name for name in METRICS if any(cells["metric"] == name for cells in table)]
    if not study.swept or not names:
        return None
    steps = chosen(study, table)
    paired = any(cells.get("difference") for cells in table)
    picture, axes = style.grid(len(names) * (1 + paired), 2, 0.5)
    for place, name in enumerate(names):
        of = [cells for cells in table if cells["metric"] == name]
        values(axes[place * (1 + paired)], study, of, steps)
        axes[place * (1 + paired)].set_title(study.titled(name))
        if paired:
            differences(axes[2 * place + 1], study, of, steps)
    style.outer_labels(axes, r"$\gamma$", "")
    losses = [cells for cells in table if cells["metric"] == "test/loss"]
    notes = [vae_study.conditions(study), told(study, paired, steps), *best(study, losses, steps[-1])]
    notes.append(vae_study.stopped(study))
    title = "Autoencoders: what training comes to, against \u03b3"
    return style.finish(picture, title, notes, keys(study, table, steps))


def chosen(study: Study, table: Sequence[Cells]) -> list[int]:
    """Steps after the start that are drawn, the last of all among them."""
    every = sorted({int(cells["step"]) for cells in table} - {0}) or [0]
    most = STEPS if len(study.series) <= FEW else 1
    places = np.linspace(len(every) - 1, 0, most) if len(every) > most > 1 else range(len(every))[-most:]
    return sorted({every[round(float(place))] for place in places})


def values(axis: Axes, study: Study, table: Sequence[Cells], steps: Sequence[int]) -> None:
    """A metric of every series, at every step."""
    seen = drawn(axis, study, table, steps, "mean")
    for series in study.series if table[0]["metric"] == DOTTED else ():
        start = spots(study, series, table, 0)
        if len(start) > 1:
            axis.plot([s.gamma for s in start], [s.mean for s in start], color=series.colour, ls=":", lw=1.2)
            seen += start
    if table[0]["metric"] != COUNTED:
        vae_study.scaled(axis, [spot.mean for spot in seen])
    framed(axis, study, table, seen)
    if min(spot.mean for spot in seen) >= 0 and axis.get_yscale() == "linear":
        axis.set_ylim(bottom=max(axis.get_ylim()[0], -0.02 * axis.get_ylim()[1]))


def differences(axis: Axes, study: Study, table: Sequence[Cells], steps: Sequence[int]) -> None:
    """From gamma = 0 of the same series, paired by seed."""
    seen = drawn(axis, study, table, steps, "difference")
    said = vae_study.around_zero(axis, [spot.mean for spot in seen])
    framed(axis, study, table, seen)
    axis.set_title("difference from \u03b3 = 0" + said)


def drawn(axis: Axes, study: Study, table: Sequence[Cells], steps: Sequence[int], name: str) -> list[Spot]:
    """Every series at every step; what was drawn."""
    found = []
    for series in study.series:
        for place, (step, colour) in enumerate(zip(steps, shades(series, len(steps)), strict=True)):
            here = spots(study, series, table, step, name)
            shift = aside(study, series, place - len(steps) + 1)
            curve(axis, here, colour, shift, last=step == steps[-1])
            if len(here) == 1 and name == "mean" and step == steps[-1]:
                axis.axhline(here[0].mean, color=colour, ls=(0, (5, 2)), lw=1.2)
            found += here
    return found


def spots(study: Study, series: Series, table: Sequence[Cells], step: int, name: str = "mean") -> list[Spot]:
    """In order of gamma; those without a number are left out, and one of a prior without gamma has gamma nan."""
    runs = [cells.get("gamma", "") for cells in study.of(series)]  # of each gamma as many as seeds
    low, high = ("low", "high") if name == "mean" else (f"{name}_low", f"{name}_high")
    found = []
    for cells in (cells for cells in table if series.has(cells) and int(cells["step"]) == step):
        ends = number(cells, name), number(cells, low), number(cells, high)
        if np.isfinite(ends[0]):
            whole = number(cells, "seeds") >= runs.count(cells.get("gamma", ""))
            found.append(Spot(number(cells, "gamma"), *ends, whole))
    return sorted(found)


def curve(axis: Axes, found: Sequence[Spot], colour: str, shift: float, *, last: bool) -> None:
    """Means and intervals, at the last step with dots; of two gammas or more."""
    if len(found) < 2:
        return
    x, mean, low, high, _ = (np.array(each, float) for each in zip(*found, strict=True))
    axis.plot(x + shift, mean, color=colour, lw=1.6 if last else 1.1, zorder=2.2 if last else 2)
    axis.vlines(x + shift, low, high, color=colour, lw=1.4 if last else 0.8)
    for hollow in (False, True) if last else ():
        if at := [(place, spot.mean) for place, spot in zip(x + shift, found, strict=True) if spot.whole != hollow]:
            style.dots(axis, at, colour, hollow=hollow, s=26)


def aside(study: Study, series: Series, before: int) -> float:
    """How far the numbers of a series stand beside their gamma, so many steps before the last."""
    every = study.series
    apart = min(0.01 * (study.gammas[-1] - study.gammas[0]), 0.6 * float(min(np.diff(study.gammas))) / len(every))
    return apart * (every.index(series) - (len(every) - 1) / 2 + 0.2 * before)


def framed(axis: Axes, study: Study, table: Sequence[Cells], seen: Sequence[Spot]) -> None:
    """The same gammas in every panel; means fill it, and intervals at most as much again on either side.

    On a logarithmic axis, where an interval may reach to 0, less.
    """
    spare = 0.05 * (study.gammas[-1] - study.gammas[0])
    axis.set_xlim(study.gammas[0] - spare, study.gammas[-1] + spare)
    if table[0]["metric"] == COUNTED:
        axis.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ends = np.array([end for spot in seen for end in spot[1:4] if np.isfinite(end)])
    means = np.array([spot.mean for spot in seen])
    scale = axis.yaxis.get_transform()
    with np.errstate(divide="ignore", invalid="ignore"):  # an interval may reach below 0 on a logarithmic axis
        ends, means = (scale.transform(each) for each in (ends, means))
    low, high = float(means.min()), float(means.max())
    span = high - low or 0.1 * abs(high) or 1.0
    room = span if axis.get_yscale() == "linear" else 0.25 * span
    least, most = max(float(np.nanmin(ends)), low - room), min(float(np.nanmax(ends)), high + room)
    ends = np.array([least - 0.07 * span, most + 0.07 * span])
    axis.set_ylim(*scale.inverted().transform(ends).tolist())


def shades(series: Series, count: int) -> list[str]:
    """The series' colour, whiter the earlier the step is."""
    return [whiter(series.colour, share) for share in np.linspace(0.66, 0.0, count)] if count > 1 else [series.colour]


def whiter(colour: str, share: float) -> str:
    red, green, blue = (part + (1 - part) * share for part in to_rgb(colour))
    return to_hex((red, green, blue))


def told(study: Study, paired: bool, steps: Sequence[int]) -> str:
    """What the panels do not say of themselves."""
    when = f"At step {steps[0]}. " if len(steps) == 1 else ""
    over = (
        f"Means over {study.seeds} seeds with 95 % intervals, cut where they leave a panel. "
        if study.seeds > 1
        else "One seed: no intervals. "
    )
    same = "Differences are of trainings with the same seed: weights at the start, rows, minibatches, noise. "
    alike = "A level is a prior without \u03b3, or one \u03b3." if any(levels(study)) else ""
    return when + over + same * paired + alike


def levels(study: Study) -> list[bool]:
    return [len({cells.get("gamma") for cells in study.of(series)}) == 1 for series in study.series]


def best(study: Study, losses: Sequence[Cells], step: int) -> list[str]:
    """Of each series the gamma of the lowest loss at the last step, and how sure that is."""
    found = []
    for series in study.series[:FEW]:
        means = [spot for spot in spots(study, series, losses, step) if np.isfinite(spot.gamma)]
        if len(means) < 2:
            continue
        lowest = min(means, key=lambda spot: spot.mean)
        name = f"{series.label}: at" if series.label else "At"
        text = f"{name} step {step} the lowest mean test loss of {len(means)} \u03b3 is that of {said(lowest.gamma)}"
        differ = [s for s in spots(study, series, losses, step, "difference") if s.gamma == lowest.gamma]
        if differ and lowest.gamma:
            less = differ[0]
            size = (
                wording.interval(*less[1:4])
                if np.isfinite(less.low)
                else wording.three(less.mean).replace("-", "\u2212")
            )
            text += f"; difference from \u03b3 = 0: {size}, of a \u03b3 chosen by the same numbers"
        found.append(f"{text}.")
    return found


def said(gamma: float) -> str:
    return f"\u03b3 = {wording.number(gamma)}"


def keys(study: Study, table: Sequence[Cells], steps: Sequence[int]) -> dict[str, Any]:
    """The legend: series by colour, steps by shade."""
    several = len(study.series) > 1
    found: dict[str, Any] = {}
    if several:
        found |= {each.label: style.key("o", line="-", color=each.colour) for each in study.series}
    ink = study.series[0]._replace(colour=style.INK if several else study.series[0].colour)
    for step, colour in zip(steps, shades(ink, len(steps)), strict=True):
        if len(steps) > 1:
            found[f"step {step}"] = style.key("o" if step == steps[-1] else "", line="-", color=colour)
    if any(cells["metric"] == DOTTED and cells["step"] == "0" for cells in table):
        found["KL before training"] = style.key(line=":", color=ink.colour)
    last = [spot for series in study.series for spot in spots(study, series, table, steps[-1])]
    if any(not spot.whole for spot in last):
        found["not of all seeds"] = style.key("o", hollow=True, color=ink.colour)
    return found
