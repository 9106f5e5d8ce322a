"""The mechanics that any estimator of the learning coefficient should pass, through the posterior and the front door.

Kernels alone (two curvatures, step bias, heat) are asked in samplers/test_contract.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import llcx
from llcx import gradients, measure
from llcx.estimators.llc import LLC, Estimate
from llcx.likelihoods import Gaussian
from llcx.params import flatten
from llcx.posterior import Posterior
from llcx.rng import ChainNoise
from llcx.samplers import HMC, SGLD
from llcx.samplers.sgld import build
from llcx.types import Data, Point, StatModel
from tests.problems import noisy_line
from tests.samplers.chains import Quiet
from tests.stats import assert_matches

Rows = tuple[Tensor, Tensor]
FIXED = HMC(step_size=0.05, leapfrog=3)  # an adapted step would depend on what is varied


@dataclass(frozen=True)
class Hardware:
    device: str = "cpu"
    dtype: str = "float64"
    backend: str = "auto"
    memory: float | None = None


def network(rows: int = 120) -> tuple[nn.Module, Rows]:
    """A tanh network 3-4-1 and rows that it labelled itself: w* is a minimum, with 16 parameters."""
    first, last = nn.Linear(3, 4, bias=False), nn.Linear(4, 1, bias=False)
    model = nn.Sequential(first, nn.Tanh(), last).double()
    draw = torch.Generator().manual_seed(2)
    for layer in (first, last):
        layer.weight.data = torch.randn(layer.weight.shape, generator=draw, dtype=torch.float64)
    x = torch.randn(rows, 3, generator=draw, dtype=torch.float64)
    return model, (x, model(x).detach())


def on_rows(model: nn.Module, data: Rows, loss: Any, sampler: Any, **wishes: Any) -> Estimate:
    point = Point("rows", {}, StatModel(model, loss), Data(data, len(data[0])))
    return measure.measure(point, sampler, LLC(check="off", **wishes), Hardware(), seed=0).estimate


def of_potential(
    value: Callable[[Tensor], Tensor], at: Tensor, nbeta: float, gamma: float, *, leapfrog: int = 8, chains: int = 192
) -> Estimate:
    found = gradients.of_scalar(value, at.double(), n=10_000)
    wishes = LLC(nbeta=nbeta, gamma=gamma, chains=chains, warmup=60, draws=40, check="off")
    return measure.of_potential(found, HMC(leapfrog=leapfrog), wishes, 0)[0]


def assert_same(one: Estimate, other: Estimate, rel_se: float = 0.05) -> None:
    """Two estimates agree, and were precise enough to have disagreed."""
    se = float(np.hypot(one.se, other.se))
    assert se < rel_se * one.llc, f"too noisy to judge: se {se:.3g} of {one.llc:.3g}"
    assert abs(one.llc - other.llc) < 4 * se, f"{one.llc:.3f} and {other.llc:.3f} are {se:.3g} (se) apart"


@pytest.mark.parametrize("batch", [None, 8])
def test_without_noise_and_localiser_sgld_at_nbeta_one_is_sgd_with_half_the_rate(batch: int | None) -> None:
    model, (x, _) = network()
    data = (x, torch.ones(len(x), 1, dtype=torch.float64))  # labels it does not have: there is a slope
    potential = gradients.of_model(StatModel(model, Gaussian(0.7)), Data(data, len(x)), dtype=torch.float64)[0]
    kernel, quiet = build(SGLD(0.02), Posterior(potential, nbeta=1.0, gamma=0.0)), Quiet(0, 2)
    state = kernel.init(potential.at.repeat(2, 1), quiet)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(5):
        chosen = None if batch is None else ChainNoise(0, 1).indices(len(x), batch).expand(2, -1)
        state = kernel.step(state, chosen, quiet)
        seen = data if chosen is None else tuple(part[chosen[0]] for part in data)
        optimizer.zero_grad()
        Gaussian(0.7)(model(seen[0]), seen).mean().backward()
        optimizer.step()
    torch.testing.assert_close(state.w, flatten(model).expand(2, -1), rtol=1e-12, atol=1e-12)
    assert (state.w - potential.at).norm() > 0.01


@pytest.mark.parametrize("sampler", [FIXED, SGLD(1e-3, batch_size=16)])
def test_the_loss_doubled_at_half_the_temperature_is_the_same_bits(sampler: Any) -> None:
    model, data = noisy_line(60)

    def doubled(out: Tensor, batch: Rows) -> Tensor:
        return 2 * Gaussian(0.5)(out, batch)

    def draws(loss: Any, nbeta: float) -> Tensor:
        wishes = {"nbeta": nbeta, "gamma": 1.0, "chains": 4, "warmup": 4, "draws": 8}
        return on_rows(model, data, loss, sampler, **wishes).draws

    found = draws(Gaussian(0.5), 20.0)
    assert torch.equal(found, draws(doubled, 10.0))
    assert not torch.isclose(found, draws(doubled, 20.0)).any()


def test_a_loss_that_is_no_number_raises_and_names_chain_and_draw() -> None:
    model, data = noisy_line(60)

    def lost(out: Tensor, batch: Rows) -> Tensor:
        found = Gaussian(0.5)(out, batch)
        return torch.where(found > 8.0, torch.nan, found)  # no row is that far off at w*, a chain soon has one

    with pytest.raises(FloatingPointError, match=r"chain \d+ has n\*beta\*K = nan at (draw|warm-up step) \d+; lower"):
        llcx.estimate(model, data, lost, nbeta=20.0, gamma=0.0, sampler=SGLD(0.01, batch_size=None), chains=4, draws=40)


@pytest.mark.parametrize("nbeta", [3.0, 1e8])
def test_powers_are_exact_at_every_temperature(nbeta: float) -> None:
    found = of_potential(lambda w: w.abs().pow(4).sum(), torch.zeros(3), nbeta, 0.0)
    assert_matches(found.draws, 0.75, rel_se=0.04)


def test_permuted_units_and_permuted_rows_are_the_same_model() -> None:
    wishes = {"nbeta": 100.0, "gamma": 10.0, "chains": 48, "warmup": 20, "draws": 20}
    model, (x, y) = network()
    here = on_rows(model, (x, y), Gaussian(), HMC(leapfrog=6), **wishes)
    first, last = model.get_parameter("0.weight"), model.get_parameter("2.weight")
    units, rows = torch.tensor([2, 0, 3, 1]), torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    first.data, last.data = first.data[units], last.data[:, units]
    assert_same(here, on_rows(model, (x[rows], y[rows]), Gaussian(), HMC(leapfrog=6), **wishes))


def product(w: Tensor) -> Tensor:
    """Two linear layers 3-2-3 as one matrix."""
    return w[6:].reshape(3, 2) @ w[:6].reshape(2, 3)


def curvature(at: Tensor) -> float:
    """The trace of the Hessian of |W - W*|^2 / 2 at w*: that of J^T J."""
    return float(torch.autograd.functional.jacobian(product, at).square().sum())


def test_rescaled_layers_have_another_curvature_and_the_same_learning_coefficient() -> None:
    one = torch.linalg.qr(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)))[0].flatten().double()
    other = torch.cat([2.0 * one[:6], 0.5 * one[6:]])

    def found(at: Tensor) -> Estimate:
        return of_potential(lambda w: 0.5 * (product(w) - product(at)).square().sum(), at, 1e5, 1.0, chains=128)

    here, there = found(one), found(other)
    assert curvature(other) > 1.5 * curvature(one)
    assert_same(here, there)
    known = float(llcx.theory.dln([3, 2, 3], 2).lam)
    assert here.low < known < here.high
    assert there.low < known < there.high


def random_layers(draw: np.random.Generator) -> tuple[list[int], list[Tensor], float]:
    """Widths, layers of which each lost some of its rank with probability 1/2, and the coefficient at that very w*."""
    widths = draw.integers(2, 6, 3).tolist()
    layers = []
    for into, out in pairwise(widths):
        u, s, v = np.linalg.svd(draw.normal(size=(out, into)), full_matrices=False)
        kept = draw.integers(0, len(s) + 1) if draw.random() < 0.5 else len(s)
        layers.append(torch.from_numpy((u[:, :kept] * (1 + s[:kept])) @ v[:kept]))
    ranks = [int(torch.linalg.matrix_rank(found)) for found in (layers[1], layers[0], layers[1] @ layers[0])]
    return widths, layers, float(llcx.theory.dln_local(widths, *ranks).lam)


@pytest.mark.slow
def test_random_linear_networks_are_on_the_line_and_in_order() -> None:
    """As Lau et al. (2023), arXiv:2308.12108: w* is the true parameter, n*beta = n / log n, gamma = 1."""
    draw, nbeta = np.random.default_rng(5), 1e6 / log(1e6)
    known, found = [], []
    for _ in range(10):
        (a, b, c), (first, last), lam = random_layers(draw)
        truth = last @ first

        def loss(w: Tensor, a: int = a, b: int = b, c: int = c, truth: Tensor = truth) -> Tensor:
            return 0.5 * (w[a * b :].reshape(c, b) @ w[: a * b].reshape(b, a) - truth).square().sum()

        at = torch.cat([first.flatten(), last.flatten()])
        known.append(lam)
        found.append(of_potential(loss, at, nbeta, 1.0, leapfrog=24, chains=32).llc)
    line = stats.linregress(known, found)
    assert len(set(known)) >= 6
    assert line.slope == pytest.approx(1.0, abs=0.06)
    assert line.intercept == pytest.approx(0.0, abs=0.3)
    assert np.median(np.abs(np.divide(found, known) - 1)) < 0.05
    pairs = [(i, j) for i in range(10) for j in range(i) if abs(known[i] - known[j]) > 0.4]
    assert all((found[i] - found[j]) * (known[i] - known[j]) > 0 for i, j in pairs)
