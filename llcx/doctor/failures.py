"""Measurements without a number: what their messages mean, and what to change."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llcx.doctor import cures
from llcx.doctor.cures import Case, Cure
from llcx.figures import wording
from llcx.figures.rows import Row


class Failure(NamedTuple):
    name: str
    message: str  # pattern
    cure: Callable[[Case], Cure]


def slower_training(case: Case) -> Cure:
    """A third of the learning rate; where nothing was trained at all, the stage that was left out."""
    stages = case.setting("run.stages") or ["train"]
    if "train" not in stages:
        return Cure("Nothing was trained. With that stage:", {"run.stages": f"[train,{','.join(stages)}]"})
    rate = case.setting("task.fit.learning_rate")
    if not isinstance(rate, int | float):
        return unread(case)
    return Cure(f"A third of its learning rate, {rate:g}:", {"task.fit.learning_rate": wording.number(rate / 3)})


def calibrated(case: Case) -> Cure:
    """A calibrated step; where it was that already, a tenth of n*beta."""
    return (
        cures.cooler(case)
        if case.kernel.get("step_size", "auto") == "auto"
        else cures.smaller_step(case)._replace(
            words="Let calibration choose the step:", changes={case.key("step_size"): "auto"}
        )
    )


def smaller_chunks(case: Case) -> Cure:
    memory = case.setting("hardware.memory") or 1.0
    words = "Smaller chunks of chains and rows, and half the chains:"
    chains = max(2, int(case.most("chains", 8.0)) // 2)
    return Cure(words, {"hardware.memory": wording.number(memory / 2), "estimator.chains": str(chains)})


def as_it_says(case: Case) -> Cure:
    del case
    return Cure("A setting was refused; the message names it, what it must be, and the way out.", {})


def unread(case: Case) -> Cure:
    del case
    return Cure("Its stack is in the run's llcx.log. Once more, with everything said:", {"run.verbosity": "debug"})


FAILURES = (
    Failure("a training did not come to its end", r"training .*(diverged|left no snapshot)", slower_training),
    Failure("a chain diverged", r"n\*beta\*K = |NaN|not finite|the estimate is (nan|-?inf)", calibrated),
    Failure("memory ran out", r"MemoryError|out of memory|can't allocate|OutOfMemory", smaller_chunks),
    Failure("there is nothing to refer to", r"is a factor of the calibrated choice", unread),
    Failure("a setting was refused", r" must be ", as_it_says),
    Failure("something else went wrong", r"", unread),
)


class Loss(NamedTuple):
    """Rows of one sampler that have no number for one reason."""

    failure: Failure
    rows: list[Row]


def message(row: Row) -> str:
    return ", ".join(row.flags).removeprefix("failed: ") or "no reason recorded"


def lost(every: Sequence[Row]) -> list[Loss]:
    """The rows without a number, by reason and sampler."""
    losses: dict[tuple[str, str], Loss] = {}
    for row in (row for row in every if row.failed):
        failure = next(failure for failure in FAILURES if re.search(failure.message, message(row)))
        losses.setdefault((failure.name, row.sampler), Loss(failure, [])).rows.append(row)
    return sorted(losses.values(), key=lambda loss: FAILURES.index(loss.failure))
