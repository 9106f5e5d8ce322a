"""One point, one sampler -> one estimate: calibrate, sample, check, estimate. Knows no task and no disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from llcx import calibrate, chains, gradients, rng
from llcx.checks import Checked, Run, checked
from llcx.diagnostics import LIMITS
from llcx.estimators.llc import LLC, Estimate, seconds
from llcx.minimum import polish
from llcx.params import layout, with_weights
from llcx.registry import ESTIMATORS
from llcx.types import Chains, Draws, Known, Plan, Point, Potential, Progress

FLOAT64_UP_TO = 1_000_000  # parameters: unbiased kernels run in float64 up to here


@dataclass(frozen=True)
class Measurement:
    """An estimate and what it rests on."""

    estimate: Estimate
    plan: Plan
    draws: Draws
    parameters: int  # sampled
    loss_at: float  # L(w*), nats an example; nan where the loss has no rows
    dtype: str
    backend: str
    where: str  # estimator.place
    n: int
    point: Point  # that was measured: the one asked for, unless it was polished or L taken on other data
    sampled: frozenset[str] | None = None  # names of the parameters that `where` chose; None: all


def measure(
    point: Point,
    sampler: Any,
    cfg: LLC,
    hardware: Any,
    seed: int,
    progress: Progress | None = None,
    *,
    observe: Mapping[str, Callable[[dict[str, Tensor]], Tensor]] | None = None,
) -> Measurement:
    """Measure the LLC of `point.model` at its weights with `sampler` (a kernel's record, or Auto).

    Raises FloatingPointError where a chain diverges, ValueError where settings contradict each other.
    """
    cfg = wished(cfg, point)
    point = on(point, cfg.measure_on)
    sampler, potential, backend, loss_at = _posed(point, sampler, cfg, hardware)
    before = Checked()
    if cfg.polish:
        point, before = _polished(point, potential, cfg)
        sampler, potential, backend, loss_at = _posed(point, sampler, cfg, hardware)
    names = layout(point.model.module)
    if cfg.where is not None:
        potential = gradients.restrict(potential, names.select(cfg.where))
    watch = {name: _by_name(function, point, cfg) for name, function in (observe or {}).items()}
    result = of_potential(potential, sampler, cfg, seed, progress, watch, before=before)
    sampled = None if cfg.where is None else names.matching(cfg.where)
    kind = str(potential.at.dtype).removeprefix("torch.")
    return Measurement(*result, len(potential.at), loss_at, kind, backend, cfg.place, potential.n, point, sampled)


def wished(cfg: LLC, point: Point) -> LLC:
    """The settings, with the point's own where they are left open."""
    left = {key: value for key, value in point.wishes.items() if getattr(cfg, key) in (None, LLC.__dict__.get(key))}
    return replace(cfg, **left)


def on(point: Point, name: str | None) -> Point:
    """The point with L taken on another of its data sets, where its answer key holds no longer."""
    if name is None:
        return point
    if name not in point.others:
        there = ", ".join(point.others) or "nothing else"
        raise ValueError(
            f"estimator.measure_on must be null or one of {there}, got {name}; {point.name} has no such data"
        )
    return replace(
        point, data=point.others[name], model=replace(point.model, closed={}), known=Known(), restricted=None
    )


def of_potential(
    potential: Potential,
    sampler: Any,
    cfg: LLC,
    seed: int,
    progress: Progress | None = None,
    observe: Mapping[str, Callable[[Chains], Tensor]] | None = None,
    *,
    before: Checked | None = None,
) -> tuple[Estimate, Plan, Draws]:
    """Calibrate, sample, check, estimate. `before`: what was found on the way to this potential."""
    if sampler.name == "auto":
        sampler = calibrate.choose(potential)
    probing = rng.streams(seed).generator("probes")
    plan, probes = calibrate.plan(potential, sampler, cfg, probing)
    draws = chains.run(potential, plan, seed, observe=observe, budget=seconds(cfg.budget), progress=progress)
    found = (before or Checked()) + checked(Run(potential, plan, probes, draws, seed), cfg.check)
    plan = replace(plan, notes=(*plan.notes, *found.notes))
    build = ESTIMATORS.builder(cfg.name)
    spent = plan.gradients + found.gradients
    estimate = build(draws, plan, potential, flags=found.flags, extra_gradients=spent, beside=found.beside)
    return estimate, plan, draws


def precision(sampler: Any, wish: str, parameters: int) -> torch.dtype:
    """float64 for unbiased kernels up to a million parameters, float32 otherwise, unless the user chose."""
    if wish != "auto":
        return {"float32": torch.float32, "float64": torch.float64}[wish]
    return torch.float64 if type(sampler).unbiased and parameters <= FLOAT64_UP_TO else torch.float32


def _posed(point: Point, sampler: Any, cfg: LLC, hardware: Any) -> tuple[Any, Potential, str, float]:
    """(the kernel's record, the potential in its precision, the backend, L(w*))."""
    target = cfg.target or point.target

    def build(kernel: Any, parameters: int) -> tuple[Potential, str, float]:
        kind = precision(kernel, hardware.dtype, parameters)
        return gradients.of_model(
            point.model,
            point.data,
            target=target,
            dtype=kind,
            device=hardware.device,
            backend=hardware.backend,
            memory=hardware.memory or 1.0,
        )

    found = build(sampler, sum(p.numel() for p in point.model.module.parameters()))
    if sampler.name == "auto":
        sampler = calibrate.choose(found[0])
        if precision(sampler, hardware.dtype, len(found[0].at)) != found[0].at.dtype:
            found = build(sampler, len(found[0].at))
    return sampler, *found


def _polished(point: Point, potential: Potential, cfg: LLC) -> tuple[Point, Checked]:
    """The point moved to the minimum next to it, and how far that was."""
    found = polish(potential, *calibrate.temperature(potential, cfg))
    note = (
        f"polished in {found.gradients} gradients: |moved|/|w*| = {found.moved:.2g}, {found.drop:.3g} nats of n*beta*L"
    )
    flags = ("polished_away",) if found.moved > LIMITS.polished else ()
    beside = {"polish_moved": found.moved, "polish_drop": found.drop}
    closed = {
        target: lambda w, value=value: value(w) - value(found.at.unsqueeze(0).to(w))
        for target, value in point.model.closed.items()
        if target == "data"  # the teacher of `self` is the point itself
    }
    model = replace(point.model, module=with_weights(point.model.module, found.at), closed=closed)
    return replace(point, model=model), Checked(flags, (note,), found.gradients, beside)


def _by_name(function: Callable[[dict[str, Tensor]], Tensor], point: Point, cfg: LLC) -> Callable[[Chains], Tensor]:
    """A function of named parameters as one of flat chains [C, P] -> [C, ...]."""
    if cfg.where is not None:
        raise ValueError("observe must be left out together with where: the draws hold the chosen parameters only")
    names = layout(point.model.module)
    return lambda w: torch.stack([torch.as_tensor(function(names.unflatten(row))) for row in w])
