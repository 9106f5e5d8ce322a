"""Susceptibilities in the linear regression of test_influence.py: derivatives of Gaussian integrals, by Isserlis."""

from math import isnan

import pytest
import torch
from torch import Tensor

from llcx import influence
from llcx.estimators.llc import LLC
from llcx.measure import measure
from llcx.samplers import HMC
from llcx.types import Data, Point
from tests.test_influence import EXACT, C, S, T, draws, measured
from tests.test_information import GAMMA, NBETA, N, R, X, Y, model
from tests.test_measure import Hardware

MEAN = EXACT.mean(0)  # Cov(L_n, l_i)
CHI = -(MEAN - EXACT.mean())
PART = [1]  # the coefficient that moves alone in a component


def test_a_response_is_the_derivative_of_the_coefficient_by_a_shift_of_the_data() -> None:
    i = 7

    def coefficient(h: Tensor) -> Tensor:  # n*beta E[L_n - L(w*)] where (1 - h) L_n + h l_i is sampled
        x = X[i]
        precision = NBETA * ((1 - h) * X.T @ X / N + h * x.outer(x)) + GAMMA * torch.eye(len(x), dtype=torch.float64)
        mean = torch.linalg.solve(precision, NBETA * h * R[i] * x)
        second = torch.linalg.inv(precision) + mean.outer(mean)
        return NBETA * (X.T @ X / N * second).sum() / 2

    slope = torch.autograd.functional.jacobian(coefficient, torch.tensor(0.0, dtype=torch.float64))
    assert float(slope) == pytest.approx(float(NBETA**2 * CHI[i]), rel=1e-9)


def test_susceptibilities_are_those_of_the_gaussian_algebra() -> None:
    each = measured(*draws())
    lines = influence.susceptibilities(each, each)
    chi, se = (torch.tensor([line[key] for line in lines], dtype=torch.float64) for key in ("chi", "se"))
    assert float(se.max()) < 0.2 * float(CHI.abs().max())
    assert float(((chi - CHI) / se).abs().max()) < 5
    assert lines[3]["response"] == pytest.approx(NBETA**2 * lines[3]["chi"])
    spread = EXACT.diagonal() - 2 * MEAN + EXACT.mean()
    exact = CHI / (EXACT.mean() * spread).sqrt()
    assert float((torch.tensor([line["correlation"] for line in lines]) - exact).abs().max()) < 0.06
    hot = influence.susceptibilities(each := measured(*draws(1.5)), each)
    z = torch.tensor([(line["chi"] - float(truth)) / line["se"] for line, truth in zip(hot, CHI, strict=True)])
    assert float(z.abs().max()) > 5


def of_component() -> Tensor:
    """chi [N] of the component, by Isserlis: E_C[K] E[d_i] - E_C[K d_i] with K = mean z^2 / 2 of z ~ N(0, s)."""
    x = X[:, PART]
    s = x @ torch.linalg.inv(NBETA * x.T @ x / N + GAMMA * torch.eye(len(PART), dtype=torch.float64)) @ x.T
    v = s.diagonal()
    product = (v.outer(v) + 2 * s.square()).mean(0) / 4  # E_C[K l_i]
    k, d = v.mean() / 2, S.diagonal() / 2
    return k * (d - d.mean()) - (product - product.mean())


def test_the_susceptibility_of_a_component_is_a_derivative_in_the_whole_posterior() -> None:
    """(1/n*beta) d/dh of the integral of K over the component, over the integral of the whole, 1 at h = 0 without K."""
    i, every = 7, list(range(X.shape[1]))

    def integral(h: Tensor, free: list[int]) -> tuple[Tensor, Tensor]:  # log of it, and the mean of K
        x, row = X[:, free], X[i, free]
        eye = torch.eye(len(free), dtype=torch.float64)
        precision = NBETA * ((1 - h) * x.T @ x / N + h * row.outer(row)) + GAMMA * eye
        mean = torch.linalg.solve(precision, NBETA * h * R[i] * row)
        second = torch.linalg.inv(precision) + mean.outer(mean)
        return (mean @ precision @ mean - precision.logdet()) / 2, (x.T @ x / N * second).sum() / 2

    def observed(h: Tensor) -> Tensor:
        (above, k), (below, _) = integral(h, PART), integral(h, every)
        return (above - below).exp() * k

    zero = torch.tensor(0.0, dtype=torch.float64)
    slope = (
        torch.autograd.functional.jacobian(observed, zero) / (integral(zero, PART)[0] - integral(zero, every)[0]).exp()
    )
    assert float(slope) / NBETA == pytest.approx(float(of_component()[i]), rel=1e-9)


def test_the_susceptibility_of_a_component_takes_its_mean_shift_from_the_whole() -> None:
    x = X[:, PART]
    deviation = (NBETA * x.T @ x / N + GAMMA) ** -0.5
    shift = deviation * torch.randn(C, T, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64) @ x.T
    losses = -R * shift + shift.square() / 2
    part, whole = measured(losses, NBETA * losses.mean(2), where="weight[:, 1:2]"), measured(*draws())
    lines = influence.susceptibilities(part, whole)
    chi, se, alone = (torch.tensor([line[key] for line in lines]) for key in ("chi", "se", "response"))
    z, other = (chi - of_component()) / se, (alone / NBETA**2 - of_component()) / se
    assert float(se.max()) < 0.2 * float(of_component().abs().max())
    assert float(z.abs().max()) < 5 and 0.7 < float(z.square().mean().sqrt()) < 1.3
    assert float(other.abs().max()) > 8  # not the covariance in the component's own posterior
    without = influence.susceptibilities(part, None)
    assert all(isnan(line["chi"]) and isnan(line["se"]) for line in without)
    assert [line["response"] for line in without] == [line["response"] for line in lines]


def test_the_mean_shift_of_a_chain_with_a_posterior_of_its_own_is_that_chains() -> None:
    losses, energy = draws()
    each = measured(losses, energy, subset_rows="30.0")
    k, d = each.shift
    by_hand = ((k.mean(1) * d.mean(1)) - (k * d).mean(1)).mean(0)
    assert torch.allclose(influence.structural(each, each).value[0], by_hand, rtol=1e-12)


def test_rows_of_several_predictions_are_shifted_to_by_the_prediction() -> None:
    """Five predictions of each row that are alike: the losses are five times those of one."""
    losses, energy = draws()
    one, five = measured(losses, energy), measured(5 * losses, energy)._replace(predictions=[5.0] * N)
    (first, *_), (other, *_) = influence.susceptibilities(one, one), influence.susceptibilities(five, five)
    assert other["chi"] == pytest.approx(first["chi"], rel=1e-12)
    plain = five._replace(predictions=None)
    assert influence.susceptibilities(plain, plain)[0]["chi"] != pytest.approx(first["chi"], rel=0.5)


def test_rows_hold_as_many_predictions_as_the_data_say() -> None:
    point = Point("line", {}, model(), Data((X, Y), 5 * N), others={"tail": Data((X[50:], Y[50:]), 10)})
    cfg = LLC(nbeta=NBETA, gamma=GAMMA, check="off", influence=3, chains=4, warmup=2, draws=3)
    kept = measure(point, HMC(step_size=0.1, leapfrog=2), cfg, Hardware(), seed=0).draws.observed
    assert (float(kept["predictions of train"]), float(kept["predictions of tail"])) == (5.0, 1.0)
