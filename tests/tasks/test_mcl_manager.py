"""The loss of an arm: its weights over time, arms that differ and arms that must not, the guard against collapse."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.mcl import manager, model_settings, schedules
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.manager import Guard, Labels, LossManager, Terms
from llcx.tasks.mcl.model_settings import ARMS, Sae, Schedule, Share, Weights
from llcx.tasks.mcl.prompts import Inputs
from llcx.tasks.mcl.sets import Sets
from tests.tasks.mcl_machines import built, examples, labels, number

SHARE = Share(k=3, monitor=2)


def loss_of(weights: Weights, share: Share = SHARE) -> LossManager:
    return LossManager(weights, share, 10, rng.streams(0))


def trained(weights: Weights, share: Share = SHARE, steps: int = 5) -> tuple[Machine, LossManager, list[Terms]]:
    made, loss, x = built(), loss_of(weights, share), examples(48)
    optimizer, seen = torch.optim.AdamW(made.parameters(), 1e-2), []
    for step in range(steps):
        out = made(x)
        seen.append(loss(made, out, labels(x), step))
        optimizer.zero_grad()
        seen[-1].total.backward()
        optimizer.step()
        made.sae.observe(out.codes)
    return made, loss, seen


def same(one: Machine, other: Machine) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_sharing_changes_what_is_learned_and_a_weight_of_zero_is_no_sharing_at_all() -> None:
    full, without = Weights(), Weights(alpha=0.0)
    aids = model_settings.applied(Weights(), "b1")
    at = {name: trained(weights) for name, weights in (("full", full), ("without", without), ("b1", aids))}
    assert same(at["without"][0], at["b1"][0])
    assert [float(a.total.detach()) for a in at["without"][2]] == [float(b.total.detach()) for b in at["b1"][2]]
    assert not same(at["full"][0], at["b1"][0])
    change = max(
        float((a - b).abs().max().detach())
        for a, b in zip(at["full"][0].encoder.parameters(), at["b1"][0].encoder.parameters(), strict=True)
    )
    assert change > 1e-3
    assert same(at["full"][0], trained(full)[0])  # and it is a function of its seed


def test_a_batch_that_training_sees_has_groups_to_share_and_a_gradient_on_h() -> None:
    """Four groups of rows of the task's own stream."""
    data = Sets(Data(val_size=8, test_size=8, length_3=4, samples_per_group=8, chunk=256, train_size=None), 7)
    batch = data.train.take(torch.tensor(next(data.sampler())))
    made, loss = built(), loss_of(Weights())
    out = made(Inputs(batch.input, batch.program_type, batch.program_param))
    terms = loss(made, out, Labels(batch.target, batch.primitives, batch.group_id), 0)
    assert terms.metrics["share/groups"] == 4 and number(terms.raw["share"]) > 0.1
    (slope,) = torch.autograd.grad(terms.weighted["share"], [out.h], retain_graph=True)
    assert slope.isfinite().all() and (slope.abs().amax(1) > 1e-6).all()
    assert manager.gradient_shares(terms.weighted, out.h)["gradient_share/share"] > 0.01


def test_mixed_precision_is_the_same_loss_with_fewer_digits() -> None:
    made, x = built().float(), examples(48)
    loss = loss_of(Weights())
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(made, out := made(x), labels(x), 0)
    assert out.logits.dtype == torch.bfloat16
    whole = loss(made, made(x), labels(x), 0)
    for name, value in whole.raw.items():
        assert number(half.raw[name]) == pytest.approx(number(value), rel=0.1), name
    half.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


def test_looks_at_a_loss_that_is_off_change_nothing() -> None:
    off = model_settings.applied(Weights(), "b1")
    often, never = (trained(off, replace(SHARE, monitor=every)) for every in (1, 10**6))
    assert same(often[0], never[0])
    assert all("share/norm" in each.metrics for each in often[2])
    assert not any("share/norm" in each.metrics for each in never[2][1:])
    assert not often[1].sharing.mean.any() and int(often[1].sharing.calls) == 0


def test_every_arm_has_its_own_terms_and_its_own_end() -> None:
    ends = {}
    for arm in ARMS:
        weights = model_settings.applied(Weights(), arm)
        made, _, seen = trained(weights, replace(SHARE, monitor=10**6), steps=3)
        ends[arm] = made
        expected = {"b0": {"task"}, "b1": {"task", "sae", "prim"}, "b2": {"task", "share"}}
        assert set(seen[-1].weighted) == expected.get(arm, {"task", "share", "sae", "prim"})
    arms = list(ARMS)
    assert not any(same(ends[a], ends[b]) for i, a in enumerate(arms) for b in arms[:i])
    start = built()
    assert same_parts(ends["b0"], start, ("sae", "head")) and not same_parts(ends["b1"], start, ("sae", "head"))


