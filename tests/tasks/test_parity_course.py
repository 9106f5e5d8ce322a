"""The course of a training: milestones, ends, what is told, and going on bit for bit."""

from collections.abc import Callable, Iterator
from itertools import count, islice, pairwise
from math import log, nan
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.parity import course, together
from llcx.tasks.parity.duals import Linear
from llcx.tasks.parity.ensemble import Ensemble, Member, Problem
from llcx.tasks.parity.network import Members, Outputs
from llcx.tasks.parity.schema import Checkpoints, Fit, Flow, Loss, Network, Stop, Strings
from tests.tasks.parity_runs import (
    arms,
    assert_goes_on_from_every_event,
    ends,
    events,
    last,
    line,
    of,
    rows,
    settings,
    snapshots,
    stopping,
    strings,
    trained,
)


def test_nothing_has_moved_at_the_start() -> None:
    made = trained(settings(), arms((0.01, 1e4)))
    first = next(iter(made.steps(made.start())))
    for name in ("seed=0,alpha=0.01", "seed=0,alpha=10000"):
        assert first.metrics[f"train {name}/dfnorm"] == first.metrics[f"test {name}/dfnorm"] == 0
        assert first.metrics[f"train {name}/aloss"] == pytest.approx(1, abs=1e-8)
        assert first.metrics[f"train {name}/err"] == 0.5 and first.metrics[f"train {name}/nd"] == 24
    assert first.step == 0 and sorted(first.snapshots) == ["init/seed=0,alpha=0.01", "init/seed=0,alpha=10000"]


def test_without_subtraction_the_network_starts_with_its_own_outputs() -> None:
    made = trained(settings(model=Network(h=16, subtract=False)))
    metrics = next(iter(made.steps(made.start()))).metrics
    assert metrics["train seed=0,alpha=1/dfnorm"] == metrics["train seed=0,alpha=1/fnorm"] > 0


def test_alphas_of_one_seed_start_at_the_same_weights() -> None:
    found = snapshots(events(trained(stopping(settings(), max_steps=1), arms((1.0, 1e3), seeds=2))))
    w = [found[f"init/seed={seed},alpha={a:g}"]["w"] for seed in (0, 1) for a in (1.0, 1e3)]
    assert torch.equal(w[0], w[1]) and torch.equal(w[2], w[3]) and not torch.equal(w[0], w[2])


@pytest.mark.parametrize("tau_over_h", [1e-3, 0.0, -0.2])
def test_a_flow_goes_on_from_every_event_as_if_nothing_had_been(tau_over_h: float) -> None:
    fit = Fit(flow=Flow(tau_over_h, max_dgrad=1e-2), stop=Stop(max_steps=50, max_t=200.0), checkpoints=Checkpoints(1.0))
    made = trained(settings(fit=fit), arms((0.3, 30.0)))
    assert len(events(made)) >= 7
    assert_goes_on_from_every_event(made)


def clock() -> Callable[[], float]:
    """One second further each time it is read."""
    ticks = count()
    return lambda: float(next(ticks))


@pytest.mark.parametrize(
    ("stop", "end"),
    [
        ({"margin": 0.02}, "margin"),
        ({"margin": 0.3, "share": 0.5}, "margin"),
        ({"aloss": 0.9}, "aloss"),
        ({"max_t": 20.0}, "max_t"),
        ({"max_t1": 1.0, "max_steps": 2000}, "max_t1"),
        ({"max_steps": 13}, "max_steps"),
        ({"max_wall": 9.0}, "max_wall"),
    ],
)
def test_the_final_state_is_left_on_every_way_out(stop: dict[str, Any], end: str) -> None:
    cfg = stopping(settings(), **{"margin": None, "max_steps": 500, **stop})
    found = events(trained(cfg, arms((1.0, 3.0)), clock=clock()))
    assert ends(found[-1].state) == [end, end]
    kept = snapshots(found)
    for i, name in enumerate(("seed=0,alpha=1", "seed=0,alpha=3")):
        final = kept[f"final/{name}"]
        assert final["stopped"] == end and torch.equal(final["w"], rows(found[-1].state, "w")[i])
    assert len([role for event in found for role in event.snapshots if role.startswith("final")]) == 2
    assert found[-1].step <= cfg.fit.stop.max_steps


