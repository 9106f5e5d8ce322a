"""Second moments of what the losses of modules.py are quadratic in: under the law of prompts, or over rows.

A token s = (x, m.x) of a task m is N(0, Sigma), Sigma = A Lambda A^T, A = [I; m^T]; with label index y and L = Lambda

    F_(bc,b'c') = E_m[Sigma_bc Sigma_b'c']    F_(ij,kl) = L_ij L_kl    F_(ij,yy) = L_ij tr L    F_(iy,ky) = (L^2)_ik
                                              F_(yy,yy) = (tr L)^2 + 2 tr L^2    0 where y comes an odd number of times

and E Sigma = blockdiag(L, tr L), while the query (x, 0) has L0 = blockdiag(L, 0). Products of Gaussians are summed over
their pairings (Isserlis 1918, Biometrika 12:134).
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.attention.modules import OUTPUTS
from llcx.tasks.attention.prompts import Law
from llcx.tasks.rows import BLOCK

REDUCTIONS = ("mean", "sum")
Square = Float[Tensor, "p p"]
Fourth = Float[Tensor, "p p p p"]


class Moments(NamedTuple):
    """K = scale (1/2 delta^T second delta + delta^T cross); cross is None where w* labels its rows without noise."""

    second: Float[Tensor, "q q"]
    cross: Float[Tensor, " q"] | None = None


def linear_of_law(law: Law, output: str = "matrix", reduction: str = "mean") -> Moments:
    """Of x_i^T D x_j over the entries ij of the output, q = (d+1)^2: their squares' mean, or sum, over a prompt."""
    n, token, query, fourth = law.context, _token(law), _query(law), _fourth(law)
    entries = _entries(law, output, reduction)
    of_query = _same(torch.einsum("ab,cd->abcd", query, query))
    if output == "scalar":
        return Moments(of_query.flatten(2).flatten(0, 1))
    pair = fourth.permute(0, 2, 1, 3)  # tokens i != j
    mixed = torch.einsum("ac,bd->abcd", token, query) + torch.einsum("ac,bd->abcd", query, token)
    total = n * (n - 1) * pair + n * (_same(fourth) + mixed) + of_query
    return Moments(total.flatten(2).flatten(0, 1) / entries)


def linear_of_rows(
    batches: Iterable[tuple[Tensor, Tensor | None]], law: Law, output: str = "matrix", reduction: str = "mean"
) -> Moments:
    """The same over rows: prompts X [B, k+1, d+1] and the noise of their labels, as the output is shaped, or None."""
    p, count = law.d + 1, 0
    upper = torch.triu_indices(p, p)
    packed: Tensor | float = 0.0  # E S_ac S_bd over a <= c, b <= d
    cross: Tensor | float = 0.0
    for X, noise in _pieces(batches, p * p):
        count += len(X)
        X = X[:, -1:] if output == "scalar" else X
        gram = (X.mT @ X)[:, upper[0], upper[1]]
        packed = packed + gram.T @ gram
        if noise is not None:
            cross = cross - (X.mT @ noise.reshape(-1, X.shape[1], X.shape[1]) @ X).sum(0).flatten()
    over = count * _entries(law, output, reduction)
    second = _unpacked(torch.as_tensor(packed / over), p).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    return Moments(second, cross / over if isinstance(cross, Tensor) else None)


def full_of_law(law: Law, at: Tensor | None = None) -> Moments:
    """Of phi_(a,bc) = x_a S_bc, x the query and b <= c, q = d (d+1) (d+2) / 2; `at` = theta* [q] for labels m.x."""
    n, query, token, fourth = law.context, _query(law), _token(law), _fourth(law)
    (a, b, c), (a2, b2, c2) = _features(law.d)
    of_tokens = n * n * fourth[b, c, b2, c2] + n * (fourth[b, b2, c, c2] + fourth[b, c2, c, b2])
    second = query[a, a2] * of_tokens + _wick(query, a, b, c, a2, b2, c2)
    second += n * (_wick(query, a, a2, b, c) * token[b2, c2] + _wick(query, a, a2, b2, c2) * token[b, c])
    if at is None:
        return Moments(second)
    square = query @ query
    return Moments(second, second @ at - torch.where((c2 == law.d) & (b2 < law.d), n * square[a2, b2], 0.0))


