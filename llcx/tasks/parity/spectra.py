"""What is read off Gram matrices: alignment with the labels, spectra, intrinsic dimension, change.

All take M matrices [M, N, N] at once, with labels y [N] or each member's own [M, N], and give one number, or one row, a
member.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Grams = Float[Tensor, "M N N"]
Labels = Float[Tensor, "*M1 N"]
PerMember = Float[Tensor, " M"]
COINCIDENT = 100  # eps: squared distances below this share of the squared norms are rounding, two points the same


class Spectrum(NamedTuple):
    """Theta = sum_i values_i vectors_i vectors_i^T, the largest first."""

    values: Float[Tensor, "M N"]
    projections: Float[Tensor, "M N"]  # vectors_i . y: their squares sum to |y|^2
    vectors: Float[Tensor, "M N T"]  # of the largest values


def spectrum(theta: Grams, y: Labels, top: int = 3) -> Spectrum:
    """Eigenvalues, what of the labels lies along each eigenvector, and the `top` first eigenvectors."""
    values, vectors = torch.linalg.eigh(theta)
    vectors = vectors.flip(-1)
    return Spectrum(values.flip(-1), (vectors.mT @ y.to(theta)[..., None]).squeeze(-1), vectors[..., :top])


def alignment(theta: Grams, y: Labels) -> PerMember:
    """y^T Theta y / (|Theta| |y|^2), Frobenius: 1 for Theta = y y^T. Cortes et al. (2012), not centred."""
    y = y.to(theta)
    along = ((theta @ y[..., None]).squeeze(-1) * y).sum(-1)
    return along / (torch.linalg.matrix_norm(theta) * y.square().sum(-1))


def change(later: Float[Tensor, "M N K"], first: Float[Tensor, "M N K"]) -> PerMember:
    """|later - first| / |first|, Frobenius."""
    return torch.linalg.matrix_norm(later - first) / torch.linalg.matrix_norm(first)


def distances(theta: Grams) -> Grams:
    """Squared distances between the gradients of which theta holds the products; 0 where only rounding is left."""
    norms = theta.diagonal(dim1=-2, dim2=-1)
    scale = norms[..., :, None] + norms[..., None, :]
    squared = scale - 2 * theta
    return squared.masked_fill(squared < COINCIDENT * torch.finfo(theta.dtype).eps * scale, 0)


def intrinsic_dimension(theta: Grams) -> PerMember:
    """Dimension d of the points whose products theta holds, from their two nearest neighbours at r1 < r2.

    Where the density is even over the second neighbour's reach, r2/r1 is Pareto of exponent d, whatever the density:
    (n - 1) / sum log(r2/r1) over n points is unbiased, its standard error d / sqrt(n - 2). Points that coincide with
    their neighbour are left out; nan where fewer than three are left. On a lattice, where r2 = r1 at most points, it is
    no dimension: inf in the limit. Facco et al. (2017), doi:10.1038/s41598-017-11873-y.
    """
    members, n, _ = theta.shape
    if n < 3:
        return theta.new_full((members,), torch.nan)
    squared = distances(theta)
    squared.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    first, second = squared.topk(2, largest=False).values.unbind(-1)
    apart = first > 0
    logs = torch.where(apart, second / first, 1).log() / 2
    count = apart.sum(-1)
    return torch.where(count >= 3, (count - 1) / logs.sum(-1), torch.nan)


def statistics(theta: Grams, y: Labels) -> dict[str, PerMember]:
    """One number each a member, by the name of its column; only `largest` and `rank` need the eigenvalues."""
    values = torch.linalg.eigvalsh(theta).clamp(min=0)
    shares = values / values.sum(-1, keepdim=True)
    return {
        "mean": theta.mean((-2, -1)),
        "std": theta.flatten(1).std(-1),
        "diagonal": theta.diagonal(dim1=-2, dim2=-1).mean(-1),
        "norm": torch.linalg.matrix_norm(theta),
        "alignment": alignment(theta, y),
        "dimension": intrinsic_dimension(theta),
        "largest": values[..., -1],
        "rank": torch.special.entr(shares).sum(-1).exp(),  # effective: the exponential of the spectrum's entropy
    }
