"""The known-answer ladder, through everything between a potential and an estimate."""

from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate

from llcx import calibrate, checks, gradients, measure
from llcx.calibrate import Auto
from llcx.diagnostics import gamma_slope
from llcx.estimators.llc import LLC, Estimate
from llcx.likelihoods import Gaussian
from llcx.samplers import HMC, MCLMC, SGLD
from llcx.types import Data, Point, Potential, StatModel
from tests.problems import noisy_line, powers, quadratic
from tests.stats import assert_matches

# A step costs about as much with many chains as with few: precision is cheaper in chains than in draws.
HEALTHY: dict[str, Any] = {"chains": 192, "warmup": 30, "draws": 40}
WIDE = {**HEALTHY, "check": "off"}
BRIEF: dict[str, Any] = {"warmup": 10, "draws": 20}  # where nothing is to be precise


@dataclass(frozen=True)
class Hardware:
    device: str = "cpu"
    dtype: str = "auto"
    backend: str = "auto"
    memory: float | None = None


def auto(potential: Potential, seed: int = 0, **wishes: object) -> Estimate:
    return measure.of_potential(potential, Auto(), LLC(**wishes), seed)[0]  # type: ignore[arg-type]


def line(sampler: object = None, **wishes: object) -> measure.Measurement:
    model, data = noisy_line()
    point = Point("line", {}, StatModel(model, Gaussian(0.5), Gaussian(0.5).kl), Data(data, 400))
    return measure.measure(point, sampler or Auto(), LLC(**wishes), Hardware(), seed=0)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_thousand_dimensions_of_two_curvatures_give_five_hundred() -> None:
    found = auto(quadratic(torch.tensor([1.0] * 500 + [10.0] * 500, dtype=torch.float64)), gamma=0.0)
    assert_matches(found.draws, 500.0)
    assert found.llc == pytest.approx(500, rel=0.01)
    assert found.healthy


def test_the_localiser_shrinks_a_quadratic_by_the_exact_factor() -> None:
    found = auto(quadratic(torch.ones(200, dtype=torch.float64)), gamma=5e3, **WIDE)
    assert_matches(found.draws, 100 * 1e4 / (1e4 + 5e3))


@pytest.mark.parametrize(
    ("exponents", "lam"),
    [
        pytest.param((2, 2), 1.0, marks=pytest.mark.slow),
        ((4, 2), 0.75),
        pytest.param((4, 4, 6), 2 / 3, marks=pytest.mark.slow),
    ],
)
def test_powers_obey_equipartition(exponents: tuple[int, ...], lam: float) -> None:
    found = auto(powers(*exponents), gamma=0.0, chains=256, draws=75, check="off")
    assert_matches(found.draws, lam, rel_se=0.025)


def test_a_monomial_agrees_with_quadrature_at_its_own_temperature_and_not_with_lambda() -> None:
    nbeta, gamma = 100.0, 1.0

    def moment(power: int) -> float:
        def density(y: float, x: float) -> float:
            energy = nbeta * x**2 * y**2
            return energy**power * exp(-energy - gamma * (x**2 + y**2) / 2)

        return float(integrate.dblquad(density, 0, 6, 0, 6, epsabs=1e-8)[0])

    truth = moment(1) / moment(0)
    square = gradients.of_function(lambda w: (w[:, 0] * w[:, 1]).square(), torch.zeros(2, dtype=torch.float64), n=100)
    found = auto(square, nbeta=nbeta, gamma=gamma, chains=512, draws=100, warmup=100, check="off")
    assert_matches(found.draws, truth, rel_se=0.02)
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(found.draws, 0.5, rel_se=0.02)  # lambda itself: the multiplicity is 2


