"""training.png."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import write_yaml
from llcx.figures import training
from tests.figures.look import notes
from tests.figures.run_folder import Net, table, write


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].texts]


def line(training: str, step: int, split: str, name: str) -> dict[str, object]:
    return {"training": training, "step": step, "time": 0.0, "split": split, "name": name, "value": 1.0}


def test_each_quantity_has_a_panel_and_each_training_and_split_a_curve(many: RunFolder) -> None:
    figure = training.figure(many)
    assert figure is not None
    loss, accuracy = figure.axes
    assert [axis.get_title("left") for axis in (loss, accuracy)] == ["loss [nats]", "accuracy"]
    assert len(loss.lines) == len(accuracy.lines) == 4
    assert legend(figure) == ["net-a", "net-b", "train", "test"]
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
    assert legend(figure) == ["train"]
    assert "20 trainings, drawn alike." in notes(figure)


def test_members_of_an_ensemble_are_networks_of_their_own(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("a", 3.0)]))
    names = ("t", "norm.W1", "err", "loss")
    lines = [
        line("nets,h=3", step, f"{split} seed=0,alpha={alpha}", name)
        for alpha in (1, 100)
        for split in ("train", "test")
        for name in names
        for step in (0, 1)
    ]
    table(tmp_path / "metrics.csv", tuple(lines[0]), lines)
    figure = training.figure(folder)
    assert figure is not None
    assert legend(figure) == ["alpha=1", "alpha=100", "train", "test"]
    assert [axis.get_title("left") for axis in figure.axes] == ["loss [nats]", "err", "t", "norm.W1"]
    colours = [curve.get_color() for curve in figure.axes[0].lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]


def test_what_has_no_panel_is_named(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("a", 3.0)]))
    lines = [line("net", step, "train", f"m{place}") for place in range(20) for step in (0, 1)]
    table(tmp_path / "metrics.csv", tuple(lines[0]), lines)
    figure = training.figure(folder)
    assert figure is not None
    assert len(figure.axes) == 12
    assert "Not drawn, in metrics.csv: m12, m13, m14, m15, m16, m17 and 2 more." in notes(figure)


@pytest.mark.parametrize(
    ("settings", "title"),
    [({"kind": "hinge"}, "loss"), ({"reduction": "seed"}, "loss"), ({"reduction": "elbo"}, "loss [nats]")],
    ids=str,
)
def test_a_margin_loss_and_a_mean_over_pixels_are_not_in_nats(
    tmp_path: Path, settings: dict[str, str], title: str
) -> None:
    write(tmp_path, [Net("a", 3.0)], metrics=True)
    write_yaml(tmp_path / "config.yaml", {"task": {"name": "a task", "loss": settings}})
    figure = training.figure(artifacts.load(tmp_path))
    assert figure is not None
    assert figure.axes[0].get_title("left") == title


def test_what_was_measured_once_is_a_point(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("a", 3.0)]))
    rows = [line("net", 0, "train", "loss"), line("net", 9, "train", "loss"), line("net", 9, "train", "moved")]
    table(tmp_path / "metrics.csv", tuple(rows[0]), rows)
    figure = training.figure(folder)
    assert figure is not None
    assert [axis.lines[0].get_marker() for axis in figure.axes] == ["None", "o"]
