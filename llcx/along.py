"""The learning coefficient at one set of weights after another: the same data, settings and random numbers at each.

What changes from one checkpoint to the next shall be the model alone:

    gamma       that of the first checkpoint, 10 P / |w0|^2, unless it is given
    randomness  chain c draws the same numbers at every checkpoint, so that differences are taken chain by chain
    step size   HMC and MALA adapt at the first checkpoint; the next ones hold that step while it will do, see
                trajectory.py

A result may be kept by the fingerprint of all that it was made from.
"""

import copy
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any, NamedTuple

import torch
from torch import nn

from llcx import checkpoints, fingerprint, given, journal, measure, trajectory
from llcx.estimators.llc import LLC, Estimate
from llcx.estimators.places import AUTO, each, parts
from llcx.flat import part, within
from llcx.params import flatten, layout
from llcx.tasks.generic import held_gamma
from llcx.types import Plan, State, Trace

COLUMNS = (
    *("checkpoint", "step", "where", "llc", "llc_sd", "se", "low", "high", "llc_fluct", "target", "nbeta", "gamma"),
    *("step_size", "rhat", "ess", "accept", "gradients", "seconds", "healthy", "flags"),
    *("change", "change_low", "change_high", "changed"),
    *("loss_at", "parameters", "n", "chains", "draws", "sampler", "held", "cached"),
)
OF_ESTIMATE = (
    *("llc", "llc_sd", "se", "low", "high", "llc_fluct", "target", "nbeta", "gamma", "step_size", "rhat", "ess"),
    *("accept", "gradients", "seconds", "healthy"),
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What is the same at every checkpoint."""

    asked: given.Given
    kernel: Any
    estimator: LLC  # of the whole, or of `where`
    parts: Any  # globs, lists of globs, or {name: globs}: each sampled alone
    hardware: given.Hardware
    seed: int

    @property
    def places(self) -> list[LLC]:
        """The estimator itself, then each of where_each alone."""
        return each(self.estimator, parts(self.parts))


def settings(
    model: nn.Module,
    data: Any,
    loss: given.Loss,
    *,
    forward: given.Forward | None = None,
    sampler: Any = "auto",
    n: int | None = None,
    target: str = "self",
    where: Sequence[str] | None = None,
    where_each: Any = None,
    measure_on: Any = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    **wishes: Any,
) -> Settings:
    """The arguments of llcx.estimate_trajectory as a record; `wishes` are nbeta, gamma, chains, draws, budget."""
    found = given.given(data, loss, forward=forward, n=n, measure_on=measure_on)
    estimator = LLC(
        target=target,
        where=None if where is None else list(where),
        measure_on=None if measure_on is None else "measure_on",
        **wishes,
    )
    named = layout(model).groups() if where_each == AUTO else where_each
    return Settings(found, given.kernel(sampler), estimator, named, given.hardware(model, device, dtype), seed)


class Taken(NamedTuple):
    """A measurement at a place, measured now or recalled."""

    row: Row
    energy: Trace
    plan: Plan
    estimate: Estimate | None = None  # None: recalled


@dataclass
class Along:
    """Measurements so far: a row for each checkpoint and place."""

    settings: Settings
    cache: Any = None  # artifacts.Cache
    progress: Any = None  # types.Progress
    gamma: float | None = None
    rows: list[Row] = field(default_factory=list)
    last: dict[str, Taken] = field(default_factory=dict)  # place -> the last measurement with a number
    about: str = ""  # fingerprint of what is the same at every checkpoint

    def take(self, name: str, step: int | float, module: nn.Module) -> dict[str, Taken]:
        """Measure the module at its present weights, at each place; where chains diverge there is a row only."""
        found = {}
        for place in self.settings.places:
            told: Row = {"checkpoint": name, "step": step, "where": place.place}
            try:
                one = self._one(place, module)
            except FloatingPointError as error:
                self.rows.append({**told, **_failed(error)})
                continue
            self.rows.append({**told, **one.row, **changed(self.last.get(place.place), one)})
            found[place.place] = self.last[place.place] = one
        return found

    def through(self, model: nn.Module, source: Any) -> Any:
        """Every checkpoint of `source` (checkpoints.series), loaded into a copy of the model; the frame."""
        module = copy.deepcopy(model)
        for done, (name, step, state) in enumerate(checkpoints.series(source)):
            checkpoints.into(module, state)
            if hasattr(self.progress, "point"):
                self.progress.point(name, done, len(source) if isinstance(source, Sized) else done + 1)
            self.take(name, step, module)
        if not self.rows:
            raise ValueError(f"checkpoints must hold at least one set of weights, got {source!r}")
        return self.frame()

    def frame(self) -> Any:
        """The rows as a pandas DataFrame with COLUMNS."""
        from pandas import DataFrame  # slow to import

        return DataFrame(self.rows, columns=list(COLUMNS))

    def _gamma(self, module: nn.Module) -> float:
        asked = self.settings.estimator.gamma
        if asked is not None:
            return asked
        at_zero = all(not bool(p.any()) for p in module.parameters() if p.requires_grad)
        return 1.0 if at_zero else held_gamma(module)["gamma"]

    def _one(self, place: LLC, module: nn.Module) -> Taken:
        if not bool(flatten(module).isfinite().all()):
            raise FloatingPointError("the weights are not finite")
        if self.gamma is None:
            self.gamma = self._gamma(module)
        cfg, before = replace(place, gamma=self.gamma), self.last.get(place.place)
        asked = self.settings.kernel
        kernel = None if before is None else trajectory.held(before.plan, before.row, asked)
        if self.cache is None:
            return self._measured(cfg, module, kernel)
        key = self._key(cfg, module, kernel)
        if (kept := self.cache.get(key)) is not None:
            return recalled(kept)
        one = self._measured(cfg, module, kernel)
        self.cache.put(key, of_taken(one))
        return one

    def _key(self, cfg: LLC, module: nn.Module, kernel: Any) -> str:
        """Of all that a measurement depends on."""
        one = self.settings
        if not self.about:
            where = one.hardware.device.split(":")[0], one.hardware.dtype
            self.about = fingerprint.of(fingerprint.code(), one.asked, one.kernel, one.seed, where)
        return fingerprint.of(self.about, cfg, module, kernel)

    def _measured(self, cfg: LLC, module: nn.Module, kernel: Any) -> Taken:
        """With `kernel`, whose step is held, where there is one and it will do; else as asked."""
        one, point = self.settings, self.settings.asked.point(module)
        return taken(
            *trajectory.measured(
                lambda sampler: measure.measure(point, sampler, cfg, one.hardware, one.seed, self.progress),
                one.kernel,
                kernel,
            )
        )


def taken(found: measure.Measurement, hold: bool) -> Taken:
    """A measurement as a row."""
    estimate = found.estimate
    row = {key: getattr(estimate, key) for key in OF_ESTIMATE}
    chains, draws = estimate.draws.shape
    row |= {"flags": ";".join(estimate.flags), "loss_at": found.loss_at, "parameters": found.parameters, "n": found.n}
    row |= {"chains": chains, "draws": draws, "sampler": found.plan.sampler.name, "held": hold, "cached": False}
    return Taken(row, estimate.draws, found.plan, estimate)


def changed(before: Taken | None, now: Taken) -> Row:
    """The change from one checkpoint to the next with its paired 95 % interval, where chains can be paired.

    `changed`: the interval leaves out zero. nan and False at the first checkpoint.
    """
    unknown = {"change": nan, "change_low": nan, "change_high": nan, "changed": False}
    if before is None or before.energy.shape != now.energy.shape or len(now.energy) < 2:
        return unknown
    found = trajectory.paired(before.energy, now.energy)
    low, high = found.value - found.half_width, found.value + found.half_width
    return {"change": found.value, "change_low": low, "change_high": high, "changed": low > 0 or high < 0}


def of_taken(one: Taken) -> State:
    """What a cache keeps of it."""
    return {**within("row", one.row), "energy": one.energy, **journal.of_plan(one.plan)}


def recalled(kept: Mapping[str, Any]) -> Taken:
    """What `of_taken` made of it."""
    return Taken({**part("row", kept), "cached": True}, kept["energy"], journal.to_plan(dict(kept)))


def _failed(error: FloatingPointError) -> Row:
    told = " ".join(str(error).replace(";", ",").split())  # `;` separates flags
    return {"healthy": False, "flags": f"failed: {told}", "changed": False, "cached": False}
