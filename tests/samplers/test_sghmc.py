"""SGHMC against Gaussians, whose law under it is known exactly at a finite step."""

import pytest
import torch
from torch import Tensor

from llcx.samplers.sghmc import SGHMC, build
from tests.samplers.chains import Normal, Quiet, run
from tests.stats import assert_matches

TWO = torch.tensor([1.0, 1.0, 4.0, 4.0], dtype=torch.float64)


def scaled(record: SGHMC, spread: float = 0.0) -> Tensor:
    """h Var w of both curvatures, [C, T] each."""
    found = run(
        build(record, Normal(TWO, spread=spread)), 4, lambda w: 0.5 * (TWO * w.square()).reshape(-1, 2, 2).sum(2)
    )
    return found.movedim(2, 0)


@pytest.mark.parametrize("step_size", [0.1, 1.5])  # the second at three quarters of what is stable
@pytest.mark.parametrize("friction", [0.3, 1.0])
def test_a_gaussian_is_exact_at_any_stable_step(step_size: float, friction: float) -> None:
    for trace in scaled(SGHMC(step_size, friction=friction)):
        assert_matches(trace, 1.0, rel_se=0.012)


@pytest.mark.parametrize("friction", [0.1, 0.5])
def test_minibatch_noise_heats_by_the_law_in_the_docstring(friction: float) -> None:
    record, spread = SGHMC(0.3, friction=friction), 3.0
    for h, trace in zip((1.0, 4.0), scaled(record, spread), strict=True):
        left, right = record.inflation(0.3, h, spread**2)
        assert left == 1
        assert right == pytest.approx(1 + 0.3 * spread**2 / (4 * friction), rel=0.3)  # to leading order
        assert_matches(trace, right)


def test_the_oracle_rejects_the_symplectic_euler_step_of_the_same_length() -> None:
    """w' = w + v' for v' = (1 - a) v + (eps / 2) grad + sqrt(a eps) xi: 1 / (1 - eps h / (4 (2 - a)))."""
    from llcx.rng import ChainNoise

    eps, a, noise = 0.6, 0.3, ChainNoise(0, 256)
    w, v, kept = torch.zeros(256, 4, dtype=torch.float64), torch.zeros(256, 4, dtype=torch.float64), []
    for step in range(1500):
        v = (1 - a) * v - eps / 2 * TWO * w + (a * eps) ** 0.5 * noise.normal(w)
        w = w + v
        if step >= 300:
            kept.append(0.5 * (TWO * w.square())[:, 2:].sum(1))
    trace = torch.stack(kept, 1)
    assert_matches(trace, 1 / (1 - eps * 4 / (4 * (2 - a))))
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(trace, 1.0)


def test_without_noise_it_is_gradient_descent_with_heavy_balls() -> None:
    eps, a = 0.2, 0.25
    kernel, noise, start = (
        build(SGHMC(eps, friction=a), Normal(TWO)),
        Quiet(0, 2),
        torch.ones(2, 4, dtype=torch.float64),
    )
    state, moved, w = kernel.init(start, noise), torch.zeros(2, 4, dtype=torch.float64), start
    for _ in range(3):
        state = kernel.step(state, None, noise)
        moved = (1 - a) * moved - (2 - a) * eps / 4 * TWO * w
        w = w + moved
        torch.testing.assert_close(state.w, w)


def test_drift_and_noise_are_what_a_step_adds_to_the_momentum_it_keeps() -> None:
    from llcx.rng import ChainNoise

    eps, a, noise = 0.2, 0.25, ChainNoise(0, 3)
    kernel = build(SGHMC(eps, friction=a), Normal(TWO))
    first = kernel.init(torch.ones(3, 4, dtype=torch.float64), noise)
    second = kernel.step(first, None, noise)
    kept = (1 - a / 2) * (eps / 2) ** 0.5 * first.momentum
    torch.testing.assert_close(second.w, first.w + kept + second.drift + second.noise)


def test_a_step_beyond_stability_is_predicted_to_be_infinitely_hot() -> None:
    assert SGHMC().inflation(2.0, 4.0, 0.0) == (float("inf"), float("inf"))
