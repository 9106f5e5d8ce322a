"""Dual averaging against an acceptance that is a known function of the step size."""

import pytest

from llcx.samplers.averaging import Adapted


def accepted(step_size: float) -> float:
    return 1 / (1 + step_size**2)


@pytest.mark.parametrize("start", [1e-3, 30.0])
def test_it_finds_the_step_of_the_acceptance_asked_for_from_either_side(start: float) -> None:
    found = Adapted.begin(start, 10.0)
    for _ in range(200):
        found = found.after(accepted(found.step_size), 0.8, 200)
    assert found.step_size == pytest.approx(0.5, rel=0.05)


def test_it_stands_still_after_the_last_move_of_the_adaptation_and_counts_on() -> None:
    found = Adapted.begin(0.1, 10.0)
    for _ in range(10):
        found = found.after(0.99, 0.8, 10)
    later = found.after(0.0, 0.8, 10)
    assert later.step_size == found.step_size
    assert later.moves == 11


def test_without_adaptation_the_step_never_moves() -> None:
    assert Adapted.begin(0.1, 10.0).after(0.0, 0.8, 0).step_size == 0.1
