"""Health flags in words: what each says, and what to try next. A flag that is not listed here is shown as it stands."""

import math
from collections.abc import Callable
from typing import NamedTuple

from llcx.figures.rows import Row, number


class Meaning(NamedTuple):
    short: str  # fits beside a name in a figure
    sentence: str
    cure: str


FLAGS = {
    # w* and what is measured there
    "not_a_minimum": Meaning(
        "not a minimum",
        "w* is not a minimum of the loss: a Newton step from it would lower n\u03b2L by too much.",
        "Train longer, let estimator.polish=true look for the minimum beside it, or measure estimator.target=self.",
    ),
    "below_baseline": Meaning(
        "below L(w*)",
        "Some draws have a lower loss than w*, which cannot happen at a minimum.",
        "Train longer, or measure estimator.target=self.",
    ),
    "negative": Meaning(
        "negative",
        "The estimate is negative: on average the chains found a lower loss than w*, so w* is no minimum.",
        "Quote nothing; train longer, or measure estimator.target=self.",
    ),
    "no_finite_minimum": Meaning(
        "no finite minimum",
        "The loss goes on falling as the weights grow, as in a classification without errors: the value is that of the "
        "localiser's ball and of when training stopped.",
        "Quote nothing for target=data; train with weight decay, or measure estimator.target=self.",
    ),
    "polished_away": Meaning(
        "polished away",
        "The minimum that polishing found lies more than a tenth of |w*| away: the number is about another network.",
        "Train longer instead, or raise estimator.gamma, which holds the polish near w*.",
    ),
    # what the number depends on
    "no_plateau": Meaning(
        "no plateau",
        "The value depends strongly on n\u03b2: the variance of n\u03b2K is far below its mean, and what is missing is "
        "d\u03bb\u0302/dlog n\u03b2.",
        "Quote it with its n\u03b2 and \u03b3, beside its value at another n\u03b2 (estimator.grid.nbeta=[x0.25,x4]).",
    ),
    "noise_fit": Meaning(
        "fits the noise",
        "n\u03b2 is above n/2: the value measures how the model fits the noise of these very labels.",
        "Take n\u03b2 = n/log n: estimator.nbeta={mode: n_over_log_n, beta0: 1.0}.",
    ),
    "gamma_decides": Meaning(
        "gamma decides",
        "The localiser decides the value: doubling \u03b3 would move it by more than 3 %.",
        "Quote it with its \u03b3 and its value at \u03b3/10, or lower estimator.gamma.",
    ),
    "above_half_parameters": Meaning(
        "above P/2",
        "The estimate exceeds half the number of parameters, the most that a learning coefficient can be.",
        "Lower sampler.step_size, or estimator.nbeta where minibatches are noisy; raise estimator.gamma where the "
        "chains found other basins.",
    ),
    "leaving_basin": Meaning(
        "leaving w*",
        "The distance to w* keeps growing: the chains may be moving to another part of the posterior.",
        "Raise estimator.gamma, or read the value as that of the basin and not of w*.",
    ),
    # the chains
    "baseline": Meaning(
        "baseline",
        "K(w*) is not zero: L - L(w*) is measured against another number than the loss at w*.",
        "Check what the loss subtracts; a closed form must vanish at w*.",
    ),
    "rounding": Meaning(
        "rounding",
        "n\u03b2K in float32 is off by more than a twentieth of a nat at the last draws.",
        "Set hardware.dtype=float64, or lower estimator.nbeta.",
    ),
    "rhat": Meaning(
        "R-hat",
        "The chains disagree: split R-hat is above its limit, so the interval may be too narrow.",
        "Raise estimator.warmup and estimator.draws.",
    ),
    "imprecise": Meaning(
        "imprecise",
        "The standard error is above 7.5 % of the estimate: it may be 15 % off by chance alone.",
        "Raise estimator.draws, or set estimator.target_se.",
    ),
    "drift": Meaning(
        "drift",
        "The first and the second half of the draws have different means: the chains were still moving.",
        "Raise estimator.warmup.",
    ),
    "warmup_not_settled": Meaning(
        "warm-up too short",
        "Step size or energy were still on their way when the warm-up ended.",
        "Raise estimator.warmup.",
    ),
    "too_few_draws": Meaning(
        "few draws",
        "The effective sample size is too small for the interval to be trusted.",
        "Raise estimator.draws or estimator.chains.",
    ),
    "acceptance": Meaning(
        "acceptance",
        "The Metropolis acceptance is outside its healthy range.",
        "Leave sampler.step_size=auto, or change it (smaller when too little is accepted).",
    ),
    "fluctuation_high": Meaning(
        "variance high",
        "The energy fluctuates more than a posterior at this temperature does: unconverged chains or a step too large.",
        "Lower sampler.step_size, raise estimator.warmup, or use sampler=auto.",
    ),
    "fluctuation_low": Meaning(
        "variance low",
        "The energy fluctuates less than a posterior at this temperature does: a wrong baseline L(w*) or stuck chains.",
        "Check that w* is a minimum; raise estimator.draws.",
    ),
    "discretisation": Meaning(
        "step too large",
        "The predicted discretisation error of the step is too large: the estimate is biased upwards.",
        "Lower sampler.step_size, or use a Metropolis kernel (sampler=hmc, sampler=auto).",
    ),
    "minibatch_noise": Meaning(
        "minibatch noise",
        "The predicted heating by minibatch noise is too large: the estimate is biased upwards.",
        "Lower estimator.nbeta, set sampler.control_variate=true, or raise sampler.batch_size.",
    ),
    # second opinions
    "moved_with_temperature": Meaning(
        "moves with n\u03b2",
        "The value at a quarter of n\u03b2 differs by more than theory allows.",
        "Raise estimator.warmup and estimator.draws; check that w* is a minimum.",
    ),
    "moved_with_budget": Meaning(
        "moves with length",
        "The run at four times its length gave another value: the chains had not arrived.",
        "Raise estimator.warmup and estimator.draws fourfold.",
    ),
    "second_sampler_disagrees": Meaning(
        "samplers disagree",
        "A short run of a second sampler gave a different value.",
        "Use sampler=auto, lower sampler.step_size, or raise estimator.draws.",
    ),
    "step_decides": Meaning(
        "step decides",
        "At a smaller step the value moves by more than 5 %: the step is too large for this number.",
        "Lower sampler.step_size until nothing moves.",
    ),
    "subset_gap": Meaning(
        "subset gap",
        "The value on each chain's frozen rows and that of the same draws on all rows lie more than 15 % apart.",
        "Take all rows (sampler=hmc), or raise estimator.gamma, which lowers what the rows have to hold.",
    ),
    "unchecked": Meaning(
        "unchecked",
        "No second sampler could be afforded, and this kernel cannot tell by itself that it has arrived.",
        "Measure fewer rows or a part of the parameters with sampler=auto, or compare two step sizes.",
    ),
    # the run
    "budget": Meaning(
        "budget",
        "The time ran out before the planned draws were made.",
        "Raise estimator.budget.",
    ),
    "failed": Meaning(
        "failed",
        "The measurement gave no number.",
        "Read the message, and the log of the run for the full story.",
    ),
}

