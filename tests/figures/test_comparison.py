"""llc_comparison.png."""

from pathlib import Path

import numpy as np
import pytest

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import comparison, rows
from tests.figures.look import dots, hollow, notes
from tests.figures.run_folder import Net, write


def test_every_number_with_a_known_value_is_a_marker_in_its_samplers_panel(many: RunFolder) -> None:
    auto, sgld = comparison.figure(many).axes
    for panel, sampler in ((auto, "auto"), (sgld, "sgld")):
        wanted = [(row.known, row.llc) for row in rows.read(many) if row.sampler == sampler and not row.failed]
        assert sorted(dots(panel)) == sorted(wanted)
        assert f"sampler {sampler}" in panel.get_title("left")


def test_flagged_rows_are_hollow_and_no_others(many: RunFolder) -> None:
    auto, sgld = comparison.figure(many).axes
    assert (hollow(auto), hollow(sgld)) == (1, 2)


def test_flagged_and_failed_rows_are_named_below(many: RunFolder) -> None:
    text = notes(comparison.figure(many))
    assert "Flagged (3): net=5 · auto (R-hat, drift), " in text
    assert "no number (1): net=3 · sgld (failed: NaN in chain 2 at draw 17)" in text


def test_a_wide_range_asks_for_equal_logarithmic_axes(many: RunFolder) -> None:
    for panel in comparison.figure(many).axes:
        assert panel.get_xscale() == panel.get_yscale() == "log"
        assert panel.get_xlim() == panel.get_ylim()


def test_the_box_counts_rows_and_gives_their_relative_errors(many: RunFolder) -> None:
    auto = [row for row in rows.read(many) if row.sampler == "auto"]
    text = comparison.figure(many).axes[0].texts[0].get_text()
    assert "N = 24  (1 flagged)" in text
    assert f"median |rel. error| {100 * np.median([abs(row.rel_error) for row in auto]):.1f} %" in text


def test_failures_are_counted_even_where_their_target_was_not_known_yet(tmp_path: Path) -> None:
    nets = [Net(f"{lam}", lam, known=lam) for lam in (1.0, 2.0, 3.0, 4.0, 5.0)]
    folder = artifacts.load(write(tmp_path, [*nets, Net("dead", 1.0, failed="NaN", target="")]))
    (panel,) = comparison.figure(folder).axes
    assert "N = 5, 1 failed" in panel.texts[0].get_text()


def test_an_estimate_that_is_not_positive_stands_at_the_edge_of_a_logarithmic_axis(odd: RunFolder) -> None:
    auto = comparison.figure(odd).axes[0]
    ((known, place),) = dots(auto, "beyond")
    assert known == 4.0
    assert auto.get_ylim()[0] < place < 1.2 * auto.get_ylim()[0]


def test_rows_without_a_known_value_get_a_panel_of_bars_beside_the_others(odd: RunFolder) -> None:
    auto, mine, unknown = comparison.figure(odd).axes
    assert len(dots(auto)) + len(dots(mine)) + len(dots(unknown)) == 6
    assert unknown.get_title("left") == "no known value"
    assert [label.get_text() for label in unknown.get_yticklabels()] == ["unknown"]


def test_few_points_are_bars_with_interval_and_known_value(one: RunFolder) -> None:
    figure = comparison.figure(one)
    (panel,) = figure.axes
    row = rows.read(one)[0]
    assert dots(panel, "auto") == [pytest.approx((row.llc, 0.0))]
    assert dots(panel, r"known $\lambda$")[0][0] == 9.5
    assert not hollow(panel)


def test_samplers_and_targets_of_one_point_are_drawn_apart(tmp_path: Path) -> None:
    pairs = [("auto", "data"), ("auto", "self"), ("sgld", "data")]
    nets = [Net(f"epoch={t}", 3.0 + t, s, target=target) for t in range(4) for s, target in pairs]
    (panel,) = comparison.figure(artifacts.load(write(tmp_path, nets))).axes
    places = [dots(panel, label) for label in ("auto, data", "auto, self", "sgld, data")]
    assert [len(found) for found in places] == [4, 4, 4]
    assert len({height for found in places for _, height in found}) == 12


def test_eighty_points_without_known_values_are_all_drawn_within_a_page(tmp_path: Path) -> None:
    figure = comparison.figure(artifacts.load(write(tmp_path, [Net(f"t={t}", 3.0 + t, draws=4) for t in range(80)])))
    assert len(dots(figure.axes[0])) == 80
    assert figure.get_figheight() <= 9
