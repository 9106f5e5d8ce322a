"""A potential and the user's wishes -> a Plan: kernel, n*beta, gamma, chains, warm-up, draws.

Decided from counted operations and from probes at w*, never from a clock, so that the same input gives the same plan.

    exact losses    HMC, 32 chains (2 to 4 where wide), n*beta = 1e4 where it is free, gamma = 1
    data            n*beta = n / log n, gamma = 10 P / |w*|^2; what `auto` does there stands in routes.py
    minibatches     the step whose predicted biases are two per cent each, of lambda in Gauss-Newton coordinates, else
                    of the worst direction, which bounds it; a population's n*beta falls with their noise

A choice the user made is kept; only what is null or auto is filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, inf, nan
from typing import Any, ClassVar

from torch import Generator

from llcx import metric
from llcx.diagnostics import LIMITS
from llcx.estimators.llc import LLC, seconds
from llcx.posterior import n_over_log_n
from llcx.probes import Probes, by_means, probe, stiffest, strain
from llcx.registry import SAMPLERS
from llcx.samplers import HMC, SGLD
from llcx.samplers.hmc import LEAPFROG
from llcx.types import Plan, Potential

AFFORDABLE = 4e12  # floating-point operations of one measurement: about a minute or two on one core
NO_MINIMUM = (
    "w* is not a minimum of the loss, so L - L(w*) can be negative and so can the estimate; train on, or ask for the "
    "self target, which is minimal at w* by construction (estimator.target=self), or for another point "
    "(estimator.polish=true)"
)
RATE = 2e10  # operations a second that a budget in seconds is converted with, a slow core's
PATIENCE = 32  # times the default draws that estimator.target_se may take
HELD = 1.0  # eps h of the stiffest direction, a quarter of what is stable: at a draw it may be twice as stiff and more
SHORT, LONGEST = 12, 144  # leapfrog steps of a trajectory: on data, and where the curvature is largest
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
    cost = 8 * (20 + 40) * SHORT * potential.flops
    return HMC() if potential.exact or cost <= AFFORDABLE else SGLD()


def plan(potential: Potential, sampler: Any, cfg: LLC, generator: Generator, subset: int = 0) -> tuple[Plan, Probes]:
    """The Plan of a measurement, and the probes it rests on.

    `sampler` is a concrete kernel's record; `generator` drives the probes; a chain keeps to `subset` rows, 0: to none.

    Raises ValueError where the kernel needs what the potential does not have.
    """
    nbeta, gamma = temperature(potential, cfg)
    _require(potential, sampler, gamma)
    batch = getattr(sampler, "batch_size", None)
    sampler, batch, why = _minibatches(potential, sampler, batch)
    where = coordinates(potential, sampler, gamma)
    probes, planned = _probed(potential, sampler, (nbeta, gamma), where, generator)
    if batch and cfg.nbeta is None and potential.population:
        nbeta, more = _quieter(nbeta, probes, batch)
        why = (*why, *more)
    sampler = with_length(potential, sampler, probes, nbeta, gamma)
    posed = replace(potential, flops=potential.flops * subset / potential.rows) if subset else potential
    chains, warmup, draws, every = counts(posed, sampler, cfg)
    if hasattr(sampler, "leapfrog"):
        sampler = _trim(posed, sampler, chains * (warmup + draws), seconds(cfg.budget))
    sampler = with_step(sampler, probes, nbeta, gamma, warmup)
    found = Plan(
        sampler, nbeta, gamma, chains, warmup, draws, every, gradients=probes.gradients, target_se=cfg.target_se
    )
    _, usual, kept, apart = _defaults(posed, sampler)
    found = replace(found, metric=where, subset=subset, planned=planned, usual=usual + kept * apart)
    return replace(found, notes=(*why, *_notes(found, potential, probes))), probes


def coordinates(potential: Potential, sampler: Any, gamma: float) -> str:
    """Those the kernel runs in: its own wish, or Gauss-Newton ones where there are rows. "": as they are.

    Raises ValueError where those that are asked for cannot be had.
    """
    wish, possible = getattr(sampler, "metric", "identity"), potential.factors is not None and gamma > 0
    if wish == "ggn" and not possible:
        raise ValueError("sampler.metric=ggn needs rows of data, a likelihood with a KL divergence (llcx.likelihoods) "
                         "and estimator.gamma > 0; use diagonal or identity")  # fmt: skip
    if wish == "diagonal" and not hasattr(sampler, "adapt"):
        raise ValueError(f"sampler.metric=diagonal is found along the warm-up and needs a kernel that adapts its step, "
                         f"got {sampler.name}; use ggn or identity")  # fmt: skip
    if wish == "auto":
        wish = "ggn" if possible and not potential.exact else ""
    return "" if wish == "identity" or "external" in sampler.needs else str(wish)


def _probed(
    potential: Potential, sampler: Any, temperature: tuple[float, float], where: str, generator: Generator
) -> tuple[Probes, float]:
    """Probes in the coordinates `where`, and lambda of the Gauss-Newton quadratic, nan where it was not needed."""
    nbeta, gamma = temperature
    if where != "ggn":
        return probe(potential, nbeta, gamma, generator, sampler), nan
    found = metric.gauss_newton(potential, potential.at.unsqueeze(0), generator)
    planned, there = found.quadratic(nbeta, gamma), metric.low_rank(potential.at, found, nbeta, gamma)
    if hasattr(sampler, "adapt"):  # n*beta K + gamma/2 |w - w*|^2 has about unit curvature in u, and a start is enough
        return Probes(1 / nbeta, 0.0, 1, 0.0), planned
    stretch = there.range[1]
    probes = probe(metric.moved(potential, there), nbeta, gamma * stretch, generator, sampler, planned)
    return probes._replace(stretch=stretch), planned


def _quieter(nbeta: float, probes: Probes, batch: int) -> tuple[float, tuple[str, ...]]:
    """A lower n*beta where minibatch noise asks for steps that would not arrive, and the note that says so.

    A step that noise allows relaxes a direction of curvature h in 25 n*beta c / (B h) steps: at n*beta = 10 B h_max / c
    that is 250 h_max / h.
    """
    if probes.noise == 0:
        return nbeta, ()
    lower = max(100.0, 10 * batch * probes.curvature / probes.noise)
    if lower >= nbeta:
        return nbeta, ()
    return lower, (f"n*beta lowered from {nbeta:.4g} to {lower:.4g}: minibatch noise heats as its square",)


def with_length(potential: Potential, sampler: Any, probes: Probes, nbeta: float, gamma: float) -> Any:
    """`sampler` with the leapfrog steps of a trajectory as a number.

    Where the loss is exact, as many as cross the directions that the localiser alone holds a third of the way, within
    the limits of what pays: the energy mixes with them where the curvature is large (n*beta h / gamma above 1e5).
    """
    if getattr(sampler, "leapfrog", 0) is not None:
        return sampler
    if not potential.exact:
        return replace(sampler, leapfrog=SHORT)
    across = (nbeta * probes.curvature / gamma) ** 0.5 if gamma > 0 else 0.0
    return replace(sampler, leapfrog=round(min(max(LEAPFROG, 0.2 * across), LONGEST)))


def with_step(sampler: Any, probes: Probes, nbeta: float, gamma: float, warmup: int) -> Any:
    """`sampler` with its step size as a number; where it was auto, a kernel that adapts does so along the warm-up."""
    if getattr(sampler, "step_size", None) != "auto":
        return sampler
    step_size = sampler.first_step(*strain(sampler, probes, nbeta, gamma))
    if by_means(sampler, probes):
        step_size = min(step_size, HELD / stiffest(probes, nbeta, gamma))
    found = replace(sampler, step_size=step_size)
    return replace(found, adapt=warmup) if getattr(sampler, "adapt", 0) is None else found


def inflation(found: Plan, probes: Probes) -> tuple[float, float]:
    """Factors, predicted: (discretisation, minibatch noise).

    On lambda where it can be told, else on the variance of the worst direction; inf where that is unstable.
    """
    sampler, eps, at = found.sampler, found.sampler.step_size, (found.nbeta, found.gamma)
    left, right = sampler.inflation(eps, *strain(sampler, probes, *at))
    return (inf if sampler.inflation(eps, stiffest(probes, *at), 0.0)[0] == inf else left), right


def bias_flags(found: Plan, probes: Probes) -> tuple[str, ...]:
    """Flags of biases that the kernel's own law predicts for this plan."""
    if found.sampler.unbiased or getattr(found.sampler, "adapt", 0):  # what adapts holds its bias by itself
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
        nbeta = 1e7 if local else 1e4
    else:
        nbeta = min(n_over_log_n(potential.n), 3e4 if potential.exact else float("inf"))
    if cfg.gamma is not None:
        return nbeta, float(cfg.gamma)
    norm = float(potential.at.double().square().sum())
    return nbeta, 50.0 if local else 1.0 if potential.exact or norm == 0 else 10 * len(potential.at) / norm


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
    if getattr(sampler, "metric", "") == "ggn" and getattr(sampler, "batch_size", None) is not None:
        return 8, 1_000, 60, 25
    if "full_data" not in sampler.needs:
        return 4, 3_000, 200, 35
    if "conditionals" in sampler.needs:
        return 16, 500, 200, 10
    if "external" in sampler.needs:
        return 4, 100, 100, 1
    trajectory, moves = (getattr(sampler, "leapfrog", None) or (LEAPFROG if potential.exact else SHORT)), 1
    if not hasattr(sampler, "leapfrog"):
        moves = 5 if getattr(sampler, "adjusted", False) else trajectory  # about as many gradients as hmc
    if potential.exact:
        parameters = len(potential.at)
        chains = 32 if parameters <= SMALL else 4 if parameters <= 100 * SMALL else 2
        warmup, draws = (40, 40) if parameters > WIDE else (40, 80) if trajectory > 2 * LEAPFROG else (60, 120)
        return chains, warmup * moves, draws, moves
    each = 8 * trajectory * potential.flops
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
        + (
            f"Gauss-Newton coordinates, {found.planned:.3g} nats planned"
            if found.metric == "ggn"
            else f"largest curvature {probes.curvature:.3g}"
        )
    )
    if hasattr(sampler, "step_size"):
        first += f", step {sampler.step_size:.2g}"
    if sampler.unbiased or getattr(sampler, "adapt", 0):
        return (first,)
    left, right = inflation(found, probes)
    what = "lambda, at most" if by_means(sampler, probes) else "the stiffest direction"
    return first, f"predicted inflation of {what}: discretisation x{left:.3f}, minibatch noise x{right:.3f}"