def full_of_rows(batches: Iterable[tuple[Tensor, Tensor]], law: Law, at: Tensor | None = None) -> Moments:
    """The same over rows: prompts X [B, k+1, d+1] and labels y [B]."""
    b, c = torch.triu_indices(law.d + 1, law.d + 1)
    count = 0
    second: Tensor | float = 0.0
    labels: Tensor | float = 0.0
    for X, y in _pieces(batches, law.d * len(b)):
        count += len(X)
        phi = (X[:, -1, :-1, None] * (X.mT @ X)[:, None, b, c]).flatten(1)
        second = second + phi.T @ phi
        labels = labels + phi.T @ y
    second = torch.as_tensor(second / count)
    return Moments(second, None if at is None else second @ at - labels / count)


def _pieces(batches: Iterable[tuple[Tensor, Tensor | None]], columns: int) -> Iterator[tuple[Tensor, Any]]:
    """The batches in pieces, of which `columns` numbers a row stay small."""
    size = max(1, BLOCK // columns)
    for X, other in batches:
        parts = X.split(size)
        yield from zip(parts, [None] * len(parts) if other is None else other.split(size), strict=True)


def _entries(law: Law, output: str, reduction: str) -> int:
    """What a sum over the output's entries is divided by: those of the whole prompt, compressed or not."""
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction}")
    return (law.context + 1) ** 2 if (output, reduction) == ("matrix", "mean") else 1


def _features(d: int) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """The indices (a, b, c) of phi, b <= c, as rows [q, 1] and as columns [q] of a matrix [q, q]."""
    b, c = torch.triu_indices(d + 1, d + 1).repeat(1, d)
    a = torch.arange(d).repeat_interleave(len(b) // d)
    return (a[:, None], b[:, None], c[:, None]), (a, b, c)


def _unpacked(packed: Float[Tensor, "u u"], p: int) -> Fourth:
    """[(a <= c), (b <= d)] to [a, c, b, d]."""
    place = torch.zeros(p, p, dtype=torch.long)
    upper = torch.triu_indices(p, p)
    place[upper[0], upper[1]] = place[upper[1], upper[0]] = torch.arange(upper.shape[1])
    return packed[place][:, :, place]


def _lambda(law: Law) -> Float[Tensor, "d d"]:
    return torch.eye(law.d, dtype=torch.float64) if law.covariance is None else law.covariance


def _query(law: Law) -> Square:
    """L0, the covariance of (x, 0)."""
    return torch.block_diag(_lambda(law), torch.zeros(1, 1, dtype=torch.float64))


def _token(law: Law) -> Square:
    """E Sigma, the covariance of (x, m.x)."""
    L = _lambda(law)
    return torch.block_diag(L, L.trace().reshape(1, 1))


def _fourth(law: Law) -> Fourth:
    """F = E_m[Sigma (x) Sigma], the index y being d."""
    L, x, y = _lambda(law), slice(law.d), law.d
    square, trace = L @ L, L.trace()
    F = torch.zeros([law.d + 1] * 4, dtype=torch.float64)
    F[x, x, x, x] = torch.einsum("ij,kl->ijkl", L, L)
    F[x, x, y, y] = F[y, y, x, x] = trace * L
    F[x, y, x, y] = F[x, y, y, x] = F[y, x, x, y] = F[y, x, y, x] = square
    F[y, y, y, y] = trace**2 + 2 * square.trace()
    return F


def _same(products: Fourth) -> Fourth:
    """E s_a s_b s_c s_d of one and the same s, `products` being those of its covariances ab and cd."""
    return products + products.permute(0, 2, 1, 3) + products.permute(0, 2, 3, 1)


def _wick(covariance: Square, *index: Tensor) -> Tensor:
    """E of a product of centred Gaussians of the given indices, which broadcast: the sum over their pairings."""
    if not index:
        return covariance.new_ones(())
    first, *rest = index
    return sum(
        (covariance[first, rest[i]] * _wick(covariance, *rest[:i], *rest[i + 1 :]) for i in range(len(rest))),
        start=covariance.new_zeros(()),
    )
