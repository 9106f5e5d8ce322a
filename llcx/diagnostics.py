"""R-hat, effective sample size, and health checks, on traces [C, T].

Each check looks at one run and returns the flag it raises. The thresholds stand in one record; docs/health.md says
what each flag means and what to do about it.
"""

from dataclasses import dataclass
from math import log, nan

from torch import Tensor

from llcx.types import Draws, OtherTrace, Trace


@dataclass(frozen=True)
class Thresholds:
    """What is still healthy."""

    rhat: float = 1.1
    fluctuation: tuple[float, float] = (0.8, 1.2)  # Var(n*beta*K) / mean where the loss is exact
    accept: tuple[float, float] = (0.3, 0.98)  # how far below the kernel's own aim, and at most
    rounding: float = 0.05  # nats of n*beta*K that float32 may be off by
    baseline: float = 0.01  # K(w*), which is zero, relative to the estimate
    drift: float = 3.0  # standard errors between the halves of a run, or Student's quantile of the same level
    imprecise: float = 0.075  # standard error, relative: 15 % within two of them
    leaving: float = 2.0  # growth of |w - w*|^2 from the first half to the second
    decrement: float = 0.05  # n*beta * Newton decrement, relative to the estimate
    polished: float = 0.1  # |moved| / |w*| of a polish
    moved: tuple[float, float] = (2.0, 0.05)  # standard errors, and share of the estimate, between n*beta and n*beta/4
    second: float = 0.10  # relative disagreement with another sampler
    longer: float = 0.05  # relative move when the run goes on for four times its length
    settled: tuple[float, float] = (2.0, 0.25)  # factor on the step, share of the energy, at the end of the warm-up
    bias: float = 0.02  # predicted step-size or minibatch-noise factor above 1
    ess: float = 30.0
    shortened: float = 0.25  # share of the steps that calibration would take
    gap: float = 0.15  # between the ends of a subset's bracket, relative to the estimate
    step_moved: float = 0.05  # relative move when the step is a quarter
    plateau: float = 0.5  # Var(n*beta*K) / mean on data, below which the number goes with n*beta


LIMITS = Thresholds()


def rhat(trace: Trace) -> float:
    """Split R-hat (Gelman et al. 2013), nan for fewer than four draws. 1 for a constant trace."""
    from pyro.ops.stats import split_gelman_rubin  # pyro takes seconds to import

    if trace.shape[1] < 4 or trace.shape[0] < 2:
        return nan
    if float(trace.std()) == 0:
        return 1.0
    return float(split_gelman_rubin(trace, chain_dim=0, sample_dim=1))


def ess(trace: Trace) -> float:
    """Effective sample size of the mean, all chains together (Geyer 2011), at most C*T."""
    from pyro.ops.stats import effective_sample_size

    if trace.shape[1] < 4 or float(trace.std()) == 0:
        return nan
    found = float(effective_sample_size(trace, chain_dim=0, sample_dim=1))
    return min(found, float(trace.numel())) if found > 0 else float(trace.numel())  # antithetic draws make it negative


def standard_error(trace: Trace) -> float:
    """Of the mean: the larger of the chains' spread and the autocorrelation's, widened by sqrt(R-hat)."""
    means = trace.mean(1)
    between = float(means.std() / len(means) ** 0.5) if len(means) > 1 else 0.0
    within = float(trace.std()) / ess(trace) ** 0.5
    worst = max(between, within) if within == within else between
    mixing = rhat(trace)
    return worst * max(1.0, mixing if mixing == mixing else 1.0) ** 0.5


def checks(draws: Draws, *, exact: bool, parameters: int, aim: float = 0.9) -> tuple[str, ...]:
    """Flags of a single run. `aim`: the acceptance that the kernel adapted to."""
    trace = draws.energy
    mean = float(trace.mean())
    ratio, noise = fluctuation(trace)
    below, high = LIMITS.accept
    low = aim - below
    found = {
        "below_baseline": bool((trace < -1e-6).any()),
        "rhat": _above(rhat(trace), LIMITS.rhat),
        "too_few_draws": not ess(trace) >= LIMITS.ess,
        "imprecise": standard_error(trace) > LIMITS.imprecise * abs(mean),
        "drift": _drift(trace),
        "leaving_basin": _leaving(draws.distance) and _change(trace)[0] > 1,
        "fluctuation_high": _above(ratio - 2 * noise, LIMITS.fluctuation[1]),
        "fluctuation_low": exact and ratio + 2 * noise < LIMITS.fluctuation[0],
        "acceptance": draws.accept is not None and not low <= float(draws.accept.mean()) <= high,
        "above_half_parameters": mean - 3 * standard_error(trace) > parameters / 2,
        "warmup_not_settled": _unsettled(draws),
        "budget": draws.stopped_by == "budget",
    }
    return tuple(name for name, raised in found.items() if raised)


