"""The table of errors, from rows as they stand in metrics_summary.csv: text, and empty where nothing is known."""

from math import isnan
from typing import Any

import numpy as np
import pytest

from llcx.tasks.dln.task import errors_by_class
from llcx.tasks.summary import errors, quantile


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
    assert (own["against"], own["max_abs"], own["covered"]) == ("known_llc", 0.0, 0.0)
    assert (other["against"], other["max_abs"], other["covered"]) == ("known.other", 0.5, 1.0)


def test_groups_are_what_the_columns_asked_for_say() -> None:
    rows = [row(1, 1, **{"at.alpha": alpha}) for alpha in (0, 1, 1)]
    found = errors(rows, {"class": "at.class", "alpha": "at.alpha"})
    assert [(each["class"], each["alpha"], each["nets"]) for each in found] == [("small", 0, 1), ("small", 1, 2)]
    assert list(found[0])[:4] == ["class", "alpha", "sampler", "target"]


def test_task_dln_groups_by_class_and_keeps_its_columns() -> None:
    (found,) = errors_by_class([row(11, 10)], lambda training, role: None).tables["errors"]
    assert " ".join(found) == (
        "class sampler target nets failed flagged median_abs mean_abs p90_abs max_abs bias order_preservation "
        "median_seconds covered against"
    )
