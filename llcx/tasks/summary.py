"""Tables of errors over the points of a study: estimates against known values, one row a group of points."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isfinite, nan
from statistics import fmean, median
from typing import Any

Row = dict[str, Any]  # of metrics_summary.csv, typed or as text


def errors(rows: Sequence[Row], by: Mapping[str, str], against: Sequence[str] = ("known_llc",)) -> list[Row]:
    """Relative errors of `llc` against each column of `against`, over the rows that agree in `by`, sampler and target.

    `by` names the columns of the table after those of `rows`: {"class": "at.class"}. Rows that failed, or whose answer
    is unknown, are counted and left out.
    """
    groups = defaultdict(list)
    for row in rows:
        groups[(*(row.get(column, "single") for column in by.values()), row["sampler"], row["target"])].append(row)
    names = (*by, "sampler", "target")
    return [
        dict(zip(names, key, strict=True)) | _summary(group, column)
        for key, group in groups.items()
        for column in against
    ]


def _summary(rows: Sequence[Row], against: str) -> Row:
    answered = [row for row in rows if isfinite(number(row, "llc"))]
    pairs = [(number(row, against), number(row, "llc")) for row in answered]
    pairs = [(truth, llc) for truth, llc in pairs if isfinite(truth)]
    signed = [llc / truth - 1 for truth, llc in pairs if truth != 0]
    sizes = sorted(map(abs, signed))
    return {
        "nets": len(rows),
        "failed": len(rows) - len(answered),
        "flagged": sum(str(row["healthy"]) != "True" for row in answered),
        "median_abs": median(sizes) if sizes else nan,
        "mean_abs": fmean(sizes) if sizes else nan,
        "p90_abs": quantile(sizes, 0.9),
        "max_abs": max(sizes, default=nan),
        "bias": median(signed) if signed else nan,
        "order_preservation": order_preservation(pairs),
        "median_seconds": median(number(row, "seconds") for row in answered) if answered else nan,
        "covered": covered(answered, "known_at" if against == "known_llc" else against),
        "against": against,
    }


def number(row: Row, key: str) -> float:
    """A cell as a float, nan where it is empty or missing."""
    cell = row.get(key)
    return nan if cell is None or cell == "" else float(cell)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the order statistics, as numpy's default; nan of nothing."""
    if not ordered:
        return nan
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def order_preservation(pairs: Sequence[tuple[float, float]]) -> float:
    """Share of the pairs of points with different known values whose estimates stand in the same order."""
    kept = [(a[1] - b[1]) * (a[0] - b[0]) > 0 for a, b in combinations(pairs, 2) if a[0] != b[0]]
    return fmean(kept) if kept else nan


def covered(rows: Sequence[Row], truth: str = "known_at") -> float:
    """Share of the intervals that hold the value in the column `truth`, where it is known."""
    known = [(number(row, truth), row) for row in rows]
    inside = [number(row, "low") <= value <= number(row, "high") for value, row in known if isfinite(value)]
    return fmean(inside) if inside else nan
