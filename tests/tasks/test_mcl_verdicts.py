"""The rule, number by number, and how verdicts of parts make one."""

import json
from math import inf, log, nan
from typing import Any

import pytest

from llcx.tasks.mcl import verdicts
from llcx.tasks.mcl.bootstrap import Effect
from llcx.tasks.mcl.verdicts import Hypothesis, Part, Registered, all_of, any_of, chain, verdict

YES, NO, BACK, OPEN, SHUT, SPLIT = "SUPPORTED", "REJECTED", "REVERSED", "INCONCLUSIVE", "NOT TESTED", "SPLIT"


@pytest.mark.parametrize(
    ("low", "mean", "high", "told"),
    [
        (0.01, 0.03, 0.05, YES),
        (0.01, 0.02, 0.03, YES),
        (0.001, 0.019, 0.04, OPEN),  # there is an effect, perhaps of interest
        (0.001, 0.01, 0.019, NO),  # there is an effect, and it is of no interest
        (-0.01, 0.03, 0.07, OPEN),
        (0.0, 0.03, 0.06, OPEN),
        (-0.01, 0.0, 0.01, NO),
        (0.0, 0.0, 0.0, NO),
        (-0.05, -0.03, -0.01, BACK),
        (-0.05, -0.02, 0.0, NO),
        (-inf, 0.5, inf, OPEN),
        (nan, nan, nan, SHUT),
    ],
)
def test_the_rule(low: float, mean: float, high: float, told: str) -> None:
    assert verdict(Effect(mean, low, high), 0.02) == told


def test_parts_that_must_all_hold() -> None:
    assert all_of([YES, YES]) == YES
    assert all_of([YES, OPEN]) == OPEN
    assert all_of([YES, NO]) == all_of([BACK, YES]) == all_of([SPLIT, YES]) == SPLIT
    assert all_of([NO, OPEN]) == OPEN
    assert all_of([NO, BACK]) == NO
    assert all_of([BACK, BACK]) == BACK
    assert all_of([YES, SHUT]) == all_of([NO, SHUT]) == all_of([]) == SHUT


def test_an_argument_falls_with_any_of_its_steps() -> None:
    assert chain([YES, YES, YES]) == YES
    assert chain([YES, NO, OPEN]) == chain([YES, BACK, YES]) == chain([SPLIT, YES]) == NO
    assert chain([BACK, BACK]) == BACK
    assert chain([YES, OPEN]) == OPEN
    assert chain([NO, SHUT]) == chain([]) == SHUT


def test_one_part_is_enough() -> None:
    assert any_of([YES, NO]) == any_of([YES, SHUT]) == YES
    assert any_of([NO, SHUT]) == any_of([]) == SHUT
    assert any_of([NO, OPEN]) == OPEN
    assert any_of([NO, BACK]) == NO


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"saved": 1.0}, "task.verdicts.saved must be < 1, a share, got 1.0"),
        ({"score": -0.1}, "task.verdicts.score must be >= 0, got -0.1"),
        ({"resamples": 10}, "task.verdicts.resamples must be >= 1000, got 10"),
        ({"resampling": "both"}, "task.verdicts.resampling must be one of nested, crossed, got both"),
        ({"positive": ["recurrent"]}, "must be two arms, the better one first"),
        ({"tau": 0.0}, "task.verdicts.tau must be > 0, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Registered(**settings)


def test_a_share_that_is_saved_is_a_log_ratio() -> None:
    assert Registered(saved=0.5).log_saved == pytest.approx(log(2))
    assert Registered(saved=0.0).log_saved == 0


def test_what_is_told_is_plain() -> None:
    part = Part("iou", "primary", "full", "b0", OPEN, 0.02, Effect(0.1, -inf, inf, nan, nan))
    hypothesis = Hypothesis("H1", "composes", OPEN, (part,), ("a note",))
    (read,) = json.loads(json.dumps(verdicts.as_json([hypothesis]), allow_nan=False))
    assert read["parts"][0] | {"mean": 0.1, "low": None, "high": None, "note": ""} == read["parts"][0]
    assert (read["verdict"], read["notes"]) == (OPEN, ["a note"])
    (row,) = verdicts.part_rows([hypothesis])
    assert row["hypothesis"] == "H1" and row["treated"] == "full" and row["percentile_low"] is None
