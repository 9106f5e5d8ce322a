"""Splits are disjoint, a function of the seed, and leave every primitive trained; a leak in a record is found."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from numpy.random import default_rng

from llcx.tasks.mcl import splits
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.programs import every, group
from llcx.tasks.mcl.splits import SPLITS, STREAMS, Splits

SEEDS = range(20)


def drawn(seed: int = 0, **settings: Any) -> Splits:
    return splits.draw(Data(**settings), seed)


@pytest.mark.parametrize("orders", ["both", "one"])
def test_splits_are_as_many_as_asked_for_and_disjoint(orders: str) -> None:
    for seed in SEEDS:
        found = drawn(seed, orders=orders, length_4=30)
        assert [len(found[split]) for split in SPLITS] == [34, 34, 4, 4, 60, 30]
        assert found["train"] == found["val_id"]
        apart = [each for split in SPLITS if split != "val_id" for each in found[split]]
        assert len(set(apart)) == len(apart)
        assert {*found["train"], *found["val_ood"], *found["test_pair"]} == {*every(1), *every(2)}


@pytest.mark.parametrize("orders", ["both", "one"])
@pytest.mark.parametrize("held_out", [4, 6])
def test_each_primitive_is_trained_in_both_places(orders: str, held_out: int) -> None:
    for seed in SEEDS:
        found = drawn(seed, orders=orders, held_out_val=held_out, held_out_test=held_out)
        pairs = [each for each in found["train"] if len(each) == 2]
        assert len(pairs) == 36 - 2 * held_out
        for kind in range(6):
            assert (kind,) in found["train"]
            assert all(sum(each[place] == kind for each in pairs) >= 3 for place in (0, 1))


def test_sets_of_primitives_are_unseen_where_both_orders_are_held_out() -> None:
    for orders, unseen in (("both", True), ("one", False)):
        seen, other = set[int](), set[int]()
        for seed in SEEDS:
            found = drawn(seed, orders=orders)
            trained = {group(each, "multi_hot") for each in found["train"]}
            tested = {group(each, "multi_hot") for split in SPLITS[2:] for each in found[split]}
            seen |= trained & tested
            other |= tested
        assert (not seen) == unseen and other


def test_splits_are_a_function_of_the_seed() -> None:
    assert drawn(3) == drawn(3)
    assert len({drawn(seed).record()["digests"]["test_pair"] for seed in SEEDS}) > 10
    assert drawn(3, val_size=7, params="fixed") == drawn(3)  # not of what else is set


def test_a_record_survives_json_and_says_which_compositions_are_in_a_split() -> None:
    record = drawn().record()
    again = json.loads(json.dumps(record, sort_keys=True))
    splits.check(again)
    assert again["compositions"]["test_len3"] == [list(each) for each in drawn()["test_len3"]]
    assert all("+" in name for name in again["names"]["val_ood"])
    assert splits.digest([(1, 2), (3,)]) == splits.digest([(3,), (1, 2)]) != splits.digest([(2, 1), (3,)])


@pytest.mark.parametrize(("into", "of"), [("train", "test_pair"), ("val_ood", "test_pair"), ("val_id", "test_len3")])
def test_a_leak_in_a_record_is_found(into: str, of: str) -> None:
    leaky = copy.deepcopy(drawn().record())
    leaky["compositions"][into].append(leaky["compositions"][of][0])
    with pytest.raises(ValueError, match=rf"splits.{into} must have the digest [0-9a-f]+, got"):
        splits.check(leaky)
    leaky["digests"][into] = splits.digest(leaky["compositions"][into])
    with pytest.raises(ValueError, match=rf"splits {into} and {of} must be disjoint, got \w+\+"):
        splits.check(leaky)


def test_streams_of_splits_never_meet() -> None:
    first = [splits.stream(7, role, index).random(4).tobytes() for role in STREAMS for index in range(200)]
    assert len(set(first)) == len(first)
    added = [default_rng(base + index).random(4).tobytes() for base in (1000, 1100, 1200) for index in range(200)]
    assert len(set(added)) == 400  # seeds that are added up do meet
    with pytest.raises(ValueError, match=r"role must be one of train, .*, got noise"):
        splits.stream(7, "noise")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"params": "free"}, "task.data.params must be one of sampled, fixed"),
        ({"colours": 2}, "task.data.colours must be >= 3"),
        ({"colours": 65}, "task.data.colours must be <= 64"),
        ({"groups_per_batch": 1}, "task.data.groups_per_batch must be >= 2"),
        ({"held_out_val": 7, "held_out_test": 6}, "held_out_val \\+ held_out_test must be <= 12, got 13"),
        ({"held_out_val": 3}, "task.data.held_out_val must be even with orders=both, got 3; or choose orders=one"),
        ({"length_3": 121}, "task.data.length_3 must be <= 120, got 121"),
        ({"length_4": 361}, "task.data.length_4 must be <= 360"),
        ({"train_size": 0}, "task.data.train_size must be >= 1"),
        ({"buffer": -1}, "task.data.buffer must be >= 0"),
        ({"tries": 0}, "task.data.tries must be >= 1"),
        ({"conditioning": "hints"}, "task.data.conditioning must be one of program, demos, none"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Data(**settings)


def test_programs_are_padded_to_the_longest_that_there_is() -> None:
    cfg = Data()
    assert [cfg.longest, replace(cfg, length_4=1).longest, replace(cfg, length_3=0).longest] == [3, 4, 2]
