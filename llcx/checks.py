"""Second opinions on a run: what is asked beside the main chains, and the flags it raises.

    quick   w* is a minimum; for unbiased kernels a quarter-length run (at n*beta/4 where the loss is exact, at gamma/10
            on data); for the others sixty draws of HMC on the same posterior
    full    all of it, the run at four times its length, and a second sampler for every kernel

A chain that has not arrived can look stationary: single-run diagnostics alone catch little more than half of such runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch

from llcx import calibrate, chains
from llcx.diagnostics import (
    LIMITS,
    disagree,
    gamma_slope,
    moved_with_budget,
    moved_with_temperature,
    standard_error,
)
from llcx.journal import Journal
from llcx.minimum import decrement
from llcx.probes import Probes
from llcx.samplers import HMC
from llcx.types import Chains, Draws, Plan, Potential, Progress

SECOND_WARMUP, SECOND_DRAWS, SECOND_CHAINS = 30, 60, 8  # of the second sampler
LONGER = 4  # times the run's own length
WIDER = 0.6  # factor on a step in Gauss-Newton coordinates at a tenth of gamma, where it was .5 to .7 that was stable


@dataclass(frozen=True)
class Checked:
    """What was found, and the gradients a chain it cost."""

    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    gradients: int = 0
    beside: Mapping[str, Any] = field(default_factory=dict)  # numbers and texts for the row, by column

    def __add__(self, other: "Checked") -> "Checked":
        return Checked(
            (*self.flags, *other.flags),
            (*self.notes, *other.notes),
            self.gradients + other.gradients,
            {**self.beside, **other.beside},
        )


class Run(NamedTuple):
    """The run that is checked."""

    potential: Potential
    plan: Plan
    probes: Probes
    draws: Draws
    seed: int
    journal: Journal | None = None
    progress: Progress | None = None

    def again(self, plan: Plan, **how: object) -> Draws:
        """Another run of the same posterior, on random numbers of its own."""
        keep = self.journal.keeper() if self.journal else None
        seen = self.progress and checking(self.progress)
        return chains.run(self.potential, plan, self.seed, role="check", keep=keep, progress=seen, **how)  # type: ignore[arg-type]


def checking(progress: Progress) -> Progress:
    """The same, told apart from the run that is checked."""
    return lambda stage, done, total, shown: progress(f"{stage} (check)", done, total, shown)


def checked(main: Run, level: str) -> Checked:
    """All checks of `level`: off | quick | full. A run that its budget ended gets those that need no second run."""
    if level == "off":
        return Checked()
    found = _alone(main)
    if main.draws.stopped_by == "budget":
        return found
    plan, exact = main.plan, main.potential.exact
    repeated = plan.metric == "ggn" and not plan.sampler.unbiased  # at a quarter of its step, which is another opinion
    alien = "external" in plan.sampler.needs  # starts at w* each time, so a quarter of its length tells nothing
    needed = alien or not (plan.sampler.unbiased or repeated)
    found += _second(main) if needed else _cooler(main) if exact else _looser(main)
    if level == "full":
        found += _longer(main)
        found += Checked() if needed else _second(main)
    return found


def _alone(main: Run) -> Checked:
    """What needs no further chains."""
    potential, plan, draws = main.potential, main.plan, main.draws
    flags, mean = list(calibrate.bias_flags(plan, main.probes)), float(draws.energy.mean())
    zero = plan.nbeta * float(potential.value(potential.at.unsqueeze(0)))
    if abs(zero) > LIMITS.baseline * max(abs(mean), 0.1):
        flags.append("baseline")
    if potential.exact and rounding(potential, plan.nbeta, draws.last) > LIMITS.rounding:
        flags.append("rounding")
    if plan.warmup + plan.draws * plan.every < LIMITS.shortened * plan.usual:
        flags.append("too_few_draws")
    slope = gamma_slope(draws, plan.gamma)
    notes = [f"d lambda_hat / d log gamma = {slope:.2g}"]
    beside = {"gamma_slope": slope}
    if potential.target != "data":
        return Checked(tuple(flags), tuple(notes), 0, beside)
    minimum = decrement(potential, plan.nbeta, plan.gamma, rounds=30 if potential.flops < 1e10 else 3)
    notes.append(f"at w*: |gradient| {minimum.gradient:.2g}, Newton decrement {minimum.decrement:.2g} nats")
    if minimum.decrement > LIMITS.decrement * abs(mean):
        flags.append("not_a_minimum")
        notes.append(calibrate.NO_MINIMUM)
    return Checked(tuple(flags), tuple(notes), minimum.gradients, {**beside, "decrement": minimum.decrement})


def rounding(potential: Potential, nbeta: float, w: Chains) -> float:
    """Largest error of n*beta*K, in nats, that the weights' dtype makes at w [C, P]; 0 for float64."""
    if w.dtype == torch.float64:
        return 0.0
    return nbeta * float((potential.value(w) - potential.value(w.double())).abs().max())