def test_the_loss_doubled_at_half_the_temperature_is_the_same_estimate() -> None:
    h = torch.linspace(1, 5, 20, dtype=torch.float64)
    one, other = auto(quadratic(h), nbeta=1e4, **BRIEF), auto(quadratic(2 * h), nbeta=5e3, **BRIEF)
    assert one.llc == pytest.approx(other.llc, rel=1e-6)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_number() -> None:
    h = torch.ones(20, dtype=torch.float64)
    first, again, other = (auto(quadratic(h), seed, **BRIEF) for seed in (0, 0, 1))
    assert torch.equal(first.draws, again.draws)
    assert first.llc != other.llc


def test_a_regression_at_its_minimum_has_half_its_parameters() -> None:
    found = line(gamma=0.0, **HEALTHY)
    assert_matches(found.estimate.draws, 2.0, rel_se=0.02)
    assert found.estimate.healthy
    assert found.loss_at == pytest.approx(0.5, rel=0.2)
    assert (found.parameters, found.n, found.dtype, found.where) == (4, 400, "float64", "all")


def test_the_self_target_agrees_with_the_data_target_on_a_linear_model() -> None:
    assert_matches(line(gamma=0.0, target="self", **WIDE).estimate.draws, 2.0, rel_se=0.02)


def test_a_restricted_llc_counts_the_chosen_parameters() -> None:
    first = torch.nn.Linear(4, 3, bias=False)
    torch.nn.init.orthogonal_(first.weight)
    net = torch.nn.Sequential(first, torch.nn.Linear(3, 1, bias=False))
    data = (noisy_line()[1][0],)
    with torch.no_grad():
        point = Point("net", {}, StatModel(net, Gaussian(0.5), Gaussian(0.5).kl), Data((*data, net(data[0])), 400))
    found = measure.measure(point, Auto(), LLC(gamma=0.0, where=["1.*"], **WIDE), Hardware(), seed=0)
    assert found.parameters == 3
    assert found.where == "1.*"
    assert_matches(found.estimate.draws, 1.5, rel_se=0.04)


@pytest.mark.slow
def test_sgld_on_minibatches_agrees_within_its_own_interval() -> None:
    found = line(SGLD(batch_size=50), gamma=1.0, warmup=1500, draws=200, every=5)
    assert found.estimate.low < 2.0 < found.estimate.high
    assert found.dtype == "float32"
    assert "second_sampler_disagrees" not in found.estimate.flags


def test_sgld_with_a_reckless_step_is_flagged() -> None:
    stable = line(SGLD(batch_size=50), gamma=1.0, warmup=10, draws=8, check="off").plan.sampler.step_size
    found = line(SGLD(batch_size=50, step_size=30 * stable), gamma=1.0, warmup=200, draws=80, every=5).estimate
    assert {"discretisation", "second_sampler_disagrees"} <= set(found.flags)


def test_sgld_that_has_not_arrived_is_flagged() -> None:
    h = torch.cat([torch.ones(50), 1e-3 * torch.ones(50)]).double()
    found = measure.of_potential(quadratic(h), SGLD(), LLC(warmup=50, draws=50, every=1, gamma=0.0), 0)[0]
    assert found.llc < 45
    assert "second_sampler_disagrees" in found.flags


def test_a_point_beside_the_minimum_is_flagged() -> None:
    model, data = noisy_line()
    model.weight.data += 0.1
    point = Point("off", {}, StatModel(model, Gaussian(0.5)), Data(data, 400))
    found = measure.measure(point, Auto(), LLC(gamma=1.0, **BRIEF), Hardware(), seed=0).estimate
    assert "not_a_minimum" in found.flags
    assert found.llc < 1.0


def test_a_step_that_diverges_raises_and_names_the_cure() -> None:
    with pytest.raises(FloatingPointError, match=r"chain \d+ has .*lower sampler\.step_size"):
        measure.of_potential(
            quadratic(torch.ones(5, dtype=torch.float64)), SGLD(step_size=1.0), LLC(warmup=500, draws=10, every=1), 0
        )


