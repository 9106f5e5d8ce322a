"""Adaptation to programs that were never trained: what moves, what does not, and when it ends."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from llcx import rng
from llcx.tasks.mcl import few_shot, losses
from llcx.tasks.mcl.few_shot import Check, Episode
from llcx.tasks.mcl.programs import Composition
from llcx.tasks.mcl.schema import FewShot
from llcx.tasks.mcl.sets import fingerprints
from llcx.tasks.mcl.trained import Trained
from llcx.types import Tables
from tests.tasks.mcl_studies import FEW, of_arm, small

METHODS = ["lora", "adapter", "full", "scratch"]
EVERY = replace(FEW, compositions=1, methods=METHODS, cues=["opaque", "program"])


def with_settings(arm: str = "full", few: FewShot = EVERY) -> Trained:
    found = of_arm(arm)
    return found._replace(cfg=replace(found.cfg, few_shot=few))


def first(of: Trained) -> tuple[Composition, Episode]:
    composition = few_shot.compositions(of)[0]
    return composition, few_shot.episode(of, composition)


def fitted(of: Trained, method: str, cue: str, n: int = 4, **settings: Any) -> list[Check]:
    composition, episode = first(of)
    machine = few_shot.movable(of, composition, method, cue)
    return few_shot.adapted(machine, episode, n, replace(EVERY, **settings), of.cfg.weights)


def test_every_way_is_told_and_the_machine_itself_never_moves() -> None:
    of = with_settings()
    before = {name: value.clone() for name, value in of.machine.state_dict().items()}
    found: Tables = few_shot.tables(of)
    rows, paths = found.tables["few_shot"], found.tables["adaptation"]
    ways = {(row["method"], row["cue"]) for row in rows}
    assert len(ways) == 8 and len(rows) == 8 * 2
    assert all(torch.equal(value, before[name]) for name, value in of.machine.state_dict().items())
    for row in rows:
        key = ("composition", "method", "cue", "n")
        path = {each["step"]: each["iou"] for each in paths if all(each[name] == row[name] for name in key)}
        assert path[row["best_step"]] == row["iou"] and max(path) == row["steps"] and 0 in path
        assert row["steps"] == EVERY.steps or row["steps"] - row["best_step"] >= EVERY.patience
    count = {row["method"]: row["trainable"] for row in rows if row["cue"] == "program"}
    assert count["full"] == count["scratch"] > count["lora"] > 0 and count["full"] > count["adapter"] > 0


def test_before_the_first_step_it_is_the_machine_as_it_is() -> None:
    """With the program shown, step 0 is the zero-shot score; of scratch it is that of the initial weights."""
    of = with_settings()
    _, episode = first(of)
    query = episode.rows.at(slice(4 + 4, None))
    expected = float(losses.macro_iou(of.predicted(query), query.target, 4).mean())
    for method in ("lora", "adapter", "full"):
        assert fitted(of, method, "program", steps=1)[0].query["macro_iou"] == pytest.approx(expected)
    b0 = with_settings("b0")
    assert fitted(of, "scratch", "program") == fitted(b0, "scratch", "program")
    assert fitted(of, "lora", "program") != fitted(b0, "lora", "program")


@pytest.mark.parametrize(("method", "cached"), [("lora", True), ("adapter", True), ("full", False)])
def test_what_does_not_move_is_worked_out_once_and_is_the_same(method: str, cached: bool) -> None:
    of = with_settings()
    composition, episode = first(of)
    machine = few_shot.movable(of, composition, method, "program")
    few_shot.adapted(machine, episode, 4, EVERY, of.cfg.weights)  # has moved
    predict, calls = few_shot.predictor(machine, episode.seen), []
    machine.encoder.register_forward_hook(lambda *given: calls.append(given))
    with torch.no_grad():
        found = predict(slice(3, 9))
        assert len(calls) == (0 if cached else 1)
        torch.testing.assert_close(found, machine.predict(episode.seen)[3:9])


def test_rows_are_learned_and_more_of_them_are_more_of_the_same() -> None:
    of = with_settings(few=replace(EVERY, examples=[2, 20], query=30, steps=60, every=10, patience=60))
    composition, episode = first(of)
    machine = few_shot.movable(of, composition, "full", "opaque")
    before = losses.cross_entropy(machine.predict(episode.seen)[:20], episode.rows.target[:20])
    cfg = replace(of.cfg.few_shot, learning_rate=0.02)
    few_shot.adapted(machine, episode, 20, cfg, of.cfg.weights)
    after = losses.cross_entropy(machine.predict(episode.seen)[:20], episode.rows.target[:20])
    assert float(after.detach()) < 0.6 * float(before.detach())


def test_no_row_is_in_two_parts_of_an_episode_or_evaluated_elsewhere() -> None:
    of = with_settings()
    _, episode = first(of)
    rows = fingerprints(episode.rows)
    assert len(rows.unique()) == len(rows) == 4 + 4 + 8
    assert not torch.isin(rows, of.sets.reserved).any()
    assert len(episode.rows.program_type.unique(dim=0)) == len(episode.rows.program_param.unique(dim=0)) == 1


def test_arms_of_a_seed_meet_the_same_programs_and_start_from_the_same_new_weights() -> None:
    arms = [with_settings(arm) for arm in ("b0", "full")]
    assert few_shot.compositions(arms[0]) == few_shot.compositions(arms[1])
    composition, episode = first(arms[0])
    assert torch.equal(fingerprints(episode.rows), fingerprints(first(arms[1])[1].rows))
    one, other = (few_shot.movable(arm, composition, "lora", "opaque") for arm in arms)
    new = [name for name in one.state_dict() if name not in arms[0].machine.state_dict() or "prompt" in name]
    assert new and all(
        torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in new if "original" not in name
    )
    elsewhere = arms[0]._replace(streams=rng.streams(99))
    assert few_shot.compositions(elsewhere) != few_shot.compositions(arms[0])


def test_the_first_of_the_best_counts_and_patience_is_in_steps() -> None:
    checks = [Check(step, stop, {}) for step, stop in ((0, 0.1), (10, 0.4), (20, 0.4), (30, 0.2))]
    assert few_shot.best(checks).step == 10
    found = fitted(with_settings(), "lora", "program", learning_rate=1e-12, steps=50, every=2, patience=6)
    assert [check.step for check in found] == [0, 2, 4, 6]


def test_without_unseen_compositions_there_is_nothing_to_adapt_to() -> None:
    of = with_settings()
    sets = replace(of.sets, cfg=replace(of.sets.cfg, length_3=0, held_out_test=0))
    assert few_shot.tables(of._replace(sets=sets)) == Tables()
    pairs = replace(of.sets, cfg=replace(of.sets.cfg, length_3=0))
    assert {len(each) for each in few_shot.compositions(of._replace(sets=pairs))} == {2}


def test_the_small_study_is_left_as_it_is() -> None:
    """What tests share, they must not change."""
    _, left = small()
    best = left["mcl,arm=full", "best"]
    assert all(
        torch.equal(value, torch.as_tensor(best[name])) for name, value in of_arm("full").machine.state_dict().items()
    )
