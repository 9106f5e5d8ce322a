"""The self target on frozen subsets of the rows, one a chain: what they answer for all rows.

Chain c is drawn from the posterior of K_c, the divergence on its own n' rows. At its draws n*beta*K_c has the mean
`subset`, too low, and n*beta*K on all rows the mean `full`, too high, so that they bracket the answer. To second order
in the difference D of the two Hessians, with M = n*beta H + gamma,

    subset = lambda - gamma/2 tr(M^-1 D M^-1 D M^-1)        full - subset = 1/2 tr(M^-1 D M^-1 D)

and for rows of independent factors E[D M^-1 D] = tr(M^-1 n*beta H)/n' n*beta H (1 - n'/n) to leading order, hence

    full - subset = 2 lambda^2 / n' (1 - n'/n)              lambda = subset + (1 - v / mu) (full - subset)

where mu and v are mean and variance of n*beta*K_c: for a quadratic v / mu = sum s^2 / sum s, with
s = n*beta e / (n*beta e + gamma) over the eigenvalues e of H.
"""

from dataclasses import replace

import torch
from torch import Tensor

from llcx.types import Draws, Index, Potential, Streams, Trace

FEWEST = 500  # rows
PER_NAT = 20  # rows for each nat of the estimate: a gap of 2 / PER_NAT
WHOLE = 0.7  # share of all rows from which on all are taken
UNSURE = 0.15  # of the gap: half-width that the interval adds for it
BOTH = SUBSET, FULL = "subset", "full"  # names of the two traces among what was observed


def size(estimate: float, rows: int) -> int:
    """Rows a chain for an estimate in nats; 0: all."""
    wanted = max(FEWEST, int(PER_NAT * estimate))
    return 0 if wanted > WHOLE * rows else wanted


def freeze(potential: Potential, count: int, chains: int, streams: Streams) -> Potential:
    """K of chain c on its own `count` rows, drawn without replacement; more rows go on with the same ones."""
    assert potential.frozen is not None  # what chooses a subset looks for it
    held = potential.frozen(rows_of(potential.rows, count, chains, streams).to(potential.at.device))
    share = count / potential.rows
    return replace(
        potential,
        full=held.full,
        value=held.value,
        slope=held.slope,
        mini=None,
        frozen=None,
        rows=count,
        flops=potential.flops * share,
    )


def bracketed(draws: Draws) -> Draws:
    """Draws whose energy is subset + weight (full - subset), and their gap's share of the half-width.

    Where chains have not moved at all the weight is one half.
    """
    full, subset = draws.observed[FULL], draws.energy
    gap = float(full.mean() - subset.mean())
    return replace(
        draws,
        energy=subset + weight(subset) * (full - subset),
        allowance=draws.allowance + UNSURE * abs(gap),
        observed={**draws.observed, SUBSET: subset},
    )


def weight(subset: Trace) -> float:
    """1 - v / mu, in [0, 1]: where in the bracket the answer lies."""
    mean = float(subset.mean())
    return min(1.0, max(0.0, 1 - float(subset.var(1).mean()) / mean)) if mean > 0 else 0.5


def gap(draws: Draws) -> float:
    """(full - subset) / estimate; 0 where no rows were left out."""
    if SUBSET not in draws.observed:
        return 0.0
    return float(draws.observed[FULL].mean() - draws.observed[SUBSET].mean()) / max(float(draws.energy.mean()), 1e-12)


def rows_of(total: int, count: int, chains: int, streams: Streams) -> Index:
    """[C, count] of `total` rows, chain c's from its own stream; the first of a longer list are those of a shorter."""

    def own(chain: int) -> Tensor:
        return torch.randperm(total, generator=streams.replicate(chain).generator("subset"))[:count]

    return torch.stack([own(chain) for chain in range(chains)])