def test_gradients_count_calibration_and_checks_beside_the_run_itself() -> None:
    h = torch.ones(6, dtype=torch.float64)
    checked = measure.of_potential(quadratic(h), HMC(), LLC(), 0)
    bare = measure.of_potential(quadratic(h), HMC(), LLC(check="off"), 0)
    assert torch.equal(checked[0].draws, bare[0].draws)
    assert checked[0].gradients_main == bare[0].gradients_main < bare[0].gradients < checked[0].gradients
    assert checked[0].gradients - bare[0].gradients <= 0.27 * checked[0].gradients_main


def test_the_second_estimator_agrees_on_a_regular_model() -> None:
    found = auto(quadratic(torch.ones(100, dtype=torch.float64)), gamma=0.0, **WIDE)
    assert found.llc_fluct == pytest.approx(50, rel=0.2)


@pytest.mark.slow
def test_the_interval_holds_a_known_answer_about_as_often_as_it_says() -> None:
    h = torch.ones(30, dtype=torch.float64)
    hits = [
        est.low < 15 < est.high
        for est in (auto(quadratic(h), seed=s, gamma=0.0, check="off", draws=40, warmup=30) for s in range(12))
    ]
    assert np.mean(hits) >= 0.85


def test_auto_resolves_to_a_kernel_before_it_is_built() -> None:
    _, plan, _ = measure.of_potential(quadratic(torch.ones(3, dtype=torch.float64)), Auto(), LLC(draws=8), 0)
    assert plan.sampler.name == "hmc"
    assert plan.notes[0].startswith("hmc on the closed-form loss: 32 chains")


def test_the_slope_in_gamma_is_that_of_the_exact_shrinkage() -> None:
    gamma, nbeta = 5e3, 1e4  # lambda_hat = P/2 nbeta / (nbeta + gamma)
    wishes = LLC(gamma=gamma, **{**WIDE, "chains": 320})
    _, _, draws = measure.of_potential(quadratic(torch.ones(200, dtype=torch.float64)), Auto(), wishes, 0)
    exact = -100 * nbeta * gamma / (nbeta + gamma) ** 2
    assert gamma_slope(draws, gamma) == pytest.approx(exact, rel=0.15)
    assert gamma_slope(draws, 0.0) == 0


def test_sgld_whose_second_opinion_is_too_dear_is_flagged_as_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "AFFORDABLE", 1.0)
    found = line(SGLD(batch_size=50), warmup=20, draws=8, every=1)
    assert "unchecked" in found.estimate.flags


def test_a_polished_point_is_another_point_and_says_how_far_it_went() -> None:
    model, data = noisy_line()
    model.weight.data += 0.02
    point = Point("off", {}, StatModel(model, Gaussian(0.5)), Data(data, 400))
    found = measure.measure(point, Auto(), LLC(gamma=1.0, polish=True, **HEALTHY), Hardware(), seed=0)
    assert "not_a_minimum" not in found.estimate.flags
    assert_matches(found.estimate.draws, 2.0, rel_se=0.02)
    best = noisy_line()[0].weight
    torch.testing.assert_close(found.point.model.module.weight, best, rtol=0, atol=1e-3)
    assert found.estimate.beside["polish_drop"] > 0.1
    assert found.estimate.beside["polish_moved"] < 0.1


def test_a_polish_that_goes_far_is_flagged() -> None:
    model, data = noisy_line()
    model.weight.data += 1.0
    point = Point("off", {}, StatModel(model, Gaussian(0.5)), Data(data, 400))
    found = measure.measure(point, Auto(), LLC(gamma=0.1, polish=True, check="off", **BRIEF), Hardware(), seed=0)
    assert "polished_away" in found.estimate.flags


