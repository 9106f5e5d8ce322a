"""A step's predicted bias of lambda against linear regressions, whose discretised law is solved for exactly."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from llcx import calibrate, gradients, metric, rng
from llcx.diagnostics import LIMITS
from llcx.estimators.llc import LLC
from llcx.likelihoods import Gaussian
from llcx.posterior import Posterior
from llcx.probes import Probes
from llcx.registry import SAMPLERS
from llcx.samplers import SGLD
from llcx.types import Data, Plan, Potential, StatModel, Trace
from tests.stats import assert_matches

N, P, BATCH, NBETA, GAMMA = 2000, 20, 32, 32.0, 1e-3
LOUD = 10.0  # residual, in units of the likelihood's, of the quarter of rows that see the first weight alone


class Regression(NamedTuple):
    """Rows, residuals at w*, and the potential there."""

    x: Tensor
    residual: Tensor
    potential: Potential


def regression(x: Tensor, noise: Tensor, target: str = "data") -> Regression:
    y = x.sum(1, keepdim=True) + noise
    model = nn.Linear(x.shape[1], 1, bias=False, dtype=torch.float64)
    model.weight.data = torch.linalg.lstsq(x, y).solution.T.contiguous()
    unit = Gaussian(1.0)
    potential = gradients.of_model(
        StatModel(model, unit, unit.kl), Data((x, y), len(x)), target=target, dtype=torch.float64
    )[0]
    return Regression(x, (y - x @ model.weight.detach().T)[:, 0], potential)


def lopsided() -> Regression:
    """Curvatures from 1 to 1e-4, and noise a hundred times as large in one direction as it is in the others."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, P, generator=generator, dtype=torch.float64) * torch.logspace(0, -2, P, dtype=torch.float64)
    sign = torch.randn(N, 1, generator=generator, dtype=torch.float64).sign()
    loud = torch.arange(N) % 4 == 0
    x[loud] = torch.eye(P, dtype=torch.float64)[0] * x[loud, :1].sign()
    return regression(x, torch.where(loud.unsqueeze(1), LOUD, 1.0) * sign)


def planned(found: Regression, **wishes: float) -> tuple[Plan, Probes]:
    sampler = SGLD(batch_size=BATCH, metric="ggn")
    return calibrate.plan(found.potential, sampler, LLC(**wishes), rng.streams(0).generator("probes"))  # type: ignore[arg-type]


def coordinates(found: Regression) -> metric.Metric:
    return metric.low_rank(found.potential.at, metric.spectrum(found.x / N**0.5), NBETA, GAMMA)


def known(found: Regression) -> float:
    """lambda at this n*beta and gamma."""
    return metric.spectrum(found.x / N**0.5).quadratic(NBETA, GAMMA)


def drawn_at(found: Regression, eps: float, batch: float = BATCH) -> tuple[float, Tensor]:
    """The lambda that SGLD draws, and the covariance S of its gradients, in u: no approximation.

    Sigma = (1 - eps H / 2) Sigma (1 - eps H / 2) + eps + eps^2 / 4 S(Sigma), where gradients (x x' d - r x) of single
    rows have E[(x' Sigma x + r^2) x x'] - G Sigma G for their covariance.
    """
    there, one = coordinates(found), torch.eye(P, dtype=torch.float64)
    rows = there.pull(found.x)
    gauss, pairs = rows.T @ rows / N, (rows.unsqueeze(2) * rows.unsqueeze(1)).flatten(1)  # [N, P^2]
    left = one - 0.5 * eps * (NBETA * gauss + GAMMA * there.pull(there.pull(one).T))
    growth = NBETA**2 / batch * (pairs.T @ pairs / N - torch.kron(gauss, gauss))  # of S with Sigma
    still = NBETA**2 / batch * (pairs.T @ found.residual.square()) / N  # what S is at w*
    kept = torch.eye(P * P, dtype=torch.float64) - torch.kron(left, left) - 0.25 * eps**2 * growth
    sigma = torch.linalg.solve(kept, eps * one.flatten() + 0.25 * eps**2 * still)
    return 0.5 * NBETA * float(gauss.flatten() @ sigma), (growth @ sigma + still).unflatten(0, (P, P))


