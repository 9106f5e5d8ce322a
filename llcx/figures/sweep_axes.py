"""The axes of collected.png: which key lies across, where its values stand, and how far up the panels reach."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from llcx.figures import rows, style, wording
from llcx.figures.rows import Row

NAMES = {"llc": r"estimate $\hat\lambda$", "rel_error": "relative error"}
TITLES = {"llc": "Estimates", "rel_error": "Relative errors"}
TICKS, NAMED = 8, 24  # values of a numeric axis, and of one of names, that all have a tick
WORST = 1.5  # relative errors beyond it are wrong, however much
OF_SERIES = ("sampler", "estimator.target", "estimator.where")  # keys that colours tell apart
Line = Mapping[str, str]


class Across(NamedTuple):
    """The horizontal axis: a key, and where its values stand."""

    key: str
    at: dict[str, float]
    kind: str  # linear, log or names
    gap: float  # between neighbours; in decades where it is logarithmic

    def place(self, value: str, aside: float = 0.0) -> float:
        """`aside`: -0.5 to 0.5 of the room that a value has."""
        return self.at[value] * 10 ** (aside * self.gap) if self.kind == "log" else self.at[value] + aside * self.gap

    @property
    def tells(self) -> bool:
        """Whether every series has its own value of the key."""
        return self.key in OF_SERIES

    def of(self, line: Mapping[str, str]) -> str:
        return line[column_of(self.key)]


def is_seed(key: str) -> bool:
    """Whether runs that differ in it are repetitions."""
    return key.rpartition(".")[2] == "seed"


def chosen(jobs: Sequence[Line], keys: Sequence[str], asked: str | None) -> Across:
    """The axis of `asked`, else of the key with most numbers, of one with names, of seeds, of the jobs themselves."""
    if asked is not None and asked not in keys:
        raise ValueError(f"--x must be one of {', '.join(keys) or 'nothing, since no override differs'}, got {asked}")

    def rank(key: str) -> tuple[bool, bool, bool, int]:
        found = values(jobs, key)
        return is_seed(key), key in OF_SERIES, any(map(math.isnan, map(numeric, found))), -len(found)

    key = asked or min(keys, key=rank, default="job")
    found = values(jobs, key)
    at = {value: numeric(value) for value in found}
    if key == "job" or any(map(math.isnan, at.values())):
        return Across(key, {value: float(place) for place, value in enumerate(found)}, "names", 1.0)
    logarithmic = style.wide(np.array(list(at.values())))
    ends = sorted(map(math.log10, at.values()) if logarithmic else at.values())
    gap = min([b - a for a, b in pairwise(ends) if b > a], default=1.0)
    return Across(key, at, "log" if logarithmic else "linear", min(gap, 0.35 * (ends[-1] - ends[0]) or 1.0))


def values(jobs: Sequence[Line], key: str) -> list[str]:
    """What a key is in these jobs, in their order."""
    return list(dict.fromkeys(line[column_of(key)] for line in jobs))


def column_of(key: str) -> str:
    """The column of both tables that holds a key."""
    return key if key == "job" else f"sweep.{key}"


def numeric(text: str) -> float:
    """The number that an override is; nan where it is none."""
    try:
        return float(text) if math.isfinite(float(text)) else math.nan
    except ValueError:
        return math.nan


def value(row: Row, column: str) -> tuple[float, float, float]:
    """(value, low, high); an interval for estimates and relative errors alone."""
    if column == "llc":
        return row.llc, row.low, row.high
    if column == "rel_error" and row.known > 0:
        return row.rel_error, row.low / row.known - 1, row.high / row.known - 1
    return rows.number(row.raw.get(column, "")), math.nan, math.nan


def vertical(axis: Axes, frame: Sequence[Row], column: str) -> tuple[float, float]:
    """Set the range and scale of the values; returns its ends, beyond which a value is wrong or alone."""
    found = np.array([value(row, column) for row in frame if not row.failed]).reshape(-1, 3)
    ys, every = found[np.isfinite(found[:, 0]), 0], found[np.isfinite(found)]
    known = [row.known for row in frame if math.isfinite(row.known)] if column == "llc" else []
    if not ys.size:
        axis.set_yticks([])
        return axis.get_ylim()
    logarithmic = column != "rel_error" and style.wide(np.concatenate([ys, known]))
    low, high = (float(ys.min()), float(ys.max())) if logarithmic else (float(every.min()), float(every.max()))
    if column == "rel_error":
        most = min(max(3 * float(np.quantile(np.abs(ys), 0.75)), 0.05), WORST)
        low, high = max(min(low, 0), -most), min(max(high, 0), most)
    if known and min(known) > 0:
        low, high = (
            max(min(low, *known), min(known) / 5 if logarithmic else -max(known)),
            min(max(high, *known), 5 * max(known)),
        )
    margin = 0.08 * (math.log10(high / low) if logarithmic else high - low) or 0.5
    ends = (low / 10**margin, high * 10**margin) if logarithmic else (low - margin, high + margin)
    axis.set(yscale="log" if logarithmic else "linear", ylim=ends)
    if logarithmic:
        style.plain_log(axis.yaxis, ends)
    elif column == "rel_error":
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    return ends


def ticks(axis: Axes, across: Across) -> None:
    """Ticks at the values of the key where they are few or names."""
    names = {place: wording.plain(key, 18) or "default" for key, place in across.at.items()}
    room = 0.6 * across.gap
    if across.kind != "names":
        places = [math.log10(place) for place in names] if across.kind == "log" else list(names)
        room = max(room, 0.05 * (max(places) - min(places)))
    if across.kind == "log":
        ends = min(names) * 10**-room, max(names) * 10**room
        axis.set(xscale="log", xlim=ends)
        style.plain_log(axis.xaxis, ends)
    else:
        axis.set_xlim(min(names) - room, max(names) + room)
    if across.kind == "names" and len(names) <= NAMED:
        long = sum(map(len, names.values())) > 34
        axis.set_xticks(list(names), list(names.values()), rotation=30 * long, ha="right" if long else "center")
        axis.grid(False, axis="x")
    elif across.kind != "names" and len(names) <= TICKS:
        axis.set_xticks(list(names), [wording.number(place) for place in names])
        axis.set_xticks([], minor=True)
