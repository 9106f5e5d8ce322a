"""Linear CKA of representations of the same rows: how alike their geometry is, whatever their rotation and scale.

    CKA(X, Y) = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)),    K = X X^T, L = Y Y^T

Debiased, HSIC is the U-statistic of Song et al. (2012), with the diagonals of K and L set to 0:

    HSIC = [tr(K L) + (1'K1)(1'L1) / ((n - 1)(n - 2)) - 2 (1'K L 1) / (n - 2)] / (n (n - 3))

Its mean is 0 for independent rows at every n and width. Biased, it is tr(K L) of centred rows, and unrelated rows are
alike unless n is large against the width. 1 for rows that differ by rotation, scale and shift alone; the debiased one
may fall somewhat below 0. nan where a representation does not vary.

The U-statistic is the inner product of U-centred matrices (Szekely and Rizzo 2014), so that each representation is
centred once and all pairs are one product.

Kornblith et al. (2019), arXiv:1905.00414. n rows    T tasks    L layers    R representations
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "n *width"]
VARIES = 1e-12  # of a Gram matrix's size; what is below is rounding


class Comparison(NamedTuple):
    """CKA between tasks, layer by layer."""

    layers: tuple[str, ...]
    pairs: Float[Tensor, "L T T"]
    tasks: Float[Tensor, "L T"]  # of each task, the mean over the others


def cka(x: Rows, y: Float[Tensor, "n *others"], *, debiased: bool = True) -> float:
    """Of two representations of the same n rows. Raises ValueError as `matrix`."""
    return float(matrix([x, y], debiased=debiased)[0, 1])


def matrix(representations: Sequence[Tensor], *, debiased: bool = True) -> Float[Tensor, "R R"]:
    """Of all pairs, float64; widths may differ. Raises ValueError unless all have the same n rows, at least 4."""
    counts = sorted({len(each) for each in representations})
    if len(counts) != 1 or counts[0] < 4:
        raise ValueError(f"representations must be of the same rows, at least 4 of them, got {counts}")
    units = torch.stack([_unit(each, debiased).flatten() for each in representations])
    return units @ units.mT


def across_tasks(layers: Mapping[str, Float[Tensor, "T n *width"]], *, debiased: bool = True) -> Comparison:
    """Of layers' representations of the same n grids under T tasks, T >= 2."""
    pairs = torch.stack([matrix(list(each), debiased=debiased) for each in layers.values()])
    others = ~torch.eye(pairs.shape[-1], dtype=torch.bool)
    means = torch.stack([row[:, other].mean(1) for row, other in zip(pairs.unbind(1), others, strict=True)], 1)
    return Comparison(tuple(layers), pairs, means)


def _unit(x: Rows, debiased: bool) -> Float[Tensor, "n n"]:
    """The centred Gram matrix over its norm."""
    rows = x.flatten(1).double()
    centred = rows - rows.mean(0)
    gram = centred @ centred.mT
    if debiased:
        gram = _u_centred(gram)
    size = gram.norm()
    return gram / size if size > VARIES * rows.square().sum() else torch.full_like(gram, torch.nan)


def _u_centred(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    n, gram = len(gram), gram.clone().fill_diagonal_(0)
    sums = gram.sum(1)
    gram = gram - (sums[:, None] + sums) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    return gram.fill_diagonal_(0)
