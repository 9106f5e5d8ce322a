"""Learning coefficients of parts of a model beside that of the whole.

A part's coefficient is that of the posterior in which it moves alone, all else held at w* (the restricted or
weight-refined learning coefficient: Wang et al. 2024, arXiv:2410.02984). Their sum is not that of the whole:

    K = (a^2 + b^2)      1/2 + 1/2, whole 1      parts that do not meet
    K = (a b)^2 at 0     0 + 0, whole 1/2        what only moves together
    K = (a b - 1)^2      1/2 + 1/2, whole 1/2    what one part can undo of the other

so whole - sum is the parts' interaction. It means that only where target, n*beta and gamma are the same, and where the
parts hold each parameter once. Chain c draws from the same stream in every part, so errors of sums and differences are
those of the chains' sums where all have as many chains, no less than of independent ones; else the sum of all errors.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isclose, nan, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx.diagnostics import t_quantile
from llcx.types import Trace

Row = Mapping[str, Any]  # of metrics_summary.csv
NUMBERS = ("llc", "se", "low", "high", "nbeta", "gamma", "parameters")
TITLE = "parts beside the whole, each sampled alone: lambda and 95 % interval"
SUM, WHOLE, BETWEEN = "sum of parts", "whole", "whole - sum"


class Place(NamedTuple):
    """A measurement of a part, or of the whole."""

    where: str
    row: Row
    means: Tensor  # of each chain [C]
    llc: float
    low: float  # half-widths of the interval: below and above
    high: float
    se: float

    @property
    def bias(self) -> tuple[float, float]:
        """Of the half-widths, what no number of draws takes away."""
        noise = t_quantile(len(self.means)) * self.se
        return tuple(sqrt(max(0.0, side**2 - noise**2)) for side in (self.low, self.high))  # type: ignore[return-value]


def beside(
    rows: Sequence[Row], whole: str, energy: Callable[[Row], Trace], cut: Mapping[str, str]
) -> list[dict[str, Any]]:
    """analysis/parts.csv: of each (point, sampler) with parts, a row each, their sum, the whole, and the difference.

    `whole` is the place (`where`) of the whole; `energy` gives a row's n*beta*K [C, T]; `cut` says by point what is
    amiss with how it was cut, see `overlap`. Without a number for the whole, or for a part, there is no difference.
    `comparable` says whether the sum means anything beside the whole, `why` not.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["point"], row["sampler"]].append(row)
    found: list[dict[str, Any]] = []
    for (point, _), group in groups.items():
        alive = [placed(row, energy(row)) for row in group if row["llc"] not in (None, "")]
        lost = [f"no number: {row['where']}" for row in group if row["llc"] in (None, "")]
        found += _lines(alive, whole, ", ".join(filter(None, (cut.get(point, ""), *lost))))
    return found


def placed(row: Row, energy: Trace) -> Place:
    llc, low, high, se = (float(row[key]) for key in ("llc", "low", "high", "se"))
    return Place(row["where"], row, energy.double().mean(1), llc, llc - low, high - llc, se)


def _lines(places: Sequence[Place], whole: str, cut: str) -> Iterator[dict[str, Any]]:
    parts = [place for place in places if place.where != whole]
    of_all = next((place for place in places if place.where == whole), None)
    if not parts:
        return
    why = ", ".join(filter(None, (cut, amiss([*parts, of_all] if of_all else parts))))
    for part in parts:
        yield _line(part, "part")
    yield _combined(parts, [1.0] * len(parts), SUM, why)
    if of_all is not None:
        yield _line(of_all, WHOLE)
        yield _combined([of_all, *parts], [1.0] + [-1.0] * len(parts), BETWEEN, why)


def amiss(places: Sequence[Place]) -> str:
    """Why coefficients cannot be added up or compared; "": they can."""
    rows = [place.row for place in places]
    found = ["different target"] if len({row["target"] for row in rows}) > 1 else []
    found += [f"different {key}" for key in ("nbeta", "gamma") if not all(_close(rows[0][key], r[key]) for r in rows)]
    ill = [place.where for place in places if str(place.row["healthy"]) != "True"]
    return ", ".join([*found, *([f"flagged: {' '.join(ill)}"] if ill else [])])


