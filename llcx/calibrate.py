"""A potential and the user's wishes -> a Plan: kernel, n*beta, gamma, chains, warm-up, draws.

Decided from counted operations and from probes at w*, never from a clock, so that the same input gives the same plan.

    exact losses       HMC, 16 chains (2 to 4 where wide), n*beta = 1e4 where it is free, gamma = 1
    data, affordable   HMC on all rows, 8 chains, n*beta = n / log n, gamma = 10 P / |w*|^2
    data, otherwise    SGLD with a calibrated step, its predicted biases in the notes

A choice the user made is kept; only what is null or auto is filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, ClassVar

from torch import Generator

from llcx.diagnostics import LIMITS
from llcx.estimators.llc import LLC, seconds
from llcx.posterior import n_over_log_n
from llcx.probes import Probes, probe
from llcx.registry import SAMPLERS
from llcx.samplers import HMC, SGLD
from llcx.types import Plan, Potential

AFFORDABLE = 4e12  # floating-point operations of one measurement: about a minute or two on one core
NO_MINIMUM = (
    "w* is not a minimum of the loss, so L - L(w*) can be negative and so can the estimate; train on, or ask for the "
    "self target, which is minimal at w* by construction (estimator.target=self), or for another point "
    "(estimator.polish=true)"
)
RATE = 2e10  # operations a second that a budget in seconds is converted with, a slow core's
PATIENCE = 32  # times the default draws that estimator.target_se may take
SMALL, WIDE = 3_000, 10_000  # parameters: how many chains and draws an exact loss gets


@dataclass(frozen=True)
class Auto:
    """Let calibration choose the kernel. Nothing to set."""

    name: str = "auto"

    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    unbiased: ClassVar[bool] = True
    watched: ClassVar[tuple[str, ...]] = ()


@SAMPLERS.register("auto", Auto)
def choose(potential: Potential) -> HMC | SGLD:
    """HMC where gradients on all data are affordable, else SGLD."""
    leapfrog = 48 if potential.exact else 12
    cost = 8 * (20 + 40) * leapfrog * potential.flops
    return HMC(leapfrog=leapfrog) if potential.exact or cost <= AFFORDABLE else SGLD()


def plan(potential: Potential, sampler: Any, cfg: LLC, generator: Generator) -> tuple[Plan, Probes]:
    """The Plan of a measurement, and the probes it rests on.

    `sampler` is a concrete kernel's record; `generator` drives the probes.

    Raises ValueError where the kernel needs what the potential does not have.
    """
    nbeta, gamma = temperature(potential, cfg)
    _require(potential, sampler, gamma)
    batch = getattr(sampler, "batch_size", None)
    sampler, batch, why = _minibatches(potential, sampler, batch)
    probes = probe(potential, nbeta, gamma, generator, sampler)
    chains, warmup, draws, every = counts(potential, sampler, cfg)
    if hasattr(sampler, "leapfrog"):
        sampler = _trim(potential, sampler, chains * (warmup + draws), seconds(cfg.budget))
    sampler = with_step(sampler, probes, nbeta, gamma, warmup)
    found = Plan(
        sampler, nbeta, gamma, chains, warmup, draws, every, gradients=probes.gradients, target_se=cfg.target_se
    )
    return replace(found, notes=(*why, *_notes(found, potential, probes))), probes


def with_step(sampler: Any, probes: Probes, nbeta: float, gamma: float, warmup: int) -> Any:
    """`sampler` with its step size as a number; where it was auto, a kernel that adapts does so along the warm-up."""
    if getattr(sampler, "step_size", None) != "auto":
        return sampler
    stiff, noise = strain(sampler, probes, nbeta, gamma)
    found = replace(sampler, step_size=sampler.first_step(stiff, noise))
    return replace(found, adapt=warmup) if getattr(sampler, "adapt", 0) is None else found


def strain(sampler: Any, probes: Probes, nbeta: float, gamma: float) -> tuple[float, float]:
    """Largest precision of log p, and variance of its minibatch gradient, in the kernel's own coordinates."""
    batch = getattr(sampler, "batch_size", None)
    stiff = max(nbeta * probes.curvature + gamma * probes.stretch, 1e-12)
    return stiff, nbeta**2 * probes.noise / batch if batch else 0.0


def inflation(found: Plan, probes: Probes) -> tuple[float, float]:
    """Factors, predicted, on the variance of the stiffest direction: (discretisation, minibatch noise)."""
    return found.sampler.inflation(found.sampler.step_size, *strain(found.sampler, probes, found.nbeta, found.gamma))


def bias_flags(found: Plan, probes: Probes) -> tuple[str, ...]:
    """Flags of biases that the kernel's own law predicts for this plan."""
    if found.sampler.unbiased:
        return ()
    factors = inflation(found, probes)
    limit = 1 + 1.5 * LIMITS.bias  # a calibrated step aims at 1 + bias
    names = ("discretisation", "minibatch_noise")
    return tuple(name for name, factor in zip(names, factors, strict=True) if factor > limit)


