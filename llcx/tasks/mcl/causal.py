"""Whether the shared subspace is used: what a model scores when it is taken out of h, against other subspaces.

    h' = mean + (I - U U^T)(h - mean)

for U of k orthonormal columns, the mean over the rows given:

    shared    the subspace under question
    random    uniformly random ones, the mean over draws
    rows      spanned by random combinations of the rows: random too, but as large in variance as rows are
    total     the k directions in which h varies most: what any k directions could take, in variance
    splice    not a subspace: h is what the sparse autoencoder makes of it

A subspace of large variance is missed whatever it means; `variance`, the share of h's that went, is told with each, and
`rows` and `total` are there for it. n rows    d width    k directions
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from llcx.tasks.mcl import grassmann

Hidden = Float[Tensor, "n d"]
Each = Float[Tensor, " n"]
Decode = Callable[[Tensor], Tensor]  # h [n, d] -> what each row scores, decoded and compared with its target [n]


class Removal(NamedTuple):
    """What each row scores, as it is and without; and the share of h's variance that went."""

    intact: Each
    without: Mapping[str, Each]
    variance: Mapping[str, float]


def shared_basis(bases: Float[Tensor, "T d k"]) -> Float[Tensor, "d k"]:
    """The k directions that the groups' subspaces share most: of the mean of their projectors, the largest k."""
    mean = (bases @ bases.mT).mean(0)
    return torch.linalg.eigh(mean).eigenvectors[:, -bases.shape[-1] :].flip(1)


def without(h: Hidden, basis: Float[Tensor, "d k"]) -> Hidden:
    """h less its part in a subspace, about the mean; in float64 between, of h's own dtype after."""
    centred = h.double() - h.double().mean(0)
    return (h.double() - centred @ basis @ basis.mT).to(h.dtype)


def removal(
    h: Hidden,
    shared: Float[Tensor, "d k"],
    decode: Decode,
    generator: Generator,
    *,
    draws: int = 16,
    spliced: Hidden | None = None,
) -> Removal:
    """Each kind of removal once, the random ones `draws` times. Raises ValueError as `grassmann.basis`."""
    (d, k), centred = shared.shape, h.double() - h.double().mean(0)
    random = grassmann.random_bases(draws, d, k, generator)
    mixed = centred.mT @ torch.randn(draws, len(h), k, generator=generator, dtype=torch.float64)
    bases = {"shared": shared[None], "random": random, "rows": torch.linalg.qr(mixed).Q}
    bases["total"] = grassmann.basis(h, k)[None]
    scores = {kind: torch.stack([decode(without(h, each)) for each in some]) for kind, some in bases.items()}
    found = {kind: each.double().mean(0) for kind, each in scores.items()}
    gone = {kind: float(_share(centred, some)) for kind, some in bases.items()}
    if spliced is not None:
        found["splice"] = decode(spliced).double()
        gone["splice"] = float((h.double() - spliced.double()).square().sum() / centred.square().sum())
    return Removal(decode(h).double(), found, gone)


def rows(found: Removal, composition: Int[Tensor, " n"]) -> list[dict[str, Any]]:
    """A row a composition and kind. drop: relative to what is scored intact, nan where that is 0."""
    told = []
    for each in composition.unique().tolist():
        mine = composition == each
        intact = float(found.intact[mine].mean())
        for kind, scores in found.without.items():
            left = float(scores[mine].mean())
            drop = (intact - left) / intact if intact > 0 else torch.nan
            row = {"composition": each, "kind": kind, "intact": intact, "score": left}
            told.append(row | {"drop": drop, "variance": found.variance[kind]})
    return told


def _share(centred: Hidden, bases: Float[Tensor, "R d k"]) -> Tensor:
    """Of the rows' variance in the subspaces, the mean over them."""
    return (centred @ bases).square().sum((1, 2)).mean() / centred.square().sum()
