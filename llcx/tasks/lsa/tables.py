"""What task=lsa leaves under analysis/: errors against both theories, the problems asked about, and the theories' gap.

errors.csv      a row for each (class, alpha, sampler, target, theory)
problems.csv    a row for each (class, alpha): how many, and the range of d, d_l and both ranks
gap.csv         where task.theory.d is set, a row for each (rank, alpha, d_l) at this d
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from math import isfinite
from statistics import fmean
from typing import Any

from llcx import theory
from llcx.tasks.lsa.schema import ALPHAS, LSA
from llcx.tasks.summary import errors, number
from llcx.types import Snapshots, Tables

Row = dict[str, Any]
BY = {"class": "at.class", "alpha": "at.alpha"}
THEORIES = ("known.lambda_full", "known.lambda_matrix")
RANGES = ("d", "d_l", "rank_m", "rank_b")
NUMBERS = ("lambda_matrix", "lambda_full", "gap", "mult_matrix", "mult_full")


def analyse(cfg: LSA, rows: list[Row], snapshot: Snapshots) -> Tables:
    del snapshot
    tables = {"errors": errors(rows, BY, answers(rows)), "problems": ranges(rows)} if rows else {}
    return Tables(tables if cfg.theory.d is None else tables | {"gap": gap(cfg.theory.d, cfg.theory.d_l)})


def answers(rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns to compare with: both theories, where rows have them, and known_llc where that is neither."""
    theories = tuple(column for column in THEORIES if any(number(row, column) > 0 for row in rows))
    pairs = [(number(row, "known_llc"), number(row, THEORIES[0])) for row in rows]
    other = any(isfinite(known) and known != full for known, full in pairs)
    return (*theories, "known_llc") if other or not theories else theories


def ranges(rows: Sequence[Row]) -> list[Row]:
    """Each problem once, however many samplers measured it."""
    own = [tuple((key, row[key]) for key in row if key in ("point", "seed") or key.startswith("at.")) for row in rows]
    groups = defaultdict(list)
    for problem in map(dict, dict.fromkeys(own)):
        groups[tuple(problem[column] for column in BY.values())].append(problem)
    return [dict(zip(BY, key, strict=True)) | _ranges(group) for key, group in groups.items()]


def _ranges(group: Sequence[Row]) -> Row:
    found: Row = {"problems": len(group)}
    for key in RANGES:
        values = [number(problem, f"at.{key}") for problem in group]
        found |= {f"{key}_mean": fmean(values), f"{key}_least": min(values), f"{key}_greatest": max(values)}
    return found


def gap(d: int, columns: int) -> list[Row]:
    """lambda_full - lambda_matrix at every rank of M, alpha and d_l = 1..columns."""
    return [_gap(d, rank, alpha, d_l) for rank, alpha, d_l in product(range(d + 1), ALPHAS, range(1, columns + 1))]


def _gap(d: int, rank: int, alpha: int, d_l: int) -> Row:
    """Without numbers where there are no such weights: rank(B) <= min(d_l, d+1) and rank(M) <= d."""
    row: Row = {"d": d, "rank": rank, "alpha": alpha, "d_l": d_l}
    if rank + alpha > min(d_l, d + 1):
        return row | dict.fromkeys(NUMBERS) | {"feasible": False}
    matrix, full = theory.dln([d, d_l, d], rank), theory.dln([d + 1, d_l, d + 1], rank + alpha)
    cells = (float(matrix.lam), float(full.lam), float(full.lam - matrix.lam), matrix.mult, full.mult)
    return row | dict(zip(NUMBERS, cells, strict=True)) | {"feasible": True}
