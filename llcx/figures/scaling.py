"""dln_scaling.png: relative errors by class of network size and sampler, and the table of analysis/errors.csv."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from llcx.artifacts import RunFolder
from llcx.figures import rows, style, tables, wording
from llcx.figures.rows import Row

LEAST = 1e-4  # relative error at the lower edge of the axis
SHARES = ("median_abs", "mean_abs", "p90_abs", "max_abs", "bias", "order_preservation", "covered")
HEADS = {
    **{"class": "class", "sampler": "sampler", "target": "target", "nets": "nets", "failed": "failed"},
    **{"flagged": "flagged", "median_abs": "median\n|error|", "mean_abs": "mean\n|error|", "p90_abs": "90 %\n|error|"},
    **{"max_abs": "max\n|error|", "bias": "median\nerror", "order_preservation": "order\nkept"},
    **{"covered": "in\ninterval", "median_seconds": "median\nseconds"},
}


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """A strip a (class, sampler) above the table of errors; None where there are fewer than two classes."""
    every = rows.read(folder)
    strips = strips_of(every)
    if len({name for name, _ in strips}) < 2:
        return None
    try:
        table = folder.analysis("errors")
    except FileNotFoundError:
        table = []
    height = 5.2 + 0.3 * len(table)
    picture = Figure(figsize=(style.WIDTH, height), layout="constrained")
    upper, lower = picture.subplots(2, 1, height_ratios=[4.0, 0.6 + 0.3 * len(table)])
    strip_chart(upper, strips)
    write_table(lower, table)
    alive = [row for row in every if not row.failed]
    missing = [row for row in alive if not np.isfinite(row.rel_error)]
    left = wording.absent("Without a relative error, not drawn", missing, every)
    notes = [wording.conditions(alive), left, wording.flagged(every), wording.failures(every)]
    return style.finish(picture, "Deep linear networks: relative error by size of network", notes, keys())


def strips_of(every: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """(class, sampler) -> rows with a relative error, classes in order of their parameters."""
    alive = [row for row in every if not row.failed and np.isfinite(row.rel_error)]
    strips: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(alive, key=lambda row: row.parameters):
        strips.setdefault((row.raw.get("at.class", ""), row.sampler), []).append(row)
    classes = list(dict.fromkeys(name for name, _ in strips))
    return dict(sorted(strips.items(), key=lambda item: (classes.index(item[0][0]), item[0][1])))


def strip_chart(axis: Axes, strips: Mapping[tuple[str, str], list[Row]]) -> None:
    """|relative error|, logarithmic: triangles up above theory, down below it, hollow if flagged; quartiles beside."""
    rng = np.random.default_rng(0)  # sideways jitter, so that points are told apart
    for place, ((_, sampler), group) in enumerate(strips.items()):
        strip(axis, place, group, style.colour(sampler), rng)
    names = [f"{wording.plain(name)}\n{wording.plain(sampler)}" for name, sampler in strips]
    axis.set_xticks(range(len(strips)), names)
    axes_of_errors(axis)


def strip(axis: Axes, place: float, group: Sequence[Row], colour: str, rng: np.random.Generator) -> None:
    """The rows of one strip around `place`, which is 0.8 wide."""
    sizes = np.maximum(np.abs([row.rel_error for row in group]), LEAST)
    sideways = place + rng.uniform(-0.22, 0.22, len(group))
    for up, hollow in product((True, False), repeat=2):
        here = [(row.rel_error >= 0) == up and row.healthy != hollow for row in group]
        if any(here):
            spots = list(zip(sideways[here], sizes[here], strict=True))
            style.dots(axis, spots, colour, "^" if up else "v", hollow=hollow, s=44)
    quartiles = np.quantile(sizes, [0.25, 0.5, 0.75])
    axis.vlines(place + 0.34, quartiles[0], quartiles[2], color=style.INK, lw=1.2)
    axis.hlines(quartiles[1], place + 0.28, place + 0.40, color=style.INK, lw=2.4)


def axes_of_errors(axis: Axes) -> None:
    """Logarithmic shares against strips that have names."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    if high < 20 * low:
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", length=0, labelsize=9, labelcolor=style.INK)
    axis.grid(False, axis="x")
    axis.set_ylabel("|relative error| against known $\\lambda$")


def keys() -> dict[str, Line2D]:
    """The legend: what shape and filling say; the samplers stand below their strips."""
    markers = {"above theory": style.key("^"), "below theory": style.key("v"), "flagged": style.key("^", hollow=True)}
    return {**markers, "median and quartiles": style.key(line="-")}


def write_table(axis: Axes, table: Sequence[Mapping[str, str]]) -> None:
    """analysis/errors.csv as it stands, shares in per cent."""
    if table:
        cells = [[cell(key, line.get(key, "")) for key in HEADS] for line in table]
        tables.draw(axis, list(HEADS.values()), cells, 3)
    else:
        tables.absent(axis, "analysis/errors.csv is not there yet")


def cell(key: str, text: str) -> str:
    """A number of the table as a reader wants it."""
    if key in SHARES:
        return wording.percent(rows.number(text), signed=key == "bias")
    return wording.three(float(text)) if key == "median_seconds" and text else wording.plain(text)
