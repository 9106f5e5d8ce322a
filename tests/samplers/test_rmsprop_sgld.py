"""RMSprop-SGLD in one dimension, where its law with and without the divergence is known."""

import torch
from torch import Tensor

from llcx.samplers.rmsprop_sgld import RMSpropSGLD, build
from tests.samplers.chains import Normal, Quiet, run
from tests.stats import assert_matches

ONE = torch.ones(1, dtype=torch.float64)


def square(step_size: float, *, divergence: bool) -> Tensor:
    """w^2 under N(0, 1), whose loss gradient w is as large as e."""
    record = RMSpropSGLD(step_size, alpha=0.9, eps=0.5, divergence=divergence)
    return run(build(record, Normal(ONE)), 1, lambda w: w.square().sum(1), draws=3000)


def without_divergence() -> float:
    """E[w^2] under the density p (e + |g|), by quadrature."""
    w = torch.linspace(-10, 10, 100_001, dtype=torch.float64)
    weight = (-w.square() / 2).exp() * (0.5 + w.abs())
    return float((weight * w.square()).sum() / weight.sum())


def test_with_the_divergence_it_targets_p() -> None:
    assert_matches(square(0.05, divergence=True), 1 / (1 - 0.05 / 4), rel_se=0.02)


def test_without_the_divergence_it_is_hotter_by_far_and_tends_to_p_over_g() -> None:
    limit, found = without_divergence(), [float(square(eps, divergence=False).mean()) for eps in (0.1, 0.05)]
    assert 1.3 < found[0] < found[1] < limit < 1.62


def test_a_constant_metric_gives_the_law_of_sgld_with_minibatch_noise() -> None:
    h, spread, eps = 4.0, 3.0, 0.02
    target = Normal(torch.full((4,), h, dtype=torch.float64), nbeta=1e9, spread=spread)
    record = RMSpropSGLD(eps, alpha=0.9)
    gain = float(record.preconditioner(torch.zeros(1)))
    left, right = record.inflation(eps, gain * h, gain * spread**2)
    assert_matches(run(build(record, target), 4, lambda w: w.square().sum(1)), 4 * left * right / h)


def test_without_noise_it_is_preconditioned_gradient_descent() -> None:
    record, start = RMSpropSGLD(0.1, alpha=0.9, eps=0.5), torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
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
