"""When levels are reached, restricted means, and areas over numbers of examples."""

from math import isnan, log2, nan

import pytest
import torch

from llcx.tasks.mcl import censoring
from llcx.tasks.mcl.censoring import Reached


def test_a_level_is_reached_on_the_line_between_two_values() -> None:
    assert censoring.reached([0, 10, 20], [0.1, 0.3, 0.7], 0.5) == Reached(15, True)
    assert censoring.reached([0, 10, 20], [0.1, 0.5, 0.2], 0.5) == Reached(10, True)
    assert censoring.reached([5, 10], [0.6, 0.2], 0.5) == Reached(5, True)
    assert censoring.reached([0, 10, 20], [0.1, nan, 0.7], 0.5) == Reached(20, True)
    assert censoring.reached([0, 10, 20], [0.1, 0.2, 0.4], 0.5) == Reached(20, False)
    assert censoring.reached([0, 10, 20], [0.1, 0.2, 0.4], nan) == Reached(20, False)


@pytest.mark.parametrize("times", [[], [0.0], [10.0, 0.0], [0.0, 0.0]])
def test_times_that_do_not_ascend_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="times must ascend"):
        censoring.reached(times, [0.1, 0.2], 0.5)


def test_the_restricted_mean_by_hand() -> None:
    """Of 4: one at 2; one lost at 3; one of the two left at 5; so the curve is 1, .75, .375."""
    found = [Reached(2, True), Reached(3, False), Reached(5, True), Reached(9, False)]
    assert censoring.restricted_mean(found, 8) == pytest.approx(2 + 0.75 * 3 + 0.375 * 3)
    assert isnan(censoring.restricted_mean(found, 10))
    assert censoring.censored(found, 8) == 0.5
    assert censoring.censored(found, 4) == 0.75


def test_where_all_are_followed_it_is_the_mean_of_the_smaller() -> None:
    found = [Reached(2, True), Reached(7, True), Reached(10, False), Reached(10, False)]
    for horizon in (1.0, 5.0, 10.0):
        assert censoring.restricted_mean(found, horizon) == pytest.approx(sum(r.within(horizon) for r in found) / 4)


def test_those_lost_early_do_not_bias_it_and_leaving_them_out_does() -> None:
    generator = torch.Generator().manual_seed(0)
    times, lost = torch.rand(2, 1000, generator=generator, dtype=torch.float64).log().neg()
    found = [Reached(min(t, c), t <= c) for t, c in zip(times.tolist(), (2 * lost).tolist(), strict=True)]
    wanted = 1 - float(torch.tensor(-1.5).exp())  # integral of exp(-t) up to 1.5
    assert censoring.restricted_mean(found, 1.5) == pytest.approx(wanted, abs=0.05)
    seen = [each.time for each in found if each.seen]
    assert sum(min(t, 1.5) for t in seen) / len(seen) < wanted - 0.15


def test_what_is_not_known_at_the_horizon_is_refused_unless_it_never_comes() -> None:
    early = Reached(3, False)
    with pytest.raises(ValueError, match="lower the horizon"):
        early.within(5)
    assert early.within(5, never=True) == 5
    assert early.within(3) == 3
    assert Reached(2, True).within(5) == 2


def test_areas_are_means_over_the_logarithm() -> None:
    assert censoring.area({5: 0.4, 10: 0.4, 20: 0.4}) == pytest.approx(0.4)
    assert censoring.area({20: 0.8, 5: 0.4, 10: 0.6}) == pytest.approx(0.6)
    assert censoring.area({5: 0.0, 20: 1.0}) == pytest.approx(censoring.area({5: 0.0, 10: 0.5, 20: 1.0})) == 0.5
    assert censoring.area({5: 0.3}) == 0.3
    assert isnan(censoring.area({}))


def test_examples_to_a_level_lie_between_the_numbers() -> None:
    found = censoring.samples_to({20: 0.8, 5: 0.4, 10: 0.6}, 0.7)
    assert found.seen and log2(found.time) == pytest.approx((log2(10) + log2(20)) / 2)
    never = censoring.samples_to({5: 0.4, 20: 0.8}, 0.9)
    assert not never.seen and never.time == pytest.approx(20)
