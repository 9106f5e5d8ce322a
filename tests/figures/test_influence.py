"""influence.png and susceptibilities.png."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from llcx import artifacts
from llcx import influence as tables
from llcx.artifacts import RunFolder
from llcx.artifacts.files import csv_lines, read_csv, replace, write_arrays
from llcx.figures import influence
from tests.figures.look import hollow, notes
from tests.figures.run_folder import Net, write

ROWS, PLACES = 12, ("all", "first", "second")


def losses() -> tuple[Tensor, Tensor]:
    """Two groups of rows, even and odd, whose losses go up and down together; [C, T, R] and n*beta K."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(8, 60, 1, 2, generator=generator)
    own = torch.randn(8, 60, ROWS // 2, 2, generator=generator)
    found = (2 * common + own).flatten(2)
    return found, found.mean(2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = write(tmp_path_factory.mktemp("influence"), [Net("p", 5.0)])
    traces, energy = losses()
    arrays = {"losses of train": traces, "rows of train": 10 * torch.arange(ROWS), "energy": energy}
    row = {"point": "p", "sampler": "hmc", "target": "data", "nbeta": "20", "n": "60", "llc": "1"}
    found = tables.tables([{**row, "where": place} for place in PLACES], lambda row: arrays)
    for stem, lines in found.tables.items():
        replace(path / "analysis" / f"{stem}.csv", csv_lines(lines[0], lines))
    write_arrays(path / "analysis" / "influence.npz", found.arrays["influence"])
    return artifacts.load(path)


def test_rows_that_move_alike_stand_together(folder: RunFolder) -> None:
    picture = influence.figure(folder)
    assert picture is not None
    names = [int(text.get_text()) // 10 % 2 for text in picture.axes[0].get_xticklabels()]
    assert len(names) == ROWS
    assert sum(a != b for a, b in pairwise(names)) == 1  # even ones, then odd ones
    shown = np.asarray(picture.axes[0].images[0].get_array())
    assert shown[0, 1] > 0.6 and abs(shown[0, -1]) < 0.4


def test_pairs_are_listed_with_what_may_be_chance_hollow(folder: RunFolder) -> None:
    picture = influence.figure(folder)
    assert picture is not None
    lines = [line for line in read_csv(folder.path / "analysis" / "influence.csv") if line["where"] == "all"]
    shown = lines[: influence.PAIRS]
    real = sum(line["significant"] == "True" for line in lines)
    assert hollow(picture.axes[1]) == sum(line["significant"] != "True" for line in shown)
    assert picture.axes[1].get_yticklabels()[0].get_text() == f"{lines[0]['row']} & {lines[0]['other_row']}"
    assert f"{real} of the {len(lines)} pairs" in notes(picture)
    assert "2 further measurements" in notes(picture)


def test_every_part_has_a_line_of_responses(folder: RunFolder) -> None:
    picture = influence.responses(folder)
    assert picture is not None
    axis = picture.axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == list(PLACES)
    shown: np.ndarray = np.ma.filled(np.ma.asarray(axis.images[0].get_array()), np.nan)
    assert shown.shape == (3, ROWS)
    assert np.array_equal(shown[0], shown[1], equal_nan=True)  # they were given the same losses


def test_a_run_that_followed_no_rows_has_no_such_figures(one: RunFolder) -> None:
    assert influence.figure(one) is None
    assert influence.responses(one) is None


def test_one_place_alone_has_no_figure_of_parts(folder: RunFolder, tmp_path: Path) -> None:
    lines = [row for row in read_csv(folder.path / "analysis" / "susceptibilities.csv") if row["where"] == "all"]
    path = write(tmp_path, [Net("p", 5.0)])
    replace(path / "analysis" / "susceptibilities.csv", csv_lines(lines[0], lines))
    assert influence.responses(artifacts.load(path)) is None


def test_rows_are_ordered_round_the_circle_from_its_widest_gap() -> None:
    angles = np.deg2rad([200, 10, 40, 25, 190])
    points = np.stack([np.cos(angles), np.sin(angles)], 1)
    found = influence.ordered(points @ points.T).tolist()
    assert found in ([1, 3, 2, 4, 0], [4, 0, 1, 3, 2], [0, 4, 2, 3, 1], [2, 3, 1, 0, 4])
