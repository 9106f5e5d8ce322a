"""Causes: which flags they account for together, and what they are in words.

They stand in the order of gravity: where w* is no minimum, no longer warm-up helps. A cause takes the flags that it
accounts for, and what is left of a row's flags is looked at by the next.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llcx.doctor import cures
from llcx.doctor.cures import Case, Cure, number
from llcx.figures import flags, wording
from llcx.figures.rows import Row


class Cause(NamedTuple):
    name: str
    signs: frozenset[str]  # one of these flags
    explains: frozenset[str]  # flags that then need no cause of their own
    words: str
    cure: Callable[[Case], Cure]
    when: Callable[[Row], bool] = lambda row: True


def hot(row: Row) -> bool:
    """Whether a second run of the same posterior gave less."""
    return any(number(row, column) < row.llc for column in ("llc_second", "llc_longer"))


def of_self(row: Row) -> bool:
    return row.target == "self"


def named(words: str) -> frozenset[str]:
    return frozenset(words.split())


FOLLOWS = (
    named("""second_sampler_disagrees moved_with_budget moved_with_temperature fluctuation_high leaving_basin
        above_half_parameters rhat drift too_few_draws imprecise warmup_not_settled""")
)  # of a kernel that is biased upwards
CAUSES = (
    Cause(
        "rounding",
        named("rounding"),
        FOLLOWS | named("below_baseline negative fluctuation_low acceptance"),
        "Single precision does not resolve n*beta*K at this n*beta.",
        cures.float64,
    ),
    Cause(
        "rounding",
        named("below_baseline negative"),
        named("fluctuation_low fluctuation_high moved_with_temperature"),
        "Draws lie below w*, although the target is self, for which none can.",
        cures.float64,
        of_self,
    ),
    Cause(
        "the baseline is wrong",
        named("baseline"),
        FOLLOWS | named("below_baseline negative fluctuation_low"),
        "K(w*) is not zero, so every energy is off by the same amount, which grows with n*beta.",
        cures.another_baseline,
    ),
    Cause(
        "w* is no minimum",
        named("not_a_minimum below_baseline negative no_finite_minimum polished_away"),
        FOLLOWS - {"too_few_draws"} | named("fluctuation_low gamma_decides no_plateau"),
        "L(w) - L(w*) is then no excess over a minimum; the estimate can even be negative, and no longer run mends it.",
        cures.another_target,
    ),
    Cause(
        "the step is too large",
        named("discretisation step_decides"),
        FOLLOWS | {"minibatch_noise"},
        "At a finite step this kernel is biased upwards, and a chain that has converged to a wrong law looks healthy.",
        cures.smaller_step,
    ),
    Cause(
        "minibatch noise heats the chains",
        named("minibatch_noise"),
        FOLLOWS,
        "The noise of the gradients acts like a higher temperature; with noisy labels it is at work at w* already.",
        cures.cooler,
    ),
    Cause(
        "the chains are too hot",
        named("second_sampler_disagrees moved_with_budget"),
        FOLLOWS,
        "A second run of the same posterior gave less: the step is too large, or the chains had not come down yet.",
        cures.smaller_step,
        hot,
    ),
    Cause(
        "the chains have not arrived",
        named("second_sampler_disagrees moved_with_budget moved_with_temperature warmup_not_settled drift rhat"),
        named(
            "too_few_draws imprecise fluctuation_high fluctuation_low leaving_basin acceptance above_half_parameters"
        ),
        "They were still on their way from w* when the draws began, or move too slowly to show it (llc_warmup.png).",
        cures.arrived,
    ),
    Cause(
        "the step does not fit",
        named("acceptance"),
        named("fluctuation_high too_few_draws imprecise"),
        "Too little is accepted where the step is too large; too much, where it is so small that it leads nowhere.",
        cures.accepted,
    ),
    Cause(
        "the chains leave w*",
        named("leaving_basin"),
        named("gamma_decides"),
        "Their squared distance from w* grew to twice its size while the draws were made.",
        cures.local_or_basin,
    ),
    Cause(
        "the energy is too high",
        named("fluctuation_high above_half_parameters"),
        named("too_few_draws imprecise"),
        "It lies, or fluctuates, above what a posterior at this temperature allows.",
        cures.smaller_step,
    ),
    Cause(
        "the energy hardly fluctuates",
        named("fluctuation_low"),
        named("too_few_draws imprecise"),
        "Its variance should be near its mean: the chains are stuck, or L(w*) is not the least loss around.",
        cures.arrived,
    ),
    Cause(
        "too few draws",
        named("too_few_draws imprecise"),
        named(""),
        "The standard error is large, or cannot be trusted.",
        cures.more_draws,
    ),
    Cause(
        "n*beta is above n/2",
        named("noise_fit"),
        named("no_plateau"),
        "At such a temperature the value says how the noise of these labels is fitted, not what the model is.",
        cures.at_n_over_log_n,
    ),
    Cause(
        "there is no plateau in n*beta",
        named("no_plateau"),
        named(""),
        "Networks on data have none: the value goes with its n*beta.",
        cures.over("nbeta", "[x0.25,x4]"),
    ),
    Cause(
        "the localiser decides",
        named("gamma_decides"),
        named(""),
        "Without its gamma the number says little.",
        cures.over("gamma", "[x0.1,x10]"),
    ),
    Cause(
        "the frozen rows are too few",
        named("subset_gap"),
        named(""),
        "The chains fit their own rows; the true value lies between that on the rows and that on all data.",
        cures.all_rows,
    ),
    Cause(
        "nobody has checked",
        named("unchecked"),
        named(""),
        "No second sampler could be afforded, and this kernel cannot tell by itself that it has arrived.",
        cures.at_another_step,
    ),
    Cause("the time ran out", named("budget"), named(""), "Fewer draws were made than planned.", cures.more_time),
)


class Finding(NamedTuple):
    """A cause, and the rows of one sampler that it was found in, with the flags it accounts for."""

    cause: Cause
    rows: list[Row]
    seen: dict[str, None]  # flags, in order of appearance

    @property
    def words(self) -> str:
        return f"{self.cause.words} ({', '.join([*self.seen, *beside(self.rows[0])])})"


def beside(row: Row) -> list[str]:
    """What other runs of the same posterior gave, where the row has it."""
    others = {
        "llc_second": "a second sampler",
        "llc_longer": "four times the length",
        "llc_quarter": "a quarter of n*beta",
    }
    found = {name: value for column, name in others.items() if math.isfinite(value := number(row, column))}
    told = [f"{name} {wording.three(value)}" for name, value in found.items()]
    return [f"{row.point}: {wording.three(row.llc)}", *told] if told else []


def symptoms(row: Row) -> list[str]:
    """The row's flags by name, and `negative` where it is so."""
    found = [flags.name(flag) for flag in row.flags]
    return [*found, "negative"] if row.llc < 0 and "negative" not in found else found


def found(every: Sequence[Row]) -> list[Finding]:
    """What is wrong with the rows that have a number, in the order of gravity."""
    findings: dict[tuple[int, str], Finding] = {}
    for row in (row for row in every if not row.failed):
        left = symptoms(row)
        for place, cause in enumerate(CAUSES):
            if cause.when(row) and cause.signs & set(left):
                mine = [flag for flag in left if flag in cause.signs | cause.explains]
                finding = findings.setdefault((place, row.sampler), Finding(cause, [], {}))
                finding.rows.append(row)
                finding.seen.update(dict.fromkeys(mine))
                left = [flag for flag in left if flag not in mine]
    return [findings[key] for key in sorted(findings, key=lambda key: key[0])]
