"""Rows of metrics_summary.csv as records: empty cells are nan, and nothing is left out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llcx.artifacts import RunFolder

NUMBERS = ("llc", "low", "high", "rel_error", "nbeta", "gamma", "parameters", "rhat", "ess")


@dataclass(frozen=True)
class Row:
    """One measurement; numbers that are unknown are nan."""

    raw: dict[str, str]
    point: str
    sampler: str
    where: str
    target: str
    llc: float
    low: float  # of the 95 % interval
    high: float
    known: float  # known_llc: local where known, else global
    rel_error: float
    nbeta: float
    gamma: float
    parameters: float
    rhat: float
    ess: float
    healthy: bool
    flags: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """No finite number came out."""
        return not math.isfinite(self.llc)

    @property
    def combination(self) -> bool:
        """One of a grid, which may be far from what calibration would choose."""
        return any(self.raw.get(f"at.{axis}") for axis in ("nbeta", "gamma", "step_size"))

    @property
    def series(self) -> tuple[str, str, str]:
        """What may be drawn with one colour: (sampler, where, target)."""
        return self.sampler, self.where, self.target


def read(folder: RunFolder) -> list[Row]:
    """All rows of a run folder, in the order in which they were measured."""
    return [parse(raw) for raw in folder.rows]


def parse(raw: dict[str, str]) -> Row:
    """One row of the file, whose cells are text."""
    cells: Any = {key: number(raw.get(key, "")) for key in NUMBERS}
    cells |= {key: raw.get(key, "") for key in ("point", "sampler", "where", "target")}
    flags = tuple(filter(None, raw.get("flags", "").split(";")))
    return Row(
        raw=raw, **cells, known=number(raw.get("known_llc", "")), healthy=raw.get("healthy") == "True", flags=flags
    )


def number(text: str) -> float:
    """The number in a cell; an empty cell is nan."""
    return float(text) if text else math.nan


def by_series(rows: Sequence[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Rows grouped by (sampler, where, target), in order of first appearance."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.series, []).append(row)
    return groups


def lost(every: Sequence[Row], series: tuple[str, str, str]) -> int:
    """How many rows of a series have no number; such a row may not know its target."""
    return sum(row.failed and row.series in (series, (*series[:2], "")) for row in every)


def worst(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows: in their own order where all fit, else flagged first, then by relative error and R-hat."""
    if len(rows) <= most:
        return list(rows)

    def severity(row: Row) -> tuple[bool, float, float]:
        return row.healthy, -known_or(abs(row.rel_error), 0.0), -known_or(row.rhat, 0.0)

    return sorted(rows, key=severity)[:most]


def known_or(value: float, default: float) -> float:
    """`value`, or `default` where it is nan."""
    return default if math.isnan(value) else value
