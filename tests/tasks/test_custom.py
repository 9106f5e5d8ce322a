"""task=custom: what its names stand for, the points that come of them, and what is refused."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import gradients
from llcx.main import main
from llcx.params import flatten
from llcx.tasks.custom.schema import Custom
from llcx.types import Point
from tests.tasks.custom_files import NAMED, STEPS, checkpoints, here, module, task
from tests.tasks.networks import points

__all__ = ["here"]  # a fixture


def only(**settings: Any) -> Point:
    (found,) = points(task(**settings))
    return found


def inputs(point: Point) -> Tensor:
    batch: Any = point.data.train
    return torch.as_tensor(batch[0])


def loss_at(point: Point) -> float:
    return gradients.of_model(point.model, point.data, dtype=torch.float64)[2]


def test_a_function_a_class_and_a_module_are_models(here: Path) -> None:
    sizes = {name: len(flatten(only(model=f"net.py:{name}").model.module)) for name in ("small", "Own", "READY")}
    assert set(sizes.values()) == {2 * 3 + 3 + 3 * 3 + 3}
    assert len(flatten(only(model_args={"width": 5}).model.module)) == 2 * 5 + 5 + 5 * 3 + 3


def test_a_model_is_built_from_the_stream_of_its_seed(here: Path) -> None:
    first, again, other = (flatten(only(seed=seed).model.module) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_module_that_is_there_is_copied_before_weights_go_into_it(here: Path) -> None:
    torch.save(module(seed=5).state_dict(), here / "w.pt")
    made = task(model="net.py:READY", weights="w.pt")
    ready = next(each for name, each in sys.modules.items() if name.startswith("custom_net")).READY
    before = flatten(ready)
    (point,) = points(made)
    assert torch.equal(flatten(point.model.module), flatten(module(seed=5)))
    assert torch.equal(flatten(ready), before)


def test_a_file_is_run_once_for_all_its_names(here: Path) -> None:
    task(loss="net.py:nats", others={"more": "net.py:rows"})
    assert len(sys.__dict__["runs_of_net"]) == 1


def test_a_package_below_the_present_folder_can_be_named_with_a_colon_or_a_dot(here: Path) -> None:
    (here / "my_nets").mkdir()
    (here / "my_nets" / "deep.py").write_text(
        "from net import small, rows\nclass Nets:\n    tiny = staticmethod(small)\n"
    )
    for text in ("my_nets.deep:small", "my_nets.deep.small", "my_nets.deep:Nets.tiny"):
        assert only(model=text, data="my_nets.deep:rows").data.n == 40


def test_what_is_installed_comes_before_the_present_folder(here: Path) -> None:
    (here / "colorsys.py").write_text("from net import small\n")
    with pytest.raises(
        ValueError, match=r"task\.model must name what colorsys holds, got small; there are .*rgb_to_yiq"
    ):
        task(model="colorsys:small")
    linear = only(model="torch.nn:Linear", model_args={"in_features": 2, "out_features": 3})
    assert len(flatten(linear.model.module)) == 9


@pytest.mark.parametrize("name", ["rows", "dataset", "loader", "PAIR", "ARRAYS"])
def test_functions_datasets_loaders_tensors_and_arrays_are_the_same_rows(name: str, here: Path) -> None:
    found = only(data=f"net.py:{name}").data
    expected = only().data
    assert found.n == 40
    assert all(torch.equal(a, b) for a, b in zip(found.train, expected.train, strict=True))


def test_data_are_made_once_a_seed_from_their_own_stream(here: Path) -> None:
    made = task(data="net.py:drawn", seeds=2)
    first, second = points(made)
    again = next(iter(points(made)))
    assert first.data is again.data
    assert not torch.equal(inputs(first), inputs(second))
    assert torch.equal(inputs(first), inputs(only(data="net.py:drawn")))


def test_a_dict_of_tensors_needs_a_forward(here: Path) -> None:
    table = {"data": "net.py:table", "labels": "label"}
    assert loss_at(only(**table, forward="net.py:on_table")) == pytest.approx(loss_at(only()), rel=1e-12)
    with pytest.raises(ValueError, match=r"task\.forward must name \(model, batch\) -> output for data of type dict"):
        only(**table)


def test_other_data_stand_beside_the_point_under_their_names(here: Path) -> None:
    found = only(others={"few": "net.py:drawn", "same": "net.py:PAIR"})
    assert {name: data.n for name, data in found.others.items()} == {"few": 6, "same": 40}


def test_a_loss_of_ones_own_is_that_of_llcx_where_it_is_the_same(here: Path) -> None:
    own, ours, known = only(loss="net.py:nats"), only(), only(loss="net.py:Nats")
    assert loss_at(own) == pytest.approx(loss_at(ours), rel=1e-12) == loss_at(known)
    assert own.model.kl is None
    assert known.model.kl is not None


def test_a_row_of_several_predictions_needs_their_number(here: Path) -> None:
    with pytest.raises(ValueError, match=r"n must be given for a loss of shape \[8, 2\]"):
        only(loss="net.py:twice")
    assert loss_at(only(loss="net.py:twice", n=80)) == pytest.approx(loss_at(only()), rel=1e-12)


def test_weights_of_a_file_are_w_star(here: Path) -> None:
    torch.save(module(seed=3).state_dict(), here / "w.pt")
    found = only(weights="w.pt")
    assert torch.equal(flatten(found.model.module), flatten(module(seed=3)))
    assert (found.target, dict(found.wishes)) == ("data", {})


def test_a_folder_of_checkpoints_is_a_trajectory(here: Path) -> None:
    made = task(weights=str(checkpoints(here / "kept")))
    specs, found = made.points(), list(points(made))
    assert [spec.name for spec in specs] == [f"custom,step={step}" for step in STEPS]
    assert [(spec.coords, spec.moment, spec.training) for spec in specs] == [({"step": s}, "step", None) for s in STEPS]
    for step, point in zip(STEPS, found, strict=True):
        assert torch.equal(flatten(point.model.module), flatten(module(1 + step / 100)))
    assert {point.target for point in found} == {"self"}
    w0 = flatten(module())
    assert [p.wishes["gamma"] for p in found] == [pytest.approx(10 * len(w0) / float(w0.square().sum()), rel=1e-6)] * 3


def test_a_folder_that_is_one_checkpoint_is_a_file(here: Path) -> None:
    (here / "checkpoint-7").mkdir()
    torch.save(module(seed=3).state_dict(), here / "checkpoint-7" / "pytorch_model.bin")
    found = only(weights="checkpoint-7")
    assert torch.equal(flatten(found.model.module), flatten(module(seed=3)))
    assert found.target == "data"


def test_without_a_divergence_a_trajectory_takes_the_data_and_says_so(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        found = list(points(task(weights=str(checkpoints(here / "kept")), loss="net.py:nats")))
    assert {point.target for point in found} == {"data"}
    assert "no divergence kl" in caplog.text


def test_a_training_goes_down_and_its_checkpoints_are_points(here: Path) -> None:
    fit = Custom().fit.__class__("adam", 0.05, steps=60, batch_size=20, checkpoints=[0, 10])
    made = task(weights="trained", fit=fit)
    found = {spec.coords["step"]: point for spec, point in zip(made.points(), points(made), strict=True)}
    assert list(found) == [0, 10, 60]
    losses = [loss_at(point) for point in found.values()]
    assert losses[0] > losses[1] > losses[2]
    assert {point.target for point in found.values()} == {"self"}
    w0 = flatten(found[0].model.module)
    assert found[60].wishes["gamma"] == pytest.approx(10 * len(w0) / float(w0.square().sum()), rel=1e-6)
    assert torch.equal(w0, flatten(only().model.module)), "the training starts where the model is built"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": "net.py:missing"}, r"task\.model must name what net\.py holds, got missing; there are .*small"),
        ({"model": "gone.py:small"}, r"task\.model must name a file that exists, got gone\.py:small"),
        ({"model": "net.py"}, r"task\.model must be FILE\.py:NAME or package\.module:NAME, got net\.py"),
        ({"data": "gone.nets:x"}, r"task\.data must be importable, got gone\.nets:x: No module named 'gone'"),
        ({"model": "bad.py:x"}, r"task\.model must be importable, got bad\.py:x: SyntaxError: .*\(bad\.py, line 2\)"),
        ({"loss": "worse.py:x"}, r"got worse\.py:x: ZeroDivisionError: .*\(worse\.py, line 3\)"),
        ({"loss": "net.py:PAIR"}, r"task\.loss must name a function, got a tuple"),
        ({"forward": "net.py:PAIR"}, r"task\.forward must name a function, got a tuple"),
    ],
)  # fmt: skip
def test_a_name_that_stands_for_nothing_is_refused_at_once(settings: dict[str, Any], told: str, here: Path) -> None:
    (here / "bad.py").write_text("x = 1\nif x\n")
    (here / "worse.py").write_text("def f():\n    pass\nx = 1 / 0\n")
    with pytest.raises(ValueError, match=told):
        task(**settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"model": "net.py:seven"},
            r"task\.model must name a torch\.nn\.Module .* got net\.py:seven, a int",
        ),
        ({"model": "net.py:READY", "model_args": {"width": 2}}, r"task\.model_args must be empty"),
        ({"data": "net.py:words"}, r"task\.data must be .* got the text 'cat'"),
        ({"data": "net.py:PAIR", "data_args": {"count": 2}}, r"task\.data_args must be empty"),
        ({"model": "net.py:batch_statistics"}, r"batch normalisation needs running statistics"),
        ({"model": "net.py:Noisy"}, r"noise must follow module\.training"),
        ({"weights": "gone.pt"}, r"checkpoint must be a file that exists, got gone\.pt"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_its_point(settings: dict[str, Any], told: str, here: Path) -> None:
    with pytest.raises(ValueError, match=told):
        only(**settings)


def test_a_mean_loss_is_refused(here: Path) -> None:
    with pytest.raises(ValueError, match="got a scalar; use reduction='none'"):
        loss_at(only(loss="net.py:mean"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"loss": "gaussian"}, r"task\.noise_std must be > 0 with task\.loss=gaussian, got None"),
        ({"loss": "gaussian", "noise_std": -1.0}, r"task\.noise_std must be > 0"),
        ({"noise_std": 1.0}, r"task\.noise_std must be null with task\.loss=None"),
        ({"seeds": 0}, r"task\.seeds must be >= 1"),
        ({"n": 0}, r"task\.n must be >= 1"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Custom(**settings)


def test_a_bare_run_is_refused_in_one_line_with_an_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task=custom", f"hydra.run.dir={here / 'run'}"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: task.model must be FILE.py:NAME of a torch.nn.Module")
    assert line.endswith(
        "python train.py task=custom task.model=net.py:build task.data=net.py:load task.loss=categorical"
    )


@pytest.mark.parametrize("missing", NAMED)
def test_what_is_not_named_is_asked_for_before_anything_is_imported(missing: str, here: Path) -> None:
    with pytest.raises(ValueError, match=rf"task\.{missing} must be .* got null; python train\.py task=custom"):
        task(0, **{missing: None})
    assert "runs_of_net" not in sys.__dict__


def test_all_that_is_imported_is_told_but_what_llcx_ships() -> None:
    cfg = Custom(**NAMED, others={"few": "net.py:drawn"}, forward="net.py:on_table")
    told = {"task.model": "net.py:small", "task.data": "net.py:rows", "task.forward": "net.py:on_table"}
    assert cfg.imported() == told | {"task.others.few": "net.py:drawn"}
    shipped = Custom("llcx.tasks.custom.example:build", data="llcx.tasks.custom.example:load", loss="bernoulli")
    assert shipped.imported() == {}
    assert Custom("llcx.artifacts.files:replace").imported() == {"task.model": "llcx.artifacts.files:replace"}
