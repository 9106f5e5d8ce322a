"""Rows of linear self-attention against either of its two theories, by alpha = rank B - rank M of their problems."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from llcx.artifacts import RunFolder
from llcx.figures import rows
from llcx.figures.rows import Row

NAMES = {"lambda_matrix": r"$\lambda_{\mathrm{matrix}}$", "lambda_full": r"$\lambda_{\mathrm{full}}$"}
SIZES = {"lambda_matrix": r"d\times d", "lambda_full": r"(d{+}1)\times(d{+}1)"}


class Study(NamedTuple):
    """A run of task=lsa as its figures see it."""

    every: list[Row]
    known: list[Row]  # rows with a number and a theory of the whole model
    names: tuple[str, ...]  # of the theories that the run can be held against
    alphas: dict[str, list[Row]]  # "0", "1", ... -> known rows; "" where alpha says nothing


def read(folder: RunFolder) -> Study:
    """No theory applies to the scalar output, and only lambda_full to w_star=simple, where no rank of M is drawn."""
    every, model = rows.read(folder), folder.config.get("task", {}).get("model", {})
    simple = model.get("w_star") == "simple"
    names = () if model.get("output") == "scalar" else ("lambda_full",) if simple else tuple(NAMES)
    known = [row for row in every if whole(row) and any(against([row], name) for name in names)]
    alphas: dict[str, list[Row]] = {}
    for row in known:
        alphas.setdefault("" if simple else alpha(row, model), []).append(row)
    return Study(every, known, names, dict(sorted(alphas.items())))


def whole(row: Row) -> bool:
    """Whether a row has a number, and that of all parameters together."""
    return not row.failed and row.where in ("", "all")


def alpha(row: Row, model: dict[str, Any]) -> str:
    """Of the row's problem: its coordinate, or what the configuration says."""
    return row.raw.get("at.alpha") or str(model.get("alpha", ""))


def against(group: Sequence[Row], name: str) -> list[Row]:
    """The rows for which this theory has a positive value, which becomes their known one."""
    told = [(row, rows.number(row.raw.get(f"known.{name}", ""))) for row in group]
    return [replace(row, known=truth, rel_error=row.llc / truth - 1) for row, truth in told if truth > 0]