@pytest.mark.slow
def test_l_can_be_taken_on_other_data() -> None:
    model, data = noisy_line()
    wide = (3 * data[0], data[1])
    likelihood = Gaussian(0.5)
    point = Point(
        "line", {}, StatModel(model, likelihood, likelihood.kl), Data(data, 400), others={"wide": Data(wide, 400)}
    )
    wishes = {"nbeta": 10.0, "gamma": 30.0, "target": "self", "check": "off", "chains": 64}
    here, there = (
        measure.measure(point, Auto(), LLC(measure_on=name, **wishes), Hardware(), seed=0)  # type: ignore[arg-type]
        for name in (None, "wide")
    )
    h = torch.linalg.eigvalsh(data[0].T @ data[0] / 400 / 0.25).double()
    assert_matches(here.estimate.draws, float((0.5 * 10 * h / (10 * h + 30)).sum()), rel_se=0.02)
    assert_matches(there.estimate.draws, float((0.5 * 90 * h / (90 * h + 30)).sum()), rel_se=0.02)
    assert (here.where, there.where) == ("all", "all on wide")
    with pytest.raises(ValueError, match=r"estimator\.measure_on must be null or one of wide, got test; line has"):
        measure.measure(point, Auto(), LLC(measure_on="test"), Hardware(), seed=0)


def test_a_point_may_wish_what_the_settings_leave_open() -> None:
    model, data = noisy_line()
    point = Point("line", {}, StatModel(model, Gaussian(0.5)), Data(data, 400), wishes={"nbeta": 7.0, "mode": "local"})
    assert measure.wished(LLC(), point) == LLC(nbeta=7.0, mode="local")
    assert measure.wished(LLC(nbeta=9.0), point) == LLC(nbeta=9.0, mode="local")


def test_paired_minibatches_give_the_same_mean_with_more_noise() -> None:
    wishes = {"gamma": 1.0, "warmup": 200, "draws": 50, "every": 5, "check": "off", "chains": 64, "target": "self"}
    full = line(SGLD(batch_size=50), **wishes).estimate
    paired = line(SGLD(batch_size=50, baseline="paired"), **wishes).estimate
    assert paired.llc == pytest.approx(full.llc, rel=0.1)
    assert paired.draws.var() > full.draws.var()


@pytest.mark.slow
def test_a_full_check_looks_at_a_longer_run_and_a_second_sampler() -> None:
    h = torch.ones(20, dtype=torch.float64)
    quick, full = auto(quadratic(h)), auto(quadratic(h), check="full")
    assert full.llc == quick.llc
    assert full.healthy
    assert {"llc_longer", "llc_second"} <= set(full.beside) - set(quick.beside)
    assert full.gradients > quick.gradients + 4 * quick.gradients_main


def test_a_run_of_a_tenth_of_its_length_is_caught_by_the_longer_one() -> None:
    h = torch.cat([torch.ones(50), 3e-2 * torch.ones(50)]).double()
    sampler = SGLD(batch_size=None)
    short = measure.of_potential(quadratic(h), sampler, LLC(warmup=100, draws=40, every=1, gamma=0.0, check="full"), 0)[
        0
    ]
    assert short.llc < 0.85 * 50
    assert "moved_with_budget" in short.flags


def test_closed_forms_in_float32_are_flagged_where_they_lose_digits() -> None:
    at = torch.full((50,), 100.0)
    fine = gradients.of_function(lambda w: 0.5 * (w - 100).square().sum(1), at, n=100)
    lossy = gradients.of_function(lambda w: 0.5 * (w.square() - 200 * w + 10_000).sum(1), at, n=100)
    near = at + 0.1 * torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    assert checks.rounding(fine, 100.0, near) < 0.01 < 0.05 < checks.rounding(lossy, 100.0, near)
    assert checks.rounding(lossy, 100.0, near.double()) == 0.0


def test_microcanonical_chains_run_in_float64() -> None:
    assert measure.precision(MCLMC(), "auto", 100) == torch.float64
    assert measure.precision(SGLD(), "auto", 100) == torch.float32