def sampled(found: Regression, eps: float, chains: int, burn: int, draws: int) -> Trace:
    """n*beta*K along chains of minibatches."""
    kernel = metric.placed(
        lambda there, _: SAMPLERS.builder("sgld")(SGLD(eps, BATCH), there),
        posterior := Posterior(found.potential, NBETA, GAMMA),
        coordinates(found),
    )
    noise = rng.ChainNoise(0, chains, torch.device("cpu"))
    state = kernel.init(found.potential.at.repeat(chains, 1), noise)
    gauss, kept = found.x.T @ found.x / N, []
    for step in range(burn + draws):
        state = kernel.step(state, noise.indices(N, BATCH), noise)
        if step >= burn:
            shift = state.w - found.potential.at
            kept.append(0.5 * posterior.nbeta * ((shift @ gauss) * shift).sum(1))
    return torch.stack(kept, 1)


@pytest.mark.parametrize("factor", [1, 10])
def test_the_bias_of_lambda_is_the_one_predicted(factor: float) -> None:
    """At the calibrated step, and at ten times of it, which is flagged."""
    found = lopsided()
    plan, probes = planned(found, nbeta=NBETA, gamma=GAMMA)
    plan = replace(plan, sampler=replace(plan.sampler, step_size=factor * plan.sampler.step_size))
    predicted = calibrate.inflation(plan, probes)
    drawn, noise = drawn_at(found, plan.sampler.step_size)
    assert drawn / known(found) - 1 == pytest.approx(predicted[0] * predicted[1] - 1, rel=0.2)
    assert ("minibatch_noise" in calibrate.bias_flags(plan, probes)) == (factor > 1)
    assert float(torch.linalg.eigvalsh(noise)[-1]) > 7 * float(noise.trace()) / P  # what the worst direction tells


@pytest.mark.parametrize("factor", [pytest.param(1, marks=pytest.mark.slow), 10])
def test_chains_draw_with_that_bias(factor: float) -> None:
    found = lopsided()
    eps = factor * planned(found, nbeta=NBETA, gamma=GAMMA)[0].sampler.step_size
    steps = round(12 / eps)
    trace = sampled(found, eps, 512, steps // 2, (2 if factor == 1 else 5) * steps)
    assert_matches(trace, drawn_at(found, eps)[0], rel_se=0.004)
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(trace, known(found), rel_se=0.004)


def test_without_minibatches_only_the_step_is_left_in_the_law() -> None:
    found = lopsided()
    drawn, _ = drawn_at(found, 0.1, batch=float("inf"))
    assert drawn / known(found) == pytest.approx(SGLD().inflation(0.1, 1.0, 0.0)[0], rel=1e-3)


def test_more_directions_than_gradients_are_looked_at_do_not_make_the_step_small() -> None:
    """On the self target S = 2 lambda M / B where inputs are normal; 256 gradients' largest eigenvalue is far above."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 400, generator=generator, dtype=torch.float64)
    found = regression(x, torch.randn(4000, 1, generator=generator, dtype=torch.float64), "self")
    plan, probes = planned(found, gamma=1.0)
    stiff, noise = plan.nbeta * probes.mean_curvature, plan.nbeta**2 / BATCH * probes.mean_noise
    assert noise == pytest.approx(2 * plan.planned * stiff / BATCH, rel=0.15)
    assert plan.sampler.step_size == pytest.approx(4 * LIMITS.bias / noise)
    assert probes.noise > 4 * probes.mean_noise


def test_a_direction_that_would_be_unstable_bounds_the_step_and_is_flagged() -> None:
    found = lopsided()
    plan, probes = planned(found, nbeta=NBETA, gamma=GAMMA)
    stiff = probes._replace(curvature=1e3 / NBETA)  # of one in a thousand directions, which a mean does not show
    sampler = calibrate.with_step(SGLD(batch_size=BATCH), stiff, NBETA, GAMMA, 0)
    assert sampler.step_size == pytest.approx(1e-3, rel=0.01)
    assert calibrate.bias_flags(plan, probes) == ()
    assert calibrate.bias_flags(plan, stiff) == ("discretisation",)
