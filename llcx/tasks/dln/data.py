"""Rows of a teacher, as functions of (seed, row)."""

import torch
from torch import Tensor

from llcx.rng import counter_normal, counter_uniform
from llcx.tasks.dln.schema import Teacher
from llcx.tasks.rows import covariance, held
from llcx.types import Data, Streams

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


def build_rows(cfg: Teacher, true_map: Tensor, streams: Streams) -> Data:
    assert cfg.n is not None  # nets.replicas filled it in
    return held(Taught(cfg, true_map, streams), cfg.n, cfg.mode)


def mixing(cfg: Teacher, width: int) -> Tensor | None:
    """M [H_0, H_0] with x = M z for the raw inputs z, so that x has the covariance asked for; None: z itself."""
    wanted = covariance(cfg.covariance, width)
    return None if wanted is None else torch.linalg.cholesky(wanted) / raw_variance(cfg) ** 0.5


def raw_variance(cfg: Teacher) -> float:
    """Variance of one raw input."""
    return 1.0 if cfg.inputs == "gaussian" else HALF_RANGE**2 / 3
