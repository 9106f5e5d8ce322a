"""Training: it converges, it stops with an error when it does not, and it goes on from anywhere, bit for bit."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llcx import rng
from llcx.fit import Fit, Objective, empirical, training, weights
from llcx.likelihoods import Gaussian
from llcx.types import Data, Event, Rows, StatModel, Training
from tests.states import written_and_read

CASES = [
    Fit("adam", 0.05, steps=90, every=15, batch_size=16),
    Fit("sgd", 0.02, steps=90, every=15, batch_size=16, schedule="cosine"),
    Fit("lbfgs", 1.0, steps=24, every=4),
]


def table() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(100, 4, generator=generator, dtype=torch.float64)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]], dtype=torch.float64)


def network() -> nn.Module:
    """Parameters in several tensors, buffers that training changes, and noise."""
    with rng.seeded(rng.streams(0).generator("init")):
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.2), nn.Linear(3, 1)).double()


def linear() -> nn.Module:
    with rng.seeded(rng.streams(0).generator("init")):
        return nn.Linear(4, 1, dtype=torch.float64)


def trained(cfg: Fit, module: Any = linear) -> Training:
    def objective() -> Objective:
        return empirical(StatModel(module(), Gaussian()), Data(table(), 100))

    return training("t", module, objective, cfg, rng.streams(0))


def last(made: Training) -> Event:
    return list(made.steps(made.start()))[-1]


@pytest.mark.parametrize("cfg", [Fit("adam", 0.05, 700), Fit("sgd", 0.05, 400), Fit("lbfgs", 1.0, 30)], ids=str)
def test_every_optimiser_finds_least_squares(cfg: Fit) -> None:
    final = last(trained(cfg)).snapshots["final"]
    wanted = torch.tensor([[1.0, -2.0, 0.5, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(final["weight"], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cfg", CASES, ids=str)
def test_a_training_goes_on_from_every_event_as_if_nothing_had_been(cfg: Fit) -> None:
    made = trained(cfg, network)
    whole = list(made.steps(made.start()))
    assert len(whole) == 6
    torch.rand(1)  # what others draw meanwhile does not matter
    for event in whole[:-1]:
        rest = list(made.steps(written_and_read(event.state)))
        assert [e.step for e in rest] == [e.step for e in whole if e.step > event.step]
        assert rest[-1].metrics == whole[-1].metrics
        assert rest[-1].state.keys() == whole[-1].state.keys()
        for name, value in whole[-1].state.items():
            assert torch.equal(torch.as_tensor(rest[-1].state[name]), torch.as_tensor(value)), name


@pytest.mark.parametrize("cfg", CASES, ids=str)
def test_an_event_keeps_its_numbers_while_the_training_goes_on(cfg: Fit) -> None:
    made = trained(cfg, network)
    kept = []
    for event in made.steps(made.start()):
        kept.append((event, written_and_read(event.state)))
    for event, copy in kept:
        assert all(torch.equal(torch.as_tensor(event.state[k]), torch.as_tensor(v)) for k, v in copy.items())


def test_an_epoch_takes_every_row_once_in_an_order_of_its_own() -> None:
    seen: list[Tensor] = []

    def loss(module: nn.Module, rows: Tensor | None) -> Tensor:
        assert rows is not None
        seen.append(rows)
        return next(module.parameters()).square().sum()

    made = training("t", linear, lambda: Objective(loss, 12), Fit(steps=8, batch_size=3), rng.streams(0))
    last(made)
    epochs = [torch.cat(seen[:4]), torch.cat(seen[4:])]
    assert all(torch.equal(epoch.sort().values, torch.arange(12)) for epoch in epochs)
    assert not torch.equal(*epochs)


def test_snapshots_are_kept_at_the_checkpoints_and_at_the_end() -> None:
    cfg = Fit(steps=10, every=100, checkpoints=[0, 4])
    made = trained(cfg)
    events = list(made.steps(made.start()))
    assert [(e.step, list(e.snapshots)) for e in events] == [(0, ["init"]), (4, ["step=4"]), (10, ["final"])]
    assert cfg.moments() == [("init", 0), ("step=4", 4), ("final", 10)]
    roles = [role for role, _ in cfg.moments()]
    assert torch.equal(events[0].snapshots["init"]["weight"], linear().weight)  # type: ignore[arg-type]
    assert all(not torch.equal(a.snapshots[r]["weight"], b.snapshots[s]["weight"])  # type: ignore[arg-type]
               for (a, r), (b, s) in pairwise(zip(events, roles, strict=True)))  # fmt: skip


def test_metrics_say_loss_gradient_and_rate() -> None:
    metrics = last(trained(Fit(steps=10, learning_rate=0.1, schedule="cosine"))).metrics
    assert metrics.keys() == {"loss", "gradient", "learning_rate"}
    assert metrics["gradient"] > 0
    assert metrics["learning_rate"] == pytest.approx(0.1 * (1 - 0.97553) / 1, rel=1e-3)


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(FloatingPointError, match=r"training t: loss .* at step \d+; lower task.fit.learning_rate"):
        last(trained(Fit("sgd", 100.0, steps=500)))


def test_rows_on_demand_train_as_stored_rows_do() -> None:
    x, y = table()
    rows = Data(Rows(lambda index: (x[index], y[index]), 100), 100)
    model = StatModel(linear(), Gaussian())
    for batch in (None, torch.arange(7)):
        stored = empirical(model, Data((x, y), 100)).loss(model.module, batch)
        assert torch.equal(empirical(model, rows).loss(model.module, batch), stored)


def test_a_model_with_a_forward_of_its_own_is_trained_through_it() -> None:
    x, y = table()
    model = StatModel(linear(), Gaussian(labels="y"), forward=lambda module, batch: module(batch["x"]))
    loss = empirical(model, Data({"x": x, "y": y}, 100)).loss(model.module, torch.arange(5))
    torch.testing.assert_close(loss, (model.module(x[:5]) - y[:5]).square().sum() / 10)


def test_snapshots_hold_buffers_too() -> None:
    assert "1.running_mean" in weights(network())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"optimizer": "rms"}, "task.fit.optimizer must be one of adam, sgd, lbfgs, got rms"),
        ({"schedule": "step"}, "task.fit.schedule must be one of"),
        ({"learning_rate": 0.0}, "task.fit.learning_rate must be > 0"),
        ({"steps": 0}, "task.fit.steps must be >= 1, got 0"),
        ({"batch_size": 0}, "task.fit.batch_size must be >= 1"),
        ({"momentum": 1.0}, r"task.fit.momentum must be in \[0, 1\)"),
        ({"optimizer": "lbfgs", "batch_size": 5}, "task.fit.batch_size must be null with lbfgs"),
        ({"steps": 10, "checkpoints": [10]}, r"task.fit.checkpoints must be steps in 0\.\.9, got 10"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Fit(**settings)


def test_epochs_count_in_passes_and_end_where_as_many_steps_do() -> None:
    shared: dict[str, Any] = {"learning_rate": 0.05, "batch_size": 25, "schedule": "cosine"}
    cfg = Fit(epochs=6, every=2, checkpoints=[0, 3], **shared)
    made = trained(cfg)
    events = list(made.steps(made.start()))
    assert (made.total, [event.step for event in events]) == (6, [0, 2, 3, 4, 6])
    assert [role for event in events for role in event.snapshots] == ["init", "epoch=3", "final"]
    steps = list(training_events(Fit(steps=24, every=1, **shared)))
    assert torch.equal(events[-1].snapshots["final"]["weight"], steps[-1].snapshots["final"]["weight"])  # type: ignore[arg-type]
    losses = [event.metrics["loss"] for event in steps]
    assert events[1].metrics["loss"] == pytest.approx(sum(losses[4:8]) / 4)
    rest = list(made.steps(written_and_read(events[1].state)))
    assert rest[-1].metrics == events[-1].metrics


def training_events(cfg: Fit) -> list[Event]:
    made = trained(cfg)
    return list(made.steps(made.start()))


@pytest.mark.parametrize(("unit", "told"), [("epochs", r"epochs in 0\.\.4, got 5"), ("steps", r"steps in 0\.\.4")])
def test_a_checkpoint_beyond_the_training_is_refused_in_its_unit(unit: str, told: str) -> None:
    settings: dict[str, Any] = {unit: 5, "checkpoints": [5]}
    with pytest.raises(ValueError, match=rf"task\.fit\.checkpoints must be {told}"):
        Fit(**settings)
