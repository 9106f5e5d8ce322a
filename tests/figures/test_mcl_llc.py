"""mcl_llc.png and mcl_sweep.png: the learning coefficient of machines, and measures against what was swept."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import mcl_llc, mcl_sweep
from llcx.figures.mcl_study import Study
from tests.figures import mcl_folder
from tests.figures.look import dots, hollow, notes
from tests.figures.mcl_folder import Made, Training


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Made(seeds=2, moments=(0, 300, 600), parts=("bottleneck", "whole"))
    return Study(artifacts.load(mcl_folder.write(tmp_path_factory.mktemp("mcl"), made)))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Made(seeds=2, swept=("k", (32, 8, 16)))
    return Study(artifacts.load(mcl_folder.write(tmp_path_factory.mktemp("mcl"), made)))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def llc(arm: str, seed: int, step: int) -> float:
    return 100 + step / 20 - 200 * Training(arm, seed, {}, 2, True).gain


def test_a_line_a_part_at_the_end_along_training_and_beside_iou(study: Study) -> None:
    figure = drawn(mcl_llc.figure(study))
    names = ("bottleneck, all else frozen", "whole machine")
    kinds = ("at the end", "along training", "beside IoU")
    assert [axis.get_title("left") for axis in figure.axes] == [f"{name}, {kind}" for name in names for kind in kinds]
    assert sorted(y for _, y in dots(figure.axes[0])) == pytest.approx(
        sorted(llc(arm, seed, 600) for arm in ("b0", "full") for seed in (0, 1))
    )
    assert max(y for _, y in dots(figure.axes[3])) == pytest.approx(2 * llc("b0", 0, 600))
    assert {x for x, _ in dots(figure.axes[1])} == {0.0, 300.0, 600.0}
    assert hollow(figure.axes[1]) == 4  # flagged at the start
    assert "Flagged: auto 8 of 24 (drift 8)" in notes(figure)


def test_iou_is_that_of_the_moment(study: Study) -> None:
    every = [each for each in mcl_llc.measured(study) if each.part == "whole" and each.arm.name == "full"]
    expected = {step: (0.7 + 0.05) * (1 - np.exp(-(step + 20) / 120)) for step in (0, 300, 600)}
    assert {each.step: each.iou for each in every if each.training.endswith("seed=0")} == pytest.approx(expected)


def test_one_moment_has_no_course(swept: Study) -> None:
    assert len(drawn(mcl_llc.figure(swept)).axes) == 2
    assert all(np.isnan(each.step) for each in mcl_llc.measured(swept))


def test_numbers_are_swept_in_their_order(swept: Study) -> None:
    figure = drawn(mcl_sweep.figure(swept))
    assert [axis.get_title("left") for axis in figure.axes][:3] == [
        "macro IoU",
        "exact match [share]",
        "distance, enc*",
    ]
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["8", "16", "32"]
    assert axis.get_xlabel() == "k, shared directions"
    assert sorted(y for _, y in dots(axis)) == pytest.approx(
        sorted(0.52 + gain + 0.004 * seed for gain in (0.0, 0.05) for seed in (0, 1) for _ in range(3))
    )
    assert sorted({round(y, 1) for _, y in dots(figure.axes[3])}) == [119.2, 120.0, 129.2, 130.0]


def test_names_are_swept_as_they_came(tmp_path: Path) -> None:
    mcl_folder.write(tmp_path, Made(arms=("full",), seeds=1, swept=("encoder", ("recurrent", "gru"))))
    figure = drawn(mcl_sweep.figure(Study(artifacts.load(tmp_path))))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["recurrent", "gru"]


def test_what_makes_no_difference_to_an_arm_leaves_it_level(tmp_path: Path) -> None:
    mcl_folder.write(tmp_path, Made(seeds=2, swept=("alpha", (0.2, 0.05, 0.1)), still=("b0",)))
    figure = drawn(mcl_sweep.figure(Study(artifacts.load(tmp_path))))
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.05", "0.1", "0.2"]
    assert sorted(y for _, y in dots(axis)) == pytest.approx([0.57] * 3 + [0.574] * 3)  # of full alone
    ends = [np.asarray(line.get_data()) for line in axis.lines]
    levels = [float(y.mean()) for x, y in ends if list(x) == [0, 1]]
    unseen, seen = [0.522, 0.52, 0.524], [0.662]
    assert sorted(levels) == pytest.approx(sorted([*unseen, *seen]))
    assert "Level: b0," in notes(figure)


def test_what_was_not_swept_or_measured_has_no_picture(study: Study, tmp_path: Path) -> None:
    assert mcl_sweep.figure(study) is None
    assert mcl_llc.figure(Study(RunFolder(tmp_path))) is None
