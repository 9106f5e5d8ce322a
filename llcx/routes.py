"""How a number on data is come by, where nothing was asked for: which functional, on which rows, by which kernel.

    full gradients affordable     HMC on all rows, the target as asked
    else                          HMC on the self target over frozen subsets, one a chain (subsets.py)
    else                          SGLD in Gauss-Newton coordinates on minibatches of the self target

Subsets and minibatches are of the self target because a subset of labels has noise of its own, which chains fit: the
label loss on n' of n rows was 40 to 16000 per cent off, corrected or not. The self target is minimal at w* on any rows,
but it is another functional. What the labels would have given is told beside it, to second order in X = t(K - K_self),
with K = L - L(w*) on the labels, t = n*beta and moments k under the self posterior, centred:

    E_data[tK] = E_self[tK] - k(tK, X) + 1/2 k(tK, X, X)

Then more rows or a smaller step are tried where the run itself shows that it needs them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import nan
from typing import Any, NamedTuple

from torch import Generator, Tensor

from llcx import calibrate, metric, subsets
from llcx.checks import Checked
from llcx.diagnostics import LIMITS, rhat, standard_error
from llcx.estimators.llc import LLC
from llcx.samplers import HMC, SGLD
from llcx.types import Draws, Plan, Potential, Trace

LEAPFROG = 12
BATCH = 256
ROUNDS = 3  # runs of one measurement at most
FINER = 4  # what the step is divided by
GROWN = 30.0  # factor on w*
LARGEST = 2.5  # nats: standard deviation of X up to which the expansion is told
LABELS = "labels"  # name of n*beta*K on the labels among what is observed
SWAPPED = (
    "the target is self, the divergence from the model at w*, not the loss on the labels: another functional, which in "
    "classification was 4 to 30 per cent lower; llc_labels is the loss on the labels, to second order"
)


class Route(NamedTuple):
    """What was chosen."""

    sampler: Any
    target: str  # data | self
    subset: int = 0  # rows a chain; 0: all
    notes: tuple[str, ...] = ()


def choose(potential: Potential, cfg: LLC, generator: Generator) -> Route:
    """The route for a potential whose kernel is open, by counted operations."""
    target, affordable = potential.target, calibrate.AFFORDABLE
    if potential.exact or potential.population or potential.factors is None or potential.frozen is None:
        return Route(calibrate.choose(potential), target)
    whole = cost(potential.flops)
    if whole <= affordable:
        return Route(HMC(leapfrog=LEAPFROG), target)
    nbeta, gamma = calibrate.temperature(potential, cfg)
    found = metric.gauss_newton(potential, potential.at.unsqueeze(0), generator)
    planned = found.quadratic(nbeta, gamma)
    count = subsets.size(planned, potential.rows)
    why = f"HMC on all {potential.rows} rows would take {whole:.1g} operations"
    swapped = () if target == "self" else (SWAPPED,)
    if count and whole * count / potential.rows <= affordable:
        note = f"{why}: self target on {count} rows a chain, for {planned:.3g} nats planned"
        return Route(HMC(leapfrog=LEAPFROG), "self", count, (note, *swapped))
    note = f"{why}, and on subsets for {planned:.3g} nats not much fewer: minibatches of {BATCH} of the self target"
    return Route(SGLD(batch_size=BATCH, metric="ggn"), "self", 0, (note, *swapped))


def cost(flops: float) -> float:
    """Floating-point operations of an HMC run of 8 chains whose gradients take `flops` each."""
    return 8 * (20 + 40) * LEAPFROG * flops


def runs(potential: Potential, plan: Plan, once: Callable[..., Draws], refine: bool) -> list[tuple[Plan, Draws]]:
    """The plan's run and, with `refine`, those that it asked for; `once(plan, start=, role=)` is one run."""
    tried = [(plan, once(plan))]
    while refine and (better := again(tried, potential)) is not None:
        tried.append((better, once(better, start=tried[-1][1].last, role=f"again {len(tried)}")))
    return tried


def again(tried: Sequence[tuple[Plan, Draws]], potential: Potential) -> Plan | None:
    """A plan with more rows or a smaller step, where the last run asks for it; None: it stands."""
    plan, draws = tried[-1]
    if len(tried) >= ROUNDS or draws.stopped_by == "budget":
        return None
    if plan.subset:
        return _more_rows(plan, draws, potential.rows) if len(tried) == 1 else None
    if not finer_steps_decide(plan):
        return None
    if len(tried) > 1 and rhat(draws.energy) > LIMITS.rhat:
        return replace(plan, every=FINER * plan.every)
    if len(tried) == 1 or moved(tried) > LIMITS.step_moved:
        sampler = replace(plan.sampler, step_size=plan.sampler.step_size / FINER)
        return replace(plan, sampler=sampler, every=FINER * plan.every)  # as many relaxation times between draws
    return None


def finer_steps_decide(plan: Plan) -> bool:
    """Whether the plan is one of minibatches in Gauss-Newton coordinates."""
    return plan.metric == "ggn" and getattr(plan.sampler, "batch_size", None) is not None


