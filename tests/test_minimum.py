"""The detector of points that are no minimum."""

import pytest
import torch

from llcx import gradients
from llcx.minimum import decrement, polish
from llcx.types import Potential
from tests.problems import quadratic


def tilted(slope: float, curvatures: torch.Tensor) -> Potential:
    """K = sum h w^2 / 2 + slope * sum w: at 0 it can still lose slope^2 / (2 h) a coordinate."""

    def value(w: torch.Tensor) -> torch.Tensor:
        return (0.5 * curvatures * w.square() + slope * w).sum(1)

    return gradients.of_function(value, torch.zeros_like(curvatures), n=100)


CURVATURES = torch.tensor([1.0, 2.0, 5.0, 10.0], dtype=torch.float64)


def test_the_decrement_is_what_a_quadratic_can_lose() -> None:
    found = decrement(tilted(0.1, CURVATURES), nbeta=100.0, gamma=0.0)
    assert found.decrement == pytest.approx(100 * float((0.01 / (2 * CURVATURES)).sum()), rel=1e-4)
    assert found.gradient == pytest.approx(0.2)


def test_the_localiser_bounds_it_where_the_loss_is_flat() -> None:
    found = decrement(tilted(0.1, 0 * CURVATURES), nbeta=100.0, gamma=5.0)
    assert found.decrement == pytest.approx(100**2 * 0.04 / (2 * 5.0), rel=1e-4)


def test_a_minimum_costs_one_gradient_and_has_none() -> None:
    found = decrement(quadratic(CURVATURES), nbeta=1e4, gamma=1.0)
    assert found.decrement == 0
    assert found.gradients == 1


def test_a_saddle_is_infinitely_far_from_a_minimum() -> None:
    signs = torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    assert decrement(tilted(0.1, signs * CURVATURES), 100.0, 0.1).decrement == float("inf")


def test_a_polish_finds_the_minimum_of_the_anchored_loss_and_tells_how_far_it_was() -> None:
    at = torch.ones(4, dtype=torch.float64)
    loss = gradients.of_function(lambda w: (0.5 * CURVATURES * w.square()).sum(1), at, n=100)
    found = polish(loss, nbeta=100.0, gamma=50.0)
    exact = 0.5 / (CURVATURES + 0.5)  # argmin of h w^2 / 2 + ridge (w - 1)^2 / 2
    torch.testing.assert_close(found.at, exact, rtol=0, atol=1e-6)
    assert found.moved == pytest.approx(float((1 - exact).norm() / 2), rel=1e-4)
    assert found.drop == pytest.approx(float((50 * CURVATURES * (1 - exact.square())).sum()), rel=1e-4)
    assert found.gradients < 100
