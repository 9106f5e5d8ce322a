"""mcl_zero_shot.png and mcl_few_shot.png: scores with and without adaptation, and when a level is reached."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import mcl_arrivals, mcl_few_shot, mcl_zero_shot
from llcx.figures.mcl_study import Study
from llcx.tasks.mcl import arrivals
from tests.figures import mcl_folder
from tests.figures.look import dots, notes
from tests.figures.mcl_folder import Made

ARMS = ("b0", "full", "one_shot")  # the last stays below every level


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Made(arms=ARMS, seeds=2, cues=("opaque", "program"))
    return Study(artifacts.load(mcl_folder.write(tmp_path_factory.mktemp("mcl"), made)))


@pytest.fixture(scope="module")
def few(study: Study) -> Figure:
    found = mcl_few_shot.figure(study)
    assert found is not None
    return found


def test_a_dot_is_a_seed_and_a_level_a_reference(study: Study) -> None:
    figure = mcl_zero_shot.figure(study)
    assert figure is not None
    axis = figure.axes[0]
    length_3 = sorted(y for x, y in dots(axis) if x > 2.5)
    expected = [0.72 + gain + 0.004 * seed - 0.21 + 0.01 for gain in (-0.3, 0.0, 0.05) for seed in (0, 1)]
    assert length_3 == pytest.approx(expected)
    levels = {round(float(y), 3) for line in axis.collections if isinstance(line, LineCollection)
              for (_, y), _ in line.get_segments()}  # fmt: skip
    assert {0.28, 0.26, 0.24, 0.2} <= levels  # copying and background
    assert [label.get_text() for label in axis.get_xticklabels()] == ["val_id", "val_ood", "test_pair", "test_len3"]
    assert "test_len3 3" in notes(figure)


def test_levels_and_arrivals_are_those_of_the_verdicts(study: Study) -> None:
    fits, courses = ([dict(row) for row in study.table(stem)] for stem in ("few_shot", "adaptation"))
    for way in mcl_few_shot.ways(study):
        method, cue = way.name.replace("cue ", "").split(", ")
        known = arrivals.adaptation_levels([row for row in fits if row["cue"] == cue], "b0")
        assert {composition: level for (_, composition), level in way.levels.items()} == pytest.approx(known)
        own = [row for row in courses if (row["method"], row["cue"]) == (method, cue)]
        times = arrivals.adaptations(own, known)
        came = {(path.arm, path.seed, path.composition, f"{path.n:g}"): path.reached(way.levels[path.unit])
                for path in way.paths}  # fmt: skip
        assert len(came) == 54
        assert {key: each.time - 1 if each.seen else np.inf for key, each in times.found.items()} == pytest.approx(came)


def test_what_never_comes_lacks_to_one(study: Study, few: Figure) -> None:
    axis = few.axes[4]
    told = {(line.get_color(), line.get_linestyle()): np.asarray(line.get_ydata()) for line in axis.lines}
    by_arm = {arm.name: [curve for (colour, _), curve in told.items() if colour == arm.colour] for arm in study.arms}
    assert [float(curve[-1]) for curve in by_arm["full"]] == [1.0, 1.0]
    assert [float(curve.max()) for curve in by_arm["one_shot"]] == [0.0, 0.0]
    assert all(curve[0] == 0 for curve in told.values())


def test_ways_of_the_registered_cue_come_first(few: Figure) -> None:
    assert [axis.get_title("left") for axis in few.axes[:4]] == [
        f"{method}, cue {cue}" for cue in ("opaque", "program") for method in ("lora", "full")
    ]
    assert "6 programs" in notes(few)


def test_without_the_control_there_is_no_level(tmp_path: Path) -> None:
    mcl_folder.write(tmp_path, Made(arms=("full",), seeds=1, methods=("lora", "full")))
    study = Study(artifacts.load(tmp_path))
    assert mcl_few_shot.ways(study)[0].levels == {}
    figure = mcl_few_shot.figure(study)
    assert figure is not None
    assert any("no level" in text.get_text() for text in figure.axes[2].texts)
    assert "Level" not in notes(figure)


def test_a_course_that_stopped_stays_as_it_was() -> None:
    lines = [{"arm": "full", "seed": "0", "composition": "flip", "n": "5", "step": str(step), "iou": str(iou)}
             for step, iou in ((0, 0.2), (20, 0.4), (10, 0.3))]  # fmt: skip
    (path,) = mcl_arrivals.paths(lines)
    assert path.held(np.array([0, 5, 20, 90])).tolist() == pytest.approx([0.2, 0.25, 0.4, 0.4])
    assert [path.reached(level) for level in (0.1, 0.35, 0.5)] == pytest.approx([0.0, 15.0, np.inf])


def test_no_table_no_picture(tmp_path: Path) -> None:
    study = Study(RunFolder(tmp_path))
    assert mcl_zero_shot.figure(study) is None
    assert mcl_few_shot.figure(study) is None
