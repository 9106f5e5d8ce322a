"""llc_traces.png."""

import re
from pathlib import Path

import numpy as np
import pytest

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import rows, traces
from tests.figures.look import notes
from tests.figures.run_folder import Net, write


def test_a_single_measurement_has_one_panel_with_chains_warm_up_and_known_value(one: RunFolder) -> None:
    (panel,) = traces.figure(one).axes
    wanted = {"a chain", "running estimate", "warm-up, dropped", "95 % interval", r"known $\lambda$"}
    assert set(panel.get_legend_handles_labels()[1]) == wanted
    assert len(panel.lines) == 4 + 1 + 1  # chains, running estimate, known value
    assert panel.get_xlim()[0] == -60
    assert "dln" in panel.get_title("left")
    assert "nats" in panel.get_ylabel()


def test_the_running_estimate_ends_at_the_saved_estimate(one: RunFolder) -> None:
    (panel,) = traces.figure(one).axes
    (running,) = (line for line in panel.lines if line.get_label() == "running estimate")
    assert np.asarray(running.get_ydata())[-1] == pytest.approx(rows.read(one)[0].llc, rel=1e-12)


def test_of_many_measurements_twelve_are_shown_and_the_others_counted(many: RunFolder) -> None:
    figure = traces.figure(many)
    assert len(figure.axes) == 12
    assert "12 of 47 measurements shown, flagged and worst first; 35 are not, all of them healthy." in notes(figure)


def test_flagged_measurements_come_first_with_their_flags_in_words(many: RunFolder) -> None:
    figure = traces.figure(many)
    said = [panel.texts[0].get_text().strip() for panel in figure.axes]
    assert sorted(said[:3]) == ["R-hat, drift", "variance high", "variance high"]
    assert not any(said[3:])


def test_the_failed_measurement_is_named_with_its_message(many: RunFolder) -> None:
    assert "no number (1): net=3 · sgld (failed: NaN in chain 2 at draw 17)" in notes(traces.figure(many))


def test_different_temperatures_in_one_figure_are_said(many: RunFolder, one: RunFolder) -> None:
    assert "nβ 8686 to 10000, \u03b3 1 (rows of different nβ stand together here)" in notes(traces.figure(many))
    assert "stand together" not in notes(traces.figure(one))


def test_values_above_the_panel_are_counted(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("spike", 10.0)]))
    row = rows.read(folder)[0]
    draws = folder.draws(row.raw)
    draws["energy"][1, 50], draws["warmup"][0, 3:5] = 1e6, 1e9
    figure = traces.figure(folder)
    assert "Values above" not in notes(figure)
    assert traces.trace(figure.axes[0], row, draws) == 3
    assert figure.axes[0].get_ylim()[1] < 100


def test_thinning_a_long_trace_keeps_its_extremes() -> None:
    chain = np.random.default_rng(0).standard_normal(100_007)
    chain[77_777], chain[-1] = 50.0, -60.0
    steps, thinned = traces.thin(np.arange(100_007), chain)
    assert len(steps) == len(thinned) < 2000
    assert (thinned.max(), thinned.min()) == (50.0, -60.0)
    assert abs(steps[thinned.argmax()] - 77_777) <= 400


def test_missing_draws_are_said_in_the_panel(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("a", 3.0), Net("b", 4.0)]))
    (tmp_path / artifacts.draws_path(folder.rows[1])).unlink()
    kept, lost = traces.figure(folder).axes
    assert len(kept.lines) > 4
    assert not lost.lines
    assert any("draws not found" in text.get_text() for text in lost.texts)


def test_without_any_number_the_picture_says_so(dead: RunFolder) -> None:
    figure = traces.figure(dead)
    assert "No measurement has a number yet." in figure.axes[0].texts[0].get_text()
    assert len(re.findall(r"failed: NaN", notes(figure))) == 2
