"""How a benchmark reads a price off two curves."""

from math import inf

import pytest

from benchmarks.curves import Point, Row, against_lambda, best_of_each, best_step, errors, price


def point(gradients: float, error: float) -> Point:
    return Point(gradients, 500 * gradients, gradients / 1000, error, error)


def row(arm: str, budget: int, step: float, llc: float, net: str = "a") -> Row:
    return Row(net, arm, budget, step, 0, 4 * budget, 2000 * budget, 0.1, llc, 10.0, 10.0)


def test_a_price_lies_between_points_by_their_logarithms() -> None:
    assert price([point(100, 0.4), point(1600, 0.1)], 0.2, "gradients") == pytest.approx(400)
    assert price([point(100, 0.1), point(200, 0.05)], 0.2, "gradients") == 100
    assert price([point(100, inf), point(200, 0.05)], 0.2, "gradients") == pytest.approx(200)


def test_an_error_that_comes_back_is_not_reached_before_it_stays_away() -> None:
    luck = [point(100, 0.01), point(200, 0.4), point(800, 0.1)]
    assert price(luck, 0.2, "gradients") == pytest.approx(400)
    assert price([*luck, point(1600, 0.3)], 0.2, "gradients") == inf


def test_the_best_step_is_one_for_all_networks_and_the_best_of_each_is_not() -> None:
    values = {("a", 0.1): 9.0, ("b", 0.1): 5.0, ("a", 0.2): 6.0, ("b", 0.2): 8.0}
    rows = [row("devinterp sgld", 16, step, llc, net) for (net, step), llc in values.items()]
    assert [found.error for found in best_step("devinterp sgld", rows, against_lambda)] == [pytest.approx(0.3)]
    assert [found.error for found in best_of_each(rows, against_lambda)] == [pytest.approx(0.15)]


def test_a_chain_that_left_the_numbers_is_infinitely_far_off() -> None:
    (found,) = best_step("devinterp sgld", [row("devinterp sgld", 16, 0.1, float("nan"))], against_lambda)
    assert found.error == inf
    assert errors([row("devinterp sgld", 16, 0.1, float("nan"))]).row_count == 2
