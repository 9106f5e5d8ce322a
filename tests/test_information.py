"""Information criteria of a linear regression, where row losses under the posterior are known in closed form.

With noise_std 1, w* the least-squares fit and u ~ N(0, S), S^-1 = n*beta X^T X / n + gamma, a row's excess loss is
-r z + z^2 / 2 with z ~ N(0, s), s = x^T S x.
"""

from dataclasses import replace
from functools import cache
from math import log

import pytest
import torch
from torch import Tensor, nn

from llcx import gradients, information
from llcx.estimators.llc import LLC, Estimate
from llcx.likelihoods import Gaussian
from llcx.measure import measure
from llcx.samplers import HMC
from llcx.types import Data, Draws, Plan, Point, Potential, StatModel
from tests.test_measure import Hardware

N, D, GAMMA = 60, 3, 2.0
NBETA = N / log(N)
C, T = 64, 120
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = X.sum(1, keepdim=True) + torch.randn(N, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
FIT = torch.linalg.lstsq(X, Y).solution
R = (Y - X @ FIT).squeeze(1)  # residuals
LOSS_AT = float(R.square().mean()) / 2
PLAN = Plan(HMC(), NBETA, GAMMA, C, 0, T, 1)


def model() -> StatModel:
    module = nn.Linear(D, 1, bias=False).double()
    module.weight.data = FIT.T.clone()
    return StatModel(module, Gaussian(1.0), Gaussian(1.0).kl)


def potential(target: str = "data", mode: str = "data") -> Potential:
    return gradients.of_model(model(), Data((X, Y), N, mode), target=target, dtype=torch.float64)[0]


def covariance(nbeta: float = NBETA) -> Tensor:
    return torch.linalg.inv(nbeta * X.T @ X / N + GAMMA * torch.eye(D, dtype=torch.float64))


def exact(nbeta: float = NBETA) -> dict[str, float]:
    """V, nu, G, WAIC and WBIC of these data."""
    s = (X @ covariance(nbeta) * X).sum(1)
    variance, beta = float((R.square() * s + s.square() / 2).sum()), nbeta / N
    gibbs = LOSS_AT + float(s.mean()) / 2
    gain = float((R.square() * s / (1 + s) - torch.log1p(s)).sum()) / 2  # sum_i log E exp(-e_i)
    return {
        "functional_variance": variance,
        "nu": beta * variance / 2,
        "gibbs_loss": gibbs,
        "waic": LOSS_AT - gain / N + beta * variance / N,
        "wbic": N * gibbs,
    }


@cache
def found(heat: float = 1.0, stride: int = 1) -> dict[str, float]:
    """The criteria from independent draws of the posterior, its covariance times `heat`, on every `stride`-th row."""
    posed = potential()
    assert posed.examples is not None
    losses = information.RowLosses(posed.examples, torch.arange(0, N, stride))
    z = torch.randn(T, C, D, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    w = posed.at + heat**0.5 * z @ torch.linalg.cholesky(covariance()).T
    for some in w:
        losses(some)
    energy = NBETA * torch.stack([posed.value(some) for some in w], 1)
    draws = Draws(energy, energy, energy[:, :1], w[-1], None, 0.1, 0, 0, 0.0)
    numbers = information.of_energy(energy, PLAN, posed, LOSS_AT)
    return numbers | information.of_rows(losses, draws, PLAN, posed, LOSS_AT)


def test_nu_and_waic_are_those_of_the_gaussian_algebra() -> None:
    truth, seen = exact(), found()
    assert seen["nu_se"] < 0.015 * truth["nu"]
    assert abs(seen["nu"] - truth["nu"]) < 5 * seen["nu_se"]
    assert seen["waic_se"] < 0.015 * (truth["waic"] - LOSS_AT)
    assert abs(seen["waic"] - truth["waic"]) < 5 * seen["waic_se"]
    assert seen["functional_variance"] == pytest.approx(truth["functional_variance"], rel=0.02)


def test_the_oracle_rejects_draws_ten_percent_too_hot() -> None:
    truth, seen = exact(), found(heat=1.1)
    assert seen["nu"] - truth["nu"] > 5 * seen["nu_se"]
    assert abs(seen["waic"] - truth["waic"]) > 5 * seen["waic_se"]


def test_nu_is_half_the_parameters_on_average_over_data() -> None:
    """With flat prior E[nu] = d/2 - sum h^2 / 2 + sum h^2 / (4 beta): d/2 at beta = 1/2, near it for many rows."""
    h = (X @ torch.linalg.inv(X.T @ X) * X).sum(1)
    noise = torch.randn(20_000, N, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    residual = noise - noise @ X @ torch.linalg.inv(X.T @ X) @ X.T
    for beta in (0.5, 1.0, 1 / log(N)):
        nu = residual.square() @ h / 2 + h.square().sum() / (4 * beta)
        se = float(nu.std()) / len(nu) ** 0.5
        expected = D / 2 - float(h.square().sum()) * (1 / 2 - 1 / (4 * beta))
        assert se < 0.005 * D and abs(float(nu.mean()) - expected) < 5 * se
    flat = exact(1e9)  # the prior is nothing beside this n*beta
    assert flat["nu"] == pytest.approx(float(R.square() @ h) / 2, rel=1e-6)


def test_wbic_is_the_bic_where_the_prior_is_flat() -> None:
    energy = torch.full((2, 4), D / 2, dtype=torch.float64)  # n*beta E K of a regular model
    seen = information.of_energy(energy, PLAN, potential(), LOSS_AT)
    assert seen["wbic"] == pytest.approx(float(R.square().sum()) / 2 + D / 2 * log(N))
    assert found()["wbic"] == pytest.approx(exact()["wbic"], rel=0.002)


def test_wbic_is_empty_at_another_temperature_without_the_loss_or_without_a_sample() -> None:
    energy, posed = torch.ones(2, 4, dtype=torch.float64), potential()
    assert information.of_energy(energy, replace(PLAN, nbeta=1.01 * NBETA), posed, LOSS_AT) == {}
    assert information.of_energy(energy, PLAN, posed, float("nan")) == {}
    assert information.of_energy(energy, PLAN, potential("self"), LOSS_AT) == {}
    assert information.of_energy(energy, PLAN, potential(mode="population"), LOSS_AT) == {}


def test_lambda_from_two_temperatures_needs_no_baseline() -> None:
    energy = torch.full((2, 4), 3.0 + 0.4, dtype=torch.float64)  # L(w*) wrong by 0.4 / n*beta
    seen = information.of_temperatures(energy, (3.0 + 0.1, 0.6))
    assert seen["llc_wbic"] == pytest.approx(3.0) and seen["llc_wbic_se"] == pytest.approx(0.8)


def test_some_rows_stand_for_all_within_a_larger_error() -> None:
    truth, every, some = exact(), found(), found(stride=3)
    assert some["nu_se"] > 2 * every["nu_se"]
    assert abs(some["nu"] - truth["nu"]) < 5 * some["nu_se"]
    assert some["gibbs_loss"] == every["gibbs_loss"]


def test_variances_are_unbiased_however_chains_stick() -> None:
    """Two chains that never move: the plain variance would be half of the true one."""
    generator = torch.Generator().manual_seed(5)
    losses = information.RowLosses(lambda w, idx: w, torch.arange(4000))
    stuck = 3 + torch.randn(2, 4000, generator=generator, dtype=torch.float64)
    for _ in range(3):
        losses(stuck)
    found = losses.variance(torch.tensor([True, True]))
    assert abs(float(found.mean()) - 1) < 0.1
    assert float(stuck.var(0, correction=0).mean()) < 0.6


def test_only_every_so_manieth_draw_is_looked_at() -> None:
    losses = information.RowLosses(lambda w, idx: w, torch.arange(2), every=3)
    for draw in range(7):
        assert losses(torch.full((4, 2), float(draw))).tolist() == [0.0] * 4
    assert losses.looks == 3 and losses.first.tolist() == [[9.0, 9.0]] * 4  # draws 0, 3 and 6
    losses.restart()
    losses(torch.ones(2, 2))
    assert losses.looks == 1 and losses.first.tolist() == [[1.0, 1.0]] * 2


def test_only_a_posterior_of_labelled_rows_is_watched_and_not_at_every_draw() -> None:
    generator = torch.Generator().manual_seed(0)
    for other in (potential("self"), potential(mode="population"), replace(potential(), examples=None)):
        assert information.watch(other, PLAN, generator) == {}
    assert information.watch(potential(), replace(PLAN, subset=10), generator) == {}
    losses = information.watch(potential(), replace(PLAN, chains=8, draws=100), generator)[information.NAME]
    assert losses.every == 4 and len(losses.idx) == N
    wide = information.watch(replace(potential(), rows=10**7), PLAN, generator)[information.NAME]
    assert len(wide.idx.unique()) == information.ROWS and int(wide.idx.max()) < 10**7


@pytest.mark.parametrize("rows", [1, 1999, 2000, 2001, 2500, 3999])
def test_no_row_is_watched_twice(rows: int) -> None:
    posed = replace(potential(), rows=rows)
    idx = information.watch(posed, PLAN, torch.Generator().manual_seed(0))[information.NAME].idx
    assert len(idx.unique()) == len(idx) == min(rows, information.ROWS)
    assert int(idx.min()) >= 0 and int(idx.max()) < rows


@cache
def measured(check: str) -> Estimate:
    point = Point("regression", {}, model(), Data((X, Y), N))
    return measure(
        point, HMC(leapfrog=8), LLC(gamma=GAMMA, chains=4, warmup=20, draws=60, check=check), Hardware(), 0
    ).estimate


def test_a_measurement_tells_them_and_without_checks_does_not() -> None:
    seen, truth = measured("quick"), exact()
    assert abs(float(seen.beside["nu"]) - truth["nu"]) < 5 * float(seen.beside["nu_se"]) < truth["nu"]
    assert float(seen.beside["wbic"]) == pytest.approx(truth["wbic"], rel=0.02)
    assert information.NAME not in seen.observed
    assert not {"nu", "waic", "wbic", "mult_weights"} & measured("off").beside.keys()


def test_the_running_estimate_ends_at_the_estimate_and_one_chain_has_no_error() -> None:
    seen = measured("off")
    mean, error = seen.running
    assert mean.shape == error.shape == (60,)
    assert float(mean[-1]) == pytest.approx(seen.llc) and float(mean[0]) == pytest.approx(
        float(seen.draws[:, 0].mean())
    )
    assert float(error[-1]) == pytest.approx(float(seen.draws.mean(1).std()) / 2)
    alone, unknown = replace(seen, draws=seen.draws[:1]).running
    assert torch.equal(alone[:2], torch.stack([seen.draws[0, 0], seen.draws[0, :2].mean()])) and bool(
        unknown.isnan().all()
    )
