"""Rows as a torch Dataset, and batches of several groups that go on for ever.

Row r has composition `cycle[r % P]`, so what a row is labelled is known before it is drawn. Rows are drawn in chunks,
each a function of (seed, split, chunk) alone; a ring of chunks is kept, which changes no row.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from llcx import rng
from llcx.tasks.mcl.programs import ABSENT, Program
from llcx.types import State

UNSEEN = ("demos", "none")  # conditionings that do not show the program


class Sample(NamedTuple):
    """One row, or a batch of them."""

    input: Int[Tensor, "*B 8 8"]
    target: Int[Tensor, "*B 8 8"]
    program_type: Int[Tensor, "*B L"]  # -1: no such step
    program_param: Int[Tensor, "*B L"]
    primitives: Float[Tensor, "*B 6"]  # multi-hot
    group_id: Int[Tensor, "*B"]
    composition_id: Int[Tensor, "*B"]  # its code, the same in every split
    length: Int[Tensor, "*B"]
    demos_x: Int[Tensor, "*B K 8 8"]  # further grids, and what the row's own program makes of them
    demos_y: Int[Tensor, "*B K 8 8"]

    @property
    def program(self) -> Program:
        return Program(self.program_type, self.program_param)

    def at(self, rows: Tensor | slice) -> "Sample":
        """Some rows of a batch."""
        return Sample(*(leaf[rows] for leaf in self))


def shown(batch: Sample, conditioning: str) -> Program:
    """What a model may see of the programs: all, or with conditioning=demos or none nothing.

    Raises ValueError for a conditioning that there is not.
    """
    if conditioning == "program":
        return batch.program
    if conditioning in UNSEEN:
        return Program(*(torch.full_like(each, ABSENT) for each in batch.program))
    raise ValueError(f"task.data.conditioning must be program, {' or '.join(UNSEEN)}, got {conditioning}")


class Examples(Dataset[Sample]):
    """Rows 0, 1, .. of a split; `total` None: for ever."""

    def __init__(self, make: Callable[[int], Sample], chunk: int, total: int | None, *, buffer: int) -> None:
        self.make, self.chunk, self.total, self.buffer = make, chunk, total, buffer
        self._ring: OrderedDict[int, Sample] = OrderedDict()

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("these rows have no end; set task.data.train_size, or take as many as you want")
        return self.total

    def __getitem__(self, row: int) -> Sample:
        return Sample(*(leaf[0] for leaf in self.take(torch.tensor([row]))))

    def __getitems__(self, rows: Sequence[int]) -> Sample:
        return self.take(torch.as_tensor(rows))

    def take(self, rows: Int[Tensor, " B"]) -> Sample:
        """Those rows, in that order. Raises IndexError for a row that there is not."""
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < (self.total or torch.inf):
            raise IndexError(f"rows must be in 0..{(self.total or torch.inf) - 1}, got {rows.min()}..{rows.max()}")
        chunks, place = rows // self.chunk, rows % self.chunk
        found, order = [], []
        for index in chunks.unique().tolist():
            here = (chunks == index).nonzero().squeeze(1)
            found.append(self._chunk(index).at(place[here]))
            order.append(here)
        back = torch.cat(order).argsort()
        return Sample(*(_wide(torch.cat(parts)[back]) for parts in zip(*found, strict=True)))

    def _chunk(self, index: int) -> Sample:
        made = self._ring[index] if index in self._ring else self.make(index)
        if self.buffer and index not in self._ring:
            self._ring[index] = made
            if len(self._ring) > self.buffer:
                self._ring.popitem(last=False)
        return made


class GroupedBatchSampler:
    """Row numbers of batches: G different groups, n rows of each, for ever.

    At every step the groups that were visited least are next (with `weights`: least for their weight), ties broken at
    random, so that counts of visits differ by one at most. A group's rows come pass after pass, each pass in an order
    of its own; where rows are endless they come in turn, and none comes twice. Which rows come next is a function of
    (key, visits).
    """

    def __init__(
        self,
        labels: Int[Tensor, " N"],
        groups_per_batch: int,
        samples_per_group: int,
        key: int,
        *,
        endless: bool = False,
        weights: Sequence[float] | None = None,
    ) -> None:
        """labels: the group of every row; of endless ones those of one cycle, which then repeats.

        Raises ValueError where there are too few groups, rows of a group, or a group would have to come twice a batch.
        """
        self.groups, counts = labels.unique(return_counts=True)
        self.groups_per_batch, self.samples_per_group, self.key, self.endless = (
            groups_per_batch,
            samples_per_group,
            key,
            endless,
        )
        self.cycle = len(labels)
        self.members = [(labels == group).nonzero().squeeze(1) for group in self.groups]
        self.visits = torch.zeros(len(self.groups), dtype=torch.int64)
        self.weights = torch.tensor([1.0] * len(self.groups) if weights is None else list(weights), dtype=torch.float64)
        self._orders: dict[int, tuple[int, Tensor]] = {}  # group -> (pass, its order)
        self._check(int(counts.min()))

    def __iter__(self) -> "GroupedBatchSampler":
        return self

    def __next__(self) -> list[int]:
        rows = torch.cat([self._rows(int(group)) for group in self._next_groups()])
        return [int(row) for row in rows]

    def state_dict(self) -> State:
        return {"visits": self.visits.clone()}

    def load_state_dict(self, state: State) -> None:
        """Raises ValueError where it is the state of other groups."""
        visits = torch.as_tensor(state["visits"])
        if visits.shape != self.visits.shape:
            raise ValueError(f"visits must be of {len(self.visits)} groups, got {len(visits)}; the splits have changed")
        self.visits = visits.clone()

    @property
    def step(self) -> int:
        """Batches so far."""
        return int(self.visits.sum()) // self.groups_per_batch

    def _next_groups(self) -> Int[Tensor, " G"]:
        ties = rng.counter_uniform(self.key, torch.tensor([self.step]), len(self.groups))[0]
        chosen = ((self.visits + ties) / self.weights).argsort()[: self.groups_per_batch]
        return chosen

    def _rows(self, group: int) -> Int[Tensor, " n"]:
        """The next rows of a group, which is then visited once more."""
        members, n = self.members[group], self.samples_per_group
        visit = int(self.visits[group])
        self.visits[group] += 1
        if self.endless:
            turn = visit * n + torch.arange(n)
            return members[turn % len(members)] + turn // len(members) * self.cycle
        again, place = divmod(visit, len(members) // n)
        return members[self._order(group, again)[place * n : (place + 1) * n]]

    def _order(self, group: int, again: int) -> Int[Tensor, " N"]:
        known = self._orders.get(group)
        if known is None or known[0] != again:
            row = torch.tensor([-1 - group - again * len(self.groups)])  # steps have the rows from 0 on
            order = rng.counter_uniform(self.key, row, len(self.members[group]))[0].argsort()
            known = self._orders[group] = (again, order)
        return known[1]

    def _check(self, fewest: int) -> None:
        if self.groups_per_batch > len(self.groups):
            raise ValueError(
                f"task.data.groups_per_batch must be <= {len(self.groups)}, the groups there are, "
                f"got {self.groups_per_batch}"
            )
        if not self.endless and self.samples_per_group > fewest:
            raise ValueError(
                f"task.data.samples_per_group must be <= {fewest}, the rows of the smallest group, "
                f"got {self.samples_per_group}; raise task.data.train_size"
            )
        share = self.weights * self.groups_per_batch / self.weights.sum()
        if len(self.weights) != len(self.groups) or not (self.weights > 0).all() or float(share.max()) > 1 + 1e-9:
            raise ValueError(
                f"weights must be {len(self.groups)} positive numbers, none above 1/{self.groups_per_batch} of their "
                f"sum, got {self.weights.tolist()}; a group comes once a batch at most"
            )


def loader(examples: Examples, sampler: GroupedBatchSampler, *, workers: int = 0) -> DataLoader[Sample]:
    """Batches as torch's DataLoader; with workers the sampler runs ahead of what has been seen."""
    return DataLoader(examples, batch_sampler=sampler, collate_fn=_as_it_is, num_workers=workers)  # type: ignore[arg-type]


def _as_it_is(batch: Sample) -> Sample:
    return batch


def _wide(leaf: Tensor) -> Tensor:
    """Whole numbers are int64 outside of chunks."""
    return leaf if leaf.is_floating_point() else leaf.long()