def temperature(potential: Potential, cfg: LLC) -> tuple[float, float]:
    """(n*beta, gamma): the user's, else the defaults of this module."""
    local = cfg.mode == "local"
    if local and not potential.population and (cfg.nbeta is None or cfg.gamma is None):
        raise ValueError("estimator.mode=local needs a population loss, whose n*beta is free, got data; "
                         "give estimator.nbeta and estimator.gamma")  # fmt: skip
    if isinstance(cfg.nbeta, Mapping):
        nbeta = n_over_log_n(potential.n, float(cfg.nbeta.get("beta0", 1.0)))
    elif cfg.nbeta is not None:
        nbeta = float(cfg.nbeta)
    elif potential.population:
        nbeta = 1e6 if local else 1e4
    else:
        nbeta = min(n_over_log_n(potential.n), 3e4 if potential.exact else float("inf"))
    if cfg.gamma is not None:
        return nbeta, float(cfg.gamma)
    norm = float(potential.at.double().square().sum())
    return nbeta, 100.0 if local else 1.0 if potential.exact or norm == 0 else 10 * len(potential.at) / norm


def _require(potential: Potential, sampler: Any, gamma: float) -> None:
    """Raise ValueError where the sampler needs conditionals that are not there."""
    if "conditionals" not in sampler.needs:
        return
    if sum(block.numel() for block in potential.blocks) != len(potential.at):
        raise ValueError(
            f"sampler must be one that needs gradients alone, got {sampler.name}, whose loss must be quadratic in "
            "blocks of its parameters, as that of task=lsa or dln is; sampler=hmc is exact too"
        )
    if gamma == 0:
        raise ValueError(
            f"estimator.gamma must be > 0 with sampler={sampler.name}, got 0; flat directions need a prior"
        )


def _minibatches(potential: Potential, sampler: Any, batch: int | None) -> tuple[Any, int | None, tuple[str, ...]]:
    if batch is None:
        return sampler, None, ()
    if potential.mini is None:
        note = f"{sampler.name}: the loss has no rows, so every gradient is the exact one"
        return replace(sampler, batch_size=None), None, (note,)
    return sampler, batch, ()


def counts(potential: Potential, sampler: Any, cfg: LLC) -> tuple[int, int, int, int]:
    """(chains, warm-up, draws, every) of a measurement: the user's, else defaults by what a gradient costs."""
    chains, warmup, draws, every = _defaults(potential, sampler)
    draws *= 1 if cfg.target_se is None else PATIENCE
    asked = (cfg.chains, cfg.warmup, cfg.draws, cfg.every)
    found = tuple(
        default if wish is None else wish for wish, default in zip(asked, (chains, warmup, draws, every), strict=True)
    )
    return found  # type: ignore[return-value]


def _defaults(potential: Potential, sampler: Any) -> tuple[int, int, int, int]:
    if "full_data" not in sampler.needs:
        return 4, 9_000, 200, 5
    if "conditionals" in sampler.needs:
        return 16, 500, 200, 10
    if "external" in sampler.needs:
        return 4, 100, 100, 1
    trajectory, moves = (48, 1) if potential.exact else (12, 1)
    if not hasattr(sampler, "leapfrog"):
        moves = trajectory  # a kernel of single moves gets as many gradients as hmc
    if potential.exact:
        parameters = len(potential.at)
        chains = 24 if parameters <= SMALL else 4 if parameters <= 100 * SMALL else 2
        warmup, draws = (60, 120) if parameters <= WIDE else (40, 40)
        return chains, warmup * moves, draws, moves
    each = 8 * getattr(sampler, "leapfrog", trajectory) * potential.flops
    draws = int(min(120, max(40, AFFORDABLE / each / 1.5)))
    return 8, draws // 2 * moves, draws, moves


def _trim(potential: Potential, sampler: Any, trajectories: int, budget: float | None) -> Any:
    """Shorter trajectories where a budget in seconds is far from enough for the plan."""
    if budget is None:
        return sampler
    affordable = budget * RATE / (trajectories * potential.flops)
    return replace(sampler, leapfrog=max(4, min(sampler.leapfrog, ceil(affordable))))


def _notes(found: Plan, potential: Potential, probes: Probes) -> tuple[str, ...]:
    sampler = found.sampler
    loss = "closed-form loss" if potential.exact else f"{potential.rows} rows"
    thinned = f" every {found.every} steps" if found.every > 1 else ""
    first = (
        f"{sampler.name} on the {loss}: {found.chains} chains x "
        f"({found.warmup} warm-up + {found.draws} draws{thinned}), n*beta={found.nbeta:.4g}, gamma={found.gamma:.3g}, "
        f"largest curvature {probes.curvature:.3g}"
    )
    if hasattr(sampler, "step_size"):
        first += f", step {sampler.step_size:.2g}"
    if sampler.unbiased or getattr(sampler, "adapt", 0):
        return (first,)
    left, right = inflation(found, probes)
    return (
        first,
        f"predicted inflation of the stiffest direction: discretisation x{left:.3f}, minibatch noise x{right:.3f}",
    )
