"""analysis/ of task=mlp: samplers.csv, a line a sampler; minimum.csv, a line a trained network.

samplers.csv has medians over points: estimate, spread of the draws, ESS, R-hat, full-gradient equivalents of all
chains, wnv (variance of the estimate times these) and seconds. `agreeing`: share of the other samplers' intervals, at
the same point and of the same target, that meet its own.
"""

from collections.abc import Sequence
from math import isfinite, nan
from statistics import fmean, median
from typing import Any

from llcx.params import flatten, layout
from llcx.tasks.generic import GenericTask
from llcx.tasks.mlp import newton
from llcx.tasks.summary import alone, by_series, ill, number
from llcx.types import Snapshots, Spec, Tables

Row = dict[str, Any]
TITLE = "samplers: medians over points; sd of draws, wnv: variance of the estimate x full-gradient equivalents"
DIGITS = {"lambda": ".4g", "sd": ".3g", "ess": ".0f", "rhat": ".3f", "equivalents": ",.0f", "wnv": ".3g"}
FOUND = {"llc": "lambda", "llc_sd": "sd", "ess": "ess", "rhat": "rhat", "wnv": "wnv", "seconds": "seconds"}


def samplers(rows: Sequence[Row]) -> list[Row]:
    """A line a sampler and target: least work for a given variance first, what was flagged everywhere last.

    A chain that does not move has a small variance too.
    """
    measured = [row for row in rows if alone(row) and isfinite(number(row, "llc"))]
    return sorted((_line(group, measured) for group in by_series(measured)), key=_rank)


def _rank(line: Row) -> tuple[str, bool, float]:
    wnv = line["wnv"] if isfinite(line["wnv"]) else float("inf")
    return line["target"], line["flagged"] == line["points"], wnv


def said(lines: Sequence[Row]) -> dict[str, list[dict[str, str]]]:
    """The table for the terminal and summary.txt."""
    shown = [
        {"sampler": line["sampler"], "target": line["target"], "points": str(line["points"])}
        | {key: _cell(line[key], form) for key, form in DIGITS.items()}
        | {"seconds": _cell(line["seconds"], ".3g"), "flagged": str(line["flagged"])}
        | ({"agreeing": _cell(line["agreeing"], ".0%")} if len(lines) > 1 else {})
        for line in lines
    ]
    return {TITLE: shown} if shown else {}


def _line(group: Sequence[Row], every: Sequence[Row]) -> Row:
    found = {name: _median([number(row, key) for row in group]) for key, name in FOUND.items()}
    spent = [_equivalents(row) for row in group]
    met = [share for row in group if isfinite(share := _agreeing(row, every))]
    own = {"sampler": group[0]["sampler"], "target": group[0]["target"], "points": len(group)}
    rest = {"flagged": sum(map(ill, group)), "agreeing": fmean(met) if met else nan}
    return own | found | {"equivalents": _median(spent)} | rest


def _equivalents(row: Row) -> float:
    """Full-gradient equivalents of all chains: what wnv multiplies the variance of the estimate with."""
    return number(row, "wnv") * number(row, "ess") / number(row, "llc_sd") ** 2 if number(row, "llc_sd") > 0 else nan


def _agreeing(row: Row, every: Sequence[Row]) -> float:
    same = ("point", "where", "target")
    others = [other for other in every if other is not row and all(other[key] == row[key] for key in same)]
    meet = [
        number(other, "low") <= number(row, "high") and number(row, "low") <= number(other, "high") for other in others
    ]
    return fmean(meet) if meet else nan


def minima(task: GenericTask, snapshot: Snapshots) -> list[Row]:
    """What the mean loss does at each final w*, of networks whose Hessian can be formed; the others are left out."""
    lines = []
    for spec in (spec for spec in task.points() if spec.training is not None and spec.role == "final"):
        found = snapshot(str(spec.training), spec.role)
        if found is not None and (line := _minimum(task, spec, found)) is not None:
            lines.append(line)
    return lines


def _minimum(task: GenericTask, spec: Spec, found: Any) -> Row | None:
    point = task.point(spec, found)
    if layout(point.model.module).size > newton.UP_TO:
        return None
    loss = newton.mean_loss(point.model, point.data.train)
    place = newton.place(loss, flatten(point.model.module), point.data.n)
    told = {"point": spec.name, "parameters": layout(point.model.module).size}
    return told | place._asdict() | {"minimum": place.minimum}


def analysed(task: GenericTask, rows: Sequence[Row], snapshot: Snapshots) -> Tables:
    """Everything."""
    lines = samplers(rows)
    proofs = minima(task, snapshot)
    tables = {"samplers": lines, **({"minimum": proofs} if proofs else {})}
    return Tables(tables, shown=said(lines))


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if isfinite(value)]
    return median(finite) if finite else nan


def _cell(value: float, form: str) -> str:
    return format(value, form) if isfinite(value) else "-"
