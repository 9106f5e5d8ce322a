"""The target density and its counters."""

from math import log

import pytest
import torch

from llcx.posterior import Posterior, n_over_log_n
from tests.problems import noisy_line, quadratic


def test_log_density_and_gradient_are_those_of_the_formula() -> None:
    curvatures = torch.tensor([1.0, 4.0], dtype=torch.float64)
    target = Posterior(quadratic(curvatures, at=1.0), nbeta=7.0, gamma=3.0)
    w = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    logp, grad = target(w, None)
    assert float(logp) == pytest.approx(-7 * (0.5 + 2.0) - 1.5 * 2)
    assert grad.tolist() == [[-7 - 3, 28 + 3]]
    assert float(target.energy(w)) == pytest.approx(17.5)
    assert float(target.distance(w)) == 2.0


def test_twice_the_loss_at_half_the_temperature_is_the_same_density() -> None:
    curvatures = torch.tensor([1.0, 4.0], dtype=torch.float64)
    w = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    one = Posterior(quadratic(curvatures), 8.0, 1.0)(w, None)
    two = Posterior(quadratic(2 * curvatures), 4.0, 1.0)(w, None)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_it_counts_gradients_a_chain_and_examples_over_all() -> None:
    from llcx import gradients
    from llcx.likelihoods import Gaussian
    from llcx.types import Data, StatModel

    model, data = noisy_line(50)
    target = Posterior(gradients.of_model(StatModel(model, Gaussian()), Data(data, 50))[0], 10.0, 1.0)
    w = target.potential.at.repeat(3, 1)
    target(w, None)
    target(w, torch.zeros(3, 8, dtype=torch.int64))
    assert (target.gradients, target.examples) == (2, 3 * 50 + 3 * 8)


def on_data(**how: bool) -> Posterior:
    from llcx import gradients
    from llcx.likelihoods import Gaussian
    from llcx.types import Data, StatModel

    model, data = noisy_line(50)
    found = gradients.of_model(StatModel(model, Gaussian()), Data(data, 50), dtype=torch.float64)[0]
    return Posterior(found, 10.0, 1.0, **how)


def test_the_loss_gradient_is_the_gradient_without_temperature_and_localiser() -> None:
    target = on_data()
    w = target.potential.at.repeat(2, 1) + 0.3
    torch.testing.assert_close(target.loss_gradient(w, target(w, None)[1]), target.potential.full(w)[1])


def test_a_control_variate_is_exact_at_w_star_quieter_near_it_and_unbiased() -> None:
    plain, quiet = on_data(), on_data(control_variate=True)
    at, idx = plain.potential.at, torch.arange(50).reshape(10, 5)
    exact = plain(at.repeat(10, 1), None)[1]
    torch.testing.assert_close(quiet(at.repeat(10, 1), idx)[1], exact, rtol=0, atol=1e-5)
    near = at.repeat(10, 1) + 0.02
    exact = plain(near, None)[1]
    noisy, calm = plain(near, idx)[1], quiet(near, idx)[1]
    assert float((calm - exact).square().sum()) < 0.05 * float((noisy - exact).square().sum())
    torch.testing.assert_close(calm.mean(0), exact[0], rtol=1e-5, atol=1e-5)  # the batches partition the rows
    assert quiet.gradients == 5  # two a minibatch, and g(w*) once


def test_n_over_log_n() -> None:
    assert n_over_log_n(1000) == pytest.approx(1000 / log(1000))
    assert n_over_log_n(1000, 2.0) == pytest.approx(2000 / log(1000))
    with pytest.raises(ValueError, match=r"n must be >= 3"):
        n_over_log_n(2)
