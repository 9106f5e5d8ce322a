"""Which rows of data the posterior holds together: covariances of the losses of single rows over draws.

With l_i(w) = -log p(row i | w) in nats, E and Cov over the posterior exp(-n*beta L_n(w) - gamma/2 |w - w*|^2):

    influence        d E[l_j] / d (weight of row i) = -(n*beta/n) Cov(l_i, l_j)      nats, at weight 1
    susceptibility   chi_i = -Cov(L_n, l_i - L_n)                                    nats^2

The first is the Bayesian influence function (Kreer et al. 2025, arXiv:2509.26544) of row i on the loss of row j; where
row i is not of the posterior's data, the weight is one that it would come in with. The second is the response
of a component's loss to a shift of the data towards row i (Baker et al. 2025, arXiv:2504.18274), the component's
posterior being that in which it moves alone, all else held at w*: under (1 - h) L_n + h l_i in place of L_n,

    d (n*beta E[L_n - L(w*)]) / dh = (n*beta)^2 chi_i = response                     nats, at h = 0

In a linear regression with residuals r, inputs x and noise_std 1, z = x^T u of variance s = x^T S x,
Cov(l_i, l_j) = r_i r_j s_ij + s_ij^2 / 2, and both are known.

Products of means over different chains stand for squared means, so covariances are unbiased however correlated the
draws of a chain; where each chain keeps to its own subset of rows they are taken within chains, and chains that mix
slowly make them small. Standard errors leave out a quarter of a chain at a time, and are raised, all of them alike, as
far as leaving out whole chains gives larger ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from llcx.types import Chains, Tables

BLOCKS = 4  # of a chain's draws, at most, that errors take for independent
TOP = 50  # pairs of rows in the table, of each measurement
LOSSES, ROWS = "losses of ", "rows of "  # names of what is kept with the draws, before that of the data
Losses = Float[Tensor, "C T R"]  # of R rows at T kept draws of C chains


@dataclass(frozen=True)
class Followed:
    """Losses of some rows above those at w*, as a function to observe."""

    rows: Int[Tensor, " R"]  # their numbers in the data
    examples: Callable[[Chains, Int[Tensor, " R"]], Float[Tensor, "C R"]]  # of the rows taken out of the data, in order

    def __call__(self, w: Chains) -> Float[Tensor, "C R"]:
        return self.examples(w, torch.arange(len(self.rows), device=w.device)).float()


def choose(asked: int | Sequence[int], total: int, generator: Generator) -> Int[Tensor, " R"]:
    """Numbers of the rows to follow: those asked for, or so many, spread evenly with random offsets.

    Raises ValueError where there are no such rows.
    """
    if not isinstance(asked, int):
        if max(asked) >= total:
            raise ValueError(f"estimator.influence must list rows below {total}, got {max(asked)}")
        return torch.tensor(sorted(asked))
    count = min(asked, total)
    edges = torch.arange(count + 1) * total // count
    offsets = torch.rand(count, generator=generator, dtype=torch.float64) * edges.diff()
    return edges[:-1] + offsets.long().clamp(max=edges.diff() - 1)


def kept(followed: Mapping[str, Followed], observed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What goes with the draws: losses [C, T, R] and numbers [R] of the rows of each data set."""
    found = {name: observed[name] for name in followed}
    return {**found, **{ROWS + name.removeprefix(LOSSES): each.rows for name, each in followed.items()}}


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
        return self.products / counts.sum() - _squared(a / counts, b / counts)

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


def _squared(a: Float[Tensor, "C R"], b: Float[Tensor, "C S"]) -> Tensor:
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


class Measured(NamedTuple):
    """The losses of one row of metrics_summary.csv."""

    row: Mapping[str, Any]
    data: list[str]  # of each followed row, the name of its data
    numbers: list[int]  # and its number there
    losses: Losses
    energy: Float[Tensor, "C T"]  # n*beta K

    @property
    def within(self) -> bool:
        """Whether chains have posteriors of their own."""
        return bool(self.row.get("subset_rows"))

    @property
    def named(self) -> dict[str, Any]:
        return {key: self.row[key] for key in ("point", "sampler", "where", "target")}


def measured(row: Mapping[str, Any], arrays: Mapping[str, Any]) -> Measured | None:
    """What a row's draws say of single rows; None where none were followed."""
    sets = [name.removeprefix(LOSSES) for name in arrays if name.startswith(LOSSES)]
    if not sets:
        return None
    numbers = [int(number) for name in sets for number in arrays[ROWS + name]]
    data = [name for name in sets for _ in arrays[ROWS + name]]
    losses = torch.cat([torch.as_tensor(arrays[LOSSES + name]) for name in sets], 2)
    return Measured(row, data, numbers, losses, torch.as_tensor(arrays["energy"]))


