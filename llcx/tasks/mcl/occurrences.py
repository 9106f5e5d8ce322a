"""Which primitives a row's composition holds, and the same labels dealt to other compositions: what chance would find.

A label belongs to a composition, not to a row: rows of one composition are no independent evidence of it. Chance is
therefore a permutation of compositions among those of equal length, which keeps every row's composition together.

n rows    M primitives    C compositions    R permutations
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor


class Occurrences(NamedTuple):
    """Labels of rows; `composition` is any integer that names it."""

    primitives: Bool[Tensor, "n M"]
    composition: Int[Tensor, " n"]
    length: Int[Tensor, " n"]

    def compositions(self) -> "Compositions":
        """Raises ValueError where rows of one composition differ in primitives or length."""
        _, place, counts = self.composition.unique(return_inverse=True, return_counts=True)
        first = torch.full_like(counts, len(place)).scatter_reduce(0, place, torch.arange(len(place)), "amin")
        found = Compositions(self.primitives[first], self.length[first], place, counts)
        if not ((found.primitives[place] == self.primitives).all() and (found.length[place] == self.length).all()):
            raise ValueError("rows of one composition must have the same primitives and length, got rows that differ")
        return found

    def dealt(self, generator: Generator) -> "Occurrences":
        """With the labels of another composition of equal length, one for each."""
        found = self.compositions()
        return self._replace(primitives=found.dealt(1, generator)[0, found.place])


class Compositions(NamedTuple):
    primitives: Bool[Tensor, "C M"]
    length: Int[Tensor, " C"]
    place: Int[Tensor, " n"]  # of each row's composition
    counts: Int[Tensor, " C"]  # rows

    def dealt(self, times: int, generator: Generator) -> Bool[Tensor, "R C M"]:
        """Labels permuted among compositions of equal length."""
        chance = torch.rand(times, len(self.length), generator=generator, dtype=torch.float64)
        # In order of length, and at random within it; source i goes where the i-th of that order stands.
        source = (self.length + chance).argsort(1)
        target = self.length.argsort(stable=True).expand_as(source)
        return self.primitives[torch.empty_like(source).scatter_(1, target, source)]


def auroc(scores: Float[Tensor, "n K"], labels: Bool[Tensor, "n M"]) -> Float[Tensor, "K M"]:
    """How often a row with the label scores above one without, ties counting half; nan where only one kind is."""
    from scipy.stats import rankdata  # slow to import

    ranks = torch.from_numpy(rankdata(scores.double().numpy(), axis=0))
    held = labels.double()
    positive = held.sum(0)
    above = ranks.mT @ held - positive * (positive + 1) / 2
    return above / (positive * (len(labels) - positive))  # 0 / 0 where only one kind is
