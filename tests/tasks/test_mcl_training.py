"""Training machines: resumed bit for bit, arms that differ only in what they say, a sharing loss that is there."""

from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

import pytest
import torch

from llcx import rng
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.model_settings import Model, Sae, Share
from llcx.tasks.mcl.schema import MCL, Fit
from llcx.tasks.mcl.training import _rate, training
from llcx.types import Event, State
from tests.states import written_and_read

SMALL = MCL(
    model=Model(state=24, hidden=32, latent=16, decoder_hidden=24, dropout=0.1),
    sae=Sae(units=32, warmup=2),
    share=Share(k=2, monitor=2, target="ema"),
    data=Data(
        params="fixed", train_size=None, val_size=64, test_size=64, groups_per_batch=3, samples_per_group=6, chunk=512
    ),
    fit=Fit(steps=6, every=2, rows=48, warmup=2, checkpoints=[2]),
)
CLOCKS = ("seconds", "course/seconds", "spent/")


def events(cfg: MCL, state: State | None = None) -> list[Event]:
    ticks = count()
    made = training("t", cfg, rng.streams(0), clock=lambda: float(next(ticks)))
    return list(made.steps(made.start() if state is None else state))


def trained(**settings: Any) -> list[Event]:
    return _trained(repr(settings), Settings(settings))


class Settings(dict[str, Any]):
    """Settings that a cache takes for equal; their text tells them apart."""

    def __hash__(self) -> int:  # type: ignore[override]
        return 0


@cache
def _trained(text: str, settings: Settings) -> list[Event]:
    del text
    return events(replace(SMALL, **settings))


def final(found: list[Event]) -> State:
    return found[-1].snapshots["final"]