def _close(one: Any, other: Any) -> bool:
    return isclose(float(one), float(other), rel_tol=1e-6)


def _line(place: Place, kind: str) -> dict[str, Any]:
    row = place.row
    named = {key: row[key] for key in ("point", "sampler", "target")}
    numbers = {key: float(row[key]) for key in NUMBERS}
    numbers |= {"known": float(row.get("known_llc") or nan)}
    return {**named, "kind": kind, "where": place.where, **numbers, "comparable": "", "why": "", "flags": row["flags"]}


def _combined(places: Sequence[Place], signs: Sequence[float], kind: str, why: str) -> dict[str, Any]:
    """A sum of `places` with `signs`: errors of chains together, biases one on top of the other."""
    value, se = sum(s * place.llc for s, place in zip(signs, places, strict=True)), error(places, signs)
    noise = t_quantile(min(len(place.means) for place in places)) * se
    ends = []
    for side in (0, 1):  # below and above; what is subtracted changes sides
        bias = sum(place.bias[side if s > 0 else 1 - side] for s, place in zip(signs, places, strict=True))
        ends.append(sqrt(noise**2 + bias**2))
    line = _line(places[0], kind)
    known = sum(s * float(place.row.get("known_llc") or nan) for s, place in zip(signs, places, strict=True))
    parameters = sum(float(place.row["parameters"]) for place in places[signs[0] != signs[-1] :])
    numbers = {
        "known": known,
        "llc": value,
        "se": se,
        "low": value - ends[0],
        "high": value + ends[1],
        "parameters": parameters,
    }
    return {**line, **numbers, "where": "", "comparable": not why, "why": why, "flags": ""}


def error(places: Sequence[Place], signs: Sequence[float]) -> float:
    """Standard error of a sum of estimates with `signs`, whose chains draw alike."""
    alone = sum(place.se for place in places)
    if len({len(place.means) for place in places}) > 1 or len(places[0].means) < 2:
        return alone
    chains = sum(s * place.means for s, place in zip(signs, places, strict=True))
    assert isinstance(chains, Tensor)
    return min(alone, max(float(chains.std()) / sqrt(len(chains)), sqrt(sum(place.se**2 for place in places))))


def shown(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A line for each whole that parts stand beside, as text."""
    found = []
    groups: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for line in lines:
        groups[line["point"], line["sampler"]][line["kind"]] = line
    for (point, sampler), kinds in groups.items():
        texts = {kind: _told(kinds[kind]) if kind in kinds else "" for kind in (SUM, WHOLE, BETWEEN)}
        found.append({"point": point, "sampler": sampler, **texts, "comparable": kinds[SUM]["why"] or "yes"})
    return found


def _told(line: Mapping[str, Any]) -> str:
    return "{llc:.4g} [{low:.4g}, {high:.4g}]".format(**line)


def cuts(target_info: Mapping[str, Any]) -> dict[str, str]:
    """By point, what target_info.json says is amiss with its parts as a partition of the whole."""
    return {name: str(facts.get("cut", "")) for name, facts in target_info.get("points", {}).items()}


def overlap(chosen: Sequence[Tensor], of: Tensor) -> str:
    """What is amiss with parts at positions [P'] each that shall make up those `of` the whole; "": nothing."""
    counts = torch.bincount(torch.cat([of, *chosen]))
    times = torch.zeros_like(counts)
    times[of] = 1
    counts = counts - times
    twice, left, beyond = int((counts > 1).sum()), int((counts[of] == 0).sum()), int((counts[times == 0] > 0).sum())
    told = {f"{twice} parameters in several parts": twice, f"{left} in no part": left, f"{beyond} not in all": beyond}
    return ", ".join(text for text, count in told.items() if count)
