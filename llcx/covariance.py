"""Covariances of losses over the draws of several chains, unbiased however correlated the draws of a chain are.

Products of means over different chains stand for squared means; where each chain has a posterior of its own covariances
are taken within chains, and chains that mix slowly make them small. Standard errors leave out a quarter of a chain at a
time, and are raised, all of them alike, as far as leaving out whole chains gives larger ones.
"""

from math import nan
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BLOCKS = 4  # of a chain's draws, at most, that errors take for independent
Losses = Float[Tensor, "C T R"]  # of R rows at T kept draws of C chains


class Covariances(NamedTuple):
    value: Float[Tensor, "R S"]
    se: Float[Tensor, "R S"]  # nan for fewer than three chains


def covariances(first: Losses, second: Float[Tensor, "C T S"] | None = None, *, within: bool = False) -> Covariances:
    """Of losses over draws; `within`: about each chain's own mean, else about that of all.

    `second` None: of `first` with itself.
    """
    a = _centred(first)
    b = a if second is None else _centred(second)
    chains, draws = a.shape[:2]
    sums = Sums(
        torch.full((chains,), float(draws)), torch.einsum("ctr,cts->rs", a, b), a.sum(1), b.sum(1), within=within
    )
    value = sums.covariance()
    if chains < 3:
        return Covariances(value, torch.full_like(value, nan))

    def error(blocks: int) -> Tensor:
        """Variance [R, S] of leaving out one of the `blocks` of each chain at a time."""
        each = [(chain, part) for chain in range(chains) for part in torch.arange(draws).tensor_split(blocks)]
        apart = (sums.without(chain, a[chain, part], b[chain, part]).covariance() - value for chain, part in each)
        total, square = torch.zeros_like(value), torch.zeros_like(value)
        for change in apart:
            total, square = total + change, square + change.square()
        return ((len(each) - 1) * (square / len(each) - (total / len(each)).square())).clamp(min=0)

    fine = error(blocks_of(draws))
    worse = (error(1) / fine)[fine > 0].mean().nan_to_num(1.0) if blocks_of(draws) > 1 else torch.ones(())
    return Covariances(value, (fine * worse.clamp(min=1)).sqrt())


def blocks_of(draws: int) -> int:
    """How many blocks of a chain's draws an error takes for independent: of ten draws at least."""
    return max(1, min(BLOCKS, draws // 10))


class Sums(NamedTuple):
    """What covariances of two sets of losses are made of, chain by chain where it matters."""

    counts: Float[Tensor, " C"]
    products: Float[Tensor, "R S"]  # over all chains
    first: Float[Tensor, "C R"]
    second: Float[Tensor, "C S"]
    within: bool

    def covariance(self) -> Float[Tensor, "R S"]:
        a, b = (each[self.counts > 0] for each in (self.first, self.second))
        counts = self.counts[self.counts > 0].to(a).unsqueeze(1)
        if self.within:
            return (self.products - a.T @ (b / counts)) / (counts.sum() - len(counts))
        return self.products / counts.sum() - of_means(a / counts, b / counts)

    def without(self, chain: int, a: Float[Tensor, "T R"], b: Float[Tensor, "T S"]) -> "Sums":
        """Without some draws of a chain."""
        one = torch.zeros(len(self.counts)).index_fill(0, torch.tensor(chain), 1.0)
        column = one.to(a).unsqueeze(1)
        first, second = self.first - column * a.sum(0), self.second - column * b.sum(0)
        return Sums(self.counts - len(a) * one, self.products - a.T @ b, first, second, self.within)


def _centred(losses: Losses) -> Losses:
    """About the mean of all draws: no covariance changes, and rounding is small."""
    losses = losses.double()
    return losses - losses.mean((0, 1))


def of_means(a: Float[Tensor, "C R"], b: Float[Tensor, "C S"]) -> Tensor:
    """The product of the posterior's means, from means of different chains; of the same where there is one."""
    count = len(a)
    if count < 2:
        return a.T @ b
    return (a.sum(0).outer(b.sum(0)) - a.T @ b) / (count * (count - 1))


def correlations(found: Covariances) -> Float[Tensor, "R R"]:
    """Of a matrix of rows with themselves; nan where a variance came out no larger than its noise allows, below 0."""
    variance = found.value.diagonal()
    scale = torch.where(variance > 0, variance, nan).sqrt()
    return (found.value / scale.outer(scale)).clamp(-1, 1)


def variances(losses: Losses, within: bool) -> Float[Tensor, " R"]:
    """Of each row alone: the diagonal of `covariances`."""
    a = _centred(losses)
    sums, (chains, draws) = a.sum(1), a.shape[:2]
    square, means = a.square().sum((0, 1)), sums / draws
    if within:
        return (square - draws * means.square().sum(0)) / (chains * (draws - 1))
    if chains < 2:
        return square / draws - means[0].square()
    return square / (chains * draws) - (means.sum(0).square() - means.square().sum(0)) / (chains * (chains - 1))
