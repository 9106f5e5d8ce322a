"""How a number on data is come by: the route, its refinements, and what is said beside it."""

from dataclasses import replace
from math import isnan, nan

import pytest
import torch
from torch import Tensor, nn

from llcx import calibrate, gradients, measure, rng, routes
from llcx.calibrate import Auto
from llcx.estimators.llc import LLC
from llcx.likelihoods import Categorical, Gaussian
from llcx.samplers import HMC, SGLD
from llcx.types import Data, Draws, Plan, Point, Potential, StatModel
from tests.test_measure import Hardware

N = 2000
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(N, 1, generator=torch.Generator().manual_seed(1))


def point(classes: bool = False) -> Point:
    """A linear model at its optimum, or a linear classifier of separated classes."""
    model = nn.Linear(4, 2 if classes else 1)
    if classes:
        with torch.no_grad():
            model.weight.copy_(torch.stack([3 * torch.ones(4), -3 * torch.ones(4)]))
            model.bias.zero_()
        return Point(
            "classes", {}, StatModel(model, Categorical(), Categorical().kl), Data((X, (X.sum(1) < 0).long()), N)
        )
    y = X.sum(1, keepdim=True) + NOISE
    fit = torch.linalg.lstsq(torch.cat([X, torch.ones(N, 1)], 1), y).solution
    with torch.no_grad():
        model.weight.copy_(fit[:4].T)
        model.bias.copy_(fit[4])
    return Point("line", {}, StatModel(model, Gaussian(), Gaussian().kl), Data((X, y), N))


def potential(classes: bool = False, target: str = "data") -> Potential:
    here = point(classes)
    return gradients.of_model(here.model, here.data, target=target, dtype=torch.float64)[0]


def route(monkeypatch: pytest.MonkeyPatch, share: float) -> routes.Route:
    """The route where this share of what HMC on all rows costs is affordable."""
    found = potential()
    monkeypatch.setattr(calibrate, "AFFORDABLE", share * routes.cost(found.flops))
    return routes.choose(found, LLC(), rng.streams(0).generator("route"))


def test_all_rows_are_taken_where_that_is_affordable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = route(monkeypatch, 1.0)
    assert found == routes.Route(HMC(leapfrog=routes.LEAPFROG), "data")


