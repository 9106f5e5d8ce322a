"""The table of errors, from rows as they stand in metrics_summary.csv: text, and empty where nothing is known."""

from math import isnan
from typing import Any

import numpy as np
import pytest

from llcx.tasks.dln.task import errors_by_class
from llcx.tasks.summary import TITLE, errors, leaderboard, quantile


def row(llc: Any, known: Any, **more: Any) -> dict[str, Any]:
    base = {"at.class": "small", "sampler": "auto", "target": "data", "healthy": "True", "seconds": "2.0"}
    cells = {"llc": str(llc), "known_llc": str(known), "known_at": str(known), "low": "", "high": "", "flags": ""}
    return base | cells | more


def table(*rows: dict[str, Any], against: tuple[str, ...] = ("known_llc",)) -> list[dict[str, Any]]:
    return errors(rows, {"class": "at.class"}, against)


def test_errors_are_relative_signed_for_the_bias_and_none_is_dropped() -> None:
    (found,) = table(
        row(11, 10, low="9", high="13"),
        row(18, 20, low="19", high="21"),
        row(31, 30, low="30.5", high="33", healthy="False", flags="rhat", seconds="4.0"),
        row("", 40, healthy="False", flags="failed: diverged", seconds=""),
    )
    assert (found["class"], found["sampler"], found["target"], found["against"]) == (
        "small",
        "auto",
        "data",
        "known_llc",
    )
    assert (found["nets"], found["failed"], found["flagged"]) == (4, 1, 1)
    assert found["median_abs"] == pytest.approx(0.1)
    assert found["mean_abs"] == pytest.approx((0.1 + 0.1 + 1 / 30) / 3)
    assert found["max_abs"] == pytest.approx(0.1)
    assert found["bias"] == pytest.approx(1 / 30)
    assert found["order_preservation"] == 1.0
    assert found["median_seconds"] == 2.0
    assert found["covered"] == pytest.approx(2 / 3)


def test_classes_samplers_and_targets_are_never_mixed() -> None:
    rows = [row(1, 1), row(1, 1, **{"at.class": "1k"}), row(1, 1, sampler="sgld"), row(1, 1, target="self")]
    assert len(table(*rows)) == 4


def test_order_is_lost_where_two_networks_swap_and_ties_do_not_count() -> None:
    (found,) = table(row(3, 1), row(2, 2), row(5, 5), row(6, 5))
    assert found["order_preservation"] == pytest.approx(4 / 5)


def test_typed_rows_are_read_too_and_unknown_answers_are_counted() -> None:
    typed = {"llc": 2.0, "known_llc": None, "known_at": None, "healthy": True, "seconds": 1.0}
    (found,) = table(row(1, 1) | typed, row(0.5, 0))
    assert (found["nets"], found["failed"], found["flagged"]) == (2, 0, 0)
    assert isnan(found["median_abs"])  # the one answer is unknown, the other 0


def test_a_study_that_failed_everywhere_still_has_its_row() -> None:
    (found,) = table(row("", 1), row("", 2))
    assert (found["nets"], found["failed"]) == (2, 2)
    assert all(isnan(found[key]) for key in ("median_abs", "p90_abs", "bias", "order_preservation", "covered"))


def test_quantiles_are_those_of_numpy() -> None:
    values = sorted(np.random.default_rng(0).normal(size=17).tolist())
    for share in (0.0, 0.5, 0.9, 1.0):
        assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)))


def test_each_answer_has_its_own_row_and_its_own_coverage() -> None:
    rows = [row(10, 10, **{"known.other": "20", "known_at": "9"}, low="9.5", high="21")] * 2
    own, other = table(*rows, against=("known_llc", "known.other"))
    assert (own["against"], own["max_abs"], own["covered"]) == ("known_llc", 0.0, 1.0)
    assert (other["against"], other["max_abs"], other["covered"]) == ("known.other", 0.5, 1.0)


def test_groups_are_what_the_columns_asked_for_say() -> None:
    rows = [row(1, 1, **{"at.alpha": alpha}) for alpha in (0, 1, 1)]
    found = errors(rows, {"class": "at.class", "alpha": "at.alpha"})
    assert [(each["class"], each["alpha"], each["nets"]) for each in found] == [("small", 0, 1), ("small", 1, 2)]
    assert list(found[0])[:4] == ["class", "alpha", "sampler", "target"]


