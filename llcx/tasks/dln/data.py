"""Rows of a teacher, as functions of (seed, row): the same stored, computed on demand, or in part."""

from collections.abc import Iterator

import torch
from torch import Tensor

from llcx.rng import counter_normal, counter_uniform
from llcx.tasks.dln.schema import Teacher
from llcx.types import Data, Rows, Streams

STORED_UP_TO = 2**30  # bytes; larger tables are computed on demand
BLOCK = 2**22  # numbers computed at a time
HALF_RANGE = 10.0  # of uniform inputs


class Taught:
    """`(row numbers [..]) -> (x [.., H_0], y [.., H_L])`, float64.

    For a population loss the second half of the rows repeats the first with opposite noise, so that w* is their minimum
    too: other noise would draw minibatch chains to another one, and raise the estimate by n*beta/n of itself.
    """

    def __init__(self, cfg: Teacher, true_map: Tensor, streams: Streams) -> None:
        self.cfg, self.map = cfg, true_map
        self.keys = streams.key("inputs"), streams.key("labels")
        self.mixing = mixing(cfg, true_map.shape[1])

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        sign = torch.ones_like(rows)
        if self.cfg.mode == "population":
            assert self.cfg.n is not None  # nets.replicas filled it in
            half = (self.cfg.n + 1) // 2
            rows, sign = rows % half, 1 - 2 * (rows // half)
        x = self._inputs(rows)
        y = x @ self.map.to(x).T
        if self.cfg.mode != "noise_free":
            y = y + self.cfg.noise_std * sign.unsqueeze(-1) * counter_normal(self.keys[1], rows, y.shape[-1])
        return x, y

    def _inputs(self, rows: Tensor) -> Tensor:
        into = self.map.shape[1]
        if self.cfg.inputs == "gaussian":
            x = counter_normal(self.keys[0], rows, into)
        else:
            x = HALF_RANGE * (2 * counter_uniform(self.keys[0], rows, into) - 1)
        return x if self.mixing is None else x @ self.mixing.to(x).T


class Kept:
    """Rows on demand, stored once as many were asked for as there are: never much more than twice the cheaper way."""

    def __init__(self, rows: Taught, count: int) -> None:
        self.rows, self.count = rows, count
        self._asked = 0
        self._table: tuple[Tensor, Tensor] | None = None

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        if self._table is None and self._asked + rows.numel() > self.count:
            self._table = stored(self.rows, self.count, rows.device)
        self._asked += rows.numel()
        if self._table is None:
            return self.rows(rows)
        x, y = (leaf.to(rows.device).index_select(0, rows.reshape(-1)) for leaf in self._table)
        return x.unflatten(0, rows.shape), y.unflatten(0, rows.shape)


def build_rows(cfg: Teacher, true_map: Tensor, streams: Streams) -> Data:
    """Stored tensors for an empirical loss; for a population loss, which has minibatches alone, rows on demand."""
    assert cfg.n is not None  # nets.replicas filled it in
    taught = Taught(cfg, true_map, streams)
    if cfg.n * sum(true_map.shape) * 8 >= STORED_UP_TO:
        return Data(Rows(taught, cfg.n), cfg.n, cfg.mode)
    if cfg.mode == "population":
        return Data(Rows(Kept(taught, cfg.n), cfg.n), cfg.n, cfg.mode)
    return Data(stored(taught, cfg.n), cfg.n, cfg.mode)


def stored(rows: Taught, count: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """All rows as tensors."""
    out, into = rows.map.shape
    x = torch.empty(count, into, dtype=torch.float64, device=device)
    y = torch.empty(count, out, dtype=torch.float64, device=device)
    for block in blocks(count, into + out, device):
        x[block], y[block] = rows(block)
    return x, y


def blocks(count: int, columns: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
    """Row numbers 0..count-1, so many at a time that `columns` numbers each stay small."""
    yield from torch.arange(count, device=device).split(max(1, BLOCK // columns))


def mixing(cfg: Teacher, width: int) -> Tensor | None:
    """M [H_0, H_0] with x = M z for the raw inputs z, so that x has the covariance asked for; None: z itself."""
    wanted = covariance(cfg, width)
    if wanted is None:
        return None
    root, fault = torch.linalg.cholesky_ex(wanted)
    if int(fault):
        raise ValueError(f"task.data.covariance must be positive definite, got {cfg.covariance}; add to its diagonal")
    return root / raw_variance(cfg) ** 0.5


def covariance(cfg: Teacher, width: int) -> Tensor | None:
    """The covariance of x where one is asked for, [H_0, H_0]; None: `raw_variance` times the identity."""
    if cfg.covariance is None:
        return None
    given = torch.tensor(cfg.covariance, dtype=torch.float64)
    return torch.diag(given) if given.shape == (width,) else given.reshape(width, width)


def raw_variance(cfg: Teacher) -> float:
    """Variance of one raw input."""
    return 1.0 if cfg.inputs == "gaussian" else HALF_RANGE**2 / 3
