"""task=parity: ensembles of networks, and a point for each member at each moment that is asked about.

Members of one width and one encoding are trained together: one Training, whose snapshots are `moment/member`. The model
of a point is p(y | x) = sigmoid(F y), F = alpha (f(w, x) - f(w0, x)).
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import torch

from llcx import rng
from llcx.likelihoods import Bernoulli
from llcx.params import with_weights
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.generic import combinations, held_gamma, with_value
from llcx.tasks.parity import bisection, course, data, kinds, tables, together
from llcx.tasks.parity.schema import Network, Parity, Strings
from llcx.tasks.parity.together import Arm
from llcx.tasks.parity.trained import Group
from llcx.types import Data, Known, Point, Snapshots, Spec, State, StatModel, Streams, Study, Tables, Training

APART = {"h": "model.h", "encoding": "data.encoding", "bias_column": "data.bias_column"}  # what is trained apart
SURE = ("init", "final")  # moments that no training misses


class Place(NamedTuple):
    """Where the point of a Spec stands."""

    group: Group
    arm: Arm


@TASKS.register("parity", Parity)
class ParityTask:
    """Seeds x alphas of each width and encoding. Raises ValueError for settings that nothing can have."""

    def __init__(self, cfg: Parity, streams: Streams) -> None:
        _check_kernels(cfg)
        self.name, self.cfg = cfg.name, cfg
        self.groups = tuple(_group(cfg, streams, values) for values in combinations(cfg, APART))
        self._places = {spec.name: (spec, place) for group in self.groups for spec, place in _specs(group)}

    def trainings(self) -> tuple[Training, ...]:
        made = together.training if self.cfg.search.change is None else bisection.training
        return tuple(made(group.name, group.cfg, group.arms) for group in self.groups)

    def points(self) -> tuple[Spec, ...]:
        return tuple(spec for spec, _ in self._places.values())

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        """Raises ValueError where the snapshot is missing."""
        group, arm = self._places[spec.name][1]
        if snapshot is None:
            raise ValueError(f"point {spec.name} needs the snapshot {spec.role} of training {spec.training}, got none")
        model = build_model(group.cfg, arm.streams, arm.alpha)
        module = with_weights(model.module, torch.as_tensor(snapshot["w"]))
        at = StatModel(module, model.nll, model.kl, root=model.root)
        rows = build_data(group.cfg, arm.strings or arm.streams)
        return Point(spec.name, spec.coords, at, rows, Known(), "self", wishes=held_gamma(model.module))

    def studies(self) -> tuple[Study, ...]:
        return ()

    def analyse(self, rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
        del rows
        return tables.analyse(self.groups, snapshot)


@MODELS.register("fully_connected", Network)
def build_model(cfg: Parity, streams: Streams, alpha: float | None = None) -> StatModel:
    """The model where its training starts."""
    net, likelihood = together.network(cfg), Bernoulli()
    w0 = net.initial(streams.generator("weights"))
    module = net.module(w0, cfg.model.alpha if alpha is None else alpha)
    return StatModel(module, likelihood, likelihood.kl, root=likelihood.root)


@DATA.register("strings", Strings)
def build_data(cfg: Parity, streams: Streams) -> Data:
    """What the learning coefficient is measured on: the training rows, or all strings with equal weights."""
    found = data.draw(cfg.data, streams)
    if cfg.data.mode == "data":
        x, y = found.x_train, found.y_train
    else:
        x, y = data.every(cfg.data, found.support)
    return Data((x, (y + 1) / 2), len(y), cfg.data.mode)


def _check_kernels(cfg: Parity) -> None:
    """Raise ValueError for a kernel of no kind, or of a moment that the training does not keep."""
    kept = {"init", "final", *course.milestones(cfg.fit)}
    for kind in cfg.kernel.kinds:
        for moment in kinds.roles(kind):
            if moment not in kept:
                share = moment.partition("=")[2]
                raise ValueError(
                    f"task.fit.losses must hold {share} for task.kernel.kinds={kind}, got {list(cfg.fit.losses)}"
                )


def _group(cfg: Parity, streams: Streams, values: dict[str, Any]) -> Group:
    for key, value in values.items():
        cfg = with_value(cfg, APART[key], value)
    name = ",".join([cfg.name, *(f"{key}={value}" for key, value in values.items())])
    return Group(name, cfg, values, tuple(_arms(cfg, streams)))


def _arms(cfg: Parity, streams: Streams) -> Iterator[Arm]:
    """Of one seed, all have the same strings and the same initial weights."""
    for seed, values in product(range(cfg.seeds), combinations(cfg, {"alpha": "model.alpha"})):
        own = streams if seed == 0 else rng.streams(streams.seed + seed)
        named = ({"seed": own.seed} if cfg.seeds > 1 else {}) | {key: f"{value:g}" for key, value in values.items()}
        name = ",".join(f"{key}={value}" for key, value in named.items())
        yield Arm(name, values.get("alpha", cfg.model.alpha), own, streams if cfg.data.fixed else None)


def _specs(group: Group) -> Iterator[tuple[Spec, Place]]:
    for arm, moment in product(group.arms, moments(group.cfg)):
        name = ",".join(part for part in (group.name, arm.name, moment) if part)
        coords = _coords(group, arm) | {"moment": moment}
        sure = moment in SURE
        yield Spec(name, coords, group.name, course.role(moment, arm.name), "moment", sure), Place(group, arm)


def moments(cfg: Parity) -> Sequence[str]:
    """Those asked for; `margin` is `final` where the training ends there."""
    ends = cfg.fit.stop.margin == cfg.loss.margin and "final" in cfg.moments
    return [moment for moment in cfg.moments if not (ends and moment == "margin")]


def _coords(group: Group, arm: Arm) -> dict[str, float | int | str]:
    cfg = group.cfg
    found: dict[str, float | int | str] = {"d": cfg.data.d, "k": cfg.data.k, "h": cfg.model.h, "alpha": arm.alpha}
    found |= {"alpha_reduced": cfg.model.reduced(arm.alpha)}
    found |= {key: str(value) for key, value in group.coords.items() if key != "h"}
    return found | ({"seed": arm.streams.seed} if cfg.seeds > 1 else {})
