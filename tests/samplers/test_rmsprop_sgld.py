"""RMSprop-SGLD in one dimension, where its law is known: growing memory, and steady with and without Gamma."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx.samplers.rmsprop_sgld import RMSpropSGLD, build
from tests.samplers.chains import Normal, Quiet, run
from tests.stats import assert_matches

ONE = torch.ones(1, dtype=torch.float64)


def square(step_size: float, **how: Any) -> Tensor:
    """w^2 under N(0, 1), whose loss gradient w is as large as e."""
    record = RMSpropSGLD(step_size, alpha=0.9, eps=0.5, **how)
    return run(build(record, Normal(ONE)), 1, lambda w: w.square().sum(1), draws=3000)


def without_divergence() -> float:
    """E[w^2] under the density p (e + |g|), by quadrature."""
    w = torch.linspace(-10, 10, 100_001, dtype=torch.float64)
    weight = (-w.square() / 2).exp() * (0.5 + w.abs())
    return float((weight * w.square()).sum() / weight.sum())


def test_with_a_growing_memory_it_targets_p_in_a_metric_at_rest() -> None:
    step_size, metric = 0.5, 1 / (0.5 + 1)
    assert_matches(square(step_size), 1 / (1 - step_size * metric / 4), rel_se=0.01)


def test_with_a_steady_one_it_does_not() -> None:
    assert float(square(0.5, memory="steady").mean()) > 1.2


def test_with_the_divergence_it_targets_p() -> None:
    assert_matches(square(0.05, memory="steady", divergence=True), 1 / (1 - 0.05 / 4), rel_se=0.02)


def test_with_neither_it_is_hotter_by_far_and_tends_to_p_over_g() -> None:
    limit, found = without_divergence(), [float(square(eps, memory="steady").mean()) for eps in (0.1, 0.05)]
    assert 1.3 < found[0] < found[1] < limit < 1.62


def test_a_growing_memory_forgets_the_start_and_counts_step_s_as_its_square() -> None:
    record, mean, steps = RMSpropSGLD(alpha=0.5), torch.full((1, 1), 1e3, dtype=torch.float64), 400
    news = torch.linspace(1, 2, steps, dtype=torch.float64).square()
    for step, new in enumerate(news):
        mean = record.averaged(mean, new.expand(1, 1), step)
    weights = torch.arange(1, steps + 1, dtype=torch.float64).square()
    assert float(mean) == pytest.approx(float((weights * news).sum() / weights.sum()), rel=2e-3)


def test_the_divergence_of_a_metric_at_rest_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^sampler\.divergence must be false .*, got true; set sampler\.memory=steady$"
    ):
        RMSpropSGLD(divergence=True)


def test_a_constant_metric_gives_the_law_of_sgld_with_minibatch_noise() -> None:
    h, spread, eps = 4.0, 3.0, 0.02
    target = Normal(torch.full((4,), h, dtype=torch.float64), nbeta=1e9, spread=spread)
    record = RMSpropSGLD(eps, alpha=0.9, memory="steady")
    gain = float(record.preconditioner(torch.zeros(1)))
    left, right = record.inflation(eps, gain * h, gain * spread**2)
    assert_matches(run(build(record, target), 4, lambda w: w.square().sum(1)), 4 * left * right / h)


def test_without_noise_it_is_preconditioned_gradient_descent() -> None:
    record, start = (
        RMSpropSGLD(0.1, alpha=0.9, eps=0.5, memory="steady"),
        torch.tensor([[2.0], [-1.0]], dtype=torch.float64),
    )
    kernel, noise, w, v = build(record, Normal(ONE)), Quiet(0, 2), start, torch.ones_like(start)
    state = kernel.init(start, noise)
    for _ in range(3):
        state = kernel.step(state, None, noise)
        w, v = w - 0.05 * w / (0.5 + v.sqrt()), 0.9 * v + 0.1 * w.square()
        torch.testing.assert_close(state.w, w)
        torch.testing.assert_close(state.square, v)


def test_the_metric_comes_from_the_loss_gradient_alone() -> None:
    """The loss is told in another unit: the force stays, the metric changes."""
    states = []
    for nbeta in (1.0, 100.0):
        noise = Quiet(0, 2)
        kernel = build(RMSpropSGLD(0.1), Normal(ONE, nbeta=nbeta))
        state = kernel.init(torch.ones(2, 1, dtype=torch.float64), noise)
        states.append(kernel.step(kernel.step(state, None, noise), None, noise))
    torch.testing.assert_close(states[1].square - 0.9801, torch.zeros_like(states[1].square), atol=1e-5, rtol=0)
    assert bool((states[0].metric < states[1].metric).all())
    assert torch.equal(
        states[1].metric, 1 / (0.1 + (0.99 + 0.01 * 1e-4 * torch.ones(2, 1, dtype=torch.float64)).sqrt())
    )
