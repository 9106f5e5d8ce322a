"""The kinds of sabotage: what is done to a measurement that would be a good one.

step_x3, step_x10   the step that a good run ends with, times 3 or 10, without adaptation
moved               w* is another point, where n*beta*L is higher by 1/4 to 2 times the answer
few                 a tenth of the warm-up and of the draws
labels              more label noise (sd 2), of which neither w* nor the step knows
baseline            L(w*) too high or too low by half of the answer, or by all of it
dead_chain          the first of four chains stays where it starts
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.problems import Problem
from llcx import calibrate, rng
from llcx.estimators.llc import LLC
from llcx.measure import of_potential, precision
from llcx.registry import SAMPLERS
from llcx.types import Chains, Index, Kernel, Noise, PerChain, Plan, Potential

GOOD = "good"
KINDS = ("step_x3", "step_x10", "moved", "few", "labels", "baseline", "dead_chain")
BATCH = 32  # rows of a minibatch: the problems have 300
LABELS = 2.0  # sd of the labels' further noise


@dataclass(frozen=True)
class Spoiled:
    """What of_potential is given, and what is broken while it runs."""

    potential: Potential
    sampler: Any
    wishes: dict[str, int] = field(default_factory=dict)  # beside n*beta and gamma
    broken: AbstractContextManager[Any] = field(default_factory=nullcontext)


def runs_on(sampler: str, problem: Problem) -> bool:
    """Whether the problem has what the sampler needs."""
    return "conditionals" not in _needs(sampler) or bool(problem.build(torch.float64, 0.0).blocks)


def applies(kind: str, sampler: str, problem: Problem) -> bool:
    """Whether this sabotage can be done to the sampler on the problem."""
    if kind.startswith("step"):
        return hasattr(record(sampler, problem), "step_size")
    if kind == "labels":
        return problem.rows
    return not (kind == "dead_chain" and external(sampler))


def external(sampler: str) -> bool:
    """Whether another package drives the sampler's chains."""
    return "external" in _needs(sampler)


def record(name: str, problem: Problem) -> Any:
    """A kernel's default settings, with small minibatches where there are rows."""
    found = SAMPLERS.schema(name)()
    return replace(found, batch_size=BATCH if problem.rows else None) if hasattr(found, "batch_size") else found


def spoiled(kind: str, name: str, problem: Problem, seed: int) -> Spoiled:
    """The measurement of `problem` with the sampler `name`, sabotaged."""
    sampler = record(name, problem)
    good = Spoiled(problem.build(_dtype(sampler), 0.0), sampler)
    if kind == GOOD:
        return good
    if kind.startswith("step_x"):
        factor, plan = float(kind.removeprefix("step_x")), _plan(problem, sampler)
        step_size = factor * _settled(problem, sampler, plan)
        return replace(good, sampler=replace(sampler, step_size=step_size), wishes=_length(plan, 1))
    if kind == "moved":
        return replace(good, potential=_moved(good.potential, problem, seed))
    if kind == "few":
        return replace(good, wishes=_length(_plan(problem, sampler), 10))
    if kind == "labels":
        return Spoiled(problem.build(_dtype(sampler), LABELS), _unaware(problem, sampler))
    if kind == "baseline":
        share = (0.5, -0.5, 1.0, -1.0)[seed % 4]
        return replace(good, potential=_plus(good.potential, share * problem.answer / problem.nbeta))
    if kind == "dead_chain":
        return replace(good, wishes={"chains": 4}, broken=_first_chain_stuck(name))
    raise ValueError(f"kind must be one of {', '.join((GOOD, *KINDS))}, got {kind}")


def _needs(sampler: str) -> tuple[str, ...]:
    schema: Any = SAMPLERS.schema(sampler)
    return tuple(schema.needs)


def _dtype(sampler: Any) -> torch.dtype:
    return precision(sampler, "auto", 1)


def _plan(problem: Problem, sampler: Any) -> Plan:
    """What calibration decides on the problem as it is."""
    cfg = LLC(nbeta=problem.nbeta, gamma=problem.gamma)
    return calibrate.plan(problem.build(_dtype(sampler), 0.0), sampler, cfg, rng.streams(0).generator("probes"))[0]


def _length(plan: Plan, less: int) -> dict[str, int]:
    return {"warmup": plan.warmup // less, "draws": max(4, plan.draws // less)}


def _settled(problem: Problem, sampler: Any, plan: Plan) -> float:
    """The step that a good run ends with."""
    if not getattr(plan.sampler, "adapt", None):
        return float(plan.sampler.step_size)
    cfg = LLC(nbeta=problem.nbeta, gamma=problem.gamma, chains=4, warmup=plan.warmup, draws=8, check="off")
    return of_potential(problem.build(_dtype(sampler), 0.0), sampler, cfg, 0)[0].step_size


def _unaware(problem: Problem, sampler: Any) -> Any:
    """The step that suits the labels as they were; kernels that adapt are left to it."""
    plan = _plan(problem, sampler)
    adapts = getattr(plan.sampler, "adapt", None) or not hasattr(sampler, "step_size")
    return sampler if adapts else replace(sampler, step_size=float(plan.sampler.step_size))


def _moved(potential: Potential, problem: Problem, seed: int) -> Potential:
    """w* in a random direction, as far as n*beta*L is higher by a share of the answer that goes with the seed."""
    aim = problem.answer * 0.25 * 2 ** (seed % 4)
    generator = rng.streams(seed).generator("moved")
    z = torch.randn(potential.at.shape, generator=generator, dtype=torch.float64).to(potential.at)
    low, high = 0.0, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        raised = problem.nbeta * float(potential.value((potential.at + middle * z).unsqueeze(0)))
        low, high = (middle, high) if raised < aim else (low, middle)
    at = potential.at + low * z
    return replace(_plus(potential, -float(potential.value(at.unsqueeze(0)))), at=at)


def _plus(potential: Potential, shift: float) -> Potential:
    """K + shift."""

    def both(found: tuple[PerChain, Chains]) -> tuple[PerChain, Chains]:
        return found[0] + shift, found[1]

    mini = potential.mini
    return replace(
        potential,
        full=lambda w: both(potential.full(w)),
        value=lambda w: potential.value(w) + shift,
        mini=None if mini is None else lambda w, idx: both(mini(w, idx)),
    )


def _first_chain_stuck(name: str) -> AbstractContextManager[Any]:
    builder = SAMPLERS.builder

    def stuck(cfg: Any, target: Any) -> Kernel:
        kernel = builder(name)(cfg, target)

        def step(state: Any, batch: Index | None, noise: Noise) -> Any:
            moved = kernel.step(state, batch, noise)
            return moved._replace(w=torch.cat([state.w[:1], moved.w[1:]]))

        return Kernel(kernel.init, step)

    return patch.object(SAMPLERS, "builder", lambda asked: stuck if asked == name else builder(asked))
