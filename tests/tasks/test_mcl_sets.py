"""All rows of a seed: what is evaluated on is never trained on, sets are even, and their record tells a change."""

import json
from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch
from numpy.random import default_rng

from llcx.tasks.mcl import generate, programs
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.generate import Wish
from llcx.tasks.mcl.programs import ABSENT, every
from llcx.tasks.mcl.sets import Sets, fingerprints


def fresh(seed: int = 0, **settings: Any) -> Sets:
    return Sets(Data(**{"train_size": None, "val_size": 130, "test_size": 150, "chunk": 500, **settings}), seed)


sets = cache(fresh)  # what a test may not change


def test_evaluation_sets_have_their_sizes_and_compositions_evenly() -> None:
    found = sets(length_4=20)
    assert {split: len(some.input) for split, some in found.evaluation.items()} == {
        "val_id": 130, "val_ood": 130, "test_pair": 150, "test_len3": 150, "test_len4": 150
    }  # fmt: skip
    for split, some in found.evaluation.items():
        counts = Counter(programs.decoded(each) for each in some.composition_id.tolist())
        assert {*counts} == {*found.splits[split]} and max(counts.values()) - min(counts.values()) <= 1
        assert some.program_type.shape[1] == 4
        assert torch.equal(some.length, (some.program_type != ABSENT).sum(1))
        assert torch.equal(some.group_id, (some.primitives.long() << torch.arange(6)).sum(1))
    assert set(found.evaluation["test_len3"].length.tolist()) == {3}
    assert set(found.evaluation["test_len3"].primitives.sum(1).tolist()) == {3.0}


@pytest.mark.parametrize("settings", [{}, {"params": "fixed"}])
def test_targets_are_what_programs_make_of_inputs(settings: dict[str, Any]) -> None:
    found = sets(**settings)
    for some in (*found.evaluation.values(), found.train.take(torch.arange(300))):
        assert torch.equal(programs.execute(found.rules, some.input, some.program), some.target)
        assert int(some.target.max()) < 4 and int(some.target.min()) >= 0


def test_no_row_is_in_two_splits_and_no_grid_but_by_chance() -> None:
    found = sets(val_size=600, test_size=600)
    rows = {**found.evaluation, "train": found.train.take(torch.arange(2000))}
    grids = {split: {tuple(grid) for grid in some.input.flatten(1).tolist()} for split, some in rows.items()}
    whole = {split: set(fingerprints(some).tolist()) for split, some in rows.items()}
    for one in rows:
        for other in rows:
            if one < other:
                assert not whole[one] & whole[other] and len(grids[one] & grids[other]) <= 2
    assert whole["train"] & set(fingerprints(found.train.take(torch.arange(5))).tolist())


def test_a_row_that_is_evaluated_on_is_not_trained_on() -> None:
    careful, before = fresh(), fingerprints(sets().train.take(torch.arange(500)))
    careful.__dict__["reserved"] = before[:50]  # as if these had been drawn for validation
    after = fingerprints(careful.train.take(torch.arange(500)))
    assert not torch.isin(after, before[:50]).any() and torch.equal(after[50:], before[50:])


def test_a_row_that_is_evaluated_on_is_not_shown_in_training() -> None:
    settings: dict[str, Any] = {"conditioning": "demos", "demos": 1}
    careful, before = fresh(**settings), pairs_shown(sets(**settings))
    careful.__dict__["reserved"] = before[:50]
    after = pairs_shown(careful)
    assert not torch.isin(after, before[:50]).any()
    # the others stay, but for pairs that were drawn again anyway, 8 % of which have a step that changes nothing: they
    # come from a stream that those 50 went on in
    assert float((after[50:] == before[50:]).double().mean()) > 0.9


def pairs_shown(some: Sets) -> torch.Tensor:
    """Fingerprints of what is shown beside the first rows of training."""
    rows = some.train.take(torch.arange(500))
    return fingerprints(rows._replace(input=rows.demos_x[:, 0]))


def test_splits_with_a_row_in_common_are_refused() -> None:
    leaky = LeakySets(sets().cfg, 0)
    with pytest.raises(ValueError, match="splits val_id and val_ood must have no row in common"):
        leaky.evaluation  # noqa: B018


class LeakySets(Sets):
    def _whole(self, split: str) -> Any:
        return super()._whole("val_id")


