"""The rule by which a hypothesis is told supported or not, fixed before anything is trained.

Of an effect whose + is good, with its 95 % interval (tasks.mcl.bootstrap) and the smallest effect of interest:

    SUPPORTED       the interval lies above 0 and the mean is at least of interest
    REVERSED        the interval lies below 0
    REJECTED        the interval lies below what is of interest
    INCONCLUSIVE    none of these
    NOT TESTED      a gate is shut: the runs could not have shown it, or there are none
    SPLIT           of parts that must all hold, one is supported and another rejected
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite, log
from typing import Any, NamedTuple

from llcx.settings import at_least, one_of, positive
from llcx.tasks.mcl.bootstrap import Effect

SUPPORTED, REJECTED, REVERSED = "SUPPORTED", "REJECTED", "REVERSED"
INCONCLUSIVE, NOT_TESTED, SPLIT = "INCONCLUSIVE", "NOT TESTED", "SPLIT"
AGAINST = (REJECTED, REVERSED)
ROLES = ("primary", "secondary", "attribution", "negative control", "positive control")
RESAMPLING = ("nested", "crossed")


@dataclass(frozen=True)
class Registered:
    """What was decided in advance."""

    treated: str = "full"  # the arm that claims
    control: str = "b0"  # the arm that it is compared with
    attribution: list[str] = field(default_factory=lambda: ["b1", "b2", "b3"])  # what the treated has beyond each
    shuffled: str = "shuffled"  # as the treated, groups dealt at random: should have no effect beyond `aids`
    aids: str = "b1"  # the treated without sharing
    positive: list[str] = field(default_factory=lambda: ["recurrent", "one_shot"])  # an effect that should be found
    method: str = "lora"  # of few-shot adaptation, in the verdict: lora | adapter | full | scratch; others are told
    cue: str = "opaque"  # in the verdict: opaque | program
    layers: str = "enc"  # H4 looks at layers whose names begin so: those that the sharing loss does not act on itself
    hidden: str = "h"  # the layer that it acts on
    score: float = 0.02  # smallest effect of interest of IoU, exact match and areas under curves of IoU
    saved: float = 0.10  # of steps and seconds, as a share that is saved
    alike: float = 0.02  # of CKA, and of the distance relative to chance
    probe: float = 0.02  # of an AUROC
    found: float = 0.02  # of the share of primitives that have a unit
    trained: float = 0.6  # val_id macro IoU below which an arm is undertrained, median over seeds
    above_copy: float = 0.25  # and how far it must be above copying the input
    kept: float = 0.5  # effective rank of h relative to the control's, below which it collapsed: training without any
    # sharing too leaves h a quarter of the rank that random weights give it
    rank_ratio: float = 0.8  # and relative to the control arm's, for its geometry to count
    censored: float = 0.8  # share that never comes to the level, above which times are not compared
    tau: float = 0.9  # of the control's median final val_id IoU: the level that H3 waits for
    resampling: str = "nested"  # nested: compositions within seeds | crossed: once for all seeds, which must share them
    resamples: int = 10_000

    def __post_init__(self) -> None:
        one_of("task.verdicts.resampling", self.resampling, RESAMPLING)
        at_least("task.verdicts", 0, score=self.score, saved=self.saved, alike=self.alike, probe=self.probe)
        at_least("task.verdicts", 0, found=self.found, trained=self.trained, above_copy=self.above_copy, kept=self.kept)
        positive("task.verdicts", rank_ratio=self.rank_ratio, tau=self.tau, censored=self.censored)
        at_least("task.verdicts", 1000, resamples=self.resamples)
        if not self.saved < 1:
            raise ValueError(f"task.verdicts.saved must be < 1, a share, got {self.saved}")
        if len(self.positive) != 2:
            raise ValueError(f"task.verdicts.positive must be two arms, the better one first, got {self.positive}")

    @property
    def log_saved(self) -> float:
        """As a log ratio."""
        return -log(1 - self.saved)


class Part(NamedTuple):
    """One comparison of two arms."""

    name: str
    role: str
    treated: str
    control: str
    verdict: str
    sesoi: float  # smallest effect of interest
    effect: Effect = Effect()
    note: str = ""


class Hypothesis(NamedTuple):
    name: str
    claim: str
    verdict: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    def primary(self) -> list[Part]:
        return [part for part in self.parts if part.role == "primary"]


def verdict(found: Effect, sesoi: float) -> str:
    """By the rule, gates apart; an effect that is not finite is not tested."""
    if not isfinite(found.mean):
        return NOT_TESTED
    if found.low > 0 and found.mean >= sesoi:
        return SUPPORTED
    if found.high < 0:
        return REVERSED
    return REJECTED if found.high < sesoi else INCONCLUSIVE


def all_of(verdicts: Sequence[str]) -> str:
    """Of a claim whose parts must all hold; SPLIT where some do and others do not."""
    if not verdicts or NOT_TESTED in verdicts:
        return NOT_TESTED
    against = [each for each in verdicts if each in AGAINST]
    if SPLIT in verdicts or (against and SUPPORTED in verdicts):
        return SPLIT
    if len(against) == len(verdicts):
        return REVERSED if set(against) == {REVERSED} else REJECTED
    return SUPPORTED if set(verdicts) == {SUPPORTED} else INCONCLUSIVE


def chain(verdicts: Sequence[str]) -> str:
    """Of an argument that falls with any of its steps, whatever the others say."""
    if not verdicts or NOT_TESTED in verdicts:
        return NOT_TESTED
    if set(verdicts) in ({SUPPORTED}, {REVERSED}):
        return verdicts[0]
    return REJECTED if any(each in (*AGAINST, SPLIT) for each in verdicts) else INCONCLUSIVE


def any_of(verdicts: Sequence[str]) -> str:
    """Of a claim for which one part is enough."""
    if SUPPORTED in verdicts:
        return SUPPORTED
    if not verdicts or NOT_TESTED in verdicts:
        return NOT_TESTED
    return all_of(verdicts)


def part_rows(hypotheses: Sequence[Hypothesis]) -> list[dict[str, Any]]:
    """A row a comparison, for a table; None where a number is not finite."""
    return [
        {"hypothesis": each.name, "hypothesis_verdict": each.verdict, **_part(part)}
        for each in hypotheses
        for part in each.parts
    ]


def as_json(hypotheses: Sequence[Hypothesis]) -> list[dict[str, Any]]:
    """Plain lists, dictionaries and numbers; None where a number is not finite."""
    return [
        {**each._asdict(), "parts": [_part(part) for part in each.parts], "notes": list(each.notes)}
        for each in hypotheses
    ]


def _part(part: Part) -> dict[str, Any]:
    told = {**part._asdict(), **part.effect._asdict()}
    del told["effect"]
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in told.items()}
