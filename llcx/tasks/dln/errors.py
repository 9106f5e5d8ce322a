"""analysis/errors.csv of task=dln: estimates against the known values, one row a class, sampler and target."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from math import isfinite, nan
from statistics import fmean, median
from typing import Any

from llcx.types import Tables


def errors(rows: list[dict[str, Any]]) -> Tables:
    """Relative errors against known_llc. Rows that failed, or whose answer is unknown, are counted and left out."""
    groups = defaultdict(list)
    for row in rows:
        groups[row.get("at.class", "single"), row["sampler"], row["target"]].append(row)
    return Tables({"errors": [_summary(*key, group) for key, group in groups.items()]})


def _summary(of_class: str, sampler: str, target: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    answered = [row for row in rows if isfinite(number(row, "llc"))]
    pairs = [(number(row, "known_llc"), number(row, "llc")) for row in answered]
    pairs = [(truth, llc) for truth, llc in pairs if isfinite(truth)]
    signed = [llc / truth - 1 for truth, llc in pairs if truth != 0]
    sizes = sorted(map(abs, signed))
    return {
        "class": of_class,
        "sampler": sampler,
        "target": target,
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
        "covered": covered(answered),
        "against": "known_llc",
    }


def number(row: dict[str, Any], key: str) -> float:
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
    """Share of the pairs of networks with different known values whose estimates stand in the same order."""
    kept = [(a[1] - b[1]) * (a[0] - b[0]) > 0 for a, b in combinations(pairs, 2) if a[0] != b[0]]
    return fmean(kept) if kept else nan


def covered(rows: Sequence[dict[str, Any]]) -> float:
    """Share of the intervals that hold the value expected at their temperature, where it is known."""
    known = [(number(row, "known_at"), row) for row in rows]
    inside = [number(row, "low") <= truth <= number(row, "high") for truth, row in known if isfinite(truth)]
    return fmean(inside) if inside else nan