def test_demonstrations_are_of_the_rows_own_program_and_not_the_row() -> None:
    found = sets(conditioning="demos", demos=3)
    for some in (found.evaluation["test_len3"], found.train.take(torch.arange(200))):
        assert some.demos_x.shape == some.demos_y.shape == (len(some.input), 3, 8, 8)
        for place in range(3):
            made = programs.execute(found.rules, some.demos_x[:, place], some.program)
            assert torch.equal(made, some.demos_y[:, place])
            assert not (some.demos_x[:, place] == some.input).flatten(1).all(1).any()
    alone = sets(conditioning="demos", demos=1)
    types = programs.padded([(1,)] * 50, 3)
    rows = generate.draw(alone.rules, Wish(types, 1), default_rng(0))
    again = alone._sample(rows, torch.empty(0, dtype=torch.int64), default_rng(0))  # would draw the same grids
    assert not (again.demos_x[:, 0] == again.input).flatten(1).all(1).any()
    plain = sets(conditioning="none")
    assert plain.train.take(torch.arange(3)).demos_x.shape == (3, 0, 8, 8)


def test_compositions_come_evenly_in_training_however_they_are_grouped() -> None:
    for group_by, groups in (("multi_hot", 17), ("ordered", 34)):
        found = sets(group_by=group_by)
        counts = Counter[int]()
        batches = found.sampler()
        for _ in range(34):
            counts.update(found.train.take(torch.tensor(next(batches))).composition_id.tolist())
        assert len(batches.groups) == groups and len(counts) == 34
        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_data_set_with_an_end_has_that_many_rows_and_is_kept_whole() -> None:
    found = sets(train_size=1000, groups_per_batch=3, samples_per_group=20)
    batches = found.sampler()
    rows = {row for _ in range(150) for row in next(batches)}
    assert rows == set(range(1000)) == set(range(len(found.train)))
    assert found.train.buffer == 2 and sets(buffer=0).train.buffer == 0
    same = sets(groups_per_batch=3)
    assert torch.equal(found.train.take(torch.arange(500)).input, same.train.take(torch.arange(500)).input)


def test_training_comes_back_to_no_chunk_that_was_thrown_away() -> None:
    found = fresh(chunk=256, samples_per_group=64)
    made, batches, train = [], found.sampler(), found.train
    whole = train.make
    train.make = lambda index: made.append(index) or whole(index)  # type: ignore[func-returns-value]
    for _ in range(30):
        train.take(torch.tensor(next(batches)))
    assert len(made) == len(set(made)) > train.buffer


def test_an_episode_is_of_one_program_and_its_rows_are_new() -> None:
    found = sets()
    composition = found.splits["test_len3"][0]
    some = found.episode(composition, 0, 164)
    assert some.program_type.tolist() == [[*composition]] * 164
    assert len(some.program_param.unique(dim=0)) == 1 and len(some.input.unique(dim=0)) == 164
    assert torch.equal(programs.execute(found.rules, some.input, some.program), some.target)
    assert not torch.isin(fingerprints(some), found.reserved).any()
    again = found.episode(composition, 0, 164)
    assert all(torch.equal(a, b) for a, b in zip(some, again, strict=True))
    others = {tuple(found.episode(composition, index, 1).program_param[0].tolist()) for index in range(8)}
    assert len(others) > 1


def test_aligned_rows_have_the_same_grids_under_different_programs() -> None:
    found = sets()
    compositions = [*every(1)[:2], *found.splits["test_pair"]]
    some = found.aligned(compositions, 30)
    assert some.input.shape == (180, 8, 8) and some.input.view(6, 30, 64).eq(some.input[:30].flatten(1)).all()
    assert some.composition_id.view(6, 30)[:, 0].tolist() == [programs.code(each) for each in compositions]
    assert len(some.program_param.unique(dim=0)) <= 6
    assert torch.equal(programs.execute(found.rules, some.input, some.program), some.target)
    fewer = found.aligned(compositions[1:], 30)
    assert torch.equal(fewer.target, some.target[30:])  # a program does not depend on those beside it


def test_a_record_is_a_function_of_the_seed_and_tells_another_one() -> None:
    one, same, other = (json.loads(json.dumps(fresh(seed).record())) for seed in (0, 0, 1))
    assert one == same and one["rows"] != other["rows"] and one["digests"] != other["digests"]
    assert one["sizes"] == {"train": None, "val_id": 130, "val_ood": 130, "test_pair": 150, "test_len3": 150}
    assert all(rates["steps"] == 0 for rates in one["idle"].values())
    assert sets(params="fixed").record()["idle"]["val_id"]["steps"] == pytest.approx(4 / 64, abs=0.04)