def same_parts(one: Machine, other: Machine, parts: tuple[str, ...]) -> bool:
    return all(
        torch.equal(a, b)
        for part in parts
        for a, b in zip(one.get_submodule(part).parameters(), other.get_submodule(part).parameters(), strict=True)
    )


def test_arms_are_weights_switched_off() -> None:
    own = Weights(alpha=0.2, beta=0.3, gamma=0.4)
    kept = {arm: model_settings.applied(own, arm) for arm in ARMS}
    assert [(w.alpha, w.beta, w.gamma, w.sparsity) for w in kept.values()] == [
        (0, 0, 0, 1),
        (0, 0.3, 0.4, 1),
        (0.2, 0, 0, 1),
        (0.2, 0.3, 0.4, 0),
        (0.2, 0.3, 0.4, 1),
    ]
    assert model_settings.in_effect(Sae("topk"), kept["b3"]).kind == "relu"
    assert model_settings.in_effect(Sae("topk"), kept["full"]).kind == "topk"
    with pytest.raises(ValueError, match=r"task.arm must be one of b0, b1, b2, b3, full, got b9"):
        model_settings.applied(own, "b9")


def test_the_total_is_the_weighted_sum_and_what_is_told_adds_up() -> None:
    terms = trained(Weights(alpha=0.2, beta=0.3, gamma=0.4), steps=2)[2][-1]
    raw = {name: number(value) for name, value in terms.raw.items()}
    expected = raw["task"] + 0.2 * raw["share"] + 0.3 * raw["sae"] + 0.4 * raw["prim"]
    told = terms.told()
    assert told["loss/total"] == pytest.approx(expected) == pytest.approx(number(terms.total))
    assert told["weighted/prim"] == pytest.approx(0.4 * told["loss/prim"])
    assert sum(value for name, value in told.items() if name.startswith("weighted/")) == pytest.approx(expected)
    assert told["share/groups"] == 4 and {"share/norm", "share/floor", "sae/rate", "sae/lambda"} <= told.keys()


@pytest.mark.parametrize(
    ("kind", "shares"),
    [
        ("const", [0.5] * 5),
        ("linear", [0.1, 0.1, 0.3, 0.5, 0.5]),
        ("cosine", [0.1, 0.1, 0.3, 0.5, 0.5]),
        ("step", [0.1, 0.1, 0.1, 0.5, 0.5]),
    ],
)
def test_schedules(kind: str, shares: list[float]) -> None:
    cfg = Schedule(kind, first=0.1, last=0.5, begin=10, end=30)
    assert [schedules.share(cfg, step) for step in (0, 10, 20, 30, 99)] == pytest.approx(shares)


def test_a_linear_schedule_rises_evenly_and_a_cosine_slowly_at_first() -> None:
    linear, cosine = (Schedule(kind, 0, 1, 0, 4) for kind in ("linear", "cosine"))
    assert [schedules.share(linear, step) for step in range(5)] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert [schedules.share(cosine, step) for step in range(5)] == pytest.approx([0, 0.1464466, 0.5, 0.8535534, 1])


def test_weights_follow_their_schedules_on_optimiser_steps() -> None:
    warm = Schedule("linear", 0.0, 1.0, 0, 10)
    loss = loss_of(Weights(alpha=0.2, beta=0.4, gamma=0.6, alpha_schedule=warm, gamma_schedule=Schedule("step")))
    assert loss.at(5) == pytest.approx({"task": 1, "share": 0.1, "sae": 0.4, "prim": 0})
    assert loss.at(100) == pytest.approx({"task": 1, "share": 0.2, "sae": 0.4, "prim": 0.6})
    made, x = built(), examples(48)
    assert "share" not in loss(made, made(x), labels(x), 0).weighted
    assert "share" in loss(made, made(x), labels(x), 1).weighted


def test_shares_of_the_gradient_on_h() -> None:
    made, loss, x = built(), loss_of(Weights()), examples(48)
    out = made(x)
    terms = loss(made, out, labels(x), 0)
    found = manager.gradient_shares(terms.weighted, out.h)
    names = ("task", "share", "sae", "prim")
    assert sum(found[f"gradient_share/{name}"] for name in names) == pytest.approx(1)
    assert all(found[f"gradient/{name}"] > 0 for name in names)
    doubled = {**terms.weighted, "share": 2 * terms.weighted["share"]}
    assert manager.gradient_shares(doubled, out.h)["gradient/share"] == pytest.approx(2 * found["gradient/share"])
    terms.total.backward()  # the graph is still there
    probe = built(sae=Sae(units=20, k=4, gradient="probe"))
    out = probe(x)
    shares = manager.gradient_shares(loss(probe, out, labels(x), 0).weighted, out.h)
    assert shares["gradient/sae"] == 0 < shares["gradient/share"]
    inert = loss_of(Weights(), replace(SHARE, stop_gradient="basis"))
    shares = manager.gradient_shares(inert(made, out := made(x), labels(x), 0).weighted, out.h)
    assert shares["gradient/share"] == 0 < shares["gradient/task"]