def fluctuation(trace: Trace) -> tuple[float, float]:
    """Var(n*beta*K) / mean, and its standard error where n*beta*K has the Gamma law of a regular model; nan below 0."""
    mean = float(trace.mean())
    if mean <= 0:
        return nan, nan
    ratio = float(trace.var()) / mean
    return ratio, ratio * ((2 + 6 / max(mean, 0.1)) / ess(trace)) ** 0.5


def moved_with_temperature(main: Trace, cooler: OtherTrace) -> bool:
    """Whether the estimate at n*beta/4 (`cooler`) differs by more than noise and a slow plateau allow.

    A wrong baseline moves it fourfold, chains that have not arrived move it, a healthy plateau does not.
    """
    se = (standard_error(main) ** 2 + standard_error(cooler) ** 2) ** 0.5
    errors, share = LIMITS.moved
    return abs(float(main.mean() - cooler.mean())) > errors * se + share * abs(float(main.mean()))


def moved_with_budget(main: Trace, longer: OtherTrace) -> bool:
    """Whether a run that goes on moves by more than `longer`, beyond its noise."""
    se = (standard_error(main) ** 2 + standard_error(longer) ** 2) ** 0.5
    change = abs(float(main.mean() - longer.mean()))
    return change > LIMITS.longer * abs(float(longer.mean())) + 2 * se


def disagree(main: Trace, other: OtherTrace) -> bool:
    """Whether two samplers of one posterior differ by more than `second` beyond their noise.

    In the mean, or by half as much again in the median: the bursts of chains that are too hot widen their own error.
    """
    noise = standard_error(other)
    se = (standard_error(main) ** 2 + noise**2) ** 0.5
    means = abs(float(main.mean() - other.mean())) > LIMITS.second * abs(float(other.mean())) + 2 * se
    middle = abs(float(other.median()))
    return means or abs(float(main.median() - other.median())) > 1.5 * LIMITS.second * middle + 3 * noise


def gamma_slope(draws: Draws, gamma: float) -> float:
    """d estimate / d log gamma = -(gamma/2) Cov(n*beta K, |w - w*|^2), at equilibrium: what the localiser decides."""
    energy, distance = draws.energy, draws.distance
    return -0.5 * gamma * float(((energy - energy.mean()) * (distance - distance.mean())).mean())


def one_sided(nbeta: float) -> float:
    """Allowance above the estimate for a multiplicity of 2.

    lambda - mu is (m - 1) / (log(n*beta) + c), whose constant about doubles the leading term on deep linear networks.
    """
    return 2 / log(nbeta) if nbeta > 1 else 0.0


def _above(value: float, limit: float) -> bool:
    return value > limit  # False for nan: `too_few_draws` speaks then


def _halves(trace: Trace) -> tuple[Tensor, Tensor]:
    half = trace.shape[1] // 2
    return trace[:, :half], trace[:, half:]


def _drift(trace: Trace) -> bool:
    """Whether the chains' second halves differ from their first by more than chance and two per cent."""
    errors, relative = _change(trace)
    return errors > _quantile(LIMITS.drift, max(2, len(trace))) and relative > 0.02


def _change(trace: Trace) -> tuple[float, float]:
    """From the first half to the second, chain by chain (paired): in standard errors, and relative to the mean."""
    if trace.shape[1] < 8 or trace.shape[0] < 2:
        return 0.0, 0.0
    first, second = _halves(trace)
    change = second.mean(1) - first.mean(1)
    se = max(float(change.std() / len(change) ** 0.5), 1e-12)
    size = abs(float(change.mean()))
    return size / se, size / max(abs(float(trace.mean())), 1e-12)


def t_quantile(chains: int) -> float:
    """97.5 % of Student's t on `chains` - 1 degrees of freedom, at least one."""
    from scipy.stats import t  # slow to import

    return float(t.ppf(0.975, max(1, chains - 1)))


def _quantile(errors: float, chains: int) -> float:
    """Student's t on `chains` - 1 degrees of freedom that is exceeded as often as a normal exceeds `errors`."""
    from scipy.stats import norm, t  # slow to import

    return float(t.isf(norm.sf(errors), chains - 1))


def _unsettled(draws: Draws) -> bool:
    """Whether step size or energy were still on their way when the warm-up ended."""
    marks = draws.warmup.shape[1]
    if marks < 8:
        return False
    quarter, (factor, share) = marks // 4, LIMITS.settled
    step = draws.settling.get("step_size")
    if step is not None:
        before, after = step[-2 * quarter : -quarter].log().mean(), step[-quarter:].log().mean()
        if abs(float(after - before)) > log(factor):
            return True
    end, mean = draws.warmup[:, -quarter:].mean(1), float(draws.energy.mean())
    change = draws.energy.mean(1) - end
    se = max(float(change.std() / len(change) ** 0.5) if len(change) > 1 else 0.0, 1e-12)
    return abs(float(change.mean())) > max(share * abs(mean), _quantile(LIMITS.drift, max(2, len(change))) * se)


def _leaving(distance: Trace) -> bool:
    first, second = _halves(distance)
    return distance.shape[1] >= 8 and float(second.mean()) > LIMITS.leaving * float(first.mean())
