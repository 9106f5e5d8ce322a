"""Levels and times from rows of curves."""

from math import isnan
from typing import Any

import pytest

from llcx.tasks.mcl import arrivals
from llcx.tasks.mcl.censoring import Reached
from llcx.tasks.mcl.contrasts import Arms

ARMS = Arms("full", "b0", "primary")
Row = dict[str, Any]


def curve(arm: str, seed: int, ious: list[float], **also: Any) -> list[Row]:
    """Ten steps, and half a second, between values."""
    times = [{"step": 10 * i, "seconds": 0.5 * i} for i in range(len(ious))]
    return [{"arm": arm, "seed": seed, "iou": iou, **time, **also} for iou, time in zip(ious, times, strict=True)]


def test_the_level_of_a_composition_is_midway_from_copying_to_the_controls_full_fine_tuning() -> None:
    fits = [
        {"arm": arm, "seed": seed, "composition": "a", "method": method, "n": n, "iou": iou, "copy_iou": 0.2}
        for arm, seed, method, n, iou in (
            *(("b0", 0, "full", 20, 0.6), ("b0", 1, "full", 20, 0.8), ("b0", 0, "full", 5, 0.1)),
            *(("b0", 0, "lora", 20, 0.1), ("full", 0, "full", 20, 1.0)),
        )
    ]
    assert arrivals.adaptation_levels(fits, "b0") == {"a": pytest.approx((0.4 + 0.5) / 2)}
    assert arrivals.adaptation_levels(fits, "b1") == {}


def test_the_level_of_training_is_a_share_of_the_median_at_the_end() -> None:
    course = [row for seed, end in enumerate((0.5, 0.6, 0.9)) for row in curve("b0", seed, [0.99, end])]
    assert arrivals.training_level([*reversed(course)], "b0", 0.9) == pytest.approx(0.54)
    assert isnan(arrivals.training_level(course, "full", 0.9))


def test_an_adaptation_that_stopped_early_never_comes() -> None:
    fit = {"composition": "a", "n": 5}
    paths = [*curve("full", 0, [0.1, 0.5, 0.7, 0.8], **fit), *curve("b0", 0, [0.1, 0.2], **fit)]
    found = arrivals.adaptations(paths, {"a": 0.5})
    assert found.found == {("full", "0", "a", "5"): (11, True), ("b0", "0", "a", "5"): (31, False)}
    assert found.horizon == 31
    assert found.censored() == 0.5
    assert arrivals.restricted(found, ARMS) == {"0": {"a": (11, 31)}}
    at_once = arrivals.adaptations(curve("full", 0, [0.6, 0.7], **fit), {"a": 0.5})
    assert next(iter(at_once.found.values())) == (1, True)  # so that it has a logarithm
    assert arrivals.adaptations(paths, {}).censored() == 1


def test_a_composition_that_was_not_given_the_most_examples_is_left_out() -> None:
    given = {"seed": 0, "composition": "a"}
    fits = [given | {"arm": "full", "n": n, "iou": n / 40} for n in (5, 10, 20)]
    fits += [given | {"arm": "b0", "n": n, "iou": 0.1} for n in (5, 10)]
    found = arrivals.examples(fits, {"a": 0.5})
    assert found == arrivals.Times({("full", "0", "a"): Reached(20, True)}, 20)
    assert found.censored() == 0
    assert arrivals.examples(fits, {"a": 0.6}).found == {("full", "0", "a"): Reached(20, False)}


def test_trainings_are_followed_as_long_as_all_are() -> None:
    """The dearer arm takes its time, and is looked at no longer than the other."""
    slow = [row | {"seconds": 3 * row["seconds"]} for row in curve("full", 0, [0.1, 0.2, 0.3, 0.6])]
    course = [*curve("b0", 0, [0.1, 0.2, 0.4, 0.5]), *slow]
    steps, seconds = (arrivals.trainings(course, clock, 0.45) for clock in ("step", "seconds"))
    assert steps.horizon == 30 and seconds.horizon == 1.5
    assert steps.found == {("b0", "0"): Reached(25, True), ("full", "0"): Reached(25, True)}
    assert arrivals.restricted(steps, ARMS) == {"0": {"run": (25, 25)}}
    assert arrivals.restricted(seconds, ARMS) == {"0": {"run": (1.5, 1.25)}}
    assert (steps.censored(), seconds.censored()) == (0, 0.5)


def test_pairs_have_the_same_numbers_of_examples() -> None:
    values: dict[arrivals.Key, float] = {
        ("full", "0", "a", "5"): 1.0,
        ("full", "0", "a", "10"): 9.0,
        ("b0", "0", "a", "5"): 3.0,
    }
    assert arrivals.pairs(values, ARMS) == {"0": {"a": (1.0, 3.0)}}


def test_the_gap_is_looked_at_where_both_are_as_good_at_home() -> None:
    """The better arm is looked at earlier, where it has what the other has at its end."""
    course = [
        *(row | {"ood": ood} for row, ood in zip(curve("full", 0, [0.2, 0.6, 0.9]), [0.2, 0.5, 0.8], strict=True)),
        *(row | {"ood": ood} for row, ood in zip(curve("b0", 0, [0.2, 0.4, 0.5]), [0.1, 0.2, 0.3], strict=True)),
        *(row | {"ood": 0.1} for row in curve("full", 1, [0.2])),
    ]
    assert arrivals.matched(course, ARMS) == {"0": {"run": (pytest.approx(0.2 + 0.3 * 0.75), 0.3)}}