def test_the_first_end_to_come_is_the_one_that_counts_and_the_others_go_on() -> None:
    found = events(trained(stopping(settings(), max_t=10.0, max_steps=60), arms((1.0, 1e4))))
    assert ends(found[-1].state) == ["max_t", "max_steps"] and rows(found[-1].state, "t")[0] < 12
    stopped = next(event for event in found if "final/seed=0,alpha=1" in event.snapshots)
    assert stopped.step < 60 and torch.equal(rows(stopped.state, "w")[0], rows(found[-1].state, "w")[0])
    assert not any("alpha=1/" in key for key in found[-1].metrics) and found[-1].step == 60


class Broken(Linear):
    """Finite for so many evaluations, or while w stays below a wall."""

    def __init__(self, wall: float) -> None:
        self.wall = wall

    def outputs(self, w: Members, x: Tensor) -> Outputs:
        return torch.where(w > self.wall, nan, super().outputs(w, x))


@pytest.mark.parametrize("wall", [-1.0, 0.25])
def test_what_is_not_finite_ends_a_flow_where_it_was_last_finite(wall: float) -> None:
    def build() -> Ensemble:
        return Ensemble(Problem(Broken(wall), Loss("mse")), [Member("", torch.zeros(1).double(), strings(1.0), 1.0)])

    event = last(of(build, Fit(stop=Stop(max_steps=5000))))
    assert ends(event.state) == ["not_finite"] and event.snapshots["final"]["stopped"] == "not_finite"
    assert 0 <= rows(event.state, "w").item() <= 0.25 and event.step < 1000


def test_without_a_gradient_a_flow_is_over() -> None:
    found = last(of(lambda: line("mse", 0.0, x=(0.0,)), Fit(stop=Stop(max_steps=50))))
    assert ends(found.state) == ["zero_gradient"] and found.step <= 1


def test_the_clock_is_not_read_unless_it_matters() -> None:
    def never() -> float:
        raise AssertionError("the clock was read")

    assert last(trained(settings(), clock=never)).state["wall"] == 0.0
    with pytest.raises(AssertionError, match="the clock was read"):
        last(trained(stopping(settings(), max_wall=1.0), clock=never))


def test_time_spent_counts_on_after_an_interruption() -> None:
    made = trained(stopping(settings(), max_wall=9.0), clock=clock())
    early = list(islice(made.steps(made.start()), 3))[-1]
    rest = list(made.steps(early.state))
    assert ends(rest[-1].state) == ["max_wall"] and rest[-1].step < 9


def test_milestones_come_in_their_order_and_hold() -> None:
    cfg = stopping(settings(loss=Loss(margin=0.05)), margin=0.1, max_steps=1500)
    found = events(trained(cfg, arms((1.0, 3.0))))
    kept = snapshots(found)
    for name in ("seed=0,alpha=1", "seed=0,alpha=3"):
        init, margin, final = (kept[f"{role}/{name}"] for role in ("init", "margin", "final"))
        assert init["t"] == 0 < margin["t"] < final["t"] and final["stopped"] == "margin"
    at = next(event for event in found if "margin/seed=0,alpha=1" in event.snapshots)
    assert at.metrics["train seed=0,alpha=1/margin_min"] >= 0.05


def test_t1_is_where_the_loss_is_half_of_what_it_was() -> None:
    fit = Fit(flow=Flow(max_dgrad=None, max_dout=2e-3, dt0=1e-3), stop=Stop(max_t=0.5, max_steps=3000))
    found = events(of(lambda: line("mse", 0.0), fit))
    t1 = rows(found[-1].state, "t1").item()
    assert t1 == pytest.approx(0.5 * torch.tensor(2.0).log().item(), rel=3e-3)  # (1 - w)^2 = e^{-2 t}
    kept = snapshots(found)["t1"]
    assert kept["t1"] == t1 <= kept["t"] < t1 + 4e-3 and kept["aloss"] < 0.25


def test_labels_of_zero_and_one_are_refused() -> None:
    ensemble = together.ensemble(settings(), arms())
    own = ensemble.members[0]
    wrong = own.strings._replace(y_train=(own.strings.y_train + 1) / 2)
    with pytest.raises(ValueError, match=r"labels must be -1 or \+1, got 0"):
        Ensemble(ensemble.problem, [own._replace(strings=wrong)])