def tables(rows: Sequence[Mapping[str, Any]], arrays: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Tables:
    """analysis/influence.csv, susceptibilities.csv and influence.npz over all rows whose losses were followed.

    The arrays of the k-th measurement are `covariance k`, `error k`, `correlation k` [R, R], `response k` [R] and its
    error, `index k` and `data k` [R]; `measurements` holds (point, sampler, where, target) of each.
    """
    found = [each for row in rows if row["llc"] and (each := measured(row, arrays(row))) is not None]
    pairs, responses, kept = list[dict[str, Any]](), list[dict[str, Any]](), dict[str, Any]()
    for k, each in enumerate(found):
        matrix = covariances(each.losses, within=each.within)
        pairs += top(each, matrix)
        responses += susceptibilities(each)
        alike = {"covariance": matrix.value, "error": matrix.se, "correlation": correlations(matrix)}
        kept |= {f"{name} {k}": value.float().numpy() for name, value in alike.items()}
        kept |= {f"index {k}": each.numbers, f"data {k}": each.data}
    if not found:
        return Tables()
    kept["measurements"] = [list(map(str, each.named.values())) for each in found]
    return Tables({"influence": pairs, "susceptibilities": responses}, {"influence": kept})


def top(each: Measured, matrix: Covariances) -> list[dict[str, Any]]:
    """The pairs of different rows whose losses correlate most, at most TOP.

    `significant`: so far from zero that of all pairs together one in twenty runs has one by chance.
    """
    correlation, count = correlations(matrix), len(each.numbers)
    i, j = torch.triu_indices(count, count, 1)
    order = correlation[i, j].abs().nan_to_num(-1).argsort(descending=True, stable=True)[:TOP]
    limit = _quantile(0.025 / max(1, len(i)), each.losses)
    share = float(each.row["nbeta"]) / float(each.row["n"])
    return [
        {
            **each.named,
            **{"data": each.data[a], "row": each.numbers[a], "other_data": each.data[b], "other_row": each.numbers[b]},
            **{"correlation": float(correlation[a, b]), "covariance": float(matrix.value[a, b])},
            **{"se": float(matrix.se[a, b]), "influence": -share * float(matrix.value[a, b])},
            "significant": bool(matrix.value[a, b].abs() > limit * matrix.se[a, b]),
        }
        for a, b in zip(i[order].tolist(), j[order].tolist(), strict=True)
    ]


def susceptibilities(each: Measured) -> list[dict[str, Any]]:
    """chi of every followed row, its response and its correlation with the component's loss."""
    nbeta = float(each.row["nbeta"])
    loss = each.energy.unsqueeze(2) / nbeta
    shift = each.losses.double() - loss
    found = covariances(loss, shift, within=each.within)
    spread = covariances(loss, within=each.within).value[0, 0], _variances(shift, each.within)
    scale = (spread[0].clamp(min=0) * spread[1].clamp(min=0)).sqrt()
    limit = _quantile(0.025, each.losses)
    return [
        {
            **each.named,
            **{"data": each.data[k], "row": each.numbers[k], "chi": -float(found.value[0, k])},
            **{"se": float(found.se[0, k]), "response": -(nbeta**2) * float(found.value[0, k])},
            **{"response_se": nbeta**2 * float(found.se[0, k])},
            "correlation": -float(found.value[0, k] / scale[k]) if scale[k] > 0 else nan,
            "significant": bool(found.value[0, k].abs() > limit * found.se[0, k]),
        }
        for k in range(len(each.numbers))
    ]


def _variances(losses: Losses, within: bool) -> Float[Tensor, " R"]:
    """Of each row alone: the diagonal of `covariances`."""
    a = _centred(losses)
    sums, (chains, draws) = a.sum(1), a.shape[:2]
    square, means = a.square().sum((0, 1)), sums / draws
    if within:
        return (square - draws * means.square().sum(0)) / (chains * (draws - 1))
    if chains < 2:
        return square / draws - means[0].square()
    return square / (chains * draws) - (means.sum(0).square() - means.square().sum(0)) / (chains * (chains - 1))


def _quantile(tail: float, losses: Losses) -> float:
    """Of Student's t, exceeded with probability `tail`, for errors of so many chains and draws."""
    from scipy.stats import t  # slow to import

    chains, draws = losses.shape[:2]
    return float(t.isf(tail, max(1, chains * blocks_of(draws) - 1)))
