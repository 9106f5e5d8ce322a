"""The table of measurements in a report."""

from pathlib import Path

from llcx import artifacts
from llcx.figures import rows
from llcx.figures.rows import Row
from llcx.report.table import Cell, Table, bar, table
from tests.figures.run_folder import Net, study, write


def of(path: Path, nets: list[Net]) -> list[Row]:
    return rows.read(artifacts.load(write(path, nets)))


def column(found: Table, head: str) -> list[Cell]:
    place = found.heads.index(head)
    return [line.cells[place] for line in found.lines]


def test_rows_without_known_values_have_no_pictures_of_intervals(tmp_path: Path) -> None:
    found = table(of(tmp_path, [Net("a", 3.0), Net("b", 5.0)]))
    assert not any("known" in head and "%" in head for head in found.heads)
    assert [line.state for line in found.lines] == ["ok", "ok"]


def test_columns_that_differ_between_rows_are_shown_and_the_others_are_not(tmp_path: Path) -> None:
    heads = table(of(tmp_path, [Net("a", 3.0), Net("b", 5.0, target="self")])).heads
    assert "target" in heads
    assert "nβ" not in heads


def test_an_interval_beyond_the_edge_is_cut_and_marked(tmp_path: Path) -> None:
    (row,) = of(tmp_path, [Net("a", 20.0, known=10.0)])
    found = bar(row, 0.1)
    assert found is not None
    assert (found.high, found.outside) == (100.0, "right")


def test_a_column_is_sorted_by_its_numbers_and_errors_by_their_size(tmp_path: Path) -> None:
    nets = [Net("a", 30.0, known=33.0), Net("b", 9.0, known=9.1), Net("c", 3.0, known=3.0, failed="NaN")]
    every = of(tmp_path, nets)
    found = table(every)
    estimates = [cell.by if cell.by is not None else cell.text for cell in column(found, "λ̂")]
    assert estimates[2] == ""
    assert [float(value) for value in estimates[:2]] == [float(f"{row.llc:.6g}") for row in every[:2]]
    assert float(str(column(found, "error")[0].by)) > 0 > every[0].rel_error


def test_further_cells_stand_before_a_row_and_stay_where_they_are_alike(tmp_path: Path) -> None:
    every = of(tmp_path, [Net("a", 3.0), Net("b", 5.0)])
    found = table(every, [{"job": Cell("7", href="7/report.html")} for _ in every])
    assert found.heads[0] == "job"
    assert column(found, "job") == [Cell("7", href="7/report.html")] * 2


def test_of_too_many_rows_the_flagged_ones_and_the_worst_are_kept(tmp_path: Path) -> None:
    every = of(tmp_path, study(24))
    found = table(every, most=10)
    assert (len(found.lines), found.left_out) == (10, 38)
    assert sum(line.state != "ok" for line in found.lines) == sum(not row.healthy for row in every) == 4
