"""The closed forms against the plain path, example after example."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.dln.data import Taught
from llcx.tasks.dln.loss import multiplied, order
from llcx.tasks.dln.schema import W_STARS, Model, Teacher
from llcx.types import Point, Rows
from tests.stats import assert_matches
from tests.tasks.networks import around, excess, point, untrained

WIDTHS = [5, 4, 3, 6]
FULL = [[2.0, 0.5, 0, 0, 0], [0.5, 1, 0, 0, 0], [0, 0, 3, 1, 0], [0, 0, 1, 2, 0], [0, 0, 0, 0, 0.1]]
COVARIANCES: list[Any] = [None, [1, 2, 3, 4, 0.5], FULL]


def built(w_star: str = "balanced", widths: list[int] = WIDTHS, **data: Any) -> Point:
    make = untrained if w_star == "trained" else point
    return make(model=Model(widths, w_star=w_star), data=Teacher(n=400, **data))


def gradient(k: Tensor, w: Tensor) -> Tensor:
    return torch.autograd.grad(k.sum(), w)[0]


@pytest.mark.parametrize("target", ["data", "self"])
@pytest.mark.parametrize("mode", ["noise_free", "noisy"])
@pytest.mark.parametrize("w_star", W_STARS)
def test_the_closed_form_is_the_mean_over_rows(w_star: str, mode: str, target: str) -> None:
    found = built(w_star, mode=mode, noise_std=0.7)
    w = around(found).requires_grad_()
    closed = found.model.closed[target](w)
    plain = excess(found, w, found.data.train, target).mean(1)
    torch.testing.assert_close(closed, plain, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient(closed, w), gradient(plain, w), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("inputs", ["gaussian", "uniform"])
def test_the_closed_form_is_the_mean_over_rows_for_every_law_of_x(inputs: str, covariance: Any) -> None:
    found = built(mode="noisy", inputs=inputs, covariance=covariance)
    w = around(found)
    plain = excess(found, w, found.data.train).mean(1)
    torch.testing.assert_close(found.model.closed["data"](w), plain, rtol=1e-9, atol=1e-12)


def monte_carlo(found: Point, w: Tensor, **data: Any) -> Tensor:
    """The loss above its value at w* on 2e5 rows, as 20 independent chains [20, 1e4]."""
    assert isinstance(found.data.train, Rows)
    taught = found.data.train.take.rows  # type: ignore[attr-defined]
    rows = Taught(Teacher(mode="noisy", **data), taught.map, rng.streams(9))
    return excess(found, w, rows(torch.arange(200_000))).reshape(20, 10_000)


@pytest.mark.parametrize(
    ("w_star", "inputs", "covariance"),
    [
        ("balanced", "gaussian", None),
        ("balanced", "uniform", [1, 2, 3, 4, 0.5]),
        ("trained", "gaussian", FULL),
        ("trained", "uniform", None),
    ],
)
def test_the_population_loss_is_the_expectation_over_fresh_rows(w_star: str, inputs: str, covariance: Any) -> None:
    law = {"inputs": inputs, "covariance": covariance, "noise_std": 0.5}
    found = built(w_star, mode="population", **law)
    w = around(found, chains=1)
    assert_matches(monte_carlo(found, w, **law), found.model.closed["data"](w).item())


def test_the_expectation_over_rows_of_another_covariance_is_another() -> None:
    found = built(mode="population", covariance=[1, 1, 1, 1, 1.3])
    w = around(found, chains=1)
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(monte_carlo(found, w, covariance=[1, 1, 1, 1, 1]), found.model.closed["data"](w).item())


@pytest.mark.parametrize("mode", ["population", "noise_free"])
@pytest.mark.parametrize("w_star", ["balanced", "layerwise", "random_svd", "zero"])
def test_w_star_is_a_minimum_where_labels_have_no_noise(w_star: str, mode: str) -> None:
    found = built(w_star, mode=mode)
    w = around(found, step=0).requires_grad_()
    k = found.model.closed["data"](w)
    assert k.abs().max() < 1e-25
    assert gradient(k, w).abs().max() < 1e-13
    assert (found.model.closed["data"](around(found)) > 1e-3).all()


def test_w_star_is_no_minimum_of_noisy_rows_but_of_their_own_target_self() -> None:
    found = built(mode="noisy")
    w = around(found, step=0).requires_grad_()
    assert gradient(found.model.closed["data"](w), w).norm() > 1e-3
    assert gradient(found.model.closed["self"](w), w).norm() < 1e-13


def test_a_step_so_small_that_the_loss_itself_has_no_digits_left_is_measured_in_float32() -> None:
    found = built(mode="noise_free", noise_std=1.0)
    w = around(found, step=1e-4)
    exact, single = found.model.closed["data"](w), found.model.closed["data"](w.float())
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, exact, rtol=0.01, atol=0)


@pytest.mark.parametrize("widths", [[3, 4], [5, 3, 5], [9, 2, 8, 1, 7, 3], [40, 2, 40, 2, 40]])
def test_the_order_of_the_product_is_the_cheapest_and_changes_no_value(widths: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [torch.randn(2, o, i, generator=generator, dtype=torch.float64) for i, o in pairwise(widths)]
    forward = layers[0]
    for layer in layers[1:]:
        forward = layer @ forward
    torch.testing.assert_close(multiplied(layers, order(tuple(widths))), forward)
    assert cost(order(tuple(widths)), widths)[2] == min(every_cost(tuple(widths)))


def cost(tree: Any, widths: list[int]) -> tuple[int, int, int]:
    """(rows, columns, multiplications) of a product formed in the order `tree`."""
    if isinstance(tree, int):
        return widths[tree + 1], widths[tree], 0
    (rows, inner, left), (_, columns, right) = (cost(part, widths) for part in tree)
    return rows, columns, left + right + rows * inner * columns


def every_cost(widths: tuple[int, ...]) -> list[int]:
    """Multiplications of each of the orders in which a product can be formed."""
    if len(widths) == 2:
        return [0]
    return [
        left + right + widths[0] * widths[cut] * widths[-1]
        for cut in range(1, len(widths) - 1)
        for left in every_cost(widths[: cut + 1])
        for right in every_cost(widths[cut:])
    ]
