"""The thermostat: friction rises with minibatch noise, and the law that then holds."""

from math import exp, tanh

import pytest
import torch
from torch import Tensor

from llcx.rng import ChainNoise
from llcx.samplers import SGHMC, SGNHT
from llcx.samplers.sgnht import build
from tests.samplers.chains import Normal, kernel_of
from tests.stats import assert_matches

P, EPS, A = 200, 0.4, 0.2
H = torch.ones(P, dtype=torch.float64).index_fill(0, torch.arange(P // 2, P), 4.0)


def watched(spread: Tensor, record: SGHMC | SGNHT | None = None) -> tuple[Tensor, float]:
    """Mean h w^2 of each half of the weights [C, T, 2], and the friction at the end."""
    kernel, noise = kernel_of(record or SGNHT(EPS, friction=A), Normal(H, spread=spread)), ChainNoise(0, 8)
    state, kept = kernel.init(torch.zeros(8, P, dtype=torch.float64), noise), []
    for step in range(2300):
        state = kernel.step(state, None, noise)
        if step >= 300:
            kept.append((H * state.w.square()).reshape(-1, 2, P // 2).mean(2))
    return torch.stack(kept, 1), float(getattr(state, "friction", torch.zeros(1)).mean())


def predicted(spread: tuple[float, float]) -> tuple[float, float, float]:
    """The law of the docstring: friction, and h Var w of each half."""
    low, high = A / 2, 20.0
    for _ in range(60):
        x = (low + high) / 2
        c = exp(-x)
        e = [EPS * s**2 / 2 / ((1 - c**2) * (1 - EPS * h / 8)) for s, h in zip(spread, (1.0, 4.0), strict=True)]
        low, high = (x, high) if A / x + c * (e[0] + e[1]) / 2 > 1 else (low, x)
    return x, A / x + (1 + c) ** 2 / 4 * e[0], A / x + (1 + c) ** 2 / 4 * e[1]


@pytest.mark.parametrize("spread", [(0.0, 0.0), (2.0, 2.0), (0.0, 2.0)])
def test_both_halves_of_a_gaussian_follow_the_law_in_the_docstring(spread: tuple[float, float]) -> None:
    each = torch.tensor(spread, dtype=torch.float64).repeat_interleave(P // 2)
    found, friction = watched(each)
    expected, *halves = predicted(spread)
    assert friction == pytest.approx(expected, rel=0.1)
    for half, truth in enumerate(halves):
        assert_matches(found[..., half], truth)


def test_equal_noise_is_balanced_all_but_a_share_that_grows_with_the_friction() -> None:
    friction, first, second = predicted((2.0, 2.0))
    for h, found in ((1.0, first), (4.0, second)):
        alone = 1 + tanh(friction / 2) * EPS * 2.0**2 / 8 / (1 - EPS * h / 8)
        assert found == pytest.approx(alone, rel=0.06)  # exact for curvatures that are alike
    assert max(first, second) < 1.25 < SGHMC(friction=A).inflation(EPS, 1.0, 2.0**2)[1]


def test_the_oracle_rejects_a_thermostat_that_is_never_applied() -> None:
    each = torch.full((P,), 2.0, dtype=torch.float64)
    found, _ = watched(each, SGHMC(EPS, friction=A))
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(found[..., 0], predicted((2.0, 2.0))[1])


def test_the_prediction_for_one_noisy_direction_is_that_of_a_friction_that_stays() -> None:
    c = exp(-A)
    x, cold, _ = predicted((0.0, 0.0))
    assert (x, cold) == (pytest.approx(A), pytest.approx(1.0))
    assert SGNHT(friction=A).inflation(EPS, 4.0, 9.0)[1] == pytest.approx(
        1 + (1 + c) ** 2 / 4 * EPS * 9 / 2 / ((1 - c**2) * (1 - EPS / 2))
    )
    assert SGNHT().inflation(2.0, 4.0, 0.0) == (float("inf"), float("inf"))


def test_a_momentum_too_slow_lowers_the_friction_and_one_too_fast_raises_it() -> None:
    kernel, noise = build(SGNHT(EPS, friction=A), Normal(H)), ChainNoise(0, 2)
    state = kernel.init(torch.zeros(2, P, dtype=torch.float64), noise)
    pushed = state._replace(momentum=state.momentum * torch.tensor([[0.1], [3.0]], dtype=torch.float64))
    after = kernel.step(pushed, None, noise).friction
    assert after[0] < A < after[1]
