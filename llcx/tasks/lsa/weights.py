"""Teachers of known rank: B = [[M, b], [c^T, k]] with rank(M) = r and rank(B) = r + alpha.

    M = U_r diag(s) V_r^T,    U, V Haar-distributed orthonormal columns, s = 0.1 + 0.1 |N(0, 1)|

    alpha    b (label column)       c (label row)      k (corner)
    0        U_r z                  V_r z'             c^T M^+ b, the one value that adds no rank
    1        0.1 u, u _|_ Col(M)    V_r z'             z''
    2        0.1 u, u _|_ Col(M)    0.1 v _|_ Row(M)   z''           z, z', z'' ~ 0.1 N(0, 1)

w_star=simple: the r leading singular directions of a Gaussian matrix, each singular value s replaced by 0.1 s + 0.1.

W_Q = P diag(t)^(1/2) and W_K = R diag(t)^(1/2) of the SVD B = P diag(t) R^T, padded with zero columns: the deepest
point of the fibre of B. Ranks hold by construction, without a tolerance.
"""

import torch
from torch import Generator, Tensor

from llcx.tasks.lsa import problems
from llcx.tasks.lsa.schema import Model
from llcx.types import Streams

SCALE = 0.1


def teacher(model: Model, streams: Streams) -> Tensor:
    """B [d+1, d+1] float64. As many numbers are drawn whatever rank and alpha: a study's problems share directions."""
    generator, ranks = streams.generator("weights"), problems.ranks(model)
    if model.w_star == "simple":
        return _simple(model.d + 1, ranks.of_b, generator)
    return _bordered(model.d, ranks.of_m, ranks.of_b - ranks.of_m, generator)


def _bordered(d: int, rank: int, alpha: int, generator: Generator) -> Tensor:
    left, right = (_normal(d, d, generator=generator) for _ in range(2))
    frames = [torch.linalg.qr(each[:, : min(d, rank + 1)])[0] for each in (left, right)]
    (u, v), (u_next, v_next) = [f[:, :rank] for f in frames], [f[:, rank:].sum(1) for f in frames]
    values = SCALE + SCALE * _normal(d, generator=generator).abs()[:rank]
    in_column, in_row, corner = (SCALE * _normal(size, generator=generator) for size in (d, d, 1))
    column = SCALE * u_next if alpha >= 1 else u @ in_column[:rank]
    row = SCALE * v_next if alpha == 2 else v @ in_row[:rank]
    if alpha == 0:  # row^T M^+ column
        corner = (in_row[:rank] * in_column[:rank] / values).sum().unsqueeze(0)
    top = torch.cat([(u * values) @ v.T, column.unsqueeze(1)], 1)
    return torch.cat([top, torch.cat([row, corner]).unsqueeze(0)])


def _simple(size: int, rank: int, generator: Generator) -> Tensor:
    left, values, right = torch.linalg.svd(_normal(size, size, generator=generator))
    kept = SCALE * values[:rank] + SCALE
    return (left[:, :rank] * kept) @ right[:rank]


def _normal(*shape: int, generator: Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