def test_task_dln_groups_by_class_and_keeps_its_columns() -> None:
    found = errors_by_class([row(11, 10)], lambda training, role: None)
    assert " ".join(found.tables["errors"][0]) == (
        "class sampler target nets failed flagged median_abs mean_abs p90_abs p95_abs max_abs bias order_preservation "
        "covered half_width median_seconds against"
    )
    assert list(found.tables) == ["errors", "leaderboard", "bias_by_multiplicity"]


def entry(llc: Any, known: float, at: float, *, mult: int = 1, flags: str = "", **more: Any) -> dict[str, Any]:
    """A row with an interval of 5 % to either side."""
    low, high = ("", "") if llc == "" else (str(0.95 * llc), str(1.05 * llc))
    cells = {"known_at": str(at), "known_mult": str(mult), "low": low, "high": high, "gradients": "100", "chains": "4"}
    return row(llc, known, **{**cells, "healthy": str(not flags), "flags": flags, **more})


def test_the_leaderboard_judges_by_the_value_at_the_temperature_and_by_lambda() -> None:
    (line,) = leaderboard([entry(9, 10, 9), entry(18, 20, 20), entry(33, 30, 30), entry(8, 8, 8)]).tables["leaderboard"]
    assert (line["sampler"], line["problems"], line["failed"]) == ("auto", 4, 0)
    assert line["median_abs_at"] == pytest.approx(0.05)
    assert line["median_abs"] == pytest.approx(0.1)
    assert (line["bias_at"], line["bias"]) == (pytest.approx(0.0), pytest.approx(-0.05))
    assert (line["covered_at"], line["covered"]) == (0.5, 0.25)
    assert line["half_width"] == pytest.approx(0.05)
    assert (line["gradients"], line["seconds"], line["total_seconds"]) == (400, 2.0, 8.0)


def test_a_silent_failure_is_wrong_and_not_flagged_and_an_alarm_is_right_and_flagged() -> None:
    rows = [
        entry(12, 10, 10),  # silent
        entry(12, 10, 10, flags="rhat"),  # caught
        entry(10.2, 10, 10, flags="rhat"),  # alarm
        entry(9, 10, 9),  # right
        entry("", 10, 10, flags="failed: it diverged", target=""),
    ]
    (line,) = leaderboard(rows).tables["leaderboard"]
    assert (line["silent"], line["flagged"], line["alarms"], line["failed"], line["problems"]) == (1, 2, 1, 1, 5)


def test_samplers_stand_in_the_order_of_their_median_errors_and_a_failure_is_the_largest() -> None:
    rows = [entry("", 1, 1, sampler="dead"), entry(1.2, 1, 1, sampler="bad"), entry(1.01, 1, 1, sampler="good")]
    assert [line["sampler"] for line in leaderboard(rows).tables["leaderboard"]] == ["good", "bad", "dead"]


def test_the_bias_by_multiplicity_stands_beside_what_theory_expects() -> None:
    rows = [entry(9.5, 10, 9.6, mult=2), entry(19.7, 20, 19.8, mult=2), entry(5, 5, 5)]
    one, two = leaderboard(rows).tables["bias_by_multiplicity"]
    assert (one["multiplicity"], one["problems"], one["bias"], one["expected"]) == (1, 1, 0.0, 0.0)
    assert (two["multiplicity"], two["problems"]) == (2, 2)
    assert (two["bias"], two["expected"]) == (pytest.approx(-0.4), pytest.approx(-0.3))
    assert (two["covered"], two["covered_at"]) == (0.5, 1.0)


def test_the_terminal_gets_the_leaderboard_in_words_where_there_is_more_than_one_problem() -> None:
    assert leaderboard([entry(1, 1, 1)]).shown == {}
    lines = leaderboard([entry(10.5, 10, 10), entry(21, 20, 20)]).shown[TITLE]
    assert lines[0]["sampler"] == "auto"
    assert (lines[0]["n"], lines[0]["median"], lines[0]["bias"], lines[0]["silent"]) == ("2", "5.0 %", "+5.0 %", "0")
    assert "target" not in lines[0]


def test_targets_have_lines_of_their_own() -> None:
    found = leaderboard([entry(1, 1, 1), entry(2, 2, 2), entry(1, 1, 1, target="self")])
    assert [(line["target"], line["problems"]) for line in found.tables["leaderboard"]] == [("data", 2), ("self", 1)]
    assert {line["target"] for line in found.shown[TITLE]} == {"data", "self"}
