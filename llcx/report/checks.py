"""Every health check as a row tells of it: what it says where it was passed, and why where it was not run.

What a check says where it raised its flag, and what then to try, stands in figures.flags. A row has the number that a
check looked at wherever the check was run, so nothing else is needed to tell.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from llcx.figures import wording
from llcx.report.cases import Case

OFF = "Not run: estimator.check was off."
SPENT = "Left out: estimator.budget was spent."
SELF = "Not needed: the self target is minimal at w* by construction."
EXACT = "Not needed: the loss is known in closed form, and no rows are drawn."
UNBIASED = "Not needed: this kernel has no such bias, or adapts its step to it."


class Number(NamedTuple):
    """The number that a check looks at, and its words."""

    words: str
    of: Callable[[Case], float]
    told: Callable[[float], str] = wording.three


class Check(NamedTuple):
    """`absent`: why it was not run on a row that has a number; empty where it was."""

    name: str  # neutral, where a flag's own words tell a fault
    passed: str
    absent: Callable[[Case], str] = lambda case: ""
    number: Number | None = None


def column(words: str, name: str, told: Callable[[float], str] = wording.three) -> Number:
    """A number that the row has in a column."""
    return Number(words, lambda case: case.number(name), told)


def ratio(words: str, of: Callable[[Case], float], told: Callable[[float], str] = wording.three) -> Number:
    """A number relative to the estimate."""
    return Number(words, lambda case: of(case) / abs(case.row.llc) if case.row.llc else math.nan, told)


def asked(case: Case) -> str:
    return "" if case.has("gamma_slope") else OFF


def at_least(name: str, least: int, words: str) -> Callable[[Case], str]:
    return lambda case: f"Not run: it needs {words}." if case.number(name) < least else ""


def chains_and_draws(case: Case) -> str:
    few = case.number("chains") < 2 or case.number("draws") < 8
    return "Not run: it needs two chains and eight draws at least." if few else ""


def a_minimum(case: Case) -> str:
    return "" if case.has("decrement") else asked(case) or SELF


def a_finite_minimum(case: Case) -> str:
    return EXACT if case.exact else "" if case.row.target == "data" or case.has("llc_labels") else SELF


def on_data(case: Case) -> str:
    return EXACT if case.exact else ""


def exact_only(case: Case) -> str:
    return "" if case.exact else "Not asked on data, where the variance may lie far below the mean."


def rounded(case: Case) -> str:
    return asked(case) or ("" if case.exact else "Not run: it is asked of losses in closed form.")


def biased(case: Case) -> str:
    return asked(case) or (UNBIASED if case.unbiased or case.kernel.adapts else "")


def noisy(case: Case) -> str:
    if case.exact and not case.number("examples"):
        return EXACT
    return biased(case) or ("" if case.kernel.minibatches else "Not needed: every step takes all rows.")


def cooler(case: Case) -> str:
    if case.has("llc_quarter"):
        return ""
    unfit = "Not asked of this kernel: a second sampler checks it instead."
    on_rows = "Not asked on data, where the value goes with n\u03b2."
    return asked(case) or (SPENT if case.spent else unfit if case.exact else on_rows)


def second(case: Case) -> str:
    if case.has("llc_second"):
        return ""
    dear = "Not run: full gradients of this model are too dear for it."
    rest = "Not needed here; estimator.check=full runs it all the same."
    return asked(case) or (SPENT if case.spent else dear if "unchecked" in case.row.flags else rest)


def longer(case: Case) -> str:
    rest = "Not asked for: estimator.check=full lets the run go on for four times its length."
    return "" if case.has("llc_longer") else asked(case) or (SPENT if case.spent else rest)


def finer(case: Case) -> str:
    """Minibatches in Gauss-Newton coordinates, which have a Gauss-Newton quadratic and no acceptance."""
    on_route = case.has("planned") and not case.has("accept") and not case.has("subset_rows")
    rest = "Not needed: it is asked of minibatches in Gauss-Newton coordinates."
    return (asked(case) or (SPENT if case.spent else "")) if on_route else rest


def per_cent(value: float) -> str:
    return wording.percent(value)


FLUCTUATION = ratio("variance over mean", lambda case: case.number("llc_fluct"))
CHECKS = {
    # w* and what is measured there
    "not_a_minimum": Check(
        "w* a minimum",
        "w* is a minimum: a Newton step from it would gain at most 5 % of the estimate.",
        a_minimum,
        ratio("gain of a Newton step", lambda case: case.number("decrement"), per_cent),
    ),
    "below_baseline": Check("draws below w*", "No draw has a lower loss than w*."),
    "negative": Check("sign", "The estimate is positive."),
    "no_finite_minimum": Check(
        "a finite minimum", "The loss does not go on falling as the weights grow.", a_finite_minimum
    ),
    "polished_away": Check(
        "polish",
        "The minimum that polishing found lies within a tenth of |w*|.",
        lambda case: "" if case.has("polish_moved") else "Not asked for: estimator.polish=true moves w* to a minimum.",
        column("moved, of |w*|", "polish_moved", per_cent),
    ),
    "baseline": Check("baseline", "K(w*) is zero, as it must be.", asked),
    "rounding": Check("rounding", "n\u03b2K is resolved to a twentieth of a nat in this precision.", rounded),
    # what the number depends on
    "above_half_parameters": Check(
        "P/2",
        "The estimate is at most half the number of parameters.",
        number=Number("\u03bb\u0302 over P/2", lambda case: 2 * case.row.llc / case.row.parameters),
    ),
    "leaving_basin": Check(
        "distance to w*", "The distance to w* does not keep growing.", at_least("draws", 8, "eight draws at least")
    ),
    "gamma_decides": Check(
        "weight of \u03b3",
        "The localiser matters little: doubling \u03b3 would move the value by at most 3 %.",
        asked,
        ratio("moves at twice \u03b3", lambda case: abs(math.log(2) * case.number("gamma_slope")), per_cent),
    ),
    "noise_fit": Check(
        "n\u03b2 against n",
        "n\u03b2 is at most n/2.",
        on_data,
        Number("n\u03b2/n", lambda case: case.row.nbeta / case.number("n")),
    ),
    "no_plateau": Check("plateau in n\u03b2", "The value goes little with n\u03b2.", on_data, FLUCTUATION),
    # the chains
    "rhat": Check(
        "agreement of the chains",
        "The chains agree: split R-hat is at most 1.1.",
        lambda case: "" if case.has("rhat") else "Not run: it needs two chains and four draws at least.",
        column("R\u0302", "rhat"),
    ),
    "too_few_draws": Check(
        "number of draws",
        "The effective sample size is 30 at least, and the run not far shorter than calibration would make it.",
        number=column("effective", "ess"),
    ),
    "imprecise": Check(
        "precision",
        "The standard error is at most 7.5 % of the estimate.",
        number=ratio("standard error", lambda case: case.number("se"), per_cent),
    ),
    "drift": Check("drift", "Both halves of the draws have the same mean, within their noise.", chains_and_draws),
    "warmup_not_settled": Check(
        "warm-up",
        "Step size and energy had settled when the warm-up ended.",
        at_least("warmup", 7, "seven steps of warm-up at least"),
    ),
    "acceptance": Check(
        "acceptance",
        "The Metropolis acceptance is in its healthy range.",
        lambda case: "" if case.has("accept") else "Not needed: this kernel accepts every step.",
        column("accepted", "accept", per_cent),
    ),
    "fluctuation_high": Check(
        "variance, from above",
        "The energy fluctuates no more than that of a posterior at this temperature.",
        number=FLUCTUATION,
    ),
    "fluctuation_low": Check(
        "variance, from below",
        "The energy fluctuates no less than that of a posterior at this temperature.",
        exact_only,
        FLUCTUATION,
    ),
    "discretisation": Check("step size", "The predicted discretisation error of the step is at most 3 %.", biased),
    "minibatch_noise": Check("minibatch noise", "The predicted heating by minibatch noise is at most 3 %.", noisy),
    # second opinions
    "moved_with_temperature": Check(
        "another n\u03b2",
        "A quarter-length run at a quarter of n\u03b2 gives the same value.",
        cooler,
        column("there", "llc_quarter"),
    ),
    "second_sampler_disagrees": Check(
        "a second sampler",
        "A short run of a second sampler gives the same value.",
        second,
        column("there", "llc_second"),
    ),
    "moved_with_budget": Check(
        "four times the length",
        "The run at four times its length gives the same value.",
        longer,
        column("there", "llc_longer"),
    ),
    "step_decides": Check("a quarter of the step", "At a quarter of the step the value is the same.", finer),
    "subset_gap": Check(
        "frozen rows",
        "The value on each chain's frozen rows is that of the same draws on all rows.",
        lambda case: "" if case.has("subset_rows") else "Not needed: no rows were left out.",
        column("rows a chain", "subset_rows"),
    ),
    "unchecked": Check(
        "a second opinion", "The kernel can tell by itself that it has arrived, or a second run was compared.", asked
    ),
    # the run
    "budget": Check("budget", "The run ended as planned, not because its time was spent."),
    "failed": Check("a number", "The measurement gave a number."),
}
