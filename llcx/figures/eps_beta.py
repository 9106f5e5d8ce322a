"""eps_beta.png: estimate, Var/mean and acceptance over step size and n*beta, with the calibrated choice on the map.

A step that is too small has not arrived, one that is too large is biased or rejected; between them lies the ground on
which the number can be trusted. Drawn where a run has both axes, estimator.grid.step_size and estimator.grid.nbeta.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from llcx.artifacts import RunFolder
from llcx.figures import flags, rows, style, wording
from llcx.figures.rows import Row

TITLE = "Estimates over step size and n\u03b2"
AXES = re.compile(r"(,(nbeta|gamma|step_size)=[^,]+)+$")  # what a combination adds to the name of its point
MOST = 4  # maps
EMPTY = "#eceef0"
SPREAD = 0.3  # relative distance from the known value at which the colours end


class Map(NamedTuple):
    """One point with one sampler: its rows by (n*beta, step size) as the grid has them, and the calibrated choice."""

    name: str
    cells: dict[tuple[str, str], Row]
    chosen: Row | None

    def ticks(self, axis: int) -> list[tuple[str, float]]:
        """Values of axis 0, n*beta, or 1, step size, ascending: as the grid has them, and as numbers."""
        key = ("nbeta", "step_size")[axis]
        unit = rows.number(self.chosen.raw[key]) if self.chosen else math.nan
        labels = dict.fromkeys(place[axis] for place in self.cells)
        known = {
            label: rows.known_or(unit, 1.0) * float(label[1:]) if label[0] == "x" else float(label) for label in labels
        }
        return sorted(known.items(), key=lambda item: item[1])


class Quantity(NamedTuple):
    """What the cells of a panel show."""

    name: str
    values: dict[tuple[str, str], float]  # of the cells that have a number
    shown: Callable[[float], str]
    colours: str
    norm: Normalize
    extend: str  # on which sides values lie beyond the colours


KEYS: dict[str, Any] = {
    "calibrated choice": style.key("*"),
    "flagged": Patch(fc="white", ec=style.MUTED, hatch="////", lw=0.5),
    "no number": Patch(fc=EMPTY, ec=style.MUTED, lw=0.5),
}


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """Three panels a point and sampler, at most four lines of them; None without the two axes."""
    found = maps(rows.read(folder))
    if not found:
        return None
    shown = found[:MOST]
    heights = [0.36 * len(each.ticks(0)) + 1.15 for each in shown]
    width = max(style.WIDTH, 1.6 * max(len(each.ticks(1)) for each in shown))
    picture = Figure(figsize=(width, sum(heights) + 1.6), layout="constrained")
    panels = picture.subplots(len(shown), 3, squeeze=False, height_ratios=heights)
    for line, each in zip(panels, shown, strict=True):
        for axis, quantity in zip(line, quantities(each), strict=True):
            panel(axis, each, quantity)
        line[0].set_ylabel("n\u03b2")
        line[0].set_title(f"{wording.plain(each.name, 50)}\n{line[0].get_title('left')}")
    for axis in panels[-1]:
        axis.set_xlabel("step size")
    return style.finish(picture, TITLE, [calibrated(shown), ill(shown), left_out(found)], KEYS)


def maps(every: Sequence[Row]) -> list[Map]:
    """One for each point and sampler that was measured over both axes."""
    cells: dict[tuple[str, ...], dict[tuple[str, str], Row]] = {}
    for row in every:
        place = row.raw.get("at.nbeta", ""), row.raw.get("at.step_size", "")
        if all(place):
            cells.setdefault((AXES.sub("", row.point), row.raw.get("at.gamma", ""), row.sampler, row.where), {})[
                place
            ] = row
    whole = {key: found for key, found in cells.items() if all(len({at[k] for at in found}) > 1 for k in (0, 1))}
    return [Map(named(key), found, chosen(every, key)) for key, found in whole.items()]


def named(key: tuple[str, ...]) -> str:
    point, gamma, sampler, where = key
    return " \u00b7 ".join(
        [point, *([f"\u03b3 {gamma}"] if gamma else []), sampler, *([] if where == "all" else [where])]
    )


def chosen(every: Sequence[Row], key: tuple[str, ...]) -> Row | None:
    """The row of the point itself, which calibration chose."""
    point, gamma, sampler, where = key
    own = [row for row in every if (row.point, row.sampler, row.where) == (point, sampler, where)]
    return own[0] if own and not own[0].failed and gamma in ("", "x1") else None


def quantities(each: Map) -> list[Quantity]:
    """Estimate around the known value (else the calibrated one), Var/mean around 1, acceptance or R-hat."""
    alive = {place: row for place, row in each.cells.items() if not row.failed}
    ratio = {place: rows.number(row.raw["llc_fluct"]) / row.llc for place, row in alive.items() if row.llc > 0}
    accept = {place: rows.number(row.raw.get("accept", "")) for place, row in alive.items()}
    rhat = {place: row.rhat for place, row in alive.items()}
    middle, whose = centre(each)
    name, around = rf"$\hat\lambda$, white at the {whose} {wording.three(middle)}", max(SPREAD * abs(middle), 1e-12)
    return [
        Quantity(name, {place: row.llc for place, row in alive.items()}, wording.three, "RdBu_r",
                 CenteredNorm(middle, around), "both"),
        Quantity(r"Var$(n\beta K)\,/\,\hat\lambda$, white at 1", ratio, two, "PuOr_r", CenteredNorm(1.0, 0.5), "both"),
        Quantity("acceptance", accept, two, "viridis", Normalize(0, 1), "neither")
        if any(map(math.isfinite, accept.values()))
        else Quantity(r"split $\hat R$ (no Metropolis step)", rhat, two, "viridis_r", Normalize(1, 1.5), "max"),
    ]  # fmt: skip


def centre(each: Map) -> tuple[float, str]:
    """Where the colours of the estimate are white, and whose value that is."""
    alive = [row for row in each.cells.values() if not row.failed]
    known = [row.known for row in alive if row.known > 0]
    if known:
        return known[0], "known"
    if each.chosen:
        return each.chosen.llc, "calibrated"
    return (float(np.median([row.llc for row in alive])) if alive else 1.0), "median"


def two(value: float) -> str:
    return f"{value:.2f}"


def panel(axis: Axes, each: Map, shown: Quantity) -> None:
    """A cell a combination, with its number; hatched where flagged, grey where there is none."""
    nbetas, steps = each.ticks(0), each.ticks(1)
    colours = ScalarMappable(shown.norm, shown.colours)
    for (nbeta, step), row in each.cells.items():
        place = [label for label, _ in steps].index(step), [label for label, _ in nbetas].index(nbeta)
        value = shown.values.get((nbeta, step), math.nan)
        unknown = to_rgb(EMPTY if row.failed else "white")
        colour, text = (
            (colours.cmap(shown.norm(value)), shown.shown(value)) if math.isfinite(value) else (unknown, "\u2013")
        )
        cell(axis, place, colour, text, hatched=not row.healthy and not row.failed)
    axis.set(xlim=(-0.5, len(steps) - 0.5), ylim=(-0.5, len(nbetas) - 0.5), title=shown.name)
    axis.set_xticks(range(len(steps)), [f"{value:.2g}".replace("e-0", "e-") for _, value in steps])
    axis.set_yticks(range(len(nbetas)), [wording.number(value) for _, value in nbetas])
    axis.grid(False)
    if each.chosen:
        star(axis, each, each.chosen)
    axis.get_figure(root=True).colorbar(colours, ax=axis, extend=shown.extend, pad=0.02, aspect=16)  # type: ignore[union-attr]


def cell(axis: Axes, place: tuple[int, int], colour: Any, text: str, *, hatched: bool) -> None:
    corner = place[0] - 0.5, place[1] - 0.5
    axis.add_patch(Rectangle(corner, 1, 1, fc=colour, ec="white", lw=0.8))
    light = float(np.dot(colour[:3], (0.299, 0.587, 0.114))) > 0.55
    ink = style.INK if light else "white"
    if hatched:
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, ec=(*to_rgb(ink), 0.3), hatch="////", lw=0))
    axis.text(*place, text, ha="center", va="center", fontsize=8, color=ink)


def star(axis: Axes, each: Map, row: Row) -> None:
    """The calibrated choice: in the corner of its cell, or between the cells where it is none of them."""
    values = rows.number(row.raw["step_size"]), row.nbeta
    logs = [[math.log(number) for _, number in each.ticks(k)] for k in (1, 0)]
    x, y = (float(np.interp(math.log(value), at, range(len(at)))) for value, at in zip(values, logs, strict=True))
    beside = (0.36, 0.27) if abs(x - round(x)) + abs(y - round(y)) < 0.02 else (0.0, 0.0)
    axis.plot(x + beside[0], y + beside[1], "*", ms=11, color=style.INK, mec="white", mew=0.8, zorder=5)


def calibrated(shown: Sequence[Map]) -> str:
    """What calibration chose and got."""
    items = [
        f"{each.name}: n\u03b2 {wording.number(row.nbeta)}, step {wording.three(rows.number(row.raw['step_size']))}, "
        f"\u03bb\u0302 {wording.interval(row.llc, row.low, row.high)}"
        for each in shown
        if (row := each.chosen)
    ]
    return f"Calibrated: {'; '.join(items)}." if items else ""


def ill(shown: Sequence[Map]) -> str:
    """How often each flag was raised, and what the rows without a number say."""
    every = [row for each in shown for row in each.cells.values()]
    raised = Counter(flags.short(flag) for row in every if not row.failed for flag in row.flags)
    told = ", ".join(f"{flag} {count}" for flag, count in raised.most_common())
    dead = Counter(", ".join(row.flags) for row in every if row.failed)
    without = "; ".join(f"{count} x {message}" for message, count in dead.most_common(2))
    return " ".join(filter(None, [f"Flagged: {told}." if told else "", f"No number: {without}." if without else ""]))


def left_out(found: Sequence[Map]) -> str:
    return f"{len(found) - MOST} further maps are not shown." if len(found) > MOST else ""
