"""Health flags in words: what each says, and what to try next. A flag that is not listed here is shown as it stands."""

from typing import NamedTuple


class Meaning(NamedTuple):
    short: str  # fits beside a name in a figure
    sentence: str
    cure: str


FLAGS = {
    "not_a_minimum": Meaning(
        "not a minimum",
        "w* is not a minimum of the loss: a Newton step from it would lower n\u03b2L by too much.",
        "Train longer, or measure estimator.target=self.",
    ),
    "below_baseline": Meaning(
        "below L(w*)",
        "Some draws have a lower loss than w*, which cannot happen at a minimum.",
        "Train longer, or measure estimator.target=self.",
    ),
    "rhat": Meaning(
        "R-hat",
        "The chains disagree: split R-hat is above its limit, so the interval may be too narrow.",
        "Raise estimator.warmup and estimator.draws.",
    ),
    "drift": Meaning(
        "drift",
        "The first and the second half of the draws have different means: the chains were still moving.",
        "Raise estimator.warmup.",
    ),
    "acceptance": Meaning(
        "acceptance",
        "The Metropolis acceptance is outside its healthy range.",
        "Leave sampler.step_size=auto, or change it (smaller when too little is accepted).",
    ),
    "leaving_basin": Meaning(
        "leaving w*",
        "The distance to w* keeps growing: the chains may be moving to another part of the posterior.",
        "Raise estimator.gamma, or read the value as that of the basin and not of w*.",
    ),
    "moved_with_temperature": Meaning(
        "moves with n\u03b2",
        "The value at a quarter of n\u03b2 differs by more than theory allows.",
        "Raise estimator.warmup and estimator.draws; check that w* is a minimum.",
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
    "second_sampler_disagrees": Meaning(
        "samplers disagree",
        "A short run of a second sampler gave a different value.",
        "Use sampler=auto, lower sampler.step_size, or raise estimator.draws.",
    ),
    "above_half_parameters": Meaning(
        "above P/2",
        "The estimate exceeds half the number of parameters, the most that a learning coefficient can be.",
        "Lower sampler.step_size, or estimator.nbeta where minibatches are noisy.",
    ),
    "too_few_draws": Meaning(
        "few draws",
        "The effective sample size is too small for the interval to be trusted.",
        "Raise estimator.draws or estimator.chains.",
    ),
    "budget": Meaning(
        "budget",
        "The time ran out before the planned draws were made.",
        "Raise estimator.budget.",
    ),
    "discretisation": Meaning(
        "step too large",
        "The predicted discretisation error of the step is too large: the estimate is biased upwards.",
        "Lower sampler.step_size, or use a Metropolis kernel (sampler=hmc, sampler=auto).",
    ),
    "minibatch_noise": Meaning(
        "minibatch noise",
        "The predicted heating by minibatch noise is too large: the estimate is biased upwards.",
        "Lower estimator.nbeta, or raise sampler.batch_size.",
    ),
    "unchecked": Meaning(
        "unchecked",
        "No second sampler could be afforded, and this kernel cannot tell by itself that it has arrived.",
        "Measure fewer rows or a part of the parameters with sampler=auto, or compare two step sizes.",
    ),
    "failed": Meaning(
        "failed",
        "The measurement gave no number.",
        "Read the message, and the log of the run for the full story.",
    ),
}


def name(flag: str) -> str:
    """`failed: NaN in chain 2` -> `failed`: what stands before a colon."""
    return flag.split(":", 1)[0].strip()


def short(flag: str) -> str:
    """A flag in two or three words."""
    known = FLAGS.get(name(flag))
    return known.short if known else flag
