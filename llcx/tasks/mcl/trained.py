"""An arm of a study and the machine that its training left: what tables are made from."""

from collections.abc import Iterator
from math import isfinite, nan
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from llcx.course import ROLE
from llcx.tasks.generic import Arm
from llcx.tasks.mcl import schema
from llcx.tasks.mcl.batches import Sample
from llcx.tasks.mcl.built import inputs, machine_of, sets_of
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.programs import decoded, name
from llcx.tasks.mcl.prompts import trimmed
from llcx.tasks.mcl.sets import Sets
from llcx.types import Snapshots, State, Streams

Row = dict[str, Any]
ABOUT = ("training", "arm", "seed", "alpha", "k", "encoder")
CHUNK = 512  # rows that a machine sees at once


class Course(NamedTuple):
    """What a training told along its way (llcx.course)."""

    state: State

    def values(self, name: str) -> list[float]:
        """At its events; nothing where it did not tell that."""
        return [float(value) for value in torch.as_tensor(self.state.get(name, ())).flatten()]

    def told(self, name: str) -> list[float]:
        """Those values that are numbers."""
        return [value for value in self.values(name) if isfinite(value)]

    def last(self, name: str) -> float:
        return (self.told(name) or [nan])[-1]

    def least(self, name: str) -> float:
        return min(self.told(name), default=nan)


class Trained(NamedTuple):
    """A machine in evaluation mode, none of whose weights may move, and the rows of its seed."""

    about: Row  # whose it is: the columns ABOUT
    cfg: schema.MCL  # its arm applied
    streams: Streams
    machine: Machine
    sets: Sets
    course: Course

    @property
    def name(self) -> str:
        return str(self.about["training"])

    @property
    def coded(self) -> bool:
        """Whether its autoencoder was trained."""
        return self.cfg.weights.beta > 0

    @property
    def unseen(self) -> str:
        """The split of compositions that it was never trained on."""
        return "test_len3" if self.sets.splits["test_len3"] else "test_pair"

    def predicted(self, sample: Sample) -> Int[Tensor, "B 8 8"]:
        """The most probable colours; rows of one length together, which takes less time."""
        found = torch.empty(sample.target.shape, dtype=torch.int64)
        for length in sample.length.unique().tolist():
            for rows in (sample.length == length).nonzero().squeeze(1).split(CHUNK):
                found[rows] = self._predicted(sample.at(rows))
        return found

    def blocks(self, sample: Sample) -> Iterator[Sample]:
        """Rows that a machine sees at once."""
        return (sample.at(rows) for rows in torch.arange(len(sample.input)).split(CHUNK))

    @torch.no_grad()
    def _predicted(self, sample: Sample) -> Int[Tensor, "B 8 8"]:
        return self.machine.predict(trimmed(inputs(sample, self.cfg.data.conditioning))).argmax(1)


def about(arm: Arm) -> Row:
    """The columns ABOUT. arm: its name, then its values of other axes, of which the study has several."""
    cfg = schema.applied(arm.cfg)
    own = {"alpha": arm.cfg.weights.alpha, "k": arm.cfg.share.k, "encoder": arm.cfg.model.encoder}
    several = [axis for axis in own if axis in arm.coords and len(getattr(arm.cfg.grid, axis)) > 1]
    swept = [f"{axis}={own[axis]}" for axis in several]
    whose = (arm.name, ",".join([arm.cfg.arm, *swept]), arm.streams.seed)
    return dict(zip(ABOUT, (*whose, cfg.weights.alpha, cfg.share.k, cfg.model.encoder), strict=True))


def left(arm: Arm, snapshot: Snapshots) -> Trained | None:
    """What an arm's training left, at its best where it was ever evaluated; None where it did not come to its end."""
    final = snapshot(arm.name, "final")
    if final is None:
        return None
    best = snapshot(arm.name, "best")
    machine = machine_of(arm.cfg, arm.streams)
    machine.load_state_dict(final if best is None else best)
    course = Course(snapshot(arm.name, ROLE) or {})
    machine = machine.eval().requires_grad_(False)
    return Trained(about(arm), schema.applied(arm.cfg), arm.streams, machine, sets_of(arm.cfg, arm.streams), course)


def named(code: int) -> str:
    """The name of a composition, of its code."""
    return name(decoded(code))
