"""task=mlp: points, trainings that end early or in a minimum, resumed bit for bit, and the answers that are known."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch

from llcx import gradients, rng
from llcx.estimators.llc import LLC
from llcx.params import flatten
from llcx.tasks.mlp import newton, tables, task
from llcx.tasks.mlp.schema import MLP, Descent, Grid, Labelled, Loss, Model, Teacher
from llcx.tasks.mlp.task import Networks
from llcx.types import Event, Point, State

SMALL = MLP(
    model=Model(in_dim=2, depth=1, target_params=12),
    data=Labelled(n=200, noise_std=0.3),
    fit=Descent(optimizer="lbfgs", learning_rate=1.0, steps=60, every=20),
)


def made(cfg: MLP = SMALL, **settings: Any) -> Networks:
    return task.build(replace(cfg, **settings), rng.streams(0))


def events(built: Networks) -> list[Event]:
    (training,) = built.trainings()
    return list(training.steps(training.start()))


@cache
def trained() -> tuple[Networks, list[Event]]:
    built = made()
    return built, events(built)


def final(found: list[Event]) -> State:
    return found[-1].snapshots["final"]


def untrained(cfg: MLP) -> Point:
    built = task.build(cfg, rng.streams(0))
    return built.point(built.points()[0], None)


def test_a_training_ends_in_a_minimum_and_the_table_proves_it() -> None:
    built, found = trained()
    point = built.point(built.points()[0], final(found))
    potential = gradients.of_model(point.model, point.data, target="data", dtype=torch.float64)[0]
    assert float(potential.full(potential.at.unsqueeze(0))[1].abs().max()) < 1e-10
    (line,) = tables.minima(built, lambda training, role: final(found))
    assert line["minimum"] and line["least"] > 0 and line["flat"] == 0
    assert line["loss"] == pytest.approx(found[-1].metrics["finish.loss"], rel=1e-12)


def test_without_newton_steps_it_does_not_end_there_and_the_table_says_so() -> None:
    built = made(fit=replace(SMALL.fit, steps=10, every=10, finish=0))
    (line,) = tables.minima(built, lambda training, role: final(events(built)))
    assert not line["minimum"]
    assert line["left"] > newton.LEFT


def test_no_newton_step_leads_far_away() -> None:
    """Of rows that are fewer than parameters there is no minimum nearby."""
    cfg = replace(SMALL, model=replace(SMALL.model, target_params=40), data=Labelled(n=30))
    found = events(made(cfg, fit=replace(SMALL.fit, steps=5, every=5)))
    assert 0 < found[-1].metrics["finish.moved"] <= newton.FAR
    assert found[-1].metrics["finish.drop"] > 0


def test_a_training_goes_on_from_any_event_bit_for_bit() -> None:
    built, whole = trained()
    (training,) = built.trainings()
    rest = list(training.steps(whole[0].state))
    assert [event.step for event in rest] == [event.step for event in whole[1:]]
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(final(whole)[key])) for key, a in final(rest).items())


def test_a_training_ends_early_where_its_loss_stands_still_and_stays_ended() -> None:
    stopping = made(fit=replace(SMALL.fit, steps=400, early_stop=1e-3, finish=0))
    found = events(stopping)
    losses = [float(event.state["early.loss"]) for event in found]
    assert found[-1].step < 400 and found[-1].snapshots.keys() == {"final"}
    assert losses[-2] - losses[-1] < 1e-3 * losses[-2]
    assert all(before - after >= 1e-3 * before for before, after in pairwise(losses[:-1]))
    (training,) = stopping.trainings()
    assert list(training.steps(found[-1].state)) == []
    assert [event.step for event in training.steps(found[0].state)] == [event.step for event in found[1:]]


def test_many_rows_are_trained_in_minibatches_unless_one_says_otherwise() -> None:
    assert task.descent.settled(Descent(), 5000).batch_size is None
    assert task.descent.settled(Descent(), 5001).batch_size == 512
    assert task.descent.settled(Descent(batch_size=64), 20_000).batch_size == 64
    assert task.descent.settled(Descent(optimizer="lbfgs"), 20_000).batch_size is None


def test_axes_make_arms_that_are_paired_by_their_seed() -> None:
    built = made(grid=Grid(n=[50, 100], noise_std=[0.1, 0.3], loss=["mse", "t_regression"]), seeds=2)
    assert len(built.points()) == len(built.trainings()) == 16
    names = [spec.name for spec in built.points()]
    assert names[0] == "mlp,n=50,noise_std=0.1,loss=mse,seed=0"
    assert built.points()[0].coords["parameters"] == 13
    starts = [training.start() for training in built.trainings()]
    same = torch.equal(torch.as_tensor(starts[0]["module.out.weight"]), torch.as_tensor(starts[7]["module.out.weight"]))
    other = torch.equal(
        torch.as_tensor(starts[0]["module.out.weight"]), torch.as_tensor(starts[8]["module.out.weight"])
    )
    assert same and not other


@pytest.mark.parametrize("kind", ["mse", "t_regression"])
def test_teacher_weights_are_a_minimum_of_clean_labels(kind: str) -> None:
    model = Model(in_dim=3, target_params=60, w_star="teacher", activation="gelu", layernorm=True)
    point = untrained(MLP(model=model, data=Labelled(n=40, mode="noise_free"), loss=Loss(kind)))
    for target in ("data", "self"):
        potential = gradients.of_model(point.model, point.data, target=target, dtype=torch.float64)[0]
        k, grad = potential.full(torch.stack([potential.at, potential.at + 0.1]))
        assert float(k[0]) == 0 and float(grad[0].abs().max()) < 1e-10
        assert float(k[1]) > 0


def test_the_loss_is_nats_of_its_scale() -> None:
    point = untrained(replace(SMALL, model=replace(SMALL.model, w_star="teacher"), loss=Loss(scale=0.5)))
    assert isinstance(point.data.train, tuple)
    x, y = point.data.train
    nll = point.model.nll(point.model.module(x), (x, y))
    assert torch.allclose(nll, (point.model.module(x) - y).square().sum(1) / (2 * 0.5**2))


def measured(point: Point, sampler: Any, **settings: Any) -> Any:
    from llcx.config import Hardware
    from llcx.measure import measure

    return measure(point, sampler, LLC(check="off", **settings), Hardware(), 0).estimate


LINEAR = MLP(model=Model(in_dim=3, out_dim=2, depth=0, w_star="trained"), data=Labelled(n=60, noise_std=0.5))
FLAT = replace(LINEAR, data=replace(LINEAR.data, x_dist="lowdim_manifold", manifold_dim=1))


@pytest.mark.parametrize(("cfg", "lam"), [(LINEAR, 4.0), (FLAT, 2.0)])
def test_of_linear_regression_the_answer_is_exact(cfg: MLP, lam: float) -> None:
    """Half the rank; and at n*beta and gamma what the Hessian of the loss itself says."""
    built = made(cfg, fit=Descent(optimizer="lbfgs", learning_rate=1.0, steps=30))
    point = built.point(built.points()[0], final(events(built)))
    assert (point.known.lam, point.known.mult, point.known.local) == (lam, 1, lam)
    place = newton.place(newton.mean_loss(point.model, point.data.train), flatten(point.model.module), 60)
    assert place.minimum
    hessian = newton._hessian(newton.mean_loss(point.model, point.data.train), flatten(point.model.module))
    h = torch.linalg.eigvalsh(hessian).clamp(min=0)
    assert point.known.at is not None
    assert point.known.at(20.0, 3.0) == pytest.approx(float((20 * h / (20 * h + 3)).sum() / 2), rel=1e-6)


def test_hmc_and_sgld_find_the_exact_value_of_the_quadratic() -> None:
    from llcx.samplers import HMC, SGLD

    point = untrained(MLP(target="quadratic", model=Model(target_params=20), data=Labelled(n=400)))
    assert point.known.at is not None and point.known.lam == 10
    truth = point.known.at(50.0, 5.0)
    assert truth == pytest.approx(10 * 50 / 55)
    exact = measured(point, HMC(leapfrog=8), nbeta=50.0, gamma=5.0, warmup=40, draws=60)
    assert exact.low < truth < exact.high and exact.healthy
    noisy = measured(point, SGLD(step_size=4e-3, batch_size=80), nbeta=50.0, gamma=5.0, warmup=100, draws=80, every=10)
    assert noisy.low < truth < noisy.high


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": {"activation": "cos"}}, "task.model.activation must be one of relu"),
        ({"model": {"target_params": None}}, "task.model.target_params must be a number"),
        ({"model": {"widths": [3, 0]}}, "task.model.widths must be positive"),
        ({"data": {"x_dist": "uniform"}}, "task.data.x_dist must be one of gauss_iso"),
        ({"data": {"noise_std": 0.0}}, "task.data.mode=noise_free"),
        ({"data": {"tail_df": 2}}, "task.data.tail_df must be >= 3"),
        ({"data": {"x_dist": "lowdim_manifold", "manifold_dim": 9}}, "task.data.manifold_dim must be at most"),
        ({"loss": {"kind": "huber"}}, "task.loss.kind must be one of mse"),
        ({"fit": {"early_stop": -1.0}}, "task.fit.early_stop must be >= 0"),
        ({"fit": {"finish": -1}}, "task.fit.finish must be >= 0"),
        ({"target": "cubic"}, "task.target must be one of mlp, quadratic"),
        ({"target": "quadratic", "loss": {"kind": "t_regression"}}, "task.loss.kind must be mse"),
        ({"model": {"w_star": "teacher"}, "data": {"teacher": Teacher(depth=3)}}, "task.data.teacher must be left"),
        ({"model": {"widths": [4]}, "grid": {"depth": [1, 2]}}, "task.model.widths must be null"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(settings: dict[str, Any], told: str) -> None:
    kinds = {"model": Model, "data": Labelled, "loss": Loss, "fit": Descent, "grid": Grid}
    with pytest.raises(ValueError, match=told) as refused:
        MLP(**{key: kinds[key](**value) if key in kinds else value for key, value in settings.items()})
    assert "\n" not in str(refused.value)


def test_the_table_of_samplers_says_who_agrees_and_what_it_cost() -> None:
    row = {"point": "mlp", "where": "all", "target": "data", "healthy": "True", "seconds": "2", "rhat": "1.01"}
    wide = {**row, "sampler": "a", "llc": 5, "low": 4, "high": 6, "llc_sd": 2, "ess": 100, "wnv": 40}
    near = {
        **row,
        "sampler": "b",
        "llc": 5.5,
        "low": 5,
        "high": 6,
        "llc_sd": 2,
        "ess": 50,
        "wnv": 8,
        "healthy": "False",
    }
    far = {**row, "sampler": "c", "llc": 9, "low": 8, "high": 10, "llc_sd": 2, "ess": 50, "wnv": 80}
    other = {**far, "sampler": "d", "target": "self"}
    lines = tables.samplers([wide, near, far, other])
    assert [line["sampler"] for line in lines] == ["a", "c", "b", "d"]
    assert [line["agreeing"] for line in lines[:3]] == [0.5, 0.0, 0.5]
    assert lines[2]["flagged"] == 1 and lines[2]["equivalents"] == pytest.approx(8 * 50 / 4)
    ((_, shown),) = tables.said(lines).items()
    assert shown[2]["wnv"] == "8" and shown[2]["agreeing"] == "50%"
