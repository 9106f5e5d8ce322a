"""lsa_llc_comparison.png and lsa_errors.png."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_csv
from llcx.figures import lsa, lsa_errors, rows, scaling, style
from tests.figures import attention_folder as made
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.run_folder import table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """12 problems, 4 of each alpha, by auto and sgld; one failure."""
    return artifacts.load(made.lsa(tmp_path_factory.mktemp("study"), made.problems(12)))


@pytest.fixture(scope="module")
def figure(study: RunFolder) -> Figure:
    return comparison(study)


@pytest.fixture(scope="module")
def errors(study: RunFolder) -> Figure:
    found = lsa_errors.figure(study)
    assert found is not None
    return found


def comparison(folder: RunFolder) -> Figure:
    found = lsa.comparison(folder)
    assert found is not None
    return found


def panels_of(figure: Figure) -> list[Axes]:
    """Without the colour bar."""
    return figure.axes[:-1]


def test_each_alpha_has_a_line_of_panels_with_both_theories_for_each_sampler(study: RunFolder, figure: Figure) -> None:
    panels = panels_of(figure)
    assert len(panels) == 3 * 2 * 2
    read = rows.read(study)
    for place, panel in enumerate(panels):
        alpha, sampler = str(place // 4), ("auto", "sgld")[place % 4 // 2]
        column = ("known.lambda_matrix", "known.lambda_full")[place % 2]
        group = [row for row in read if (row.raw["at.alpha"], row.sampler, row.failed) == (alpha, sampler, False)]
        assert sorted(dots(panel)) == sorted((float(row.raw[column]), row.llc) for row in group)


def test_lines_name_their_alpha_and_columns_their_theory(figure: Figure) -> None:
    panels = panels_of(figure)
    assert [f"alpha = {alpha}" in panels[4 * alpha].get_ylabel() for alpha in range(3)] == [True] * 3
    assert [panel.get_title("left") for panel in panels[:4]] == ["sampler auto", "", "sampler sgld", ""]
    assert ["matrix" in panel.get_xlabel() for panel in panels[8:]] == [True, False, True, False]


def test_all_panels_share_their_logarithmic_axes_and_a_line_of_equality(figure: Figure) -> None:
    panels = panels_of(figure)
    assert {panel.get_xlim() for panel in panels} == {panel.get_ylim() for panel in panels}
    assert {panel.get_xscale() for panel in panels} == {"log"}
    for panel in panels:
        x, y = np.asarray(panel.lines[0].get_data())
        assert np.array_equal(x, y)


def test_the_box_tells_the_error_against_the_theory_of_its_column(study: RunFolder, figure: Figure) -> None:
    matrix, full = panels_of(figure)[:2]
    read = [row for row in rows.read(study) if row.raw["at.alpha"] == "0" and row.sampler == "auto"]
    off = [abs(row.llc / float(row.raw["known.lambda_matrix"]) - 1) for row in read]
    assert f"median |rel. error| {100 * np.median(off):.1f} %" in matrix.texts[0].get_text()
    assert full.texts[0].get_text() != matrix.texts[0].get_text()


def test_flagged_rows_are_hollow_and_failures_named(study: RunFolder, figure: Figure) -> None:
    flagged = sum(not row.healthy and not row.failed for row in rows.read(study))
    assert flagged > 0
    assert sum(hollow(panel) for panel in panels_of(figure)) == 2 * flagged
    assert "no number (1): small-2 · auto (failed: NaN in chain 2 at draw 17)" in notes(figure)


def test_the_box_moves_up_where_a_marker_stands_in_its_corner(tmp_path: Path) -> None:
    folder = made.lsa(tmp_path, made.problems(12), ("auto",))
    lines = read_csv(tmp_path / "metrics_summary.csv")
    lines[0]["llc"] = "3"  # far below both theories
    lines[0]["known.lambda_matrix"] = lines[0]["known.lambda_full"] = "30"
    table(tmp_path / "metrics_summary.csv", tuple(lines[0]), lines)
    sides = [panel.texts[0].get_verticalalignment() for panel in panels_of(comparison(artifacts.load(folder)))]
    assert sides[:2] == ["top", "top"]
    assert "bottom" in sides


def test_the_simple_variant_is_one_line_against_lambda_full_alone(tmp_path: Path) -> None:
    panels = panels_of(comparison(artifacts.load(made.lsa(tmp_path, made.problems(6), simple=True))))
    assert len(panels) == 2
    assert all("full" in panel.get_xlabel() for panel in panels)
    assert "alpha" not in panels[0].get_ylabel()


def test_few_problems_share_a_line_of_panels_with_a_marker_an_alpha(tmp_path: Path) -> None:
    figure = comparison(artifacts.load(made.lsa(tmp_path, made.problems(3), ("hmc", "gibbs"))))
    assert len(panels_of(figure)) == 4
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [rf"$\alpha$ = {alpha}" for alpha in range(3)] == told[-3:]


def test_parts_of_the_parameters_are_not_held_against_theories_of_all(tmp_path: Path) -> None:
    path = made.lsa(tmp_path, made.problems(6), ("auto",))
    lines = read_csv(path / "metrics_summary.csv")
    lines[0]["where"] = "W_Q"
    table(path / "metrics_summary.csv", tuple(lines[0]), lines)
    told = notes(comparison(artifacts.load(path)))
    assert "Without these theories, not drawn (1): small-0 · auto · W_Q" in told


def test_neither_one_problem_nor_the_scalar_output_has_a_comparison(tmp_path: Path) -> None:
    assert lsa.comparison(artifacts.load(made.lsa(tmp_path / "one", made.problems(1)))) is None
    scalar = made.lsa_task()
    scalar["model"]["output"] = "scalar"
    lines = read_csv(made.lsa(tmp_path / "rows", made.problems(6)) / "metrics_summary.csv")
    folder = artifacts.load(made.write(tmp_path / "scalar", scalar, lines))
    assert lsa.comparison(folder) is None
    assert lsa_errors.figure(folder) is None


def test_every_error_against_either_theory_is_a_marker_above_the_table(study: RunFolder, errors: Figure) -> None:
    strips, below = errors.axes
    assert len(dots(strips)) == 2 * sum(not row.failed for row in rows.read(study))
    assert len({line for line, _ in below.tables[0].get_celld()}) == 1 + 3 * 2 * 2
    heads = [cell.get_text().get_text() for (line, _), cell in sorted(below.tables[0].get_celld().items()) if line == 0]
    assert heads[:3] == ["\u03b1", "sampler", "against"]  # class and target are the same on all lines


def test_errors_against_the_matrix_theory_are_the_greater_ones(errors: Figure) -> None:
    ticks = [label.get_text() for label in errors.axes[0].get_xticklabels()]
    assert ticks[:2] == ["$\\alpha$ = 0\nauto", "$\\alpha$ = 0\nsgld"]
    matrix, full = ([y for x, y in dots(errors.axes[0]) if abs(x - place) < 0.3] for place in (0, 1))
    assert min(matrix) > max(full) > 0


def test_errors_within_a_decade_are_still_per_cent() -> None:
    axis = Figure().subplots()
    axis.set_ylim(0.08, 0.27)
    scaling.axes_of_errors(axis)
    labels = [*axis.yaxis.get_ticklabels(which="major"), *axis.yaxis.get_ticklabels(which="minor")]
    assert {"10 %", "20 %"} <= {label.get_text() for label in labels}
    assert all(label.get_text().endswith(" %") for label in labels if label.get_text())


def test_the_problems_of_each_alpha_are_described_below(errors: Figure) -> None:
    assert "\u03b1 = 1: 4 problems, d " in notes(errors)


def test_errors_are_drawn_before_their_table_is_there(tmp_path: Path) -> None:
    path = made.lsa(tmp_path, made.problems(6))
    (path / "analysis" / "errors.csv").unlink()
    figure = lsa_errors.figure(artifacts.load(path))
    assert figure is not None
    assert "not there yet" in figure.axes[1].texts[0].get_text()


def test_a_run_of_the_task_leaves_its_pictures(tmp_path: Path) -> None:
    paths = lsa.draw(artifacts.load(made.lsa(tmp_path, made.problems(3), ("hmc",))))
    assert [path.name for path in paths] == ["lsa_llc_comparison.png", "lsa_errors.png"]
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_nothing_overlaps(figure: Figure, errors: Figure) -> None:
    assert apart(figure)
    assert apart(errors)


def test_samplers_are_told_apart() -> None:
    assert {"auto", "sgld", "hmc", "gibbs"} <= style.SAMPLERS.keys() == style.MARKERS.keys()
    assert len(set(style.SAMPLERS.values())) == len(set(style.MARKERS.values())) == len(style.SAMPLERS)
