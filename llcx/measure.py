"""One point, one sampler -> one estimate: calibrate, sample, check, estimate. Knows no task and no disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import nan
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx import calibrate, chains, gradients, influence, information, multiplicity, rng, routes
from llcx.checks import Checked, Run, checked
from llcx.diagnostics import LIMITS
from llcx.estimators.llc import LLC, Estimate, seconds
from llcx.followed import follow
from llcx.journal import Journal, of_plan, packed, to_plan, unpacked
from llcx.minimum import polish
from llcx.params import flatten, layout, with_weights
from llcx.probes import Probes
from llcx.registry import ESTIMATORS
from llcx.types import Chains, Draws, Flat, Known, Plan, Point, Potential, Progress, State

FLOAT64_UP_TO = 1_000_000  # parameters: kernels of all data run in float64 up to here


@dataclass(frozen=True)
class Measurement:
    """An estimate and what it rests on."""

    estimate: Estimate
    plan: Plan
    draws: Draws
    spent: Mapping[str, tuple[float, int]]  # calibrate, warm-up, sample, check -> seconds and gradients a chain
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
    journal: Journal | None = None,
) -> Measurement:
    """Measure the LLC of `point.model` at its weights with `sampler` (a kernel's record, or Auto).

    With a `journal` it goes on from what an earlier process left there, and ends as that one would have. Raises
    FloatingPointError where a chain diverges, ValueError where settings contradict each other.
    """
    begun = perf_counter()
    cfg = wished(cfg, point)
    point = on(point, cfg.measure_on)
    posed = _posed(point, sampler, cfg, hardware, seed)
    before = Checked()
    if cfg.polish:
        point, before = _polished(point, posed.labels, cfg)
        posed = _posed(point, sampler, cfg, hardware, seed)
    names = layout(point.model.module)
    followed = {} if cfg.influence is None else follow(point, posed.labels, cfg, hardware, seed)
    if cfg.where is not None:
        posed = posed.restricted(names.select(cfg.where))
        if names.partial(cfg.where):
            point = replace(point, restricted=None)  # answer keys are of whole parameters
    ready = perf_counter() - begun
    potential, watch = posed.potential, {name: _by_name(each, point, cfg) for name, each in (observe or {}).items()}
    estimate, plan, draws = of_potential(
        potential, posed.route.sampler, cfg, seed, progress, {**watch, **followed},
        before=before, loss_at=posed.loss_at, posed=posed, journal=journal,
    )  # fmt: skip
    draws = replace(draws, observed={**draws.observed, **influence.kept(followed, draws.observed)})
    result = estimate, plan, draws
    sampled = None if cfg.where is None else names.matching(cfg.where)
    kind = str(potential.at.dtype).removeprefix("torch.")
    size, ran = len(potential.at), posed.backend if potential.exact else draws.backend or posed.backend
    cost = spent(*result, ready, perf_counter() - begun)
    return Measurement(*result, cost, size, posed.loss_at, kind, ran, cfg.place, potential.n, point, sampled)


def spent(estimate: Estimate, plan: Plan, draws: Draws, ready: float, total: float) -> dict[str, tuple[float, int]]:
    """Seconds and gradients of each part, of `total` seconds; the first `ready` went before calibration."""
    found = {
        "calibrate": (ready + plan.seconds, plan.gradients),
        "warm-up": (draws.warm_seconds, draws.warm_gradients),
        "sample": (draws.seconds - draws.warm_seconds, draws.gradients - draws.warm_gradients),
    }
    seconds, gradients = (sum(part[k] for part in found.values()) for k in range(2))
    return {**found, "check": (max(0.0, total - seconds), estimate.gradients - int(gradients))}


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
    loss_at: float = nan,
    posed: "Posed | None" = None,
    journal: Journal | None = None,
) -> tuple[Estimate, Plan, Draws]:
    """Calibrate, sample, check, estimate. `before`: what was found on the way to this potential; `loss_at`: L(w*)."""
    if sampler.name == "auto":
        sampler = calibrate.choose(potential)
    probing = rng.streams(seed).generator("probes")
    if progress:
        progress("calibrate", 0, 1, {})
    route, labels = (posed.route, posed.labels) if posed else (routes.Route(sampler, potential.target), potential)
    plan, probes = calibrated(
        lambda: calibrate.plan(potential, sampler, cfg, probing, route.subset), potential.at, journal
    )
    if progress:
        progress("calibrate", 1, 1, {})
    plan = replace(plan, notes=(*route.notes, *plan.notes))
    told = cfg.check != "off"
    losses = information.watch(potential, plan, rng.streams(seed).generator("information")) if told else {}
    watching: dict[str, Callable[[Chains], Tensor]] = {**(observe or {}), **losses}
    if labels is not potential:
        watching[routes.LABELS] = lambda w: plan.nbeta * labels.value(w)
    how: dict[str, Any] = {"observe": watching, "budget": seconds(cfg.budget), "progress": progress}

    def once(one: Plan, **more: Any) -> Draws:
        for each in losses.values():
            each.restart()
        return chains.run(potential, one, seed, **how, **more, keep=journal.keeper() if journal else None)

    tried = routes.runs(potential, plan, once, told)
    plan, draws = tried[-1][0], routes.settled(tried)
    main = Run(potential, plan, probes, draws, seed, journal, progress)
    found = (before or Checked()) + routes.verdict(tried, labels, loss_at) + checked(main, cfg.check)
    if told:
        found += _beside(main, losses, loss_at, found)
    draws = replace(draws, observed={name: trace for name, trace in draws.observed.items() if name not in losses})
    plan = replace(plan, notes=(*plan.notes, *found.notes))
    build = ESTIMATORS.builder(cfg.name)
    spent = plan.gradients + found.gradients
    estimate = build(draws, plan, potential, flags=found.flags, extra_gradients=spent, beside=found.beside)
    return estimate, plan, draws


def calibrated(make: Callable[[], tuple[Plan, Probes]], at: Tensor, journal: Journal | None) -> tuple[Plan, Probes]:
    """The plan that was recorded when the measurement began, or a new one: a resumed run keeps to its steps."""

    def timed() -> tuple[Plan, Probes]:
        begun = perf_counter()
        plan, probes = make()
        return replace(plan, seconds=perf_counter() - begun), probes

    if journal is None:
        return timed()

    def state() -> State:
        plan, probes = timed()
        return of_plan(plan) | packed("probes", probes)

    found = journal.once("plan", state)
    return to_plan(found), unpacked("probes", Probes(0.0, 0.0, 0), found, at.device)


def _beside(main: Run, losses: information.Watched, loss_at: float, checks: Checked) -> Checked:
    """What stands beside lambda: information criteria, and the multiplicity where the loss is exact and w* its minimum.

    L(w*) too high is a slope in n*beta like a multiplicity's.
    """
    potential, plan, draws = main.potential, main.plan, main.draws
    found: dict[str, Any] = {**information.of_energy(draws.energy, plan, potential, loss_at)}
    for each in losses.values():
        found |= information.of_rows(each, draws, plan, potential, loss_at)
    quarter = None
    if "llc_quarter" in checks.beside:
        quarter = checks.beside["llc_quarter"], checks.beside["llc_quarter_se"]
        found |= information.of_temperatures(draws.energy, quarter)
    if not potential.exact or "not_a_minimum" in checks.flags or bool((draws.energy < -1e-6).any()):
        return Checked(beside=found)
    weights, note = multiplicity.told(draws.energy, plan.nbeta, len(potential.at), quarter)
    return Checked(notes=(note,) if note else (), beside={**found, "mult_weights": weights})


def precision(sampler: Any, wish: str, parameters: int) -> torch.dtype:
    """float64 for kernels of all data up to a million parameters, float32 otherwise, unless the user chose."""
    if wish != "auto":
        return {"float32": torch.float32, "float64": torch.float64}[wish]
    careful = sampler.unbiased or "full_data" in sampler.needs
    return torch.float64 if careful and parameters <= FLOAT64_UP_TO else torch.float32


class Posed(NamedTuple):
    """A potential and how it will be sampled."""

    route: routes.Route
    potential: Potential
    backend: str
    loss_at: float  # L(w*)
    labels: Potential  # of the target that was asked for; `potential` itself unless the route took another

    def restricted(self, positions: Tensor) -> "Posed":
        """To the parameters at `positions`."""
        part = gradients.restrict(self.potential, positions)
        labels = part if self.labels is self.potential else gradients.restrict(self.labels, positions)
        return self._replace(potential=part, labels=labels)


def _posed(point: Point, sampler: Any, cfg: LLC, hardware: Any, seed: int) -> Posed:
    """The potential in the kernel's precision; where the kernel is open, the route to a number."""
    asked = cfg.target or point.target

    def build(kernel: Any, parameters: int, target: str) -> tuple[Potential, str, float]:
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

    found = build(sampler, sum(p.numel() for p in point.model.module.parameters()), asked)
    if sampler.name != "auto":
        return Posed(routes.Route(sampler, asked), *found, labels=found[0])
    route = routes.choose(found[0], cfg, rng.streams(seed).generator("route"))
    size, kept = len(found[0].at), found
    if precision(route.sampler, hardware.dtype, size) != found[0].at.dtype:
        kept = found = build(route.sampler, size, asked)
    if route.target != asked:
        found = build(route.sampler, size, route.target)
    return Posed(route, *found, labels=kept[0])


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
    """A function of named parameters as one of flat chains [C, P] -> [C, ...]; what does not move is at w*."""
    names, at = layout(point.model.module), flatten(point.model.module)
    moved = torch.arange(names.size) if cfg.where is None else names.select(cfg.where)

    def one(row: Flat) -> Tensor:
        return torch.as_tensor(function(names.unflatten(at.to(row).index_copy(0, moved.to(row.device), row))))

    return lambda w: torch.stack([one(row) for row in w])