GRAVE = frozenset(  # the number is wrong, or one of something else; the other flags make it less sure
    """not_a_minimum below_baseline negative no_finite_minimum polished_away baseline rounding above_half_parameters
    moved_with_temperature moved_with_budget second_sampler_disagrees step_decides failed""".split()
)


def _on_data(row: Row) -> bool:
    """Whether the loss is a sum over rows, of which n is a number."""
    return row.raw.get("backend") not in ("closed", "", None)


NOTED: dict[str, Callable[[Row], bool]] = {  # what is no fault, and belongs to the number; read off a row's numbers
    "noise_fit": lambda row: _on_data(row) and row.nbeta > number(row.raw.get("n", "")) / 2,
    "no_plateau": lambda row: _on_data(row) and number(row.raw.get("llc_fluct", "")) < 0.5 * row.llc,
    "gamma_decides": lambda row: math.log(2) * abs(number(row.raw.get("gamma_slope", ""))) > 0.03 * abs(row.llc),
}


def name(flag: str) -> str:
    """`failed: NaN in chain 2` -> `failed`: what stands before a colon."""
    return flag.split(":", 1)[0].strip()


def short(flag: str) -> str:
    """A flag in two or three words."""
    known = FLAGS.get(name(flag))
    return known.short if known else flag


STOPPED = {  # what ended a run: the column stopped_by
    "draws": "all planned draws were made",
    "target_se": "the standard error had come down to estimator.target_se",
    "budget": "estimator.budget was spent before the planned draws were made",
}
