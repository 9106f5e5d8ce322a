"""leaderboard.png."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import csv_lines, replace
from llcx.figures import leaderboard, rows
from llcx.tasks import summary
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.run_folder import Net, study, write


def board(path: Path, nets: Sequence[Net]) -> RunFolder:
    """A run folder with the table that its task leaves."""
    write(path, nets)
    found = summary.leaderboard([dict(row) for row in artifacts.load(path).rows]).tables["leaderboard"]
    replace(path / "analysis" / "leaderboard.csv", csv_lines(tuple(found[0]), found))
    return artifacts.load(path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Figure:
    figure = leaderboard.figure(board(tmp_path_factory.mktemp("board"), study(24)))
    assert figure is not None
    return figure


def test_every_number_is_a_marker_and_every_sampler_a_lane(drawn: Figure) -> None:
    left, right = drawn.axes
    assert (len(dots(left)), hollow(left)) == (47, 3)
    assert [label.get_text() for label in left.get_yticklabels()] == ["auto", "sgld"]
    assert len(right.texts) == 3 * len(leaderboard.COLUMNS)
    assert apart(drawn)


def test_a_lane_and_its_line_of_the_table_have_one_height(drawn: Figure) -> None:
    left, right = drawn.axes
    assert left.get_ylim() == right.get_ylim()
    assert left.get_position().y0 == pytest.approx(right.get_position().y0, abs=1e-6)
    assert left.get_position().y1 == pytest.approx(right.get_position().y1, abs=1e-6)


def test_an_error_is_against_the_value_at_the_temperature_where_that_is_known() -> None:
    assert leaderboard.error(rows.parse({"rel_error": "-0.2", "rel_error_at": "0.01"})) == 0.01
    assert leaderboard.error(rows.parse({"rel_error": "-0.2", "rel_error_at": ""})) == -0.2


def test_what_failed_and_what_has_no_known_value_is_said_below(tmp_path: Path) -> None:
    nets = [Net(f"net={i}", 4.0, known=4.0) for i in range(4)]
    lost: list[Any] = [Net("unknown", 3.0), Net("dead", 1.0, failed="NaN", known=1.0)]
    figure = leaderboard.figure(board(tmp_path, [*nets, *lost]))
    assert figure is not None
    assert "Without a known value, not drawn (1): unknown" in notes(figure)
    assert "Not drawn, no number (1): dead" in notes(figure)


def test_there_is_no_picture_of_few_problems_nor_before_the_table(tmp_path: Path, many: RunFolder) -> None:
    assert leaderboard.figure(many) is None
    few = [Net(f"net={i}", 4.0, known=4.0) for i in range(leaderboard.FEW - 1)]
    assert leaderboard.figure(board(tmp_path, few)) is None
