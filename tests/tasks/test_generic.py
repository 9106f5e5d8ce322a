"""What a simple task need not write: arms, trainings, points."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from llcx import rng
from llcx.fit import Fit
from llcx.likelihoods import Gaussian
from llcx.tasks.generic import GenericTask, Recipe, with_value
from llcx.types import Data, Known, StatModel, Streams, Tables, Task


@dataclass(frozen=True)
class Lines:
    width: int = 2

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"task.model.width must be >= 1, got {self.width}")


@dataclass(frozen=True)
class Axes:
    width: list[int] = field(default_factory=list)
    side: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    model: Lines = field(default_factory=Lines)
    fit: Fit = field(default_factory=lambda: Fit(steps=40, every=10, learning_rate=0.1))
    grid: Axes = field(default_factory=Axes)
    seeds: int = 1
    side: str = "as it is"
    name: str = "line"


def model(cfg: Line, streams: Streams) -> StatModel:
    with rng.seeded(streams.generator("init")):
        linear = nn.Linear(cfg.model.width, 1, dtype=torch.float64)
    return StatModel(linear, Gaussian(), Gaussian().kl)


def data(cfg: Line, streams: Streams) -> Data:
    x = torch.randn(50, 9, generator=streams.generator("data"), dtype=torch.float64)
    return Data((x[:, : cfg.model.width], x.sum(1, keepdim=True)), 50)


def line(**more: Any) -> GenericTask:
    return GenericTask(Line(**more), rng.streams(0), Recipe(model, data, axes={"width": "model.width"}))


def test_two_functions_make_a_task() -> None:
    task: Task = line()
    (spec,), (training,) = task.points(), task.trainings()
    assert (spec.name, spec.training, spec.role, training.name, training.total) == ("line", "line", "final", "line", 40)
    events = list(training.steps(training.start()))
    assert [event.step for event in events] == [10, 20, 30, 40]
    point = task.point(spec, events[-1].snapshots["final"])
    assert torch.equal(point.model.module.weight, events[-1].snapshots["final"]["weight"])  # type: ignore[arg-type]
    assert events[-1].metrics["loss"] < events[0].metrics["loss"]
    assert (point.known, task.analyse([], lambda training, role: None)) == (Known(), Tables())


def test_checkpoints_are_points_in_time() -> None:
    task = line(fit=Fit(steps=40, checkpoints=[20, 0]), grid=Axes([1, 3]))
    assert [spec.name for spec in task.points()] == [
        f"line,width={width},{role}" for width in (1, 3) for role in ("init", "step=20", "final")
    ]
    assert [spec.coords["step"] for spec in task.points()] == [0, 20, 40] * 2
    training = task.trainings()[1]
    snapshots = [role for event in training.steps(training.start()) for role in event.snapshots]
    assert snapshots == ["init", "step=20", "final"]


def test_arms_that_are_alike_are_one_named_without_what_they_differ_in() -> None:
    axes = {"width": "model.width", "side": "side"}
    recipe = Recipe(model, data, axes=axes, alike=lambda cfg: (cfg.model.width, cfg.model.width > 1 and cfg.side))
    task = GenericTask(Line(grid=Axes([1, 2], ["a", "b"])), rng.streams(0), recipe)
    assert list(task.arms) == ["line,width=1", "line,width=2,side=a", "line,width=2,side=b"]
    assert [dict(arm.coords) for arm in task.arms.values()][:2] == [{"width": 1}, {"width": 2, "side": "a"}]
    apart = GenericTask(Line(grid=Axes([1, 2], ["a", "b"])), rng.streams(0), Recipe(model, data, axes=axes))
    assert len(apart.arms) == 4
    one = GenericTask(Line(grid=Axes([1, 2], ["a"])), rng.streams(0), recipe)
    assert list(one.arms) == ["line,width=1,side=a", "line,width=2,side=a"]  # nothing to leave out


def test_views_are_several_points_of_one_training() -> None:
    def mirrored(cfg: Line, streams: Streams, model: StatModel, data: Data) -> StatModel:
        if cfg.side == "mirrored":
            model.module.weight.data.neg_()  # type: ignore[operator]
        return model

    cfg = Line(fit=Fit(steps=20, checkpoints=[0]), grid=Axes([1, 2], ["as it is", "mirrored"]))
    recipe = Recipe(model, data, axes={"width": "model.width"}, views={"side": "side"}, finish=mirrored)
    task = GenericTask(cfg, rng.streams(0), recipe)
    assert [training.name for training in task.trainings()] == ["line,width=1", "line,width=2"]
    specs = [spec for spec in task.points() if spec.training == "line,width=2"]
    assert [(spec.role, spec.coords["side"]) for spec in specs] == [
        (role, side) for role in ("init", "final") for side in ("as it is", "mirrored")
    ]
    assert specs[1].name == "line,width=2,init,side=mirrored"
    start = task.trainings()[1].start()
    weights = {name: start[f"module.{name}"] for name in ("weight", "bias")}
    plain, turned = (task.point(spec, weights).model.module.weight for spec in specs[:2])
    assert torch.equal(plain, -turned)  # type: ignore[arg-type, operator]


def test_what_is_known_of_a_part_of_the_parameters_is_asked_with_its_names() -> None:
    def part(cfg: Line, streams: Streams, module: nn.Module, names: frozenset[str]) -> Known:
        return Known(0.5 * sum(p.numel() for name, p in module.named_parameters() if name in names))

    recipe = Recipe(model, data, trained=lambda cfg: False, restricted=part, target=lambda cfg: "self")
    task = GenericTask(Line(), rng.streams(0), recipe)
    point = task.point(task.points()[0], None)
    assert point.target == "self"
    assert point.restricted is not None
    assert point.restricted(frozenset({"weight"})).lam == 1.0


def test_nothing_is_built_before_it_is_asked_for() -> None:
    def refuse(cfg: Line, streams: Streams) -> Any:
        raise AssertionError("built")

    task = GenericTask(Line(seeds=3), rng.streams(0), Recipe(refuse, refuse))
    assert len(task.points()) == len(task.trainings()) == 3
    with pytest.raises(AssertionError, match="built"):
        task.trainings()[0].start()


def test_a_task_without_training_takes_its_model_as_it_is() -> None:
    recipe = Recipe(model, data, trained=lambda cfg: False, known=lambda cfg, streams, module: Known(1.5))
    task = GenericTask(Line(), rng.streams(0), recipe)
    (spec,) = task.points()
    assert (spec.training, task.trainings()) == (None, ())
    assert task.point(spec, None).known.lam == 1.5


def test_an_axis_value_that_is_not_valid_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"task\.model\.width must be >= 1, got 0"):
        line(grid=Axes([1, 0]))


def test_an_axis_value_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.grid\.width must hold different values, got \[3, 3\]"):
        line(grid=Axes([3, 3]))


def test_an_axis_must_name_a_field() -> None:
    with pytest.raises(ValueError, match="must name a field"):
        with_value(Line(), "model.depth", 3)
    with pytest.raises(ValueError, match="must name a field"):
        with_value(Line(), "seeds.depth", 3)
    assert with_value(Line(), "model.width", 5).model.width == 5
