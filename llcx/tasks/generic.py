"""What every simple task shares: the axes of a study, its trainings and its points.

A task gives functions of (configuration, streams), as a Recipe; the rest is supplied. The configuration is a frozen
record with `seeds`, a record `grid` of lists, and, for trained models, `fit` (llcx.fit.Fit).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import partial
from itertools import product
from math import nan
from typing import Any, NamedTuple, cast

from torch import nn

from llcx import rng
from llcx.course import Watch
from llcx.fit import Objective, empirical, training
from llcx.params import flatten
from llcx.theory import RLCT
from llcx.types import Data, Known, Point, Snapshots, Spec, State, StatModel, Streams, Study, Tables, Training

Coords = Mapping[str, float | int | str]


class Arm(NamedTuple):
    """One problem of a study: the configuration with its own values in place, and its own streams."""

    name: str
    coords: Coords
    cfg: Any
    streams: Streams


@dataclass(frozen=True)
class Recipe:
    """A task as functions of (cfg, streams); `model` and `data` are all that a simple one needs."""

    model: Callable[[Any, Streams], StatModel]  # its module at the initial weights, or at w* where nothing is trained
    data: Callable[[Any, Streams], Data]
    axes: Mapping[str, str] = field(default_factory=dict)  # key of cfg.grid -> dotted field of cfg that it sets
    called: Mapping[str, str] = field(default_factory=dict)  # axes whose coordinate has another name than their key
    views: Mapping[str, str] = field(default_factory=dict)  # the same for fields that no training depends on
    replicas: Callable[[Any, Streams], Iterator[Arm]] | None = None  # several problems of one configuration
    coords: Callable[[Any, Streams], Coords] | None = None  # integers and names, cheap
    trained: Callable[[Any], bool] = lambda cfg: hasattr(cfg, "fit")
    objective: Callable[[Any, Streams], Objective] | None = None  # None: the mean nll over the data
    finish: Callable[[Any, Streams, StatModel, Data], StatModel] | None = None  # adds what depends on w*: closed forms
    known: Callable[[Any, Streams, nn.Module], Known] | None = None
    restricted: Callable[[Any, Streams, nn.Module, frozenset[str]], Known] | None = (
        None  # some parameters sampled alone
    )
    target: Callable[[Any], str] | None = None  # None: self for the checkpoints of a training, data otherwise
    moments: Callable[[Any], Sequence[str]] | None = None  # snapshots of a training that are points; None: all of them
    watch: Callable[[Any, Streams], Watch] | None = None  # what a training tells of itself; it may then end early
    wishes: Callable[[Any, Streams], Mapping[str, Any]] | None = None  # of a point: Point.wishes
    analyse: Callable[[list[dict[str, Any]], Snapshots], Tables] | None = None
    alike: Callable[[Any], Any] | None = None  # configurations of one seed that are equal under it are one arm,
    # which is named without the axes that they differ in


@dataclass(frozen=True)
class AtTemperature:
    """The expected estimate at n*beta, up to O(1 / log^2); gamma's shrinkage is not in it."""

    rlct: RLCT

    def __call__(self, nbeta: float, gamma: float) -> float:
        del gamma
        return self.rlct.at(nbeta) if nbeta > 1 else nan


