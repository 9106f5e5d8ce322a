"""Tables over the points of a study: estimates against known values.

errors                one row a group of points, sampler and target
leaderboard           one row a sampler and target: errors, bias, coverage, order, flags, cost
bias_by_multiplicity  one row a sampler, target and multiplicity: what theory expects of the bias, and what there is
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isfinite, nan
from statistics import fmean, median
from typing import Any

from llcx.types import Tables

OFF = 0.15  # a relative error above it is a wrong number: silent where no flag was raised
SAID = {  # columns of the leaderboard that the terminal shows, and what it calls them
    **{"sampler": "sampler", "target": "target", "problems": "n", "median_abs_at": "median", "mean_abs_at": "mean"},
    **{"p95_abs_at": "95 %", "bias_at": "bias", "covered_at": "inside", "median_abs": "\u03bb median"},
    **{"mean_abs": "\u03bb mean", "p95_abs": "\u03bb 95 %", "covered": "\u03bb inside", "half_width": "width"},
    **{"order_preservation": "order", "failed": "failed", "flagged": "flags", "alarms": "alarms", "silent": "silent"},
    **{"gradients": "grads", "seconds": "seconds"},
}
COUNTS = ("problems", "failed", "flagged", "alarms", "silent")
TITLE = (
    "|estimate / known - 1|, known at this n*beta and gamma (\u03bb: known is lambda itself); inside, width: of the "
    f"interval; alarms: flagged within {OFF:.0%}; silent: not flagged beyond; grads of all chains, seconds: medians"
)

Row = dict[str, Any]  # of metrics_summary.csv, typed or as text


def errors(rows: Sequence[Row], by: Mapping[str, str], against: Sequence[str] = ("known_llc",)) -> list[Row]:
    """Relative errors of `llc` against each column of `against`, over the rows that agree in `by`, sampler and target.

    `by` names the columns of the table after those of `rows`: {"class": "at.class"}. Rows that failed, or whose answer
    is unknown, are counted and left out.
    """
    groups = defaultdict(list)
    for row in filter(alone, rows):
        groups[(*(row.get(column, "single") for column in by.values()), row["sampler"], row["target"])].append(row)
    names = (*by, "sampler", "target")
    return [
        dict(zip(names, key, strict=True)) | _summary(group, column)
        for key, group in groups.items()
        for column in against
    ]


def _summary(rows: Sequence[Row], against: str) -> Row:
    answered = [row for row in rows if isfinite(number(row, "llc"))]
    return {
        "nets": len(rows),
        "failed": len(rows) - len(answered),
        "flagged": sum(map(ill, answered)),
        **accuracy(answered, against),
        "median_seconds": median(number(row, "seconds") for row in answered) if answered else nan,
        "against": against,
    }


def accuracy(rows: Sequence[Row], against: str) -> dict[str, float]:
    """Relative errors of `llc` against the column `against` over the rows where it is known, and what comes with them.

    bias: median of the signed ones; order_preservation: of `llc` by the known values; covered: of the known value by
    the interval; half_width: of the interval, relative to `llc`, median.
    """
    pairs = [(number(row, against), number(row, "llc")) for row in rows]
    pairs = [(truth, llc) for truth, llc in pairs if isfinite(truth)]
    signed = [llc / truth - 1 for truth, llc in pairs if truth != 0]
    sizes = sorted(map(abs, signed))
    widths = [half_width(row) for row in rows if isfinite(half_width(row))]
    return {
        "median_abs": median(sizes) if sizes else nan,
        "mean_abs": fmean(sizes) if sizes else nan,
        "p90_abs": quantile(sizes, 0.9),
        "p95_abs": quantile(sizes, 0.95),
        "max_abs": max(sizes, default=nan),
        "bias": median(signed) if signed else nan,
        "order_preservation": order_preservation(pairs),
        "covered": covered(rows, against),
        "half_width": median(widths) if widths else nan,
    }


def leaderboard(rows: Sequence[Row]) -> Tables:
    """leaderboard and bias_by_multiplicity; the first for the terminal too, where there is something to compare."""
    board = [standing(group) for group in sorted(by_series(rows), key=rank)]
    tables = {"leaderboard": board, "bias_by_multiplicity": bias_by_multiplicity(rows)}
    several = any(line["problems"] > 1 for line in board)
    return Tables(tables, shown={TITLE: said(board)} if several else {})


def alone(row: Row) -> bool:
    """Whether the row is a point as calibrated, not one of a grid's combinations, which may be far from it."""
    return not any(row.get(f"at.{axis}") not in (None, "") for axis in ("nbeta", "gamma", "step_size"))


