"""A group of members, and what its training left of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx.tasks.parity import course, together
from llcx.tasks.parity.ensemble import Ensemble
from llcx.tasks.parity.kernels import Layerwise, blocks
from llcx.tasks.parity.schema import Parity
from llcx.tasks.parity.together import Arm
from llcx.types import Snapshots, State

Row = dict[str, Any]


class Group(NamedTuple):
    """Members that are one training."""

    name: str
    cfg: Parity
    coords: Mapping[str, Any]  # of the axes
    arms: Sequence[Arm]

    def about(self, arm: Arm) -> Row:
        """The columns that say whose row it is."""
        cfg = self.cfg
        which = {"training": self.name, "member": arm.name, "seed": arm.streams.seed, "h": cfg.model.h}
        scales = {"alpha": arm.alpha, "alpha_reduced": cfg.model.reduced(arm.alpha)}
        return {**which, **scales, "encoding": cfg.data.encoding, "bias_column": cfg.data.bias_column}


class Trained(NamedTuple):
    """A group and the snapshots that its training left."""

    group: Group
    ensemble: Ensemble
    states: Mapping[str, Mapping[int, State]]  # moment -> member -> snapshot

    def at(self, moment: str, members: Sequence[int]) -> Tensor:
        """Weights [m, P] of members at a moment that they have."""
        return torch.stack([torch.as_tensor(self.states[moment][i]["w"]) for i in members])


def left(group: Group, snapshot: Snapshots) -> Trained | None:
    """None where not even the start was kept."""
    states: dict[str, dict[int, State]] = {}
    for moment in ("init", *course.milestones(group.cfg.fit), "final"):
        kept = {i: snapshot(group.name, course.role(moment, arm.name)) for i, arm in enumerate(group.arms)}
        states[moment] = {i: state for i, state in kept.items() if state is not None}
    if len(states["init"]) < len(group.arms):
        return None
    return Trained(group, together.ensemble(group.cfg, group.arms), states)


def gram(cfg: Parity, some: Ensemble, w: Tensor, rows: int) -> Tensor:
    """Theta [m, R, R] of members at weights w [m, P], on their first training rows."""
    x = some.data.x_train[:, :rows]
    return blocks(source(cfg), w, x, x[:, :0], tete=False).trtr


def source(cfg: Parity) -> Layerwise:
    """Gradients of the study's network."""
    return Layerwise(together.network(cfg))