class GenericTask:
    """Seeds x replicas x axes, a training for each arm that needs one, a point for each of its snapshots and views.

    Streams depend on (seed, role), never on an axis's value, so that arms are paired by their seed. Raises ValueError,
    before anything is built, where a combination of axes is not a valid configuration.
    """

    def __init__(self, cfg: Any, streams: Streams, recipe: Recipe) -> None:
        self.name, self.cfg, self.streams, self.recipe = str(cfg.name), cfg, streams, recipe
        self.arms = {arm.name: arm for arm in self._arms()}
        self._points = {spec.name: (spec, view) for arm in self.arms.values() for spec, view in self._specs(arm)}

    def trainings(self) -> tuple[Training, ...]:
        return tuple(self._training(arm) for arm in self.arms.values() if self.recipe.trained(arm.cfg))

    def points(self) -> tuple[Spec, ...]:
        return tuple(spec for arm in self.arms.values() for spec, _ in self._specs(arm))

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        """Raises ValueError where a trained point comes without its snapshot."""
        cfg, streams = self._points[spec.name][1][2:]
        recipe = self.recipe
        model, data = recipe.model(cfg, streams), recipe.data(cfg, streams)
        if spec.training is not None:
            if snapshot is None:
                raise ValueError(
                    f"point {spec.name} needs the snapshot {spec.role} of training {spec.training}, got none"
                )
            model.module.load_state_dict(snapshot)
        if recipe.finish is not None:
            model = recipe.finish(cfg, streams, model, data)
        known = Known() if recipe.known is None else recipe.known(cfg, streams, model.module)
        restricted = None if recipe.restricted is None else partial(recipe.restricted, cfg, streams, model.module)
        wishes = {} if recipe.wishes is None else recipe.wishes(cfg, streams)
        return Point(spec.name, spec.coords, model, data, known, self._target(cfg, spec), restricted, wishes)

    def _target(self, cfg: Any, spec: Spec) -> str:
        if self.recipe.target is not None:
            return self.recipe.target(cfg)
        return "self" if spec.training is not None and cfg.fit.checkpoints else "data"

    def studies(self) -> tuple[Study, ...]:
        return ()

    def analyse(self, rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
        return Tables() if self.recipe.analyse is None else self.recipe.analyse(rows, snapshot)

    def _training(self, arm: Arm) -> Training:
        model, objective = self.recipe.model, self.recipe.objective
        cfg, streams = arm.cfg, arm.streams

        def aim() -> Objective:
            if objective is not None:
                return objective(cfg, streams)
            return empirical(model(cfg, streams), self.recipe.data(cfg, streams))

        watch = None if self.recipe.watch is None else partial(self.recipe.watch, cfg, streams)
        return training(arm.name, lambda: model(cfg, streams).module, aim, cfg.fit, streams, watch=watch)

    def _specs(self, arm: Arm) -> Iterator[tuple[Spec, Arm]]:
        """One point a view, of the arm itself or of each of its snapshots; with it the arm as this view sees it."""
        trained, certain = self.recipe.trained(arm.cfg), self.recipe.watch is None
        moments = self._moments(arm.cfg) if trained else [("", 0)]
        moving = arm.cfg.fit.unit if trained and arm.cfg.fit.checkpoints else ""
        for (role, moment), values in product(moments, combinations(self.cfg, self.recipe.views)):
            view = arm
            if trained and arm.cfg.fit.checkpoints:
                moved = {**arm.coords, arm.cfg.fit.unit: moment}
                view = arm._replace(name=f"{arm.name},{role}", coords=moved)
            view = _with(view, values, self.recipe.views)
            yield Spec(view.name, view.coords, *((arm.name, role, moving, certain) if trained else ())), view

    def _moments(self, cfg: Any) -> list[tuple[str, int]]:
        """Snapshots that are points, in time."""
        asked = None if self.recipe.moments is None else self.recipe.moments(cfg)
        return [(role, moment) for role, moment in cfg.fit.moments() if asked is None or role in asked]

    def _arms(self) -> Iterator[Arm]:
        for seed in range(self.cfg.seeds):
            for replica in self._replicas(seed):
                for values in self._distinct(replica.cfg):
                    yield self._arm(replica, values)

    def _distinct(self, cfg: Any) -> Iterator[Coords]:
        """Choices of values that make arms of their own, without those that make no difference."""
        alike, axes = self.recipe.alike, self.recipe.axes
        every = combinations(self.cfg, axes)  # a replica's own grid may be empty
        if alike is None:
            return every
        found: list[tuple[Any, list[Coords]]] = []
        for values in every:
            seen = alike(_with_values(cfg, values, axes))
            members = next((some for other, some in found if other == seen), None)
            if members is None:
                found.append((seen, [values]))
            else:
                members.append(values)
        return (shared(members) for _, members in found)

    def _replicas(self, seed: int) -> Iterator[Arm]:
        """Seed k of a study is the study of seed + k."""
        streams = self.streams if seed == 0 else cast(Streams, rng.streams(self.streams.seed + seed))
        if self.recipe.replicas is not None:
            return self.recipe.replicas(self.cfg, streams)
        return iter([Arm(self.name, {}, self.cfg, streams)])

    def _arm(self, replica: Arm, values: Coords) -> Arm:
        arm = _with(replica, values, self.recipe.axes)
        own = {} if self.recipe.coords is None else self.recipe.coords(arm.cfg, arm.streams)
        named = {self.recipe.called.get(key, key): value for key, value in values.items()}
        arm = arm._replace(coords={**replica.coords, **own, **named})
        if self.cfg.seeds == 1:
            return arm
        seed = arm.streams.seed
        return arm._replace(name=f"{arm.name},seed={seed}", coords={**arm.coords, "seed": seed})


def held_gamma(start: nn.Module) -> dict[str, float]:
    """10 P / |w0|^2, calibration's own at the start of a training: held along it, it is the model that changes."""
    w0 = flatten(start)
    return {"gamma": 10 * len(w0) / float(w0.double().square().sum())}


def combinations(cfg: Any, axes: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Every choice of one value an axis, of the axes that have values, each of them different."""
    found = {key: list(getattr(cfg.grid, key)) for key in axes if getattr(cfg.grid, key)}
    for key, values in found.items():
        if len(set(values)) < len(values):
            raise ValueError(f"task.grid.{key} must hold different values, got {values}")
    return (dict(zip(found, values, strict=True)) for values in product(*found.values()))


def _with(arm: Arm, values: Coords, axes: Mapping[str, str]) -> Arm:
    """The arm at `values` of the axes, which its name and its coordinates then say."""
    cfg = _with_values(arm.cfg, values, axes)
    name = ",".join([arm.name, *(f"{key}={value}" for key, value in values.items())])
    return arm._replace(name=name, coords={**arm.coords, **values}, cfg=cfg)


def _with_values(cfg: Any, values: Coords, axes: Mapping[str, str]) -> Any:
    for key, value in values.items():
        cfg = with_value(cfg, axes[key], value)
    return cfg


def shared(members: Sequence[Coords]) -> Coords:
    """What all have with one value."""
    return {key: value for key, value in members[0].items() if all(each[key] == value for each in members)}


def with_value(record: Any, path: str, value: Any) -> Any:
    """The frozen record with the field at the dotted `path` replaced; the record's own checks run again."""
    head, _, rest = path.partition(".")
    if not is_dataclass(record) or not hasattr(record, head):
        raise ValueError(f"axis {path!r} must name a field of the configuration, got none in {type(record).__name__}")
    inner = with_value(getattr(record, head), rest, value) if rest else value
    return replace(record, **{head: inner})  # type: ignore[type-var]
