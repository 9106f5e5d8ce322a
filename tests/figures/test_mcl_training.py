"""mcl_training.png, and what the figures of task=mcl know of a run's trainings."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import write_yaml
from llcx.figures import mcl, mcl_study, mcl_training
from llcx.figures.mcl_study import Study
from tests.figures import mcl_folder
from tests.figures.look import apart, notes
from tests.figures.mcl_folder import Made, Training
from tests.figures.run_folder import table

DECAY = float(np.exp(-3))  # of what is told at the last step


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Made(arms=("b0", "b2", "full"), seeds=2)
    return Study(artifacts.load(mcl_folder.write(tmp_path_factory.mktemp("mcl"), made)))


@pytest.fixture(scope="module")
def figure(study: Study) -> Figure:
    found = mcl_training.figure(study)
    assert found is not None
    return found


def panel(figure: Figure, title: str) -> Axes:
    return next(axis for axis in figure.axes if axis.get_title("left") == title)


def ends(axis: Axes) -> dict[tuple[object, object], float]:
    """The last value of each curve, by colour and dashes."""
    return {(line.get_color(), line.get_linestyle()): float(np.asarray(line.get_ydata())[-1]) for line in axis.lines}


def test_arms_are_told_in_their_order_with_colours_of_their_own(study: Study) -> None:
    assert [arm.name for arm in study.arms] == ["b0", "b2", "full"]
    assert [arm.colour for arm in study.arms] == [mcl_study.KINDS[arm.name][0] for arm in study.arms]
    assert study.of(study.arms[1]) == ["mcl,arm=b2,seed=0", "mcl,arm=b2,seed=1"]
    assert (study.treated.name, study.control.name, study.seeds) == ("full", "b0", 2)


def test_names_alone_tell_whose_a_training_is(tmp_path: Path) -> None:
    grid = {"arm": ["b0", "full"], "alpha": [0.1, 0.2], "k": [8], "encoder": []}
    write_yaml(tmp_path / "config.yaml", {"seed": 3, "task": {"name": "mcl", "arm": "full", "grid": grid}})
    names = ("mcl,arm=b0,alpha=0.1,k=8,seed=4", "mcl,alpha=0.2")
    rows = [{"training": name, "step": 0, "time": 0, "split": "loss", "name": "task", "value": 1.0} for name in names]
    table(tmp_path / "metrics.csv", tuple(rows[0]), rows)
    found = [(cells["arm"], cells["seed"]) for cells in Study(RunFolder(tmp_path)).trainings]
    assert found == [("b0,alpha=0.1", "4"), ("full,alpha=0.2", "3")]  # k has one value, which is no axis


def test_a_term_stands_as_it_is_and_as_it_weighs(study: Study, figure: Figure) -> None:
    colours = {arm.name: arm.colour for arm in study.arms}
    shared = ends(panel(figure, "loss: sharing"))
    assert {colour for colour, _ in shared} == {colours["b2"], colours["full"]}  # b0 does not share
    raw, weighted = (next(v for (c, ls), v in shared.items() if c == colours["full"] and (ls == "-") == solid)
                     for solid in (True, False))  # fmt: skip
    assert (raw, weighted) == (pytest.approx(0.5 * DECAY), pytest.approx(0.05 * DECAY))
    assert len(panel(figure, "loss: task").lines) == 3  # its weight is 1: drawn once
    assert len(panel(figure, "loss: autoencoder").lines) == 2


def test_curves_are_means_over_seeds(study: Study, figure: Figure) -> None:
    told = ends(panel(figure, "macro IoU"))
    expected = [0.7 + Training("full", seed, {}, 2, True).gain for seed in (0, 1)]
    assert told[study.treated.colour, "-"] == pytest.approx(np.mean(expected) * (1 - np.exp(-620 / 120)))


def test_floor_and_target_are_beside_what_they_belong_to(figure: Figure) -> None:
    floors = [line for line in panel(figure, "distance of groups in h").lines if line.get_linestyle() != "-"]
    assert [float(np.asarray(line.get_ydata())[-1]) for line in floors] == pytest.approx([0.2 + 0.3 * DECAY] * 3)
    levels = [
        set(np.asarray(line.get_ydata()).tolist()) for line in panel(figure, "sparse units that are on [share]").lines
    ]
    assert {0.05} in levels
    assert "2 seeds" in notes(figure)


def test_what_was_not_trained_has_no_picture(tmp_path: Path) -> None:
    assert mcl.draw(RunFolder(tmp_path)) == []


@pytest.mark.slow
def test_every_picture_keeps_to_its_place(tmp_path: Path) -> None:
    mcl_folder.write(
        tmp_path, Made(arms=("b0", "b1", "full"), seeds=3, moments=(0, 600), swept=("k", (8, 16)), judged=True)
    )
    study = Study(artifacts.load(tmp_path))
    for name, make in mcl.FIGURES.items():
        found = make(study)
        assert found is not None, name
        if found.legends and found.get_layout_engine() is not None:
            assert apart(found), name
    assert sorted(path.name for path in mcl.draw(artifacts.load(tmp_path))) == sorted(mcl.FIGURES)
