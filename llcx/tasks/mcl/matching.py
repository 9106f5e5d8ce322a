"""Which sparse unit goes with which primitive, whether chance would do as well, and how pure the unit is.

The score of unit and primitive is their point-biserial correlation. Every primitive gets a unit of its own such that
the sum of scores is largest (Hungarian method). Chance: the same matching, found again for labels dealt at random to
compositions of equal length; p is the share of these whose score for the primitive is no smaller, the labels as they
are counted among them. Over primitives the false discovery rate is held (Benjamini and Hochberg 1995).

With 128 or more units some score is high by selection alone; that is why the matching is repeated, not the score.

n rows    K units    M primitives    C compositions    R permutations
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from llcx.tasks.mcl.occurrences import Compositions, Occurrences, auroc

Codes = Float[Tensor, "n K"]
Scores = Float[Tensor, "K M"]


class Matching(NamedTuple):
    """Of each primitive; `null` is the share of primitives that dealt labels find below `level`."""

    unit: Int[Tensor, " M"]
    score: Float[Tensor, " M"]
    p: Float[Tensor, " M"]
    q: Float[Tensor, " M"]  # p held against the false discovery rate
    null: float


def point_biserial(z: Codes, labels: Occurrences) -> Scores:
    """Pearson correlations with the primitives; 0 for a unit or a primitive that is the same in all rows."""
    found = labels.compositions()
    return _scores(_sums(z, found), found, found.primitives)


def match(
    z: Codes, labels: Occurrences, generator: Generator, *, permutations: int = 999, level: float = 0.05
) -> Matching:
    """Units of primitives. p is no smaller than 1 / (permutations + 1). Raises ValueError for fewer units than M."""
    from scipy.stats import false_discovery_control  # slow to import

    if z.shape[1] < labels.primitives.shape[1]:
        raise ValueError(f"z must have a unit for each of {labels.primitives.shape[1]} primitives, got {z.shape[1]}")
    found = labels.compositions()
    sums = _sums(z, found)
    trials = torch.cat([found.primitives[None], found.dealt(permutations, generator)])
    units, scores = zip(*(_assigned(_scores(sums, found, each)) for each in trials), strict=True)
    p = _exceeded(torch.stack(scores))
    q = torch.from_numpy(false_discovery_control(p.numpy(), axis=1))
    return Matching(units[0], scores[0], p[0], q[0], float((q[1:] <= level).double().mean()))


def rows(z: Codes, labels: Occurrences, found: Matching, *, level: float = 0.05) -> list[dict[str, Any]]:
    """A row a primitive.

    purity: of the rows in which its unit is active, z > 0, the share that holds it; base: of all rows; recall: of the
    rows that hold it, the share in which the unit is active. nan where there are none.
    """
    areas, told = auroc(z[:, found.unit], labels.primitives).diagonal(), []
    for primitive, unit in enumerate(found.unit.tolist()):
        active, held = z[:, unit] > 0, labels.primitives[:, primitive]
        both = (active & held).sum()
        row = {"primitive": primitive, "unit": unit, "correlation": float(found.score[primitive])}
        row |= {"auroc": float(areas[primitive]), "p": float(found.p[primitive]), "q": float(found.q[primitive])}
        row |= {"significant": int(found.q[primitive] <= level), "null": found.null}
        row |= {"purity": float(both / active.sum()), "recall": float(both / held.sum())}
        told.append(row | {"base": float(held.double().mean())})
    return told


def _sums(z: Codes, found: Compositions) -> Float[Tensor, "K C"]:
    """Over the rows of each composition, of columns without mean and of norm 1; 0 for a unit that never varies."""
    centred = z.double() - z.double().mean(0)
    norm = centred.norm(dim=0)
    varies = norm > 1e-12 * z.double().norm(dim=0)
    columns = torch.where(varies, centred / norm.where(varies, torch.ones_like(norm)), 0)
    return columns.new_zeros(len(found.counts), z.shape[1]).index_add_(0, found.place, columns).mT


def _scores(sums: Float[Tensor, "K C"], found: Compositions, primitives: Bool[Tensor, "C M"]) -> Scores:
    held = primitives.double()
    total = float(found.counts.sum())
    share = found.counts.double() @ held / total
    norm = (total * share * (1 - share)).sqrt()
    return torch.where(norm > 0, sums @ held / norm.where(norm > 0, torch.ones_like(norm)), 0)


def _assigned(scores: Scores) -> tuple[Int[Tensor, " M"], Float[Tensor, " M"]]:
    """Each primitive's unit, and its score."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    _, units = linear_sum_assignment(scores.mT.numpy(), maximize=True)
    chosen = torch.from_numpy(units)
    return chosen, scores[chosen, torch.arange(scores.shape[1])]


def _exceeded(scores: Float[Tensor, "R M"]) -> Float[Tensor, "R M"]:
    """Of each trial, the share of trials, itself among them, whose score is no smaller."""
    from scipy.stats import rankdata  # slow to import

    rounded = scores.numpy().round(12)  # the same score by another order of sums is the same score
    return torch.from_numpy(rankdata(-rounded, method="max", axis=0) / len(scores))
