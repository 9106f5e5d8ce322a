"""Projectors onto leading subspaces, with a gradient that stays finite where eigenvalues meet.

X [T, n, d] holds T groups of rows, centred and divided by sqrt(n - 1), so that C = X^T X is a covariance, with
eigenvalues l_1 >= l_2 >= .. and eigenvectors u_i. P = sum_{i <= k} u_i u_i^T moves with C as

    dP = sum_{i <= k < j} (u_i^T dC u_j) / (l_i - l_j) (u_i u_j^T + u_j u_i^T)

where only pairs across the gap appear: what happens among the leading ones is no motion of the subspace. The backward
pass is that sum, gaps no smaller than `gap` l_1. Numbers are float64, eigenvectors those of the smaller Gram matrix.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

Rows = Float[Tensor, "T n d"]
Projectors = Float[Tensor, "T d d"]
TINY = 1e-12  # eigenvalues below it, in units of the largest, are rounding


class Groups(NamedTuple):
    """Rows by group, those of smaller groups followed by zeros."""

    x: Rows  # centred, divided by sqrt(n - 1)
    counts: Int[Tensor, " T"]
    scale: Float[Tensor, " T"]  # mean square of a coordinate, not centred
    place: Int[Tensor, " B"]  # of each row in its group
    group: Int[Tensor, " B"]  # of each row, 0..T-1


class Spectrum(NamedTuple):
    """Of each group, descending; r = min(n, d)."""

    values: Float[Tensor, "T r"]
    vectors: Float[Tensor, "T d r"]  # zero where the value is

    def leading(self, k: int) -> Float[Tensor, "T d k"]:
        return self.vectors[..., :k]


def grouped(h: Float[Tensor, "B d"], labels: Int[Tensor, " B"]) -> Groups:
    """Rows of h by label, float64. A group whose rows are not all finite is zeros, with count 0."""
    _, group, counts = labels.unique(return_inverse=True, return_counts=True)
    order = group.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device) - starts[group[order]]
    spread = h.new_zeros(len(counts), int(counts.max()), h.shape[1], dtype=torch.float64)
    rows = spread.index_put((group, place), h.double())
    finite = rows.isfinite().flatten(1).all(1)
    rows = torch.where(finite[:, None, None], rows, 0.0)
    there = (torch.arange(rows.shape[1], device=h.device) < counts[:, None]).unsqueeze(2)
    size = counts.to(rows)[:, None, None]
    x = (rows - rows.sum(1, keepdim=True) / size) * there / (size - 1).clamp(min=1).sqrt()
    scale = rows.detach().square().sum((1, 2)) / (size.flatten() * h.shape[1])
    return Groups(x, torch.where(finite, counts, 0), scale, place, group)


@torch.no_grad()
def spectrum(x: Rows) -> Spectrum:
    """Eigenvalues and eigenvectors of X^T X."""
    few = x.shape[1] < x.shape[2]
    gram = x @ x.mT if few else x.mT @ x
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(-1).clamp(min=0), vectors.flip(-1)
    there = values > TINY * values[:, :1]
    if few:
        vectors = x.mT @ vectors / torch.where(there, values, 1.0).sqrt().unsqueeze(1)
    return Spectrum(values * there, vectors * there.unsqueeze(1))


def projectors(x: Rows, k: int, gap: float, found: Spectrum | None = None) -> Projectors:
    """P of each group. `found`: its spectrum, where it is known already. Differentiable once."""
    found = spectrum(x) if found is None else found
    return _Leading.apply(x, *found, k, gap)


def regularised(x: Rows, rho: float) -> Projectors:
    """C (C + rho tr(C) / d I)^-1: projectors with soft edges, free of eigenvectors."""
    rows, size = x.shape[1:]
    ridge = rho * x.square().sum((1, 2)) / size
    inner = x @ x.mT + ridge[:, None, None] * torch.eye(rows, dtype=x.dtype, device=x.device)
    return x.mT @ torch.linalg.solve(inner, x)


def sketched(x: Rows, omega: Float[Tensor, "d k"]) -> Float[Tensor, "T m d"]:
    """W^T X [T, k, d], W an orthonormal basis of X omega: k rows whose span approximates the leading subspace.

    The range finder of Halko, Martinsson and Tropp (2011), SIAM Review 53:217, with one iteration; W is held fixed.
    Where there are fewer than k rows there are no more in the sketch.
    """
    with torch.no_grad():
        basis = torch.linalg.qr(x @ omega.to(x)).Q
    return basis.mT @ x


@torch.no_grad()
def leading(mean: Float[Tensor, "d d"], k: int) -> Float[Tensor, "d k"]:
    """Orthonormal basis of the k leading eigenvectors of a symmetric matrix."""
    return torch.linalg.eigh(mean).eigenvectors.flip(-1)[:, :k]


def effective_rank(h: Float[Tensor, "B d"]) -> tuple[float, float]:
    """exp of the entropy of the covariance's normalised eigenvalues, 1..d, and its trace; Roy and Vetterli (2007)."""
    centred = (h - h.mean(0)).detach().double()
    values = torch.linalg.svdvals(centred).square() / max(1, len(h) - 1)
    total = float(values.sum())
    if not total > 0:
        return 1.0, 0.0
    share = values / total
    return float(torch.special.entr(share).sum().exp()), total


class _Leading(torch.autograd.Function):
    """X, and what is known of its spectrum -> P."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, vectors: Tensor, k: int, gap: float) -> Tensor:
        ctx.save_for_backward(x, values, vectors)
        ctx.k, ctx.gap = k, gap
        return vectors[..., :k] @ vectors[..., :k].mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        """2 X grad_C: pairs within the span of the eigenvectors, then pairs with what is orthogonal to all of them."""
        x, values, vectors = ctx.saved_tensors
        grad, k = (grad + grad.mT) / 2, ctx.k
        least = ctx.gap * values[:, :1].clamp(min=torch.finfo(values.dtype).tiny)
        inner, outer = vectors[..., :k], vectors[..., k:]
        moved = grad @ inner  # [T, d, k]
        gaps = (values[:, :k, None] - values[:, None, k:]).clamp(min=least.unsqueeze(2))
        across = moved.mT @ outer / gaps  # [T, k, r - k]
        beyond = (moved - vectors @ (vectors.mT @ moved)) / values[:, :k].clamp(min=least).unsqueeze(1)
        seen = x @ vectors
        back = seen[..., :k] @ (across @ outer.mT + beyond.mT) + seen[..., k:] @ across.mT @ inner.mT
        return 2 * back, None, None, None, None
