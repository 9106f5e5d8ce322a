"""A panel of collected.png: intervals, markers, medians, known values, and marks where there is no number."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from llcx.figures import rows, style, sweep_axes, wording
from llcx.figures.rows import Row
from llcx.figures.sweep_axes import Across

CROWD = 12  # measurements of one series at one value, above which they are drawn together
KINDS: dict[str, Any] = {
    "crowd": style.key("o", line="-"),
    "flagged": style.key("o", hollow=True),
    "known value": style.key(line="-", color=style.KNOWN),
    "beyond the frame": style.key("^", hollow=True, color=style.ALERT),
    "no number": style.key("x", color=style.ALERT),
    "not done yet": style.key("+", color=style.MUTED),
}
SAID = {"crowd": "median, middle half, 90 %"}
MARKS = {"x": ("no number", 0.04), "+": ("not done yet", 0.1)}  # and their height
Series = tuple[str, str, str]


class Panel(NamedTuple):
    """What stands in one panel."""

    title: str
    rows: list[Row]
    silent: list[Mapping[str, str]]  # lines of jobs.csv that ended without a row
    waiting: list[Mapping[str, str]]  # and that have not ended


class Slot(NamedTuple):
    """Which part of a value's room a series has."""

    place: int
    of: int
    room: float  # of all parts together, as a share of the distance between values

    @property
    def share(self) -> float:
        return self.room / self.of

    def aside(self, within: float = 0.5) -> float:
        """`within`: 0 to 1, a place in that part."""
        return self.room * ((self.place + within) / self.of - 0.5)


class Dot(NamedTuple):
    """A measurement and its place."""

    x: float
    y: float
    low: float
    high: float
    healthy: bool


def draw(
    axis: Axes, panel: Panel, across: Across, column: str, tones: Mapping[Series, style.Tone], frame: Sequence[Row]
) -> None:
    """One panel, whose vertical range is that of the rows of `frame`."""
    alive = [row for row in panel.rows if not row.failed]
    ends = sweep_axes.vertical(axis, frame, column)
    slots = slots_of(panel.rows, across)
    for series, group in rows.by_series(alive).items():
        slot = slots[series[:2]]
        if max(Counter(across.of(row.raw) for row in group).values()) > CROWD:
            crowds(axis, group, across, column, slot, tones[series])
        else:
            members(axis, placed(group, across, column, slot), tones[series], ends)
        middles(axis, group, across, column, slot, tones[series].colour)
    knowns(axis, alive, across, column)
    sweep_axes.ticks(axis, across)
    for key, slot in slots.items():
        dead = Counter(across.of(row.raw) for row in panel.rows if row.failed and (row.sampler, row.where) == key)
        marks(axis, across, dead, slot, "x", style.colour(key[0]))
    whole = Slot(0, 1, 0.0)
    marks(axis, across, Counter(map(across.of, panel.silent)), whole, "x", style.ALERT)
    marks(axis, across, Counter(map(across.of, panel.waiting)), whole, "+", style.MUTED)
    axis.set_title(wording.plain(panel.title, 52))


def slots_of(every: Sequence[Row], across: Across) -> dict[tuple[str, str], Slot]:
    """(sampler, where) -> its part; all of it where each value of the key has but one of them."""
    keys = list(dict.fromkeys((row.sampler, row.where) for row in every))
    room = 0.7 if across.kind == "names" else 0.3
    return {key: Slot(0, 1, room) if across.tells else Slot(place, len(keys), room) for place, key in enumerate(keys)}


def placed(group: Sequence[Row], across: Across, column: str, slot: Slot) -> list[Dot]:
    """Rows of one series, those of one value of the key side by side."""
    total, seen = Counter(across.of(row.raw) for row in group), Counter[str]()
    found = []
    for row in group:
        here = across.of(row.raw)
        spread = min(1.0, total[here] / 3)
        place = 0.5 + spread * ((seen[here] + 0.5) / total[here] - 0.5)
        seen[here] += 1
        y, low, high = sweep_axes.value(row, column)
        if math.isfinite(y):
            found.append(Dot(across.place(here, slot.aside(place)), y, low, high, row.healthy))
    return found


