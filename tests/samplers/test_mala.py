"""MALA: exact at any step, and a step that finds its acceptance."""

import pytest
import torch

from llcx.rng import ChainNoise
from llcx.samplers.mala import MALA, build
from tests.samplers.chains import Normal, Quiet, run
from tests.stats import assert_matches

TWO = torch.tensor([1.0, 1.0, 4.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize("step_size", [0.2, 0.8])  # SGLD's factors at h = 4 would be 1.25 and 5
def test_both_curvatures_of_a_gaussian_are_exact_at_any_step(step_size: float) -> None:
    kernel = build(MALA(step_size), Normal(TWO))
    halves = run(kernel, 4, lambda w: 0.5 * (TWO * w.square()).reshape(-1, 2, 2).sum(2), draws=1000)
    for half in range(2):
        assert_matches(halves[..., half], 1.0, rel_se=0.012)


def test_the_step_adapts_to_the_acceptance_asked_for_and_then_stands_still() -> None:
    record = MALA(adapt=300)
    start = record.first_step(4.0, 0.0)
    kernel, noise = build(MALA(start, adapt=300), Normal(TWO.repeat(10))), ChainNoise(0, 16)
    state = kernel.init(torch.zeros(16, 40, dtype=torch.float64), noise)
    accepts, steps = [], []
    for _ in range(600):
        state = kernel.step(state, None, noise)
        accepts.append(float(state.accept.mean()))
        steps.append(state.step_size)
    assert len(set(steps[299:])) == 1 < len(set(steps[:299]))
    assert steps[-1] > 10 * start
    assert 0.53 < sum(accepts[300:]) / 300 < 0.62


def test_without_noise_it_is_gradient_descent_that_may_refuse() -> None:
    kernel, noise, start = build(MALA(0.1), Normal(TWO)), Quiet(0, 2), torch.ones(2, 4, dtype=torch.float64)
    state = kernel.step(kernel.init(start, noise), None, noise)
    assert torch.equal(state.w, start - 0.05 * TWO * start)


def test_a_step_that_overflows_is_refused_not_taken() -> None:
    kernel, noise = build(MALA(1e200), Normal(TWO)), ChainNoise(0, 4)
    state = kernel.init(torch.ones(4, 4, dtype=torch.float64), noise)
    for _ in range(3):
        state = kernel.step(state, None, noise)
    assert torch.equal(state.w, torch.ones(4, 4, dtype=torch.float64))
    assert float(state.accept.max()) == 0
