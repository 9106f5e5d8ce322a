"""All rows of one seed: the stream to train on, the sets to evaluate on, and rows of one program each.

No (grid, program) of an evaluation set is ever trained on, as a row or as a demonstration.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from math import ceil, lcm
from typing import Any

import torch
from jaxtyping import Int
from numpy.random import Generator
from torch import Tensor

from llcx.tasks.mcl import generate, primitives, programs, splits
from llcx.tasks.mcl.batches import Examples, GroupedBatchSampler, Sample
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.generate import Rows, Wish
from llcx.tasks.mcl.programs import ABSENT, Composition, Program
from llcx.tasks.mcl.splits import Splits

_NOTHING = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class Sets:
    """A function of the settings and of `entropy`, the key of the seed's stream for data."""

    cfg: Data
    entropy: int

    @cached_property
    def rules(self) -> primitives.Rules:
        return primitives.rules(self.cfg)

    @cached_property
    def splits(self) -> Splits:
        return splits.draw(self.cfg, self.entropy)

    @cached_property
    def evaluation(self) -> dict[str, Sample]:
        """Every row of each split but train. Raises ValueError where two splits have a row in common."""
        names = [split for split in self.splits.names if split != "train"]
        found = {split: self._whole(split) for split in names}
        for one, other in combinations(found, 2):
            if torch.isin(fingerprints(found[one]), fingerprints(found[other])).any():
                raise ValueError(f"splits {one} and {other} must have no row in common, got one; choose another seed")
        return found

    @cached_property
    def reserved(self) -> Int[Tensor, " N"]:
        """Fingerprints of all rows that are evaluated on."""
        return torch.cat([_NOTHING, *map(fingerprints, self.evaluation.values())])

    @cached_property
    def train(self) -> Examples:
        """The rows to train on, as many as `task.data.train_size` says."""
        return self._split("train")

    def sampler(self) -> GroupedBatchSampler:
        """Batches of them, from the first one on."""
        cfg = self.cfg
        cycle = self._cycle("train")
        labels = programs.groups(cycle, cfg.group_by)
        endless = cfg.train_size is None
        if cfg.train_size is not None:
            labels = labels[torch.arange(cfg.train_size) % len(cycle)]
        key = int(splits.stream(self.entropy, "order").integers(2**62))
        return GroupedBatchSampler(labels, cfg.groups_per_batch, cfg.samples_per_group, key, endless=endless)

    def episode(self, composition: Composition, index: int, rows: int) -> Sample:
        """Rows of one program of a composition, all different and none of them evaluated on elsewhere."""
        generator = splits.stream(self.entropy, "episodes", index, programs.code(composition))
        program = self._program(composition, generator)
        types, params = (each.expand(rows, -1) for each in program)
        wish = Wish(types, self.cfg.tries, params, self.reserved, distinct=True)
        return self._sample(generate.draw(self.rules, wish, generator), self.reserved, generator)

    def aligned(self, compositions: Sequence[Composition], rows: int, index: int = 0) -> Sample:
        """The same grids under one program of each composition: `rows` rows of the first one, then of the next.

        Steps that change nothing stay.
        """
        generator = splits.stream(self.entropy, "aligned", index)
        grids = generate.base_grids(self.cfg.colours, rows, generator)
        own = [splits.stream(self.entropy, "aligned", index, programs.code(each)) for each in compositions]
        drawn = [self._program(each, stream) for each, stream in zip(compositions, own, strict=True)]
        program = Program(*(torch.cat(parts).repeat_interleave(rows, 0) for parts in zip(*drawn, strict=True)))
        grids = grids.repeat(len(drawn), 1, 1)
        idle = programs.idle(self.rules, grids, program).any(1)
        results = programs.execute(self.rules, grids, program)
        return self._sample(Rows(grids, results, *program, idle), self.reserved, generator)

    def record(self) -> dict[str, Any]:
        """What splits.json holds: compositions, digests of them and of the rows, and how often a step is idle."""
        rows = {split: _digest(fingerprints(found)) for split, found in self.evaluation.items()}
        rates = {
            split: programs.idle_rates(self.rules, found.input, found.program)
            for split, found in self.evaluation.items()
        }
        sizes = {split: len(found.input) for split, found in self.evaluation.items()}
        more = {"entropy": self.entropy, "sizes": {"train": self.cfg.train_size, **sizes}}
        return {**self.splits.record(), "rows": rows, "idle": rates, **more}

    def _whole(self, split: str) -> Sample:
        rows = self._split(split)
        return rows.take(torch.arange(len(rows)))

    def _split(self, split: str) -> Examples:
        size = self._size(split)
        kept = self._kept(size) if self.cfg.buffer is None else self.cfg.buffer
        make = partial(self._chunk, split, self._cycle(split))
        return Examples(make, self.cfg.chunk, size, buffer=kept)

    def _chunk(self, split: str, cycle: Int[Tensor, "P L"], index: int) -> Sample:
        """Rows `index * chunk` and on."""
        size, start = self._size(split), index * self.cfg.chunk
        end = start + self.cfg.chunk
        numbers = torch.arange(start, end if size is None else min(end, size))
        taken = self.reserved if split == "train" else _NOTHING
        generator = splits.stream(self.entropy, split, index)
        wish = Wish(cycle[numbers % len(cycle)], self.cfg.tries, taken=taken)
        return self._sample(generate.draw(self.rules, wish, generator), taken, generator)

    def _kept(self, size: int | None) -> int:
        """Chunks that training comes back to: all, or those that the groups of endless rows are spread over."""
        if size is not None:
            return ceil(size / self.cfg.chunk)
        spread = 2 * self.cfg.samples_per_group * len(self._cycle("train"))
        return 2 + spread // self.cfg.chunk

    def _size(self, split: str) -> int | None:
        if split == "train":
            return self.cfg.train_size
        return self.cfg.val_size if split.startswith("val") else self.cfg.test_size

    def _cycle(self, split: str) -> Int[Tensor, "P L"]:
        """The programs' types of rows 0..P-1, after which they repeat: groups in turn, and in each its compositions."""
        members: dict[int, list[Composition]] = {}
        for each in self.splits[split]:
            label = programs.group(each, self.cfg.group_by) if split == "train" else programs.code(each)
            members.setdefault(label, []).append(each)
        rounds = range(lcm(*map(len, members.values())))
        cycle = [some[turn % len(some)] for turn in rounds for some in members.values()]
        return programs.padded(cycle, self.cfg.longest)

    def _program(self, composition: Composition, generator: Generator) -> Program:
        """One program, [1, L], whose every step does something on some grid."""
        wish = Wish(programs.padded([composition], self.cfg.longest), self.cfg.tries)
        drawn = generate.draw(self.rules, wish, generator)
        return Program(drawn.types, drawn.params)

    def _sample(self, rows: Rows, taken: Int[Tensor, " N"], generator: Generator) -> Sample:
        """Rows with their labels and, with conditioning=demos, with further grids under their own programs."""
        pairs = self.cfg.shown_pairs
        demos_x = demos_y = rows.grids.new_empty(len(rows.grids), pairs, *rows.grids.shape[1:])
        if pairs:
            types, params = (each.repeat_interleave(pairs, 0) for each in (rows.types, rows.params))
            own = generate.fingerprints(rows.grids, rows.types, rows.params)
            wish = Wish(types, self.cfg.tries, params, torch.cat([taken, own]))
            demos = generate.draw(self.rules, wish, generator)
            demos_x, demos_y = (each.view_as(demos_x) for each in (demos.grids, demos.results))
        types, grouping = rows.types, self.cfg.group_by
        identity = (programs.groups(types, grouping), programs.codes(types), (types != ABSENT).sum(1))
        return Sample(*rows[:4], programs.multi_hot(types), *identity, demos_x, demos_y)


def fingerprints(sample: Sample) -> Int[Tensor, " B"]:
    """Of each row, as generate.fingerprints."""
    return generate.fingerprints(sample.input, *sample.program)


def _digest(numbers: Int[Tensor, " N"]) -> str:
    """16 hexadecimal digits that depend on the rows, not on their order."""
    return hashlib.blake2b(numbers.sort().values.numpy().tobytes(), digest_size=8).hexdigest()
