"""training.png."""

from pathlib import Path

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import training
from tests.figures.look import notes
from tests.figures.run_folder import Net, table, write


def test_each_quantity_has_a_panel_and_each_training_and_split_a_curve(many: RunFolder) -> None:
    figure = training.figure(many)
    assert figure is not None
    loss, accuracy = figure.axes
    assert [axis.get_title("left") for axis in (loss, accuracy)] == ["loss [nats]", "accuracy"]
    assert len(loss.lines) == len(accuracy.lines) == 4
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")


def test_nothing_is_drawn_where_nothing_was_trained(one: RunFolder) -> None:
    assert training.figure(one) is None


def test_many_trainings_are_drawn_alike_and_counted(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("a", 3.0)]))
    lines = [
        {"training": f"net-{t}", "step": step, "time": 0.0, "split": "train", "name": "loss", "value": 1.0}
        for t in range(20)
        for step in (0, 1)
    ]
    table(tmp_path / "metrics.csv", tuple(lines[0]), lines)
    figure = training.figure(folder)
    assert figure is not None
    assert len(figure.axes[0].lines) == 20
    assert figure.axes[0].get_legend_handles_labels()[1] == ["train"] * 20
    assert "20 trainings, drawn alike." in notes(figure)
