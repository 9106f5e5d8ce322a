"""Batches hold G groups of n rows; groups come evenly, rows once a pass, and a sampler goes on where it stood."""

from collections import Counter
from itertools import islice

import pytest
import torch
from scipy.stats import chisquare

from llcx.tasks.mcl.batches import Examples, GroupedBatchSampler, Sample, loader, shown
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.sets import Sets

LABELS = torch.tensor([5, 7, 9, 7, 5, 11, 13, 5, 9, 11, 13, 13]).repeat(5)
SETS = Sets(Data(train_size=None, val_size=40, test_size=40, chunk=512), 0)


def sampler(
    groups: int = 3, each: int = 4, *, endless: bool = False, weights: list[float] | None = None
) -> GroupedBatchSampler:
    return GroupedBatchSampler(LABELS, groups, each, 1, endless=endless, weights=weights)


def groups_of(rows: list[int]) -> Counter[int]:
    return Counter(int(LABELS[row % len(LABELS)]) for row in rows)


def some_rows(chunk: int, count: int, buffer: int) -> Examples:
    return Examples(SETS.train.make, chunk, count, buffer=buffer)


@pytest.mark.parametrize("endless", [False, True])
def test_a_batch_is_groups_times_samples(endless: bool) -> None:
    for batch in islice(sampler(endless=endless), 50):
        assert sorted(groups_of(batch).values()) == [4, 4, 4]
        assert len(set(batch)) == 12
        assert endless or max(batch) < len(LABELS)


@pytest.mark.parametrize("endless", [False, True])
def test_groups_come_evenly_and_in_no_fixed_company(endless: bool) -> None:
    seen, together = Counter[int](), Counter[tuple[int, ...]]()
    for batch in islice(sampler(endless=endless), 200):
        seen.update(groups_of(batch).keys())
        together[tuple(sorted(groups_of(batch)))] += 1
        assert max(seen.values()) - min(seen[label] for label in (5, 7, 9, 11, 13)) <= 1
    assert set(seen.values()) == {120} and chisquare([*seen.values()]).pvalue > 0.999
    assert len(together) == 10


def test_groups_of_more_weight_come_more_often() -> None:
    seen = Counter[int]()
    for batch in islice(sampler(2, endless=True, weights=[2, 1, 1, 1, 1]), 300):
        seen.update(groups_of(batch).keys())
    assert seen == {5: 200, 7: 100, 9: 100, 11: 100, 13: 100}
    assert chisquare([*seen.values()]).pvalue < 1e-9


def test_each_pass_over_a_group_has_each_of_its_rows_at_most_once_in_a_new_order() -> None:
    rows = [row for batch in islice(sampler(5, 2), 40) for row in batch]
    for label, size in ((5, 15), (7, 10), (13, 15)):
        own = [row for row in rows if LABELS[row] == label]
        length = size // 2 * 2
        passes = [own[start : start + length] for start in range(0, len(own) - length, length)]
        assert len(passes) >= 4 and all(len(set(each)) == length for each in passes)
        assert passes[0] != passes[1] and set(own) == {row for row, own in enumerate(LABELS.tolist()) if own == label}


def test_endless_rows_come_once_and_without_gaps() -> None:
    rows = [row for batch in islice(sampler(5, 3, endless=True), 40) for row in batch]
    assert len(set(rows)) == len(rows)
    for label in (5, 7, 9, 11, 13):
        own = sorted(row for row in rows if LABELS[row % len(LABELS)] == label)
        expected = [row for row in range(max(rows) + 1) if LABELS[row % len(LABELS)] == label]
        assert own == expected[: len(own)]


@pytest.mark.parametrize("endless", [False, True])
def test_a_sampler_goes_on_where_it_stood(endless: bool) -> None:
    whole = sampler(endless=endless)
    expected = [next(whole) for _ in range(40)]
    first = sampler(endless=endless)
    assert [next(first) for _ in range(17)] == expected[:17]
    state = first.state_dict()
    for _ in range(5):
        next(first)  # the state is a copy
    second = sampler(endless=endless)
    second.load_state_dict(state)
    assert second.step == 17 and [next(second) for _ in range(23)] == expected[17:]
    assert [next(sampler(endless=endless)) for _ in range(2)] != expected[17:19]


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(ValueError, match="groups_per_batch must be <= 5, the groups there are, got 6"):
        sampler(6)
    with pytest.raises(ValueError, match=r"samples_per_group must be <= 10, .* got 11; raise task.data.train_size"):
        sampler(2, 11)
    sampler(2, 11, endless=True)
    with pytest.raises(ValueError, match="weights must be 5 positive numbers, none above 1/3 of their sum"):
        sampler(3, weights=[9, 1, 1, 1, 1])
    with pytest.raises(ValueError, match="visits must be of 5 groups, got 4; the splits have changed"):
        sampler().load_state_dict({"visits": torch.zeros(4)})


def test_labels_that_are_known_before_are_those_of_the_rows() -> None:
    batches, examples = SETS.sampler(), SETS.train
    for rows in islice(batches, 20):
        found = examples.take(torch.tensor(rows))
        assert sorted(Counter(found.group_id.tolist()).values()) == [32] * 4
        assert found.group_id.view(4, 32).eq(found.group_id.view(4, 32)[:, :1]).all()


def test_rows_are_the_same_whatever_is_kept() -> None:
    rows = torch.tensor([700, 3, 1500, 3, 512, 511, 0, 1024])
    kept, thrown, one = (some_rows(512, 2000, buffer) for buffer in (4, 0, 1))
    for _ in range(2):
        found = [examples.take(rows) for examples in (kept, thrown, one)]
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    assert [len(examples._ring) for examples in (kept, thrown, one)] == [3, 0, 1]
    assert torch.equal(found[0].input[1], found[0].input[3])


def test_rows_come_in_the_order_asked_for_one_by_one_or_together() -> None:
    examples = some_rows(512, 2000, 4)
    rows = [1500, 2, 700]
    together = examples.__getitems__(rows)
    for place, row in enumerate(rows):
        assert all(torch.equal(a, b[place]) for a, b in zip(examples[row], together, strict=True))
    assert len(examples) == 2000 and examples[2].input.shape == (8, 8) and examples[2].input.dtype == torch.int64
    assert together.at(slice(0, 2)).target.shape == (2, 8, 8)
    with pytest.raises(IndexError, match=r"rows must be in 0..1999, got 5..2000"):
        examples.take(torch.tensor([2000, 5]))
    with pytest.raises(TypeError, match="these rows have no end"):
        len(SETS.train)


def check_loader(workers: int) -> None:
    batches = islice(loader(SETS.train, SETS.sampler(), workers=workers), 4)
    for found, rows in zip(batches, SETS.sampler(), strict=False):
        assert isinstance(found, Sample)
        assert all(torch.equal(a, b) for a, b in zip(found, SETS.train.take(torch.tensor(rows)), strict=True))


def test_torchs_loader_gives_the_same_batches() -> None:
    check_loader(0)


@pytest.mark.slow
def test_torchs_loader_gives_the_same_batches_with_a_worker() -> None:
    check_loader(1)


def test_a_program_is_shown_only_where_it_conditions() -> None:
    batch = SETS.train.take(torch.arange(40))
    assert torch.equal(shown(batch, "program").types, batch.program_type)
    for hidden in ("demos", "none"):
        assert all(bool((each == -1).all()) for each in shown(batch, hidden))
    with pytest.raises(ValueError, match="conditioning must be program, demos or none, got hints"):
        shown(batch, "hints")
