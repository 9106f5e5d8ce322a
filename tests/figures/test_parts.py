"""llc_parts.png."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import csv_lines, replace
from llcx.figures import parts
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.run_folder import Net, write


def line(kind: str, llc: float, where: str = "", **more: Any) -> dict[str, Any]:
    cells = {"point": "p", "sampler": "auto", "target": "data", "kind": kind, "where": where, "llc": llc, "se": 0.1}
    cells |= {"low": llc - 0.3, "high": llc + 0.4, "nbeta": 100.0, "gamma": 1.0, "parameters": 10, "known": ""}
    return {**cells, "comparable": "True" if kind == "sum of parts" else "", "why": "", "flags": "", **more}


def study(path: Path, lines: list[dict[str, Any]]) -> RunFolder:
    write(path, [Net("p", 5.0)])
    replace(path / "analysis" / "parts.csv", csv_lines(lines[0], lines))
    return artifacts.load(path)


def drawn(path: Path, lines: list[dict[str, Any]]) -> Figure:
    found = parts.figure(study(path, lines))
    assert found is not None
    return found


def test_parts_stand_above_their_sum_and_the_whole(tmp_path: Path) -> None:
    lines = [line("part", 2.0, "a", known=1.9), line("part", 3.0, "$b^2$"), line("sum of parts", 5.0)]
    found = drawn(tmp_path, [*lines, line("whole", 4.0, "all"), line("whole - sum", -1.0)])
    (axis,) = found.axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a", r"\$b^2\$", "sum of parts", "whole"]
    heights = sorted((y, x) for x, y in dots(axis) if (x, y) not in dots(axis, parts.KNOWN))
    assert [x for _, x in heights] == [2.0, 3.0, 5.0, 4.0]
    assert dots(axis, parts.KNOWN) == [(1.9, 0.0)]
    assert hollow(axis) == 0
    assert apart(found)


def test_what_cannot_be_compared_is_hollow_and_said(tmp_path: Path) -> None:
    lines = [line("part", 2.0, "a", flags="rhat"), line("sum of parts", 2.0, comparable="False", why="3 in no part")]
    found = drawn(tmp_path, [*lines, line("whole", 4.0, "all")])
    assert hollow(found.axes[0]) == 2
    assert "Sum and whole of p (auto) are not comparable: 3 in no part." in notes(found)


def test_a_run_without_parts_has_no_such_figure(one: RunFolder) -> None:
    assert parts.figure(one) is None


@pytest.mark.parametrize(("count", "most"), [(1, 6), (6, 6), (40, 6)])
def test_of_many_points_the_first_and_the_last_are_drawn(count: int, most: int) -> None:
    found = parts.spread(count, most)
    assert (found[0], found[-1], len(found)) == (0, count - 1, min(count, most))


def test_of_many_parts_the_largest_are_drawn(tmp_path: Path) -> None:
    lines = [line("part", float(k), f"part {k}") for k in range(40)]
    found = drawn(tmp_path, [*lines, line("sum of parts", 780.0)])
    names = [text.get_text() for text in found.axes[0].get_yticklabels()]
    assert names == [*(f"part {k}" for k in range(10, 40)), "sum of parts"]
    assert "the 30 largest of 40 parts are drawn" in notes(found)
