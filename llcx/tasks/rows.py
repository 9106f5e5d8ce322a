"""Rows that are functions of their number: stored, kept once asked for often enough, or computed in blocks.

`rows` is a function (row numbers [..]) -> a pytree of tensors [.., *shape], always the same for the same number. Beside
them stands what tasks share in drawing rows, the covariance that a setting asks of their inputs.
"""

from collections.abc import Callable, Iterator
from math import isfinite, prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from llcx.types import Batch, Data, Rows

STORED_UP_TO = 2**30  # bytes; larger tables are computed on demand
BLOCK = 2**22  # numbers computed at a time

Take = Callable[[Tensor], Batch]


class Kept:
    """Rows on demand, stored once as many were asked for as there are: never much more than twice the cheaper way."""

    def __init__(self, rows: Take, count: int) -> None:
        self.rows, self.count = rows, count
        self._asked = 0
        self._table: Batch | None = None

    def __call__(self, rows: Tensor) -> Batch:
        if self._table is None and self._asked + rows.numel() > self.count:
            self._table = stored(self.rows, self.count, rows.device)
        self._asked += rows.numel()
        if self._table is None:
            return self.rows(rows)
        flat = rows.reshape(-1)
        return tree_map(
            lambda leaf: leaf.to(rows.device).index_select(0, flat).unflatten(0, rows.shape),
            self._table,
        )


def held(rows: Take, n: int, mode: str) -> Data:
    """Stored tensors for an empirical loss; for a population loss, which has minibatches alone, rows on demand."""
    if n * _numbers(rows) * 8 >= STORED_UP_TO:
        return Data(Rows(rows, n), n, mode)
    if mode == "population":
        return Data(Rows(Kept(rows, n), n), n, mode)
    return Data(stored(rows, n), n, mode)


def stored(rows: Take, count: int, device: torch.device | str = "cpu") -> Batch:
    """All rows as tensors."""
    table = tree_map(lambda leaf: leaf.new_empty(count, *leaf.shape[1:]), rows(torch.arange(1, device=device)))
    for block in blocks(count, _numbers(rows), device):
        for whole, part in zip(tree_leaves(table), tree_leaves(rows(block)), strict=True):
            whole[block] = part
    return table


def batches(data: Data) -> Iterator[Batch]:
    """All rows, in blocks where they are not stored."""
    if not isinstance(data.train, Rows):
        yield data.train
        return
    yield from map(data.train.take, blocks(data.train.total, _numbers(data.train.take)))


def blocks(count: int, columns: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
    """Row numbers 0..count-1, so many at a time that `columns` numbers each stay small."""
    yield from torch.arange(count, device=device).split(max(1, BLOCK // columns))


def _numbers(rows: Take) -> int:
    """Of one row."""
    return sum(prod(leaf.shape[1:]) for leaf in tree_leaves(rows(torch.arange(1))))


def check_covariance(given: Any, width: int, key: str) -> None:
    """Raise ValueError unless `given` is null, `width` numbers > 0 or a symmetric positive definite matrix.

    `key` is the setting that says how wide a row's input is.
    """
    if given is None:
        return
    told = f"task.data.covariance must be null, {width} positive eigenvalues or a {width} x {width} matrix, got {given}"
    if not isinstance(given, list | tuple) or len(given) != width:
        raise ValueError(f"{told}; {width} is the width of the input, {key}")
    matrix = [row if isinstance(row, list | tuple) else [row] for row in given]
    lengths = {len(row) for row in matrix}
    flat = [value for row in matrix for value in row]
    if lengths not in ({1}, {width}) or not all(_is_number(value) for value in flat):
        raise ValueError(told)
    if lengths == {1} and min(flat) <= 0:
        raise ValueError(f"{told}; eigenvalues must be > 0")
    if len(matrix[0]) > 1 and any(matrix[i][j] != matrix[j][i] for i in range(width) for j in range(i)):
        raise ValueError(f"{told}; a covariance is symmetric")
    if int(torch.linalg.cholesky_ex(covariance(given, width))[1]):
        raise ValueError(f"task.data.covariance must be positive definite, got {given}; add to its diagonal")


def covariance(given: Any, width: int) -> Tensor | None:
    """The covariance [width, width] that a setting asks for, float64; None where it asks for none."""
    if given is None:
        return None
    read = torch.tensor(given, dtype=torch.float64)
    return torch.diag(read) if read.shape == (width,) else read.reshape(width, width)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