def test_five_steps_on_two_examples() -> None:
    """Two groups of one example each: nothing to share, said so, and all else runs."""
    made, loss, x = built(), loss_of(Weights(), Share(k=3, monitor=1)), examples(2)
    optimizer, told = torch.optim.AdamW(made.parameters(), 1e-2), []
    for step in range(5):
        terms = loss(made, made(x), labels(x, groups=2), step)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        told.append(terms.told())
    assert all(each["loss/share"] == 0 and each["share/groups"] == 0 and each["share/idle"] == 1 for each in told)
    assert told[-1]["loss/task"] < told[0]["loss/task"]


def test_shuffled_groups_are_another_loss_and_the_true_ones_are_reported() -> None:
    made, x = built(), examples(48)
    out, told = made(x), labels(x)
    true, mixed = (loss_of(Weights(), replace(SHARE, labels=kind)) for kind in ("true", "shuffled"))
    found = [each(made, out, told, 1) for each in (true, mixed)]
    assert number(found[0].raw["share"]) != number(found[1].raw["share"])
    for key in ("share/norm", "share/floor"):
        assert found[0].metrics[key] == found[1].metrics[key]
    again = loss_of(Weights(), replace(SHARE, labels="shuffled"))
    assert number(again(made, out, told, 1).raw["share"]) == number(found[1].raw["share"])
    assert number(again(made, out, told, 2).raw["share"]) != number(found[1].raw["share"])


def test_the_guard_halves_alpha_after_so_many_evaluations_below_half_the_first_rank() -> None:
    guard = Guard(patience=2)
    seen = [guard.observe(rank, 2.0)["h/guard"] for rank in (10, 4, 6, 4, 4.9, 4, 4, 4)]
    assert seen == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    found = guard.observe(5.0, 1.0)
    assert found["h/rank_ratio"] == 0.5 and found["h/variance_ratio"] == 0.5
    idle = Guard(patience=None)
    assert {idle.observe(rank, 1.0)["h/guard"] for rank in (10, 1, 1, 1, 1, 1)} == {1}
    other = Guard(patience=2)
    other.load_state_dict(guard.state_dict())
    assert other.factor == guard.factor and other.observe(5.0, 1.0) == guard.observe(5.0, 1.0)


def test_a_collapse_lowers_the_weight_of_sharing() -> None:
    loss = loss_of(Weights(alpha=0.2), replace(SHARE, guard=1))
    spread, line = (
        torch.eye(10, dtype=torch.float64),
        torch.linspace(0, 1, 10, dtype=torch.float64).outer(torch.ones(10).double()),
    )

    def rank(h: Tensor) -> float:
        return loss.evaluated(h)["h/rank"]

    assert rank(spread) == pytest.approx(9) and loss.at(0)["share"] == pytest.approx(0.2)
    assert rank(line) == pytest.approx(1) and loss.at(0)["share"] == pytest.approx(0.1)


def test_settings_that_make_no_sense_are_refused() -> None:
    wrong: dict[str, Any] = {"alpha": -1.0, "task": "dice", "iou": 0.0}
    for key, value in wrong.items():
        with pytest.raises(ValueError, match=rf"task.weights.{key} must be"):
            Weights(**{key: value})
    with pytest.raises(ValueError, match=r"task.weights.\*.kind must be one of const, linear, cosine, step, got exp"):
        Schedule("exp")
    with pytest.raises(ValueError, match=r"task.weights.\*.end must be above begin=100, got 100"):
        Schedule("linear", begin=100)
    broken = Schedule()
    object.__setattr__(broken, "kind", "exp")
    with pytest.raises(ValueError, match="must be one of const, linear, cosine, step"):
        schedules.share(broken, 0)
    wrong = {"mode": "cca", "k": 0, "min_rows": 8, "momentum": 1.0, "refresh": 0, "labels": "none"}
    for key, value in wrong.items():
        with pytest.raises(ValueError, match=rf"task.share.{key} must be"):
            Share(**{key: value})
    with pytest.raises(ValueError, match=r"task.share.stop_gradient must be target with mode=residual, got basis"):
        Share(mode="residual", stop_gradient="basis")
    with pytest.raises(ValueError, match=r"task.share.k must be below task.model.latent=10, got 10"):
        loss_of(Weights(), Share(k=10))
