"""Which rows of data the posterior holds together: covariances of the losses of single rows over draws.

With l_i(w) = -log p(row i | w) in nats, K = L_n - L_n(w*), E and Cov over the posterior of the whole,
exp(-n*beta L_n(w) - gamma/2 |w - w*|^2), E_C and Cov_C where a component C moves alone, all else held at w*:

    influence        d E[l_j] / d (weight of row i) = (n*beta/n) BIF(i, l_j)         nats, at weight 1
    susceptibility   chi_i = E_C[K] E[d_i] - E_C[K d_i],   d_i = (rows/n) l_i - L_n     nats^2
    response         d (n*beta E_C[K]) / dh = -(n*beta)^2 Cov_C(K, d_i)              nats, at h = 0

BIF(i, phi) = -Cov(l_i, phi) is the Bayesian influence function (Kreer et al. 2025, arXiv:2509.26544), there at
n*beta = n; where row i is not of the posterior's data, the weight is one that it would come in with.

chi is the susceptibility of Baker et al. 2025 (arXiv:2504.18274), (1/n*beta) d<phi>/dh = -Cov(phi, d_i) for the
observable phi = delta(u - u*) K, u all that is not of C, under (1 - h) L_n + h (rows/n) l_i in place of L_n. phi picks
out of the whole posterior where C alone has moved, so that the mean of d_i is the whole's and that of K the
component's; the constant Z_C/Z, how much of the posterior lies there, is left out as in the estimator of their appendix
C.4. Of the whole it is -Cov(K, d_i). rows/n, one over the predictions that a row holds on average, makes d_i one of a
prediction where rows hold several (tokens). The response is that of the component's own learning coefficient.

In a linear regression with residuals r, inputs x and noise_std 1, z = x^T u of variance s = x^T S x,
Cov(l_i, l_j) = r_i r_j s_ij + s_ij^2 / 2, and all are known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from llcx.covariance import Covariances, Losses, blocks_of, correlations, covariances, of_means, variances
from llcx.types import Chains, Tables

TOP = 50  # pairs of rows in the table, of each measurement
LOSSES, ROWS, PREDICTIONS = "losses of ", "rows of ", "predictions of "  # kept with the draws, before a data set's name


@dataclass(frozen=True)
class Followed:
    """Losses of some rows above those at w*, as a function to observe."""

    rows: Int[Tensor, " R"]  # their numbers in the data
    examples: Callable[[Chains, Int[Tensor, " R"]], Float[Tensor, "C R"]]  # of the rows taken out of the data, in order
    predictions: float = 1.0  # that a row of the data holds on average

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
    """What goes with the draws: losses [C, T, R] and numbers [R] of the rows of each data set, and predictions [1]."""
    found = {name: observed[name] for name in followed}
    for name, each in followed.items():
        data = name.removeprefix(LOSSES)
        found |= {ROWS + data: each.rows, PREDICTIONS + data: torch.tensor([each.predictions])}
    return found


class Measured(NamedTuple):
    """The losses of one row of metrics_summary.csv."""

    row: Mapping[str, Any]
    data: list[str]  # of each followed row, the name of its data
    numbers: list[int]  # and its number there
    losses: Losses
    energy: Float[Tensor, "C T"]  # n*beta K
    predictions: list[float] | None = None  # of each followed row; None: one

    @property
    def shift(self) -> tuple[Float[Tensor, "C T 1"], Losses]:
        """K, and d_i of each row."""
        loss = self.energy.double().unsqueeze(2) / float(self.row["nbeta"])
        each = self.losses.double()
        return loss, (each if self.predictions is None else each / torch.tensor(self.predictions).to(each)) - loss

    @property
    def within(self) -> bool:
        """Whether chains have posteriors of their own."""
        return bool(self.row.get("subset_rows"))

    @property
    def beside(self) -> tuple[Any, ...]:
        """What a component and its whole have in common."""
        return (*(self.row[key] for key in ("point", "sampler", "target")), *self.data, *self.numbers)

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
    held = {name: float(arrays[PREDICTIONS + name][0]) if PREDICTIONS + name in arrays else 1.0 for name in sets}
    return Measured(row, data, numbers, losses, torch.as_tensor(arrays["energy"]), [held[name] for name in data])


def tables(
    rows: Sequence[Mapping[str, Any]],
    arrays: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    whole: str = "all",
) -> Tables:
    """analysis/influence.csv, susceptibilities.csv and influence.npz over all rows whose losses were followed.

    `whole` is the place (`where`) of the whole, beside which the others are components. The arrays of the k-th
    measurement are `covariance k`, `error k`, `correlation k` [R, R], `index k` and `data k` [R]; `measurements` holds
    (point, sampler, where, target) of each.
    """
    found = [each for row in rows if row["llc"] and (each := measured(row, arrays(row))) is not None]
    wholes = {each.beside: each for each in found if each.row["where"] == whole}
    pairs, responses, kept = list[dict[str, Any]](), list[dict[str, Any]](), dict[str, Any]()
    for k, each in enumerate(found):
        matrix = covariances(each.losses, within=each.within)
        pairs += top(each, matrix)
        responses += susceptibilities(each, wholes.get(each.beside))
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


def susceptibilities(each: Measured, whole: Measured | None) -> list[dict[str, Any]]:
    """chi of every followed row; its response, with that one's correlation and significance, is the component's own.

    Without the draws of the `whole`, which may be `each` itself, chi is nan.
    """
    nbeta = float(each.row["nbeta"])
    loss, shift = each.shift
    found = covariances(loss, shift, within=each.within)
    chi = Covariances(-found.value, found.se) if whole is each else structural(each, whole)
    spread = covariances(loss, within=each.within).value[0, 0], variances(shift, each.within)
    scale = (spread[0].clamp(min=0) * spread[1].clamp(min=0)).sqrt()
    limit = _quantile(0.025, each.losses)
    return [
        {
            **each.named,
            **{"data": each.data[k], "row": each.numbers[k], "chi": float(chi.value[0, k])},
            **{"se": float(chi.se[0, k]), "response": -(nbeta**2) * float(found.value[0, k])},
            **{"response_se": nbeta**2 * float(found.se[0, k])},
            "correlation": -float(found.value[0, k] / scale[k]) if scale[k] > 0 else nan,
            "significant": bool(found.value[0, k].abs() > limit * found.se[0, k]),
        }
        for k in range(len(each.numbers))
    ]


def structural(part: Measured, whole: Measured | None) -> Covariances:
    """chi [1, R] of a component and its standard error over chains, which draw alike in both; nan for fewer than three.

    Where chains have posteriors of their own the mean of d_i is that of the same chain, else that of the others.
    """
    if whole is None:
        return Covariances(*torch.full((2, 1, part.losses.shape[2]), nan, dtype=torch.float64))
    (loss, shift), beyond = part.shift, whole.shift[1].mean(1)
    both, alone = (loss * shift).mean(1), loss.mean(1)
    chains = min(len(alone), len(beyond))
    both, alone, beyond = both[:chains], alone[:chains], beyond[:chains]

    def value(chosen: Tensor) -> Float[Tensor, "1 R"]:
        k, d, product = alone[chosen], beyond[chosen], both[chosen].mean(0, keepdim=True)
        return ((k * d).mean(0, keepdim=True) if part.within else of_means(k, d)) - product

    every = torch.arange(chains)
    if chains < 3:
        return Covariances(value(every), torch.full_like(value(every), nan))
    left = torch.stack([value(every[every != chain]) for chain in range(chains)])
    return Covariances(value(every), (chains - 1) ** 0.5 * left.std(0, correction=0))


def _quantile(tail: float, losses: Losses) -> float:
    """Of Student's t, exceeded with probability `tail`, for errors of so many chains and draws."""
    from scipy.stats import t  # slow to import

    chains, draws = losses.shape[:2]
    return float(t.isf(tail, max(1, chains * blocks_of(draws) - 1)))
