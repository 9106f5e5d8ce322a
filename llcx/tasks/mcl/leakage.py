"""Whether anything that is evaluated on was trained on: looked for once more, cell by cell."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

import torch

from llcx.tasks.mcl.batches import Sample
from llcx.tasks.mcl.programs import code
from llcx.tasks.mcl.sets import Sets

MOST = 20_000  # rows of the training stream that are looked at

Whole = set[bytes]  # grids with their programs


@lru_cache(maxsize=2)  # a study goes through the arms of one seed, then of the next
def overlap(sets: Sets) -> int:
    """Rows that are in two splits, demonstrations counted, and training rows of a composition that is held out."""
    evaluated = {split: set(_whole(sample)) for split, sample in sets.evaluation.items()}
    found = sum(len(one & other) for one, other in combinations(evaluated.values(), 2))
    taken = set[bytes]().union(*evaluated.values())
    apart = {code(each) for split in evaluated if split != "val_id" for each in sets.splits[split]}
    for sample in _training(sets):
        found += len(taken & set(_whole(sample))) + sum(each in apart for each in sample.composition_id.tolist())
    return found


def _training(sets: Sets) -> Iterator[Sample]:
    most = MOST if sets.cfg.train_size is None else min(MOST, sets.cfg.train_size)
    return (sets.train.take(rows) for rows in torch.arange(most).split(sets.cfg.chunk))


def _whole(sample: Sample) -> Iterator[bytes]:
    """Of rows, and of their demonstrations under the same programs."""
    program = torch.stack(sample.program, 2).flatten(1)
    pairs = sample.demos_x.shape[1]
    grids = [sample.input, *(sample.demos_x[:, pair] for pair in range(pairs))]
    for each in grids:
        yield from map(bytes, torch.cat([each.flatten(1), program], 1).to(torch.int8).numpy())