def _second(main: Run) -> Checked:
    """Sixty draws of another sampler on the same posterior, where full gradients are affordable."""
    potential, plan = main.potential, main.plan
    mine = plan.sampler
    there = calibrate.LEAPFROG if potential.exact else calibrate.SHORT
    leapfrog = 2 * (mine.leapfrog or there) if isinstance(mine, HMC) else there
    other = HMC(leapfrog=leapfrog, adapt=SECOND_WARMUP)
    cost = SECOND_CHAINS * (SECOND_WARMUP + SECOND_DRAWS) * leapfrog * potential.flops
    if cost > calibrate.AFFORDABLE:
        return Checked(("unchecked",))
    other = calibrate.with_step(other, main.probes._replace(stretch=1.0), plan.nbeta, plan.gamma, SECOND_WARMUP)
    draws = main.again(
        replace(plan, sampler=other, chains=SECOND_CHAINS, warmup=SECOND_WARMUP, draws=SECOND_DRAWS, every=1)
    )
    note = f"a second sampler ({SECOND_DRAWS} draws of hmc) gives {float(draws.energy.mean()):.4g}"
    flags = ("second_sampler_disagrees",) if disagree(main.draws.energy, draws.energy) else ()
    return Checked(flags, (note,), draws.gradients, {"llc_second": float(draws.energy.mean())})


def _longer(main: Run) -> Checked:
    """The run goes on for four times its length."""
    plan, draws = main.plan, main.draws
    if draws.stopped_by == "target_se":
        plan = replace(plan, draws=draws.energy.shape[1])
    longer = replace(_standing(plan, draws, draws.step_size), warmup=LONGER * plan.warmup, draws=LONGER * plan.draws)
    more = main.again(replace(longer, target_se=None), start=draws.last)
    flags = ("moved_with_budget",) if moved_with_budget(draws.energy, more.energy) else ()
    note = f"at {LONGER} times the length it is {float(more.energy.mean()):.4g}"
    return Checked(flags, (note,), more.gradients, {"llc_longer": float(more.energy.mean())})


def _cooler(main: Run) -> Checked:
    """A quarter-length run at n*beta/4 from the last draws, moved out to about the energy they had; the step doubles.

    Where they are left at the old temperature a run this short would still be heating up when it ends.
    """
    potential, plan, draws = main.potential, main.plan, main.draws
    shorter = replace(_quarter(plan, draws, 2 * draws.step_size), nbeta=plan.nbeta / 4)
    aim, low, high = float(draws.energy[:, -1].mean()), 1.0, 2.0
    for _ in range(6):
        middle = (low + high) / 2
        energy = shorter.nbeta * potential.value(potential.at + middle * (draws.last - potential.at))
        low, high = (middle, high) if float(energy.mean()) < aim else (low, middle)
    other = main.again(shorter, start=potential.at + low * (draws.last - potential.at))
    flags = ("moved_with_temperature",) if moved_with_temperature(draws.energy, other.energy) else ()
    beside = {"llc_quarter": float(other.energy.mean()), "llc_quarter_se": standard_error(other.energy)}
    return Checked(flags, (), other.gradients, beside)


def _looser(main: Run) -> Checked:
    """A quarter-length run at gamma/10 from the last draws: how much the localiser decides."""
    plan, draws = main.plan, main.draws
    step_size = draws.step_size * (WIDER if plan.metric == "ggn" else 1.0)
    other = main.again(replace(_quarter(plan, draws, step_size), gamma=plan.gamma / 10), start=draws.last)
    there, here = float(other.energy.mean()), float(draws.energy.mean())
    note = (
        f"at gamma/10 a quarter-length run gives {there:.3g}, here {here:.3g}: "
        "on data the number goes with its n*beta and gamma"
    )
    return Checked((), (note,), other.gradients, {"llc_looser": there})


def _standing(plan: Plan, draws: Draws, step_size: float) -> Plan:
    """The plan with what `draws` adapted found, at `step_size`, without adaptation."""
    sampler = plan.sampler
    if hasattr(sampler, "adapt"):
        sampler = replace(sampler, step_size=step_size, adapt=0)
    if "length" in draws.settling:
        sampler = replace(sampler, length=float(draws.settling["length"][-1]))
    return replace(plan, sampler=sampler)


def _quarter(plan: Plan, draws: Draws, step_size: float) -> Plan:
    """A quarter of the draws and of the warm-up, without adaptation."""
    shorter = _standing(plan, draws, step_size)
    return replace(shorter, warmup=max(4, plan.warmup // 4), draws=max(8, plan.draws // 4), target_se=None)
