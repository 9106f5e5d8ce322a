"""Tables of what benchmarks/trained.py has measured: error, coverage, silent errors and cost by route."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.networks import NETWORKS

ROUTES = ("full", "subset", "minibatch")
FUNCTIONAL = {"full": "data", "subset": "self", "minibatch": "self"}  # what a route estimates
COLUMNS = (
    *("route", "problems", "runs", "median |error| %", "p95", "bias %", "covered", "half-width %", "silent > 10 %"),
    *("flagged", "s"),
)
WRONG = 0.10  # of the reference


def tables(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """A line a problem and route, and a line a route."""
    references = {(row["problem"], row["kind"]): row for row in rows if row["kind"] in FUNCTIONAL.values()}
    judged = [
        {
            **row,
            "reference": reference,
            "error": row["llc"] / reference["llc"] - 1,
            "fitted": NETWORKS[row["problem"]].fitted,
        }
        for row in rows
        if row["kind"] in ROUTES and (reference := references.get((row["problem"], FUNCTIONAL[row["kind"]])))
    ]
    yield _problems(judged)
    for fitted in (True, False):
        yield _routes([row for row in judged if row["fitted"] == fitted], "fitted on" if fitted else "held out")


def covered(row: dict[str, Any]) -> bool:
    """Whether the interval holds the reference, or one of its values within two standard errors."""
    margin = 2 * row["reference"]["se"]
    return bool(row["low"] - margin <= row["reference"]["llc"] <= row["high"] + margin)


def silent(row: dict[str, Any]) -> bool:
    """Whether the number is wrong and nothing was said."""
    return abs(row["error"]) > WRONG and not row["flags"]


def _problems(judged: Sequence[dict[str, Any]]) -> Table:
    found = Table(title="by problem", box=None, pad_edge=False)
    for name in (
        "problem",
        "route",
        "P",
        "n",
        "reference",
        "error %",
        "covered",
        "half-width %",
        "gradients",
        "s",
        "flags",
    ):
        found.add_column(name, justify="left" if name in ("problem", "route", "flags") else "right")
    for name in dict.fromkeys(row["problem"] for row in judged):
        for route in ROUTES:
            these = [row for row in judged if row["problem"] == name and row["kind"] == route]
            if not these:
                continue
            ref = these[0]["reference"]
            found.add_row(
                *(name, route, str(ref["parameters"]), str(ref["n"]), f"{ref['llc']:.4g} +- {ref['se']:.2g}"),
                " ".join(f"{100 * row['error']:+.1f}" for row in these),
                f"{sum(map(covered, these))}/{len(these)}",
                f"{100 * np.mean([_half(row) for row in these]):.1f}",
                f"{np.mean([row['gradients'] for row in these]):.0f}",
                f"{np.mean([row['seconds'] for row in these]):.0f}",
                ", ".join(sorted({flag for row in these for flag in row["flags"]})),
            )
    return found


def _half(row: dict[str, Any]) -> float:
    return float((row["high"] - row["low"]) / 2 / abs(row["reference"]["llc"]))


def _routes(judged: Sequence[dict[str, Any]], title: str) -> Table:
    found = Table(title=title, box=None, pad_edge=False)
    for name in COLUMNS:
        found.add_column(name, justify="left" if name == "route" else "right")
    for route in ROUTES:
        these = [row for row in judged if row["kind"] == route]
        if not these:
            continue
        errors = np.array([100 * row["error"] for row in these])
        found.add_row(
            *(route, str(len({row["problem"] for row in these})), str(len(these))),
            *(
                f"{np.median(np.abs(errors)):.1f}",
                f"{np.quantile(np.abs(errors), 0.95):.1f}",
                f"{np.median(errors):+.1f}",
            ),
            f"{sum(map(covered, these))}/{len(these)}",
            f"{100 * np.median([_half(row) for row in these]):.1f}",
            str(sum(map(silent, these))),
            str(sum(bool(row["flags"]) for row in these)),
            f"{np.median([row['seconds'] for row in these]):.0f}",
        )
    return found
