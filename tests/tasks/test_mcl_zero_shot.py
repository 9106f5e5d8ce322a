"""Scores composition by composition, against what needs no machine, and what gates are told of a training."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from llcx.tasks.mcl import leakage, losses, programs, trained, zero_shot
from llcx.tasks.mcl.batches import Examples, Sample
from llcx.tasks.mcl.built import inputs
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.sets import Sets
from llcx.types import State, Tables
from tests.tasks.mcl_studies import DATA, LOOK, Left, of_arm, small

FULL = "mcl,arm=full"
SEED = 5


@cache
def tables(arm: str = "full") -> Tables:
    return zero_shot.tables(of_arm(arm))


def test_scores_are_those_of_the_rows_of_a_composition() -> None:
    full = of_arm("full")
    for split in ("val_id", "test_len3"):
        sample = full.sets.evaluation[split]
        with torch.no_grad():
            predicted = full.machine(inputs(sample, "program")).logits.argmax(1)
        scores = losses.scores(predicted, sample.target, sample.input, 4)
        mine = [row for row in tables().tables["zero_shot"] if row["split"] == split]
        assert sum(row["rows"] for row in mine) == len(sample.input)
        assert {row["composition"] for row in mine} == set(map(programs.name, full.sets.splits[split]))
        assert sum(row["rows"] * row["iou"] for row in mine) == pytest.approx(float(scores.macro_iou.sum()))
        first = sample.composition_id == programs.code(full.sets.splits[split][5])
        row = next(row for row in mine if row["composition"] == programs.name(full.sets.splits[split][5]))
        assert row["accuracy"] == pytest.approx(float(scores.accuracy[first].mean()))
        assert row["length"] == len(full.sets.splits[split][5])


def test_the_target_scores_one_and_a_copy_what_copying_scores() -> None:
    full = of_arm("full")
    sets = full.sets.evaluation
    for row in zero_shot.rows(full, {split: sample.target for split, sample in sets.items()}):
        assert row["iou"] == row["micro_iou"] == row["exact"] == 1
    for row in zero_shot.rows(full, {split: sample.input for split, sample in sets.items()}):
        assert (row["iou"], row["exact"], row["accuracy"]) == (row["copy_iou"], row["copy_exact"], row["copy_accuracy"])
        assert row["iou"] == 1 or row["changed"] == 0
    nothing = {split: torch.zeros_like(sample.target) for split, sample in sets.items()}
    for row in zero_shot.rows(full, nothing):
        assert (row["iou"], row["accuracy"]) == (row["background_iou"], row["background_accuracy"])


def test_gates_are_told_what_they_ask() -> None:
    (full,), (b0,) = tables("full").tables["runs"], tables("b0").tables["runs"]
    assert full["shares"] == 1 and full["groups_min"] == 2 and full["gradient_min"] > 0
    assert b0["shares"] == 0 and np.isnan(b0["groups_min"]) and np.isnan(b0["gradient_min"])
    assert full["overlap"] == b0["overlap"] == 0
    assert full["erank_initial"] == b0["erank_initial"] != full["erank"]  # they start alike
    assert 0 < full["rate"] < 1 and b0["rate"] is None
    assert full["steps"] == 6 and full["seconds"] > 0 and full["best_step"] in (3, 6)
    val = [row for row in tables().tables["zero_shot"] if row["split"] == "val_id"]
    mean = sum(row["rows"] * row["iou"] for row in val) / sum(row["rows"] for row in val)
    assert full["val_iou"] == pytest.approx(mean)


def test_the_best_machine_is_looked_at_where_there_is_one() -> None:
    made, left = small()
    final, best = left[FULL, "final"], left[FULL, "best"]
    assert tables().tables["runs"][0]["best_step"] == (6 if _same(final, best) else 3)
    other: State = {name: torch.as_tensor(value) + 1 for name, value in best.items()}
    kept: Left = {**left, (FULL, "best"): other}
    found = trained.left(made.arms[FULL], lambda name, role: kept.get((name, role)))
    assert found is not None and _same(found.machine.state_dict(), other)
    without = {key: state for key, state in left.items() if key[1] != "best"}
    found = trained.left(made.arms[FULL], lambda name, role: without.get((name, role)))
    assert found is not None and _same(found.machine.state_dict(), final)
    assert not any(p.requires_grad for p in found.machine.parameters()) and not found.machine.training


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name])) for name in one)


def test_the_course_is_told_evaluation_by_evaluation() -> None:
    rows = tables().tables["course"]
    assert [row["step"] for row in rows] == [0, 3, 6]
    seconds = [row["seconds"] for row in rows]
    assert seconds[0] == 0 and seconds == sorted(seconds)
    assert all(0 <= row[name] <= 1 for row in rows for name in ("iou", "ood", "exact", "ood_exact", "accuracy"))
    assert tables("b0").tables["course"][0]["iou"] == rows[0]["iou"]


def test_sheets_show_rows_of_every_split() -> None:
    full, arrays = of_arm("full"), tables().arrays["sheets"]
    for split, sample in full.sets.evaluation.items():
        shown = {name: arrays[f"{FULL}/{split}/{name}"] for name in ("input", "target", "predicted", "composition")}
        assert {each.shape[0] for each in shown.values()} == {LOOK.pictures}
        assert (shown["target"] == sample.target[: LOOK.pictures].numpy()).all()
        assert len(set(shown["composition"])) == min(LOOK.pictures, len(full.sets.splits[split]))


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """Sets are the same where their settings are, and these tests exchange rows of theirs."""
    yield
    leakage.overlap.cache_clear()


def leaking(some: Sample, settings: Data = DATA) -> int:
    """Counted leaks of sets whose training rows are these."""
    sets = Sets(replace(settings, train_size=len(some.input)), SEED)
    sets.__dict__["train"] = Examples(lambda index: some, len(some.input), len(some.input), buffer=1)
    leakage.overlap.cache_clear()
    return leakage.overlap(sets)


def test_leaks_are_counted() -> None:
    """Rows of an evaluation set among those trained on, compositions held out, and a set that is another's too."""
    sets = Sets(DATA, SEED)
    train = sets.train.take(torch.arange(40))
    assert leakage.overlap(sets) == leaking(train) == 0
    seen, held = sets.evaluation["val_id"], sets.evaluation["test_pair"]
    assert leaking(seen) == len(seen.input)
    assert leaking(held) == 2 * len(held.input)  # the row, and its composition
    assert leaking(held._replace(input=3 - held.input)) == len(held.input)
    elsewhere = train._replace(input=torch.cat([train.input[:1], seen.input[:1], train.input[2:]]))
    assert not torch.equal(elsewhere.program_type[1], seen.program_type[0])
    assert leaking(elsewhere) == 0  # the same grid under another program is another row
    sets.evaluation["val_ood"] = seen
    leakage.overlap.cache_clear()
    assert leakage.overlap(sets) >= len(seen.input)


def test_demonstrations_are_looked_at_too() -> None:
    settings = replace(DATA, conditioning="demos", demos=2, train_size=240)
    sets = Sets(settings, SEED)
    assert leakage.overlap(sets) == 0
    seen = sets.evaluation["val_id"]
    shown = seen._replace(input=3 - seen.input, demos_x=torch.stack([3 - seen.input, seen.input], 1))
    assert leaking(shown, settings) == len(seen.input)