def test_a_subset_of_the_self_target_is_next_and_says_that_it_is_another_functional(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = route(monkeypatch, 0.9)
    assert (found.target, found.subset) == ("self", 500)
    assert isinstance(found.sampler, HMC)
    assert "another functional" in found.notes[-1]


def test_minibatches_in_gauss_newton_coordinates_are_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    found = route(monkeypatch, 0.1)
    assert (found.target, found.subset, found.sampler.metric) == ("self", 0, "ggn")
    assert isinstance(found.sampler, SGLD)


def test_losses_in_closed_form_and_without_a_divergence_keep_their_kernels() -> None:
    closed = gradients.of_function(lambda w: w.square().sum(1), torch.ones(3), n=100)
    assert routes.choose(closed, LLC(), rng.streams(0).generator("route")).sampler == HMC()
    bare = replace(potential(), factors=None, flops=1e12)
    assert routes.choose(bare, LLC(), rng.streams(0).generator("route")).sampler == SGLD()


@pytest.mark.parametrize("share", [0.9, 0.1])
def test_every_route_gives_half_the_parameters_of_a_regular_model(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, found = point(), potential()
    monkeypatch.setattr(calibrate, "AFFORDABLE", share * routes.cost(found.flops))
    settings = LLC(gamma=1.0, draws=40, warmup=100, every=4) if share < 0.5 else LLC(gamma=1.0, draws=40)
    one = measure.measure(here, Auto(), settings, Hardware(), seed=0).estimate
    truth = 5 / 2
    assert one.target == "self"
    assert one.low < truth < one.high
    assert one.llc == pytest.approx(truth, rel=0.1)
    assert one.beside["llc_labels"] == pytest.approx(truth, rel=0.15)


def drawn(energy: Tensor, **observed: Tensor) -> Draws:
    nothing = torch.zeros_like(energy)
    return Draws(energy, nothing, nothing, torch.zeros(len(energy), 2), None, 0.1, 10, 0, 0.0, observed=observed)


def noisy(mean: float, seed: int = 0, spread: float = 0.1) -> Tensor:
    return mean + spread * torch.randn(8, 50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SUBSET = Plan(HMC(step_size=0.1), 100.0, 1.0, 8, 10, 50, 1, metric="ggn", subset=500)
STEPS = Plan(SGLD(step_size=0.04, metric="ggn"), 100.0, 1.0, 8, 10, 50, 25, metric="ggn")


@pytest.mark.parametrize(("high", "rows", "expected"), [(11.0, 50_000, None), (12.0, 50_000, 1000), (12.0, 1200, 0)])
def test_a_wide_bracket_asks_for_more_rows_once(high: float, rows: int, expected: int | None) -> None:
    draws = drawn(noisy(10.5), subset=noisy(10.0), full=noisy(high))
    better = routes.again([(SUBSET, draws)], replace(potential(), rows=rows))
    assert (None if better is None else better.subset) == expected
    assert routes.again([(SUBSET, draws), (SUBSET, draws)], potential()) is None


def test_the_step_is_refined_until_nothing_moves_and_what_is_left_widens_the_interval() -> None:
    first = (STEPS, drawn(noisy(10.0)))
    finer = routes.again([first], potential())
    assert finer is not None
    assert (finer.sampler.step_size, finer.every) == (0.01, 100)
    still, away = (finer, drawn(noisy(9.9, 1))), (finer, drawn(noisy(9.0, 1)))
    assert routes.again([first, still], potential()) is None
    assert routes.again([first, away], potential()) is not None
    assert routes.settled([first, away]).allowance == pytest.approx(1 / 3, rel=0.1)
    assert "step_decides" in routes.verdict([first, away], potential(), nan).flags
    assert routes.verdict([first, still], potential(), nan).flags == ()


def test_a_run_that_its_budget_ended_is_not_refined() -> None:
    assert routes.again([(STEPS, replace(drawn(noisy(10.0)), stopped_by="budget"))], potential()) is None


def test_labels_are_told_to_second_order_of_what_they_add() -> None:
    """tK = a w^2 / 2 + b w under a localiser g: E = 1/2 a/(a+g) + a b^2/(a+g)^2 / 2 - b^2/(a+g)."""
    a, b, g = 3.0, 0.7, 1.0
    w = torch.randn(400, 2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / (a + g) ** 0.5
    own = 0.5 * a * w**2
    exact = 0.5 * a / (a + g) + 0.5 * a * b**2 / (a + g) ** 2 - b**2 / (a + g)
    found, error = routes.on_labels(drawn(own, labels=own + b * w))
    assert error < 0.003
    assert abs(found - exact) < 5 * error
    assert abs(float(own.mean()) - exact) > 20 * error  # what saying nothing of the labels would cost
    assert isnan(routes.on_labels(drawn(own))[0])
    assert isnan(routes.on_labels(drawn(own, labels=own + 9 * w))[0])  # too far to expand


def test_separated_classes_have_no_finite_minimum_and_a_regression_has() -> None:
    for classes in (True, False):
        here = point(classes)
        found, _, loss = gradients.of_model(here.model, here.data, dtype=torch.float64)
        assert routes.no_finite_minimum(found, loss) == classes
        told = routes.verdict([(SUBSET, drawn(noisy(10.0, spread=3.0)))], found, loss)
        assert ("no_finite_minimum" in told.flags) == classes
        assert any("as the weights grow" in note for note in told.notes) == classes


def test_words_for_no_plateau_and_for_the_noise_fit() -> None:
    quiet = (replace(SUBSET, subset=0, nbeta=0.6 * N), drawn(noisy(10.0)))
    notes = " ".join(routes.verdict([quiet], potential(), 1.0).notes)
    assert "no plateau" in notes
    assert "measures the noise fit" in notes
    loud = (replace(SUBSET, subset=0), drawn(noisy(10.0, spread=3.0)))
    assert routes.verdict([loud], potential(), 1.0).notes == ()


@pytest.mark.parametrize(("wish", "settled"), [("auto", "ggn"), ("diagonal", "diagonal"), ("identity", "")])
def test_kernels_run_in_gauss_newton_coordinates_on_data_unless_told_otherwise(wish: str, settled: str) -> None:
    plan, _ = calibrate.plan(potential(), HMC(leapfrog=4, metric=wish), LLC(), rng.streams(0).generator("probes"))
    assert plan.metric == settled
    assert (plan.planned == pytest.approx(2.5, rel=0.15)) == (settled == "ggn")
    assert plan.sampler.adapt == plan.warmup


@pytest.mark.parametrize("lacking", [{"factors": None}, {"exact": True}])
def test_without_rows_coordinates_are_left_as_they_are(lacking: dict[str, object]) -> None:
    assert calibrate.coordinates(replace(potential(), **lacking), HMC(), 1.0) == ""  # type: ignore[arg-type]
    assert calibrate.coordinates(potential(), HMC(), 0.0) == ""


def test_gauss_newton_coordinates_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sampler\.metric=ggn needs rows of data"):
        calibrate.coordinates(replace(potential(), factors=None), SGLD(metric="ggn"), 1.0)


def test_a_diagonal_is_refused_for_a_kernel_whose_step_stands_still() -> None:
    with pytest.raises(ValueError, match="needs a kernel that adapts its step, got sgld"):
        calibrate.coordinates(potential(), SGLD(metric="diagonal"), 1.0)


@pytest.mark.parametrize("sampler", [HMC(leapfrog=3, metric="diagonal"), SGLD(metric="ggn", batch_size=256)])
def test_other_coordinates_give_the_same_answer(sampler: HMC | SGLD) -> None:
    every, warmup = (15, 150) if isinstance(sampler, SGLD) else (1, 30)
    settings = LLC(gamma=1.0, chains=48, draws=25, every=every, warmup=warmup, check="off")
    found = measure.measure(point(), sampler, settings, Hardware(dtype="float64"), seed=0)
    assert found.plan.metric == sampler.metric
    assert found.estimate.llc == pytest.approx(2.5, rel=0.1)
