"""llc_over_training.png of a model of the user's own."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.rows import columns
from llcx.figures import custom
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.run_folder import Net, describe, row, table

STEPS = (0, 100, 200, 400)


def written(
    path: Path, nets: list[Net], steps: tuple[int, ...] = STEPS, where: tuple[str, ...] = ("all",)
) -> RunFolder:
    rows = []
    for place in where:
        for index, (net, step) in enumerate(zip(nets, steps, strict=True)):
            named = net._replace(point=f"custom,step={step}", target="self")
            rows.append(row(index, named, "custom") | {"at.step": step, "where": place, "loss_at": 2.0 / (1 + step)})
    table(path / "metrics_summary.csv", columns(rows), rows)
    describe(path, "custom")
    ends = [(a, b) for a, b in pairwise(STEPS)]
    lines = [
        {
            "from": f"custom,step={a}",
            "to": f"custom,step={b}",
            "sampler": "auto",
            "where": "all",
            "significant": a == 100,
        }
        for a, b in ends
    ]
    table(path / "analysis" / "changes.csv", tuple(lines[0]), lines)
    return artifacts.load(path)


def spans(axis: Axes) -> dict[tuple[int, ...], float]:
    """Times of each line -> its width."""
    return {tuple(map(int, np.asarray(line.get_xdata()))): line.get_linewidth() for line in axis.lines}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    nets = [Net("", 2.0), Net("", 3.0), Net("", 9.0, flags="rhat"), Net("", 1.0, failed="NaN")]
    return written(tmp_path_factory.mktemp("custom"), nets)


def test_loss_and_estimates_share_their_time_and_failures_are_told(folder: RunFolder) -> None:
    figure = custom.figure(folder)
    assert figure is not None
    loss, estimates = figure.axes
    assert loss.get_xlim() == estimates.get_xlim()
    assert list(spans(loss)) == [(0, 100, 200)]
    assert [place[0] for place in dots(estimates)] == [0, 100, 200]
    assert hollow(estimates) == 1
    assert "NaN" in notes(figure)


def test_the_significant_change_alone_is_bold(folder: RunFolder) -> None:
    figure = custom.figure(folder)
    assert figure is not None
    widths = spans(figure.axes[1])
    assert widths[100, 200] == custom.MOVED["lw"]
    assert widths[0, 100] == custom.STILL["lw"]


def test_places_have_panels_of_their_own_and_nothing_touches(tmp_path: Path) -> None:
    figure = custom.figure(
        written(tmp_path, [Net("", 2.0), Net("", 3.0), Net("", 5.0), Net("", 4.0)], where=("all", "head.*"))
    )
    assert figure is not None
    assert [axis.get_ylabel() for axis in figure.axes[1:]] == [
        r"$\hat\lambda$ (all, self)", r"$\hat\lambda$ (head.*, self)"]  # fmt: skip
    assert apart(figure)


def test_one_point_has_no_such_figure(tmp_path: Path) -> None:
    assert custom.draw(written(tmp_path, [Net("", 2.0)], steps=(0,))) == []
