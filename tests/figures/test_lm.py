"""lm.png: what a language model learns in context, what its heads look at, and the learning coefficient of both."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from llcx import artifacts
from llcx.figures import lm
from tests.figures import lm_folder
from tests.figures.look import apart, dots, hollow, notes


def read(path: Path, **made: Any) -> lm.Study:
    found = lm.read(artifacts.load(lm_folder.write(path, **made)))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> lm.Study:
    return read(tmp_path_factory.mktemp("lm"), flagged=2)


def colours(axis: Axes) -> list[str]:
    return [to_hex(str(line.get_color())) for line in axis.lines if len(line.get_xydata()) == len(lm_folder.MOMENTS)]  # type: ignore[arg-type]


def test_every_estimate_stands_in_the_panel_of_its_place(study: lm.Study) -> None:
    figure = lm.figure(study)
    *_, whole, parts = figure.axes
    assert [at for at, _ in dots(whole)] == list(map(float, lm_folder.MOMENTS))
    assert len(dots(parts)) == len(lm_folder.MOMENTS) * len(lm_folder.HEADS)
    assert hollow(parts) == 2
    assert hollow(whole) == 0
    assert "Flagged (2)" in notes(figure)
    assert apart(figure)


def test_a_head_has_one_colour_in_both_of_its_panels(study: lm.Study) -> None:
    figure = lm.figure(study)
    looks, parts = figure.axes[2], figure.axes[4]
    induction = [line for line in looks.lines if line.get_linestyle() == "-" and len(line.get_xydata()) > 2]  # type: ignore[arg-type]
    assert (
        colours(parts) == [to_hex(str(line.get_color())) for line in induction] == list(map(str.lower, lm.SHADES[:4]))
    )
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend[-5:] == ["layer 0, head 0", "layer 0, head 1", "layer 1, head 0", "layer 1, head 1", "flagged"]


def test_the_best_predictions_are_drawn_where_they_are_known(study: lm.Study, tmp_path: Path) -> None:
    def flat(axis: Axes) -> set[float]:
        return {round(float(y[0]), 6) for line in axis.lines if len(y := line.get_ydata()) == 2 and y[0] == y[1]}  # type: ignore[arg-type, index]

    assert flat(lm.figure(study).axes[0]) == {2.4, 1.6, 1.0}  # of all and of repeated ones, and what new ones have
    assert flat(lm.figure(study).axes[1]) == {0.2, -1.0}
    assert flat(lm.figure(read(tmp_path, levels=False)).axes[0]) == set()


def test_without_parts_the_panel_says_how_to_ask_for_them(tmp_path: Path) -> None:
    figure = lm.figure(read(tmp_path, places=("all",)))
    assert "estimator.where_each" in figure.axes[4].texts[0].get_text()


def test_without_estimates_there_is_what_was_learned_alone(tmp_path: Path) -> None:
    assert len(lm.figure(read(tmp_path, places=())).axes) == 3


def test_other_places_than_heads_are_drawn_and_other_trainings_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, trainings=("lm,d=8", "lm,d=80"), places=("embed.*", "layers.0.*"))
    figure = lm.figure(found)
    assert found.name == "lm,d=8"
    assert "1 more trainings" in notes(figure)
    assert [text.get_text() for text in figure.legends[0].texts][-2:] == ["embed.*", "layers.0.*"]
    assert apart(figure)


def test_a_point_belongs_to_the_training_that_its_name_begins_with() -> None:
    assert lm.owner("lm,d=80,final", ["lm", "lm,d=8", "lm,d=80"]) == "lm,d=80"
    assert lm.owner("other,final", ["lm"]) == ""


def test_a_model_that_is_given_has_no_such_figure(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "scores.csv").write_text("training,step,loss\nlm,,4.1\n")
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "metrics_summary.csv").write_text("point\n")
    assert lm.draw(artifacts.load(tmp_path)) == []
