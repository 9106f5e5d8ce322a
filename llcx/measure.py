"""One point, one sampler -> one estimate: calibrate, sample, estimate, check. Knows no task and no disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx import calibrate, gradients, rng
from llcx.calibrate import Probes
from llcx.diagnostics import LIMITS, disagree, gamma_slope, moved_with_temperature
from llcx.estimators.llc import LLC, Estimate, seconds
from llcx.minimum import decrement
from llcx.params import layout
from llcx.posterior import Posterior
from llcx.registry import ESTIMATORS, SAMPLERS
from llcx.sample import sample
from llcx.samplers import HMC
from llcx.types import Chains, Draws, Index, Plan, Point, Potential, Progress

FLOAT64_UP_TO = 1_000_000  # parameters: unbiased kernels run in float64 up to here
CHECK_DRAWS = 60  # of the second sampler


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
    where: str  # "all", or the globs
    n: int
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
    target = cfg.target or point.target
    dtype = precision(sampler, hardware.dtype, sum(p.numel() for p in point.model.module.parameters()))
    found = _potential(point, target, dtype, hardware)
    if sampler.name == "auto":
        sampler = calibrate.choose(found[0])
        if precision(sampler, hardware.dtype, len(found[0].at)) != dtype:
            found = _potential(point, target, precision(sampler, hardware.dtype, len(found[0].at)), hardware)
    potential, backend, loss_at = found
    names = layout(point.model.module)
    if cfg.where is not None:
        potential = gradients.restrict(potential, names.select(cfg.where))
    watch = {name: _by_name(function, point, cfg) for name, function in (observe or {}).items()}
    result = of_potential(potential, sampler, cfg, seed, progress, watch)
    where = "all" if cfg.where is None else ",".join(cfg.where)
    sampled = None if cfg.where is None else names.matching(cfg.where)
    kind = str(potential.at.dtype).removeprefix("torch.")
    return Measurement(*result, len(potential.at), loss_at, kind, backend, where, potential.n, sampled)


def of_potential(
    potential: Potential,
    sampler: Any,
    cfg: LLC,
    seed: int,
    progress: Progress | None = None,
    observe: Mapping[str, Callable[[Chains], Tensor]] | None = None,
) -> tuple[Estimate, Plan, Draws]:
    """Calibrate, sample, check, estimate."""
    if sampler.name == "auto":
        sampler = calibrate.choose(potential)
    probing = rng.streams(seed).generator("probes")
    plan, probes = calibrate.plan(potential, sampler, cfg, probing)
    draws = _run(potential, plan, seed, start=None, observe=observe, budget=seconds(cfg.budget), progress=progress)
    found = _checks(potential, plan, probes, draws, seed) if cfg.check != "off" else _Checked()
    plan = replace(plan, notes=(*plan.notes, *found.notes))
    build = ESTIMATORS.builder(cfg.name)
    estimate = build(draws, plan, potential, flags=found.flags, extra_gradients=plan.gradients + found.gradients)
    return estimate, plan, draws


def precision(sampler: Any, wish: str, parameters: int) -> torch.dtype:
    """float64 for unbiased kernels up to a million parameters, float32 otherwise, unless the user chose."""
    if wish != "auto":
        return {"float32": torch.float32, "float64": torch.float64}[wish]
    return torch.float64 if type(sampler).unbiased and parameters <= FLOAT64_UP_TO else torch.float32


def _potential(point: Point, target: str, dtype: torch.dtype, hardware: Any) -> tuple[Potential, str, float]:
    return gradients.of_model(
        point.model,
        point.data,
        target=target,
        dtype=dtype,
        device=hardware.device,
        backend=hardware.backend,
        memory=hardware.memory or 1.0,
    )


def _by_name(function: Callable[[dict[str, Tensor]], Tensor], point: Point, cfg: LLC) -> Callable[[Chains], Tensor]:
    """A function of named parameters as one of flat chains [C, P] -> [C, ...]."""
    if cfg.where is not None:
        raise ValueError("observe must be left out together with where: the draws hold the chosen parameters only")
    names = layout(point.model.module)
    return lambda w: torch.stack([torch.as_tensor(function(names.unflatten(row))) for row in w])


def _run(
    potential: Potential,
    plan: Plan,
    seed: int,
    *,
    start: Chains | None,
    role: str = "chains",
    observe: Mapping[str, Callable[[Chains], Tensor]] | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
) -> Draws:
    """One run of a plan from `start`, or from w* with every chain; `role` names its random stream."""
    noise = rng.ChainNoise(rng.streams(seed).key(role), plan.chains, potential.at.device)
    target = Posterior(potential, plan.nbeta, plan.gamma)
    kernel = SAMPLERS.builder(plan.sampler.name)(plan.sampler, target)
    size = getattr(plan.sampler, "batch_size", None)

    def minibatch() -> Index | None:
        return None if size is None else noise.indices(potential.rows, size)

    return sample(
        kernel,
        potential.at.repeat(plan.chains, 1) if start is None else start,
        noise,
        plan,
        energy=target.energy,
        distance=target.distance,
        minibatch=minibatch,
        counts=lambda: (target.gradients, target.examples),
        observe=observe,
        budget=budget,
        progress=progress,
    )


class _Checked(NamedTuple):
    """What the checks beside the run itself found, and the gradients a chain they cost."""

    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    gradients: int = 0


def _checks(potential: Potential, plan: Plan, probes: Probes, draws: Draws, seed: int) -> _Checked:
    flags, notes, spent = list(calibrate.bias_flags(plan, probes)), [], 0
    mean = float(draws.energy.mean())
    notes.append(f"d lambda_hat / d log gamma = {gamma_slope(draws, plan.gamma):.2g}")
    if potential.target == "data":
        minimum = decrement(potential, plan.nbeta, plan.gamma, rounds=30 if potential.flops < 1e10 else 3)
        spent += minimum.gradients
        notes.append(f"at w*: |gradient| {minimum.gradient:.2g}, Newton decrement {minimum.decrement:.2g} nats")
        if minimum.decrement > LIMITS.decrement * abs(mean):
            flags.append("not_a_minimum")
    if draws.stopped_by == "budget":
        return _Checked(tuple(flags), tuple(notes), spent)  # no time for a second run; the estimator raises `budget`
    if not type(plan.sampler).unbiased:
        other = _second(potential, plan, probes, seed)
        if other is None:
            flags.append("unchecked")
        elif disagree(draws.energy, other.energy):
            flags.append("second_sampler_disagrees")
    elif potential.exact:
        other = _cooler(potential, plan, draws, seed)
        if moved_with_temperature(draws.energy, other.energy):
            flags.append("moved_with_temperature")
    else:
        other = _looser(potential, plan, draws, seed)
        notes.append(f"at gamma/10 a quarter-length run gives {float(other.energy.mean()):.3g}, here {mean:.3g}: "
                     "on data the number goes with its n*beta and gamma")  # fmt: skip
    return _Checked(tuple(flags), tuple(notes), spent + (other.gradients if other else 0))


def _quarter(plan: Plan, step_size: float) -> Plan:
    """A quarter of the draws and of the warm-up, without adaptation."""
    sampler = plan.sampler
    if hasattr(sampler, "adapt"):
        sampler = replace(sampler, step_size=step_size, adapt=0)
    return replace(plan, sampler=sampler, warmup=max(4, plan.warmup // 4), draws=max(8, plan.draws // 4))


def _looser(potential: Potential, plan: Plan, draws: Draws, seed: int) -> Draws:
    """A quarter-length run at gamma/10 from the last draws: how much the localiser decides."""
    return _run(
        potential, replace(_quarter(plan, draws.step_size), gamma=plan.gamma / 10), seed, start=draws.last, role="check"
    )


def _cooler(potential: Potential, plan: Plan, draws: Draws, seed: int) -> Draws:
    """A quarter-length run at n*beta/4 from the last draws, moved out to about the energy they had; the step doubles.

    Where they are left at the old temperature a run this short would still be heating up when it ends.
    """
    shorter = replace(_quarter(plan, 2 * draws.step_size), nbeta=plan.nbeta / 4)
    aim, low, high = float(draws.energy[:, -1].mean()), 1.0, 2.0
    for _ in range(6):
        middle = (low + high) / 2
        energy = shorter.nbeta * potential.value(potential.at + middle * (draws.last - potential.at))
        low, high = (middle, high) if float(energy.mean()) < aim else (low, middle)
    return _run(potential, shorter, seed, start=potential.at + low * (draws.last - potential.at), role="check")


def _second(potential: Potential, plan: Plan, probes: Probes, seed: int) -> Draws | None:
    """Sixty draws of HMC on the same posterior, where full gradients are affordable."""
    hmc = HMC(leapfrog=48 if potential.exact else 12, adapt=30)
    if 8 * (30 + CHECK_DRAWS) * hmc.leapfrog * potential.flops > calibrate.AFFORDABLE:
        return None
    start = calibrate.step(hmc, probes, plan.nbeta, plan.gamma, None)
    other = replace(plan, sampler=replace(hmc, step_size=start), chains=8, warmup=30, draws=CHECK_DRAWS, every=1)
    return _run(potential, other, seed, start=None, role="check")