def _more_rows(plan: Plan, draws: Draws, rows: int) -> Plan | None:
    """Twice as many at least, where the bracket is wide: its width is 2 / (rows a nat)."""
    if subsets.gap(draws) <= LIMITS.gap:
        return None
    more = min(4 * plan.subset, max(2 * plan.subset, int(subsets.PER_NAT * float(draws.energy.mean()))))
    return replace(plan, subset=0 if more > subsets.WHOLE * rows else more)


def moved(tried: Sequence[tuple[Plan, Draws]]) -> float:
    """How far the last run is from the one before, relative, beyond twice their noise."""
    before, after = tried[-2][1].energy, tried[-1][1].energy
    change = abs(float(after.mean() - before.mean()))
    noise = 2 * (standard_error(before) ** 2 + standard_error(after) ** 2) ** 0.5
    return max(0.0, change - noise) / max(abs(float(after.mean())), 1e-12)


def settled(tried: Sequence[tuple[Plan, Draws]]) -> Draws:
    """The draws that count: the last ones, with what the interval owes to the step."""
    plan, draws = tried[-1]
    if len(tried) < 2 or not finer_steps_decide(plan):
        return draws
    left = abs(float(draws.energy.mean() - tried[-2][1].energy.mean())) / (FINER - 1)  # the bias is linear in the step
    return replace(draws, allowance=draws.allowance + left)


def on_labels(draws: Draws) -> tuple[float, float]:
    """The mean of n*beta*K on the labels under their own posterior, to second order, and its standard error.

    nan where labels were not observed, or where X varies too much for an expansion, as far from a minimum of the loss.
    What subsets leave out enters as it does in the estimate.
    """
    if LABELS not in draws.observed:
        return nan, nan
    labels, everything = draws.observed[LABELS], draws.observed.get(subsets.FULL, draws.energy)
    cross = labels - everything
    if float(cross.std()) > LARGEST:
        return nan, nan
    bend = _centred(labels) * _centred(cross)
    corrected = draws.energy + cross - bend + 0.5 * bend * _centred(cross)
    return float(corrected.mean()), standard_error(corrected)


def _centred(trace: Trace) -> Tensor:
    return trace - trace.mean()


def verdict(tried: Sequence[tuple[Plan, Draws]], potential: Potential, loss_at: float) -> Checked:
    """What the runs on data tell beside their number; `potential` is of the target asked for, `loss_at` is L(w*)."""
    if potential.population or potential.exact:
        return Checked()
    (plan, draws), endless = tried[-1], no_finite_minimum(potential, loss_at)
    raised = {
        "subset_gap": subsets.gap(draws) > LIMITS.gap,
        "step_decides": len(tried) > 1 and finer_steps_decide(plan) and moved(tried) > LIMITS.step_moved,
        "no_finite_minimum": endless,
    }
    labels, error = on_labels(draws)
    notes = [ENDLESS] if endless else list(_temperature(plan, draws))
    if plan.nbeta > potential.n / 2:
        notes.append(f"n*beta {plan.nbeta:.4g} is above n/2: it measures the noise fit; the default is n/log n")
    if len(tried) > 1:
        what = "step" if finer_steps_decide(plan) else "rows"
        notes.append(f"{what} refined: {' -> '.join(f'{float(each.energy.mean()):.4g}' for _, each in tried)}")
    if LABELS in draws.observed:
        told = f"{labels:.4g} +- {error:.2g} (standard error)" if labels == labels else "too far from it to tell"
        notes.append(f"on the labels, to second order: {told}")
    means = {name: float(draws.observed[name].mean()) for name in subsets.BOTH if name in draws.observed}
    if means:
        low, high = means.values()
        notes.append(f"{plan.subset} rows a chain: {low:.4g} on them, {high:.4g} on all rows at the same draws")
    beside = {"planned": plan.planned, "llc_labels": labels, **{f"llc_{name}": mean for name, mean in means.items()}}
    beside |= {"subset_rows": float(plan.subset)} if plan.subset else {}
    return Checked(
        tuple(name for name, found in raised.items() if found),
        tuple(notes),
        sum(each.gradients for _, each in tried[:-1]),
        {name: value for name, value in beside.items() if value == value},
    )


ENDLESS = (
    "no finite minimum: the loss goes on falling as the weights grow, so the number depends on gamma and on when the "
    "training stopped"
)


def no_finite_minimum(potential: Potential, loss_at: float) -> bool:
    """Whether L(GROWN w*) is below a twentieth of L(w*), as where classes are separated; `loss_at` is L(w*) > 0."""
    if potential.target != "data" or potential.exact or potential.population or not loss_at > 0:
        return False
    return float(potential.value(GROWN * potential.at.unsqueeze(0))) < -0.95 * loss_at


def _temperature(plan: Plan, draws: Draws) -> Iterator[str]:
    """d mean / d log(n*beta) = mean - Var in words, where it is large; of a subset's own energy where it has one."""
    trace = draws.observed.get(subsets.SUBSET, draws.energy)
    mean, variance = float(trace.mean()), float(trace.var())
    if mean > 0 and variance < LIMITS.plateau * mean:
        yield (
            f"no plateau: Var(n*beta K) / mean is {variance / mean:.2f}, so the number grows by {mean - variance:.3g} "
            f"nats for each factor of e in n*beta; quote it with n*beta={plan.nbeta:.4g} and gamma={plan.gamma:.3g}"
        )
