"""The multiplicity as weights over m = 1 .. 5, never as a pick.

    mu(t) = E[t K] = lambda - (m - 1) / L + ...,    L = log t + c,    t = n*beta            (Watanabe 2009, ch. 6)
    mu - v = dmu / dlog t = (m - 1) / L^2,          v = Var(t K)                            (exact: left equals middle)
    mu(t) - mu(t/4) = (m - 1) (1 / (L - log 4) - 1 / L)

A run measures the left sides. Bayes' rule weighs m, with

    P(m)      proportional to 2^-m: 52, 26, 13, 6, 3 %. Of 5000 random deep linear networks, 67, 20, 10, 2, 1 % have
              m = 1 .. 5 at widths 3 to 10 (2 to 5 layers), 52, 24, 18, 4, 2 % at widths 50 to 100.
    L / log t log-normal around 1, a factor of 1.8 each way: by quadrature c is 2 to 5 for monomials x^2 y^2 .. at
              t = 1e4, 5 to 13 for x^4 y^4 ..; long runs of three deep linear networks with m = 2, 3 say -3 to -2, and
              the mean biases of a hundred of them, by m, down to -6.
    slope     0.5 % of mu besides, from other poles and the localiser: 0 to 0.4 % in long runs of six deep linear
              networks with m = 1 at t = 1e4, 0.2 to 0.5 % for x^4 and x^6; and 2 % of mu(t/4), whose run is short.
    errors    Student's t on C - 1 degrees of freedom, the two slopes correlated through the mu that they share.

It is a weak statement by nature. At t = 1e4 the slopes are about (m - 1) / 85, while v of lambda = 10 has a standard
error of 0.7 at 500 independent draws: it would take millions of them to tell m = 1 from 2, and then the slope of other
poles is in the way. Weights close to P(m) say that the run cannot tell; only small lambda and long runs can.
"""

from math import log
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.diagnostics import standard_error
from llcx.types import Trace

MOST = 5
SPREAD = 0.6  # of log(L / log t)
SLOPE = 0.005  # of mu, relative: dmu/dlog t that is not the multiplicity's
SHORT = 0.02  # of mu, relative: what the run at t/4 may not have settled
COOLER = log(4)  # between the temperatures of the two runs, in log t
LEAST = 2 * COOLER  # of L; the expansion says nothing nearer to its pole


class Slopes(NamedTuple):
    """mu - v and, where there is a run at t/4, mu(t) - mu(t/4)."""

    mu: float
    found: Float[Tensor, " K"]
    noise: Float[Tensor, "K K"]  # their covariance
    freedom: int  # chains - 1


def slopes(main: Trace, quarter: tuple[float, float] | None = None) -> Slopes:
    """From draws of t K, and (mean, standard error) of a run at t/4."""
    mu, se = float(main.mean()), standard_error(main)
    square = (main - mu).square()
    difference = main - square  # a draw's part of mu - v
    alike = float(torch.corrcoef(torch.stack([difference.flatten(), main.flatten()]))[0, 1])
    first, both = standard_error(difference) ** 2, alike * standard_error(difference) * se
    found, noise = [float(difference.mean()) - se**2], [[first]]  # the spread of mu is missing in v
    if quarter is not None:
        found, noise = [*found, mu - quarter[0]], [[first, both], [both, se**2 + quarter[1] ** 2]]
    as_tensor = torch.tensor(noise, dtype=torch.float64)
    return Slopes(mu, torch.tensor(found, dtype=torch.float64), as_tensor, max(1, len(main) - 1))


def prior(parameters: int = MOST) -> Float[Tensor, " M"]:
    """P(m) for m = 1 .. 5; m is no larger than the number of parameters."""
    weights = 0.5 ** torch.arange(1, MOST + 1, dtype=torch.float64) * (torch.arange(MOST) < parameters)
    return weights / weights.sum()


def weights(seen: Slopes, nbeta: float, parameters: int = MOST) -> Float[Tensor, " M"]:
    """P(m | slopes at n*beta) for m = 1 .. 5."""
    depth, chance = _depths(log(nbeta))
    steps = torch.tensor([1.0, COOLER], dtype=torch.float64)[: len(seen.found)]
    shape = torch.stack([depth**-2, 1 / (depth - COOLER) - 1 / depth], 1)[:, : len(steps)]  # [G, K], for m = 2
    miss = seen.found - torch.arange(MOST).view(-1, 1, 1) * shape  # [M, G, K]
    unsettled = torch.tensor([0.0, SHORT], dtype=torch.float64)[: len(steps)]
    covariance = seen.noise + seen.mu**2 * ((SLOPE * steps).outer(SLOPE * steps) + unsettled.square().diag())
    square = (miss * torch.linalg.solve(covariance, miss.unsqueeze(-1)).squeeze(-1)).sum(-1)
    likelihood = (1 + square / seen.freedom) ** (-(seen.freedom + len(steps)) / 2)
    found = prior(parameters) * (likelihood * chance).sum(1)
    return found / found.sum()


def _depths(start: float) -> tuple[Float[Tensor, " G"], Float[Tensor, " G"]]:
    """L = log t + c on a grid, and its prior, for log t = `start`."""
    z = torch.linspace(-3, 3, 61, dtype=torch.float64)
    depth = start * (SPREAD * z).exp()
    chance = (-0.5 * z.square()).exp() * (depth > LEAST)
    return depth.clamp(min=LEAST), chance / chance.sum()


def told(main: Trace, nbeta: float, parameters: int, quarter: tuple[float, float] | None = None) -> tuple[str, str]:
    """(column mult_weights, a sentence); empty where n*beta is too small for the expansion, or energies never vary."""
    if not nbeta > 16 or float(main.var()) == 0:  # log t > LEAST
        return "", ""
    before, after = prior(parameters), weights(slopes(main, quarter), nbeta, parameters)
    column = " ".join(f"{m}:{weight:.2f}" for m, weight in enumerate(after.tolist(), 1))
    words = ", ".join(f"m = {m}: {100 * weight:.0f} %" for m, weight in enumerate(after.tolist(), 1))
    start = ", ".join(f"{100 * weight:.0f}" for weight in before.tolist())
    verdict = "; the run cannot tell" if float((after - before).abs().max()) < 0.1 else ""
    return column, f"multiplicity {words} (before the run {start} %){verdict}"
