"""Numbers, names, flags and rows as text."""

from math import inf, nan
from pathlib import Path

import pytest

from llcx.artifacts import RunFolder
from llcx.figures import flags, rows, wording
from tests.test_diagnostics import FAULTS

BESIDE_THE_RUN = {
    "not_a_minimum",
    "baseline",
    "rounding",
    "no_finite_minimum",
    "polished_away",
    "moved_with_temperature",
    "moved_with_budget",
    "second_sampler_disagrees",
    "step_decides",
    "subset_gap",
    "unchecked",
    "discretisation",
    "minibatch_noise",
    "warmup_not_settled",
    "failed",
}
NO_FAULTS = {"no_plateau", "noise_fit", "gamma_decides", "negative"}  # in notes, and read off a row's numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.4823, "9.482"), (72382.4, "72380"), (3e6, "3e6"), (1e-5, "1e-5"), (0.0, "0"), (nan, "\u2013"), (inf, "inf")],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (9.4823, 9.2, 9.9, "9.48 [9.20, 9.90]"),
        (1662.5, 1655.0, 1671.0, "1662.5 [1655.0, 1671.0]"),
        (112083.4, 110000.0, 114000.0, "112083 [110000, 114000]"),
        (-541.2, -560.0, -520.0, "\u2212541 [\u2212560, \u2212520]"),
        (nan, nan, nan, "\u2013 [\u2013, \u2013]"),
    ],
)
def test_an_interval_shows_two_digits_of_its_half_width(value: float, low: float, high: float, text: str) -> None:
    assert wording.interval(value, low, high) == text


def test_no_interval_ends_at_minus_zero() -> None:
    assert "\u22120" not in wording.interval(7.1, -0.027, 14.4)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0142, "1.4 %"), (0.00611, "0.61 %"), (0.9943, "99.4 %"), (42.1, "4,210 %"), (-0.02, "\u22122.0 %")],
)
def test_shares_are_percentages(share: float, text: str) -> None:
    assert wording.percent(share) == text


def test_long_names_lose_their_middle_and_dollars_are_no_mathematics() -> None:
    assert wording.plain("a" * 50 + "b" * 50, 11) == "aaaaaaa…bbb"
    assert wording.plain("$x$") == r"\$x\$"


def test_the_flags_that_are_raised_are_those_that_have_words_and_a_place_in_the_documentation() -> None:
    assert set(flags.FLAGS) == {*FAULTS, *BESIDE_THE_RUN, *NO_FAULTS}
    page = (Path(__file__).parents[2] / "docs" / "health.md").read_text()
    assert [flag for flag in flags.FLAGS if f"`{flag}" not in page] == []


@pytest.mark.parametrize("flag", flags.FLAGS)
def test_every_flag_has_a_sentence_and_a_cure(flag: str) -> None:
    meaning = flags.FLAGS[flag]
    assert meaning.sentence.endswith(".")
    assert meaning.cure.endswith(".")
    assert len(meaning.short) <= 20


def test_an_unknown_flag_is_shown_as_it_stands() -> None:
    assert flags.short("strange_flag") == "strange_flag"
    assert flags.short("failed: NaN in chain 2") == "failed"


def test_rows_of_a_different_target_are_told_apart_and_said(odd: RunFolder) -> None:
    every = rows.read(odd)
    assert wording.label(every[2], every) == "unknown · auto · self"
    assert (
        wording.conditions(every[:3])
        == "Target data and self, nβ 10000, \u03b3 1 (rows of different target stand together here)"
    )


def test_an_empty_cell_is_unknown_and_a_row_without_a_number_failed(odd: RunFolder) -> None:
    dead = rows.read(odd)[-1]
    assert dead.failed
    assert dead.llc != dead.llc
    assert dead.flags == ("failed: NaN in chain 2 at draw 17, $x^2$",)


def test_a_long_listing_counts_what_it_leaves_out() -> None:
    assert wording.listing(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