def by_series(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows by sampler and target; a failed row knows no target, and joins its sampler's first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(filter(alone, rows), key=lambda row: not row["target"]):
        first = next((key for key in found if key[0] == row["sampler"]), (row["sampler"], ""))
        found.setdefault((row["sampler"], row["target"]) if row["target"] else first, []).append(row)
    return list(found.values())


def rank(rows: Sequence[Row]) -> float:
    """The median error, infinite for what failed."""
    return median(off(row) if isfinite(number(row, "llc")) else float("inf") for row in rows)


def standing(rows: Sequence[Row]) -> Row:
    """A line of the leaderboard: `_at` against known_at, else against known_llc."""
    answered = [row for row in rows if isfinite(number(row, "llc"))]
    right = [row for row in answered if off(row) <= OFF]
    at = {f"{key}_at": value for key, value in accuracy(answered, "known_at").items() if key != "half_width"}
    spent = [number(row, "gradients") * number(row, "chains") for row in answered]
    taken = [number(row, "seconds") for row in answered]
    return {
        "sampler": rows[0]["sampler"],
        "target": rows[0]["target"],
        "problems": len(rows),
        "failed": len(rows) - len(answered),
        **at,
        **accuracy(answered, "known_llc"),
        "flagged": sum(map(ill, answered)),
        "alarms": sum(map(ill, right)),
        "silent": sum(off(row) > OFF and not ill(row) for row in answered),
        "gradients": median(spent) if spent else nan,
        "seconds": median(taken) if taken else nan,
        "total_seconds": sum(taken),
    }


def bias_by_multiplicity(rows: Sequence[Row]) -> list[Row]:
    """Means of estimate - lambda beside what is expected at n*beta and gamma, and relative medians."""
    found = []
    for group in by_series(rows):
        answered = [row for row in group if isfinite(number(row, "llc") - number(row, "known_llc"))]
        for mult in sorted({number(row, "known_mult") for row in answered if isfinite(number(row, "known_mult"))}):
            mine = [row for row in answered if number(row, "known_mult") == mult]
            expected = [number(row, "known_at") - number(row, "known_llc") for row in mine]
            line = {"sampler": group[0]["sampler"], "target": group[0]["target"], "multiplicity": int(mult)}
            line |= {
                "problems": len(mine),
                "bias": fmean(number(row, "llc") - number(row, "known_llc") for row in mine),
            }
            line |= {"expected": fmean(expected) if all(map(isfinite, expected)) else nan}
            line |= {
                "median_rel": accuracy(mine, "known_llc")["bias"],
                "median_rel_at": accuracy(mine, "known_at")["bias"],
            }
            found.append(line | {"covered": covered(mine, "known_llc"), "covered_at": covered(mine, "known_at")})
    return found


def said(board: Sequence[Row]) -> list[dict[str, str]]:
    """The leaderboard as text; the target where there are several."""
    targets = len({line["target"] for line in board}) > 1
    heads = {key: head for key, head in SAID.items() if targets or key != "target"}
    return [{head: _cell(key, line[key]) for key, head in heads.items()} for line in board]


def _cell(key: str, value: Any) -> str:
    if isinstance(value, str) or key in COUNTS:
        return str(value)
    if not isfinite(value):
        return "-"
    if key in ("gradients", "seconds"):
        return f"{value / 1000:,.0f}k" if value >= 1e4 else f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    share = f"{100 * value:.{0 if abs(value) >= 0.9995 else 1}f} %"
    return f"+{share}" if key == "bias_at" and value > 0 else share


def ill(row: Row) -> bool:
    """Whether it was flagged."""
    return str(row["healthy"]) != "True"


def off(row: Row) -> float:
    """|relative error| against known_at, where that is unknown against known_llc; 0 where nothing is known."""
    truths = [truth for key in ("known_at", "known_llc") if isfinite(truth := number(row, key)) and truth != 0]
    return abs(number(row, "llc") / truths[0] - 1) if truths else 0.0


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


def half_width(row: Row) -> float:
    """Of the interval, relative to the estimate."""
    llc = number(row, "llc")
    return (number(row, "high") - number(row, "low")) / abs(2 * llc) if llc != 0 else nan


def covered(rows: Sequence[Row], truth: str) -> float:
    """Share of the intervals that hold the value in the column `truth`, where it is known."""
    known = [(number(row, truth), row) for row in rows]
    inside = [number(row, "low") <= value <= number(row, "high") for value, row in known if isfinite(value)]
    return fmean(inside) if inside else nan