def test_checkpoints_are_dense_at_first_and_evenly_spaced_later() -> None:
    def steps(cfg: Checkpoints, after: int = -1) -> Iterator[int]:
        return course.checkpoints(cfg, after)

    assert list(islice(steps(Checkpoints(rate=0.01)), 8)) == [0, 1, 2, 3, 4, 5, 6, 7]
    late = list(islice(steps(Checkpoints(rate=0.01), after=200_000), 5))
    assert [b - a for a, b in pairwise(late)] == [100] * 4
    assert next(steps(Checkpoints(), after=7)) == 8


def test_what_is_told_is_what_the_state_holds() -> None:
    event = last(trained(settings(), arms((2.0,))))
    told, state = event.metrics, event.state
    name = "seed=0,alpha=2"
    assert told[f"train {name}/norm"] == pytest.approx(rows(state, "w").norm().item())
    assert told[f"train {name}/grad_norm"] == pytest.approx(rows(state, "g").norm().item())
    assert told[f"train {name}/t"] == rows(state, "t").item() and told[f"train {name}/dt"] == rows(state, "used").item()
    assert told[f"train {name}/accepted"] + told[f"train {name}/rejected"] == event.step == 40
    assert told[f"train {name}/aloss"] == pytest.approx(2 * told[f"train {name}/loss"])
    assert {
        f"{split} {name}/{key}" for split in ("train", "test") for key in ("err", "nd", "margin_median")
    } <= told.keys()
    assert {f"train {name}/{key}" for key in ("dnorm.W0", "relevant", "dgrad", "dout")} <= told.keys()


def test_a_member_alone_needs_no_name() -> None:
    cfg = stopping(settings(), max_steps=2)
    event = last(trained(cfg, [together.Arm("", 1.0, rng.streams(0))]))
    assert list(event.snapshots) == ["final"] and "train/aloss" in event.metrics and "test/err" in event.metrics


def test_every_share_of_the_loss_that_is_asked_for_is_a_milestone() -> None:
    fit = Fit(flow=Flow(max_dgrad=None, max_dout=2e-2, dt0=1e-3), stop=Stop(max_t=2.0), losses=[0.9, 0.5, 0.1])
    found = events(of(lambda: line("mse", 0.0), fit))
    kept = snapshots(found)
    for share in (0.9, 0.5, 0.1):  # (1 - w)^2 = e^{-2 t}
        assert kept[f"loss={share:g}"]["t"] == pytest.approx(-0.5 * log(share), abs=0.05)
    assert kept["loss=0.5"]["step"] == kept["t1"]["step"] and "margin" not in kept


def test_fitted_is_where_a_tenth_of_the_rows_is_within_the_margin() -> None:
    x = (*[0.1] * 8, 1.0, 2.0)  # the last two come to F = 0.5 one after the other
    fit = Fit(flow=Flow(max_dout=0.01), stop=Stop(margin=None, max_t=40.0))
    kept = snapshots(events(of(lambda: line("hinge", 0.0, margin=0.5, x=x), fit)))
    assert 0.5 <= kept["fitted"]["w"].item() < 0.52  # at w = 0.25 it was one row of ten, and no more than a tenth


def test_a_long_way_between_checkpoints_can_be_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trained(settings(), arms((1.0, 30.0)))
    whole = events(made)
    monkeypatch.setattr(course, "WORK", 1.0)
    cut = events(made)
    assert [event.step for event in cut] == list(range(41)) and len(whole) < 15
    assert torch.equal(rows(cut[-1].state, "w"), rows(whole[-1].state, "w"))
    assert [event.step for event in cut if event.metrics] == [event.step for event in whole]


def test_single_precision_and_no_test_rows_will_do() -> None:
    cfg = settings(model=Network(h=16, dtype="float32"), data=Strings(d=6, k=2, n_train=24, n_test=0))
    event = last(trained(cfg))
    assert rows(event.state, "w").dtype == torch.float32 and rows(event.state, "t").dtype == torch.float64
    double = rows(last(trained(settings())).state, "aloss")
    torch.testing.assert_close(rows(event.state, "aloss"), double, rtol=1e-4, atol=0)
    assert not any(key.startswith("test") for key in event.metrics)