def same(one: State, other: State) -> bool:
    """Whether two flat states agree to the last bit, what clocks say apart."""
    names = {name for name in one if not name.startswith(CLOCKS)}
    assert names == {name for name in other if not name.startswith(CLOCKS)}
    pairs = ((torch.as_tensor(state[name]).double() for state in (one, other)) for name in names)
    return all(torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def test_events_tell_terms_validation_and_what_h_is_like() -> None:
    found = trained()
    assert [event.step for event in found] == [0, 2, 4, 6]
    told = found[1].metrics
    assert {f"loss/{term}" for term in ("task", "share", "sae", "prim", "total")} <= told.keys()
    assert {f"weighted/{term}" for term in ("task", "share", "sae", "prim")} <= told.keys()
    assert {"val_id/iou", "val_ood/iou", "val_id/exact", "h/rank", "h/norm", "h/floor", "learning_rate"} <= told.keys()
    total = sum(told[f"weighted/{term}"] for term in ("task", "share", "sae", "prim"))
    assert told["loss/total"] == pytest.approx(total, rel=1e-5)
    assert {"step=2", "final", "course"} <= {role for event in found for role in event.snapshots}


def test_a_training_goes_on_from_every_event_as_if_nothing_had_been() -> None:
    found = trained()
    for event in found[:-1]:
        rest = events(SMALL, written_and_read(event.state))
        assert same(rest[-1].state, found[-1].state)
        assert same(rest[-1].snapshots["course"], found[-1].snapshots["course"])


def test_two_runs_of_one_seed_are_one_and_those_of_two_are_not() -> None:
    assert same(final(events(SMALL)), final(trained()))
    made = training("t", SMALL, rng.streams(1))
    assert not same(list(made.steps(made.start()))[-1].snapshots["final"], final(trained()))


def test_the_best_weights_on_val_id_are_kept() -> None:
    found = trained(fit=replace(SMALL.fit, steps=12, learning_rate=0.01))
    scores = {event.step: event.metrics["val_id/iou"] for event in found if event.step > 0}
    kept = [event.step for event in found if "best" in event.snapshots]
    assert kept[-1] == max(scores, key=lambda step: scores[step])
    assert 0 not in kept


def test_without_a_weight_sharing_is_to_the_last_bit_not_there_and_with_one_it_is() -> None:
    b1, without, full = (final(trained(arm=arm)) for arm in ("b1", "alpha0", "full"))
    assert same(b1, without)
    assert not same(without, full)


def test_arms_start_alike_and_see_the_same_batches() -> None:
    tasks = {arm: trained(arm=arm)[0].metrics["val_id/iou"] for arm in ("b0", "b1", "b2", "b3", "full", "shuffled")}
    assert len(set(tasks.values())) == 1
    b0, full = trained(arm="b0"), trained(arm="full")
    first = [torch.as_tensor(found[-1].snapshots["course"]["loss"])[0] for found in (b0, full)]
    assert first[0] < first[1]  # the same batch, more terms


def test_the_sharing_loss_reaches_h_in_real_batches() -> None:
    course = trained(arm="full")[-1].snapshots["course"]
    groups, gradient = (torch.as_tensor(course[f"{name}_min"]) for name in ("share/groups", "gradient/share"))
    assert groups[1:].tolist() == [3, 3, 3]
    assert (gradient[1:] > 0).all()
    absent = trained(arm="b1")[-1].snapshots["course"]
    assert torch.as_tensor(absent["share/groups_min"]).isnan().all()


def test_groups_that_are_dealt_at_random_train_another_machine() -> None:
    assert not same(final(trained(arm="shuffled")), final(trained(arm="full")))


def test_batches_of_two_groups_of_one_row_have_nothing_to_share_and_train_all_the_same() -> None:
    cfg = replace(SMALL, data=replace(SMALL.data, groups_per_batch=2, samples_per_group=1), fit=Fit(steps=5, every=1))
    found = events(cfg)
    assert found[-1].metrics["loss/share"] == 0
    assert torch.as_tensor(found[-1].snapshots["course"]["share/groups_min"])[-1] == 0
    assert found[-1].metrics["share/groups"] == 0


def test_evaluations_are_not_in_the_seconds_of_training() -> None:
    """The clock ticks once a look: two looks a part, and five parts a step."""
    found = trained()
    parts = [name for name in found[-1].metrics if name.startswith("seconds/")]
    assert sorted(parts) == [f"seconds/{name}" for name in ("backward", "data", "forward", "loss", "sae")]
    assert found[-1].metrics["seconds"] == sum(found[-1].metrics[name] for name in parts)
    often = trained(fit=replace(SMALL.fit, every=1))
    assert often[-1].metrics["seconds"] == found[-1].metrics["seconds"]


@pytest.mark.parametrize("settings", [{"precision": "bfloat16"}, {"accumulate": 2}], ids=str)
def test_half_precision_and_accumulation_train_too(settings: dict[str, Any]) -> None:
    found = trained(fit=replace(SMALL.fit, **settings))
    assert all(torch.as_tensor(value).isfinite().all() for value in final(found).values())
    assert not same(final(found), final(trained()))
    assert all(torch.as_tensor(value).dtype != torch.bfloat16 for value in final(found).values())


@pytest.mark.parametrize("encoder", ["transformer", "looped", "gru"])
def test_every_encoder_trains(encoder: str) -> None:
    model = replace(SMALL.model, encoder=encoder, width=8, heads=2, state=None, layers=1, reduced=4)
    found = trained(model=model, fit=replace(SMALL.fit, steps=2, checkpoints=[]))
    moved = [name for name, value in final(found).items() if not torch.equal(value, found[0].state[f"module.{name}"])]  # type: ignore[arg-type]
    assert {name.partition(".")[0] for name in moved} == {"prompt", "encoder", "bottleneck", "decoder", "sae", "head"}


def test_a_loss_that_is_not_finite_says_so() -> None:
    with pytest.raises(FloatingPointError, match=r"lower task\.fit\.learning_rate"):
        events(replace(SMALL, fit=replace(SMALL.fit, learning_rate=1e30, warmup=0, clip=1e30, steps=6)))


def test_the_learning_rate_comes_in_and_falls_to_zero() -> None:
    fit = Fit(steps=100, warmup=10, learning_rate=1.0)
    assert [_rate(fit, step) for step in (0, 9, 10)] == pytest.approx([0.1, 1.0, 1.0])
    assert _rate(fit, 55) == pytest.approx(0.5)
    assert _rate(fit, 99) < 0.001
    assert _rate(replace(fit, schedule="constant"), 99) == 1.0
