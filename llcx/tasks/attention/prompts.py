"""Prompts of in-context linear regression, compressed without loss.

A prompt of a task m ~ N(0, I) holds N tokens (x_i, m.x_i), x_i ~ N(0, Lambda), and the query (x_q, 0) as its last row.
A loss that sees the tokens X_N [N, d+1] only through |X D X^T|_F and S = X^T X is unchanged where X_N = Q T, Q^T Q = I,
becomes T: d rows instead of N. T is drawn without X_N: for Lambda = I its x are upper triangular with independent
entries, T_kk ~ chi with N - k degrees of freedom, k = 0.., and T_kl ~ N(0, 1) for l > k; for Lambda = C C^T they are
those times C^T. Label noise E of the output X D X^T becomes P^T E P, P = blockdiag(Q, 1), which is white again; what is
left of E is a constant of the loss.

Bartlett (1933), Proceedings of the Royal Society of Edinburgh 53:260, for the law of T.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.rng import counter_normal, counter_uniform
from llcx.tasks import rows as shared
from llcx.types import Streams


class Law(NamedTuple):
    """What a prompt is drawn from."""

    d: int  # of x
    context: int  # N, tokens with a label
    covariance: Tensor | None = None  # Lambda [d, d] float64; None: I


class Prompts:
    """`(row numbers [..]) -> (X [.., k+1, d+1], m.x_q [..])`, float64, k = min(N, d), functions of (seed, row)."""

    def __init__(self, law: Law, streams: Streams, role: str = "prompts") -> None:
        self.law = law
        self.keys = {part: streams.key(f"{role}/{part}") for part in ("tokens", "lengths", "query", "task")}
        self.root = None if law.covariance is None else torch.linalg.cholesky(law.covariance)

    def __call__(self, rows: Tensor) -> tuple[Float[Tensor, "*rows k p"], Float[Tensor, "*rows"]]:
        d = self.law.d
        x = torch.cat([self._tokens(rows), counter_normal(self.keys["query"], rows, d).unsqueeze(-2)], -2)
        x = x if self.root is None else x @ self.root.to(x).T
        y = (x @ counter_normal(self.keys["task"], rows, d).unsqueeze(-1)).squeeze(-1)
        seen = torch.cat([y[..., :-1], torch.zeros_like(y[..., -1:])], -1)
        return torch.cat([x, seen.unsqueeze(-1)], -1), y[..., -1]

    def _tokens(self, rows: Tensor) -> Float[Tensor, "*rows k d"]:
        """The tokens' x for Lambda = I: N raw rows where they are few, their triangular factor else."""
        d, context = self.law.d, self.law.context
        if context <= d:
            return counter_normal(self.keys["tokens"], rows, context * d).unflatten(-1, (context, d))
        above = torch.triu_indices(d, d, 1, device=rows.device)
        factor = torch.diag_embed(_chi(context, counter_uniform(self.keys["lengths"], rows, d)))
        factor[..., above[0], above[1]] = counter_normal(self.keys["tokens"], rows, above.shape[1])
        return factor


def covariance(given: Any, d: int) -> Tensor | None:
    """Lambda [d, d] of a setting that `check_covariance` let pass; None: I."""
    return shared.covariance(given, d)


def check_covariance(given: Any, d: int) -> None:
    """Raise ValueError unless `given` is null, d numbers > 0 or a symmetric positive definite matrix."""
    shared.check_covariance(given, d, "task.model.d")


def _chi(freedom: int, uniform: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """Column k: the quantile of the chi distribution with freedom - k degrees of freedom."""
    from scipy.special import gammaincinv

    halves = (freedom - torch.arange(uniform.shape[-1], dtype=torch.float64)) / 2
    gamma = torch.as_tensor(gammaincinv(halves.numpy(), uniform.cpu().numpy()))
    return (2 * gamma).sqrt().to(uniform)
