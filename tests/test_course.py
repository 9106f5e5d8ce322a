"""A training that is watched: its course is every step and every event, through kills, and survives a divergence."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llcx import rng
from llcx.fit import Fit, Objective, empirical, training
from llcx.likelihoods import Gaussian
from llcx.types import Data, Event, StatModel, Training
from tests.states import written_and_read
from tests.test_fit import linear, table, trained

CFG = Fit("adam", 0.05, steps=30, every=10, batch_size=20)


def watch() -> Any:
    def look(module: nn.Module) -> dict[str, float | Tensor]:
        assert isinstance(module, nn.Linear)
        return {"test/bias": float(module.bias.detach()), "weights": module.weight.detach().flatten()}

    return look


def watched(cfg: Fit) -> Training:
    def objective() -> Objective:
        return empirical(StatModel(linear(), Gaussian()), Data(table(), 100))

    return training("t", linear, objective, cfg, rng.streams(0), watch=watch)


def events(made: Training) -> list[Event]:
    return list(made.steps(made.start()))


def test_a_watched_training_tells_at_its_start_and_ends_with_its_course() -> None:
    found = events(watched(CFG))
    assert [event.step for event in found] == [0, 10, 20, 30]
    assert set(found[0].metrics) == {"test/bias"}
    assert "test/bias" in found[1].metrics and "weights" not in found[1].metrics
    assert set(found[-1].snapshots) == {"final", "course"}
    course = found[-1].snapshots["course"]
    assert {name: tuple(torch.as_tensor(value).shape) for name, value in course.items()} == {
        **{"loss": (30,), "gradient": (30,), "at": (4,), "test/bias": (4,), "weights": (4, 4), "ended": ()}
    }
    assert (course["at"].tolist(), course["ended"]) == ([0, 10, 20, 30], True)  # type: ignore[union-attr]
    assert course["weights"][-1].tolist() == found[-1].snapshots["final"]["weight"].flatten().tolist()  # type: ignore[index, union-attr]


def test_watching_changes_nothing_and_the_course_says_what_the_events_say() -> None:
    alone, found = events(trained(CFG)), events(watched(CFG))
    course = found[-1].snapshots["course"]
    assert torch.equal(alone[-1].snapshots["final"]["weight"], found[-1].snapshots["final"]["weight"])  # type: ignore[arg-type]
    assert [float(course["loss"][step - 1]) for step in (10, 20, 30)] == [event.metrics["loss"] for event in alone]  # type: ignore[index]
    assert [float(course["gradient"][9])] == [alone[0].metrics["gradient"]]  # type: ignore[index]


def test_epochs_are_counted_in_steps_of_the_course() -> None:
    found = events(watched(Fit("adam", 0.05, epochs=3, every=1, batch_size=25)))
    assert [event.step for event in found] == [0, 1, 2, 3]
    assert found[-1].snapshots["course"]["at"].tolist() == [0, 4, 8, 12]  # type: ignore[union-attr]


def test_a_course_goes_on_from_every_event_as_if_nothing_had_been() -> None:
    made = watched(CFG)
    found = events(made)
    for event in found[:-1]:
        rest = list(made.steps(written_and_read(event.state)))
        assert [each.metrics for each in rest] == [each.metrics for each in found if each.step > event.step]
        whole, again = found[-1].snapshots["course"], rest[-1].snapshots["course"]
        assert whole.keys() == again.keys()
        assert all(torch.equal(torch.as_tensor(again[name]), torch.as_tensor(whole[name])) for name in whole)


def test_a_loss_that_is_not_finite_ends_a_watched_training_with_its_course_and_without_weights() -> None:
    found = events(watched(Fit("sgd", 1e30, steps=30, every=10)))
    assert set(found[-1].snapshots) == {"course"}
    course = found[-1].snapshots["course"]
    assert course["ended"] is False
    losses = torch.as_tensor(course["loss"])
    assert not losses[-1].isfinite() and bool(losses[:-1].isfinite().all())
    with pytest.raises(FloatingPointError, match=r"lower task\.fit\.learning_rate"):
        events(trained(Fit("sgd", 1e30, steps=30, every=10)))
