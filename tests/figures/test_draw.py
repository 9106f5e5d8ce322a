"""The dispatcher, the saved files, and what all figures have in common."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import comparison, dln, draw, qq, scaling, traces
from llcx.figures.__main__ import main
from tests.figures.look import apart
from tests.figures.run_folder import Net, study, write


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    return width, height


def test_a_run_of_dln_leaves_every_figure_as_a_png(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, study(2), metrics=True, errors=True))
    paths = draw.draw(folder)
    wanted = ["llc_traces.png", "llc_comparison.png", "llc_qq.png", "training.png", "llc_loglog.png", "dln_scaling.png"]
    assert [path.name for path in paths] == wanted
    assert all(path.parent == tmp_path for path in paths)
    assert {size(path)[0] for path in paths} == {1350, 1650}
    assert all(350 < size(path)[1] < 1800 for path in paths)
    assert not list(tmp_path.glob(".*"))


def test_another_task_has_the_common_figures_alone(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("a", 3.0)], task="parity"))
    assert [path.name for path in draw.draw(folder)] == ["llc_traces.png", "llc_comparison.png", "llc_qq.png"]


def test_a_run_without_any_number_still_has_its_figures(dead: RunFolder) -> None:
    assert [path.name for path in draw.draw(dead)] == ["llc_traces.png", "llc_comparison.png", "llc_qq.png"]


@pytest.mark.parametrize(
    ("make", "case"),
    [
        (traces.figure, "odd"),
        (qq.figure, "odd"),
        (comparison.figure, "many"),
        (comparison.figure, "odd"),
        (dln.loglog, "many"),
        (scaling.figure, "many"),
    ],
)
def test_no_panel_reaches_into_another_into_the_title_or_into_the_footnote(
    make: Callable[[RunFolder], Figure | None], case: str, request: pytest.FixtureRequest
) -> None:
    figure = make(request.getfixturevalue(case))
    assert figure is not None
    assert len(figure.axes) >= 2
    assert apart(figure)


def test_the_command_redraws_from_the_saved_numbers(tmp_path: Path) -> None:
    write(tmp_path, [Net("a", 3.0)])
    main([str(tmp_path)])
    assert (tmp_path / "llc_traces.png").stat().st_size > 10_000


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["/nowhere/at/all"]])
def test_a_wrong_call_of_the_command_ends_in_one_line(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert str(stop.value).startswith("error: ")
    assert "\n" not in str(stop.value)
