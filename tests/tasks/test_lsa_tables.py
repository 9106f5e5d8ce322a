"""What an analysis leaves: errors against both theories, the problems asked about, and the gap between the theories."""

from typing import Any

import pytest

from llcx import theory
from llcx.tasks.lsa.schema import LSA, Theories
from llcx.tasks.lsa.tables import analyse, gap


def row(point: str, alpha: int, llc: Any, **more: Any) -> dict[str, Any]:
    base = {"point": point, "at.class": "small", "at.net": "0", "at.alpha": str(alpha), "sampler": "auto", "seed": "0"}
    shape = {"at.d": "4", "at.d_l": "3", "at.rank_m": "1", "at.rank_b": str(1 + alpha), "target": "data"}
    known = {"known_llc": "10.0", "known.lambda_full": "10.0", "known.lambda_matrix": "8.0", "known_at": "10.0"}
    cells = {"llc": str(llc), "healthy": "True", "seconds": "2", "low": "9.5", "high": "10.5", "where": "all"}
    return base | shape | known | cells | more


def tables(*rows: dict[str, Any], cfg: LSA | None = None) -> dict[str, list[dict[str, Any]]]:
    return dict(analyse(cfg or LSA(), list(rows), lambda training, role: None).tables)


def test_each_alpha_and_sampler_is_held_against_both_theories() -> None:
    rows = [row("a", 0, 11), row("b", 1, 10), row("a", 0, 12, sampler="sgld")]
    found = {(each["alpha"], each["sampler"], each["against"]): each for each in tables(*rows)["errors"]}
    assert len(found) == 6
    assert found["0", "auto", "known.lambda_full"]["median_abs"] == pytest.approx(0.1)
    assert found["0", "auto", "known.lambda_matrix"]["median_abs"] == pytest.approx(3 / 8)
    assert found["1", "auto", "known.lambda_full"]["covered"] == 1.0
    assert found["1", "auto", "known.lambda_matrix"]["covered"] == 0.0


def test_a_theory_that_no_row_has_and_an_answer_that_is_neither_are_seen() -> None:
    simple = tables(row("a", 0, 11, **{"known.lambda_matrix": ""}))["errors"]
    assert [each["against"] for each in simple] == ["known.lambda_full"]
    scalar = tables(row("a", 0, 11, known_llc="6.0"))["errors"]
    assert [each["against"] for each in scalar] == ["known.lambda_full", "known.lambda_matrix", "known_llc"]
    failed = tables(row("a", 0, "", **{"known.lambda_matrix": "", "known.lambda_full": "", "known_llc": ""}))["errors"]
    assert [(each["against"], each["failed"]) for each in failed] == [("known_llc", 1)]


def test_problems_are_counted_once_however_many_samplers_measured_them() -> None:
    first = [row("a", 0, 1), row("a", 0, 1, sampler="sgld"), row("b", 0, 1, **{"at.d": "6", "at.d_l": "6"})]
    zero, one = tables(*first, row("c", 1, 1))["problems"]
    assert (zero["class"], zero["alpha"], zero["problems"], one["problems"]) == ("small", "0", 2, 1)
    assert (zero["d_mean"], zero["d_least"], zero["d_greatest"]) == (5.0, 4.0, 6.0)
    assert (zero["rank_b_mean"], zero["d_l_greatest"], one["rank_b_least"]) == (1.0, 6.0, 2.0)


def test_no_rows_and_no_theory_leave_no_tables() -> None:
    assert tables() == {}
    assert list(tables(cfg=LSA(theory=Theories(3, [1], 4)))) == ["gap"]


def test_the_gap_has_a_row_for_each_rank_alpha_and_width() -> None:
    found = gap(4, 12)
    assert len(found) == 5 * 3 * 12
    assert list(found[0]) == "d rank alpha d_l lambda_matrix lambda_full gap mult_matrix mult_full feasible".split()
    by = {(each["rank"], each["alpha"], each["d_l"]): each for each in found}
    assert {key for key, each in by.items() if not each["feasible"]} == {
        (rank, alpha, d_l) for rank, alpha, d_l in by if rank + alpha > min(d_l, 5)
    }
    assert by[2, 2, 3]["gap"] is by[2, 2, 3]["lambda_full"] is by[2, 2, 3]["mult_full"] is None
    assert by[4, 1, 5]["feasible"]  # the corner alone adds a rank


def test_the_gap_is_that_of_the_theories_and_saturates_at_d_and_a_half() -> None:
    for each in (each for each in gap(5, 16) if each["feasible"]):
        d, d_l, r = each["d"], each["d_l"], each["rank"]
        matrix, full = theory.reduced_rank(d, d_l, d, r), theory.reduced_rank(d + 1, d_l, d + 1, r + each["alpha"])
        assert (each["lambda_matrix"], each["mult_matrix"]) == (matrix.lam, matrix.mult)
        assert (each["lambda_full"], each["mult_full"]) == (full.lam, full.mult)
        assert each["gap"] == each["lambda_full"] - each["lambda_matrix"]
        assert d_l < 2 * (d + 1) - r or each["gap"] == d + 0.5
