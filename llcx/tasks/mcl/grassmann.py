"""How far apart the subspaces are that groups of rows lie in, against chance and against the rows' own noise.

A group's subspace is spanned by the k directions in which its rows vary most. With principal angles t_1 <= ... <= t_k:

    geodesic = sqrt(sum_i t_i^2),    projection = 2 sum_i sin^2 t_i = ||P - Q||_F^2

Both are told relative to their mean over random subspaces, 2 k (1 - k/d) for the projection: 0 the same, 1 chance.

A subspace found from few rows is off, and so two of one group are not at distance 0. `Distances` therefore has, beside
the distances from all rows, those between half of group i's rows and the other half of group j's: at i = j the floor,
elsewhere what stands on it. No row is in both halves, so that groups of the same grids share no noise.

Bjorck and Golub (1973); Edelman, Arias and Smith (1998), arXiv:physics/9806030. d width    T groups    n rows
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

Rows = Float[Tensor, "n d"]
Basis = Float[Tensor, "... d k"]  # orthonormal columns
Angles = Float[Tensor, "... k"]
Each = Float[Tensor, "..."]
Between = Float[Tensor, "T T"]


class Distances(NamedTuple):
    """Between groups, relative to random subspaces."""

    geodesic: Between
    projection: Between
    crossed_geodesic: Between  # half of i against the other half of j; the diagonal is the floor
    crossed_projection: Between


def basis(rows: Rows, k: int) -> Float[Tensor, "d k"]:
    """Of the k directions in which rows vary most, float64. Raises ValueError where they vary in fewer."""
    values, vectors = _principal(rows)
    found = _rank(values, rows)
    if not 1 <= k <= found:
        raise ValueError(
            f"k must be between 1 and the rank of the rows, got {k} of {found}; lower it, or give more rows"
        )
    return torch.linalg.qr(vectors[:, -k:].flip(1)).Q


def rank(rows: Rows) -> int:
    """Of the centred rows: how many directions they vary in beyond rounding."""
    return _rank(_principal(rows)[0], rows)


def angles(one: Basis, other: Basis) -> Angles:
    """Principal angles, ascending, in radians; small ones from their sines, large ones from their cosines."""
    inner = one.mT @ other
    cosines = torch.linalg.svdvals(inner).clamp(max=1)
    sines = torch.linalg.svdvals(other - one @ inner).flip(-1).clamp(max=1)
    return torch.where(cosines.square() > 0.5, sines.asin(), cosines.acos())


def geodesic(found: Angles) -> Each:
    return found.norm(dim=-1)


def projection(found: Angles) -> Each:
    """The squared distance of the projectors."""
    return 2 * found.sin().square().sum(-1)


def random_bases(count: int, d: int, k: int, generator: Generator) -> Float[Tensor, "count d k"]:
    """Of uniformly random subspaces, float64."""
    return torch.linalg.qr(torch.randn(count, d, k, generator=generator, dtype=torch.float64)).Q


def random_projection(d: int, k: int) -> float:
    """Mean of `projection` over random subspaces. Raises ValueError unless k < d."""
    if not 0 < k < d:
        raise ValueError(f"k must be between 1 and the width less 1, got {k} of {d}")
    return 2 * k * (1 - k / d)


def random_geodesic(d: int, k: int, generator: Generator, *, draws: int = 512) -> float:
    """Mean of `geodesic` over random subspaces, from draws: to about 0.2 % at d = 128, k = 8."""
    fixed = torch.eye(d, k, dtype=torch.float64)
    return float(geodesic(angles(fixed, random_bases(draws, d, k, generator))).mean())


def distances(groups: Sequence[Rows], k: int, generator: Generator, *, splits: int = 8) -> Distances:
    """Between the groups' subspaces; of groups of one size, row i of each is taken to be of the same grid.

    Raises ValueError for fewer than two groups, and where half of a group's rows vary in fewer than k directions.
    """
    if len(groups) < 2:
        raise ValueError(f"groups must be at least 2, got {len(groups)}")
    d = groups[0].shape[1]
    chance = (random_geodesic(d, k, generator), random_projection(d, k))
    scale = torch.tensor(chance, dtype=torch.float64)[:, None, None]
    every = torch.stack([basis(rows, k) for rows in groups])
    whole = _between(every, every) / scale
    crossed = torch.stack([_crossed(groups, k, generator) for _ in range(splits)]).mean(0) / scale
    return Distances(*whole, *crossed)


def excess(crossed: Between) -> Float[Tensor, " T"]:
    """Of each group, how much farther the others are than the two groups' own halves are, in the mean."""
    floor = crossed.diagonal()
    above = crossed - (floor[:, None] + floor) / 2  # 0 on the diagonal
    return above.sum(1) / (len(crossed) - 1)


def mean_of_others(between: Between) -> Float[Tensor, " T"]:
    """Of each group, the mean distance to the others."""
    return (between.sum(1) - between.diagonal()) / (len(between) - 1)


def _crossed(groups: Sequence[Rows], k: int, generator: Generator) -> Float[Tensor, "2 T T"]:
    order = torch.randperm(max(map(len, groups)), generator=generator)
    halves = [rows[order[order < len(rows)]].tensor_split(2) for rows in groups]
    first, second = (torch.stack([basis(half, k) for half in side]) for side in zip(*halves, strict=True))
    found = _between(first, second)
    return (found + found.mT) / 2


def _between(one: Float[Tensor, "T d k"], other: Float[Tensor, "T d k"]) -> Float[Tensor, "2 T T"]:
    found = angles(one[:, None], other[None])
    return torch.stack([geodesic(found), projection(found)])


def _principal(rows: Rows) -> tuple[Float[Tensor, " r"], Float[Tensor, "d r"]]:
    """Eigenvalues, ascending, and eigenvectors of the scatter about the mean; of few rows, as many as there are rows.

    Those of eigenvalue 0 may then be anything.
    """
    centred = rows.double() - rows.double().mean(0)
    if len(rows) >= rows.shape[1]:
        values, vectors = torch.linalg.eigh(centred.mT @ centred)
        return values, vectors
    values, own = torch.linalg.eigh(centred @ centred.mT)
    return values, centred.mT @ own / values.clamp(min=torch.finfo(values.dtype).tiny).sqrt()


def _rank(values: Float[Tensor, " r"], rows: Rows) -> int:
    """Of the scatter whose eigenvalues these are; it is in float64 whatever the rows are in."""
    size, eps = max(rows.shape), torch.finfo(torch.float64).eps
    relative = max(size * eps, (size * torch.finfo(rows.dtype).eps) ** 2)
    rounding = (size * eps) ** 2 * rows.double().square().sum()
    return int((values > torch.maximum(relative * values[-1], rounding)).sum())