def members(axis: Axes, dots: Sequence[Dot], tone: style.Tone, ends: tuple[float, float]) -> None:
    """Interval bars and markers; what lies beyond the frame is a triangle on its edge."""
    inside = [dot for dot in dots if ends[0] <= dot.y <= ends[1]]
    x, low, high = (np.array([getattr(dot, key) for dot in inside]) for key in ("x", "low", "high"))
    axis.vlines(x, low, high, color=tone.colour, lw=1.4, alpha=0.35)
    size = 34 if len(dots) <= 60 else 14
    for hollow in (False, True):
        at = [(dot.x, dot.y) for dot in inside if dot.healthy != hollow]
        if at:
            style.dots(axis, at, tone.colour, tone.marker, hollow=hollow, s=size, label="flagged" if hollow else "")
    for marker, edge, found in (
        ("v", 0.02, [dot for dot in dots if dot.y < ends[0]]),
        ("^", 0.98, [dot for dot in dots if dot.y > ends[1]]),
    ):
        if found:
            at, upright = [(dot.x, edge) for dot in found], axis.get_xaxis_transform()
            style.dots(axis, at, tone.colour, marker, hollow=True, s=size, label="beyond the frame", transform=upright)


def crowds(axis: Axes, group: Sequence[Row], across: Across, column: str, slot: Slot, tone: style.Tone) -> None:
    """Where a value of the key has many measurements: their median, the middle half of them and the middle 90 %."""
    for key, ys in by_key(group, across, column).items():
        x = across.place(key, slot.aside())
        low, first, middle, third, high = np.quantile(ys, (0.05, 0.25, 0.5, 0.75, 0.95))
        axis.vlines(x, low, high, color=tone.colour, lw=1.4, alpha=0.5)
        axis.vlines(x, first, third, color=tone.colour, lw=9, alpha=0.3)
        style.dots(axis, [(x, middle)], tone.colour, tone.marker, hollow=False, label="crowd")


def by_key(group: Sequence[Row], across: Across, column: str) -> dict[str, list[float]]:
    """The finite values at each value of the key."""
    found: dict[str, list[float]] = {}
    for row in group:
        y = sweep_axes.value(row, column)[0]
        if math.isfinite(y):
            found.setdefault(across.of(row.raw), []).append(y)
    return found


def middles(axis: Axes, group: Sequence[Row], across: Across, column: str, slot: Slot, colour: str) -> None:
    """The median at each value of the key: joined along numbers, a dash over names."""
    found = by_key(group, across, column)
    at = sorted((across.place(key, slot.aside()), median(ys), len(ys)) for key, ys in found.items())
    if across.kind != "names" and len(at) > 1:
        axis.plot([x for x, _, _ in at], [y for _, y, _ in at], color=colour, lw=1.2, alpha=0.8, zorder=2)
    for x, y, count in at if across.kind == "names" else []:
        if count > 2:
            axis.hlines(y, x - 0.4 * slot.share, x + 0.4 * slot.share, color=colour, lw=1.6, zorder=2.5)


def knowns(axis: Axes, alive: Sequence[Row], across: Across, column: str) -> None:
    """One line where one value is known throughout, else a dash over each value of the key."""
    look: Any = {"color": style.KNOWN, "lw": 1.6, "zorder": 1.5, "label": "known value"}
    if column == "rel_error":
        axis.axhline(0, **look)
    if column != "llc":
        return
    known = dict.fromkeys((across.of(row.raw), row.known) for row in alive if math.isfinite(row.known))
    if len({value for _, value in known}) == 1:
        axis.axhline(next(iter(known))[1], **look)
    else:
        for key, level in known:
            axis.hlines(level, across.place(key, -0.5), across.place(key, 0.5), **look)


def marks(axis: Axes, across: Across, counts: Counter[str], slot: Slot, marker: str, colour: str) -> None:
    """A mark near the lower edge, with their number where they are several."""
    label, height = MARKS[marker]
    for key, count in counts.items():
        place: Any = {"transform": axis.get_xaxis_transform(), "color": colour, "zorder": 5}
        x = across.place(key, slot.aside())
        axis.scatter([x], [height], marker=marker, s=34, lw=1.5, label=label, clip_on=False, **place)
        if count > 1:
            axis.text(x, height, f"   {count}", fontsize=8, va="center", **place)


def legend(axes: Sequence[Axes], tones: Mapping[Series, style.Tone], every: Sequence[Row]) -> dict[str, Any]:
    """Every series in its colour, then in ink the kinds of markers that the panels have."""
    groups = rows.by_series(every)
    own = {
        wording.plain(", ".join(wording.series(group[0], every))): style.key(tone.marker, line="-", color=tone.colour)
        for key, group in groups.items()
        for tone in [tones[key]]
    }
    kinds = style.entries(axes)
    return own | {SAID.get(label, label): entry for label, entry in KINDS.items() if label in kinds}
