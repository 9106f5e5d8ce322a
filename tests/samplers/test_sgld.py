"""SGLD against the Gaussian, whose discretised law is known exactly."""

import pytest
import torch

from llcx.samplers.sgld import SGLD, build
from llcx.types import Trace
from tests.samplers.chains import Normal, Quiet, run
from tests.stats import assert_matches

P = 4


def nbeta_loss(eps: float, nbeta: float, gamma: float, heat: float = 1.0) -> Trace:
    """nbeta * L along the chains, L = |w|^2 / 2; `heat` != 1 is a deliberately wrong sampler."""
    target = Normal(torch.full((P,), (nbeta + gamma) / heat, dtype=torch.float64))
    return run(build(SGLD(eps), target), P, lambda w: 0.5 * nbeta * w.square().sum(1))


def exact(eps: float, nbeta: float, gamma: float) -> float:
    """P/2, shrunk by the localisation, inflated by the step: no tolerance to tune."""
    h = nbeta + gamma
    return P / 2 * (nbeta / h) / (1 - eps * h / 4)


@pytest.mark.parametrize("eps", [0.05, 0.2])
@pytest.mark.parametrize("gamma", [0.0, 5.0])
def test_the_llc_of_a_quadratic_is_exact_at_a_finite_step(eps: float, gamma: float) -> None:
    assert_matches(nbeta_loss(eps, 5.0, gamma), exact(eps, 5.0, gamma))


def test_the_oracle_rejects_a_sampler_five_percent_too_hot() -> None:
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(nbeta_loss(0.05, 5.0, 0.0, heat=1.05), exact(0.05, 5.0, 0.0))


def test_minibatch_noise_and_the_step_heat_by_the_product_of_the_predicted_factors() -> None:
    eps, h, spread = 0.1, 4.0, 6.0
    left, right = SGLD().inflation(eps, h, spread**2)
    assert (left, right) == (1 / (1 - eps * h / 4), 1 + eps * spread**2 / 4)
    target = Normal(torch.full((P,), h, dtype=torch.float64), spread=spread)
    assert_matches(run(build(SGLD(eps), target), P, lambda w: w.square().sum(1)), P * left * right / h)


def test_without_noise_it_is_gradient_descent_with_half_the_step() -> None:
    curvatures = torch.tensor([1.0, 3.0], dtype=torch.float64)
    kernel, noise, start = build(SGLD(0.1), Normal(curvatures)), Quiet(0, 2), torch.ones(2, 2, dtype=torch.float64)
    state = kernel.step(kernel.init(start, noise), None, noise)
    assert torch.equal(state.w, start - 0.05 * curvatures * start)
    assert torch.equal(state.grad, -curvatures * start)
    assert torch.equal(state.drift, 0.05 * state.grad)
    assert not state.noise.any()


def test_a_step_beyond_stability_is_predicted_to_be_infinitely_hot() -> None:
    assert SGLD().inflation(0.5, 8.0, 0.0)[0] == float("inf")


def test_the_step_is_the_first_setting_and_minibatches_are_the_second() -> None:
    record = SGLD(1e-5, 256)
    assert (record.step_size, record.batch_size) == (1e-5, 256)
    assert SGLD(batch_size=None).batch_size is None
