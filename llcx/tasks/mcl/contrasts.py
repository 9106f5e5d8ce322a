"""Rows of tables -> pairs of arms -> effects with a verdict, behind the gates.

`Evidence` names the columns that are read; further ones do no harm, and numbers may be text. Rows that agree in arm,
seed and unit are averaged. A pair is a unit of a seed that both arms have.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from statistics import fmean, median
from typing import Any, NamedTuple

from llcx.tasks.mcl.bootstrap import Effect, effect, paired
from llcx.tasks.mcl.verdicts import NOT_TESTED, Part, Registered, verdict
from llcx.tasks.summary import number
from llcx.types import Streams

Row = dict[str, Any]
Cells = dict[str, dict[str, tuple[float, float]]]  # seed -> unit -> (treated, control)


@dataclass(frozen=True)
class Evidence:
    """Tables over all runs; every row has arm and seed."""

    runs: list[Row] = field(default_factory=list)  # val_iou, copy_iou, overlap, erank; and, of arms that
    # share (shares = 1), groups_min and gradient_min over their batches
    zero_shot: list[Row] = field(default_factory=list)  # split, composition, iou, exact
    few_shot: list[Row] = field(default_factory=list)  # composition, method, cue, n, iou, copy_iou
    adaptation: list[Row] = field(default_factory=list)  # composition, method, cue, n, step, iou
    course: list[Row] = field(default_factory=list)  # step, seconds (of training alone), iou (val_id), ood (val_ood)
    geometry: list[Row] = field(default_factory=list)  # layer, split (train | unseen), task, cka, grassmann (excess)
    probes: list[Row] = field(default_factory=list)  # layer, primitive, auroc
    sparse: list[Row] = field(default_factory=list)  # primitive, significant (0 | 1), null
    causal: list[Row] = field(default_factory=list)  # composition, kind, drop


class Arms(NamedTuple):
    treated: str
    control: str
    role: str


class Question(NamedTuple):
    """kind log_ratio: of what is better when it is less."""

    name: str
    sesoi: float
    kind: str = "difference"


@dataclass(frozen=True)
class Judge:
    """The rule, applied to pairs; every comparison has a random stream of its own."""

    cfg: Registered
    streams: Streams
    runs: list[Row]

    @property
    def main(self) -> Arms:
        return Arms(self.cfg.treated, self.cfg.control, "primary")

    def others(self, rows: Iterable[Row]) -> list[Arms]:
        """Further comparisons between arms that the rows have."""
        cfg, there = self.cfg, {str(row["arm"]) for row in rows}
        asked = [Arms(cfg.treated, arm, "attribution") for arm in (*cfg.attribution, cfg.shuffled)]
        asked += [Arms(cfg.shuffled, cfg.aids, "negative control")]
        asked += [Arms(cfg.positive[0], cfg.positive[1], "positive control")]
        return [arms for arms in asked if {arms.treated, arms.control} <= there]

    def part(
        self,
        question: Question,
        arms: Arms,
        cells: Cells,
        *,
        shut: Sequence[str] = (),
        runs_of: Sequence[str] | None = None,
    ) -> Part:
        """shut: gates that are this comparison's own. runs_of: the arms whose runs are looked at; both if None.

        Of a positive control it is the better one: the weaker arm need not have learned.
        """
        asked = [arms.treated] if arms.role == "positive control" else [arms.treated, arms.control]
        names = dict.fromkeys(asked if runs_of is None else runs_of)
        shut = [*shut, *(reason for arm in names for reason in gates(self.runs, arm, self.cfg))]
        found = self._effect(question, arms, cells)
        told = NOT_TESTED if shut or found is None else verdict(found, question.sesoi)
        note = "; ".join(shut) or ("" if found is not None else "no pairs of runs")
        return Part(question.name, arms.role, arms.treated, arms.control, told, question.sesoi, found or Effect(), note)

    def _effect(self, question: Question, arms: Arms, cells: Cells) -> Effect | None:
        cells = {seed: some for seed, some in cells.items() if some}
        if not cells:
            return None
        generator = self.streams.generator("/".join(("verdicts", question.name, arms.treated, arms.control)))
        pairs = paired(cells, crossed=self.cfg.resampling == "crossed")
        return effect(pairs, generator, kind=question.kind, resamples=self.cfg.resamples)


def gates(runs: Sequence[Row], arm: str, cfg: Registered) -> list[str]:
    """What an arm's runs lack, in words; a number that is missing shuts its gate."""
    mine = [row for row in runs if str(row["arm"]) == arm]
    if not mine:
        return [f"{arm}: no runs"]
    iou, above = middle(mine, "val_iou"), _median([number(row, "val_iou") - number(row, "copy_iou") for row in mine])
    kept = middle(mine, "erank") / (middle(where(runs, arm=cfg.control), "erank") or nan)
    found = {
        f"undertrained: val_id IoU {iou:.3f}, must be >= {cfg.trained}": iou >= cfg.trained,
        f"undertrained: {above:.3f} above copying, must be >= {cfg.above_copy}": above >= cfg.above_copy,
        f"collapsed: effective rank is {kept:.2f} of {cfg.control}'s, must be >= {cfg.kept}": kept >= cfg.kept,
        "leakage: splits share inputs": all(number(row, "overlap") == 0 for row in mine),
        **_sharing(mine, claims=arm == cfg.treated),
    }
    return [f"{arm}: {reason}" for reason, fine in found.items() if not fine]


def _sharing(runs: Sequence[Row], *, claims: bool) -> dict[str, bool]:
    """Of the runs that share; all of them must in the arm that claims."""
    sharing = [row for row in runs if number(row, "shares") == 1]
    return {
        "share inactive: no weight on it": len(sharing) == len(runs) or not claims,
        "share inactive: a batch had fewer than 2 groups": all(number(row, "groups_min") >= 2 for row in sharing),
        "share inactive: no gradient on h": all(number(row, "gradient_min") > 0 for row in sharing),
    }


def cells(rows: Iterable[Row], value: str, arms: Arms, unit: str, *, sign: int = 1) -> Cells:
    """Of both arms; sign -1 where less is better. Values that are not finite are left out."""
    found = means(rows, value, unit)
    both: Cells = defaultdict(dict)
    for (arm, seed, name), treated in found.items():
        control = found.get((arms.control, seed, name))
        if arm == arms.treated and control is not None:
            both[seed][name] = (sign * treated, sign * control)
    return dict(both)


def within(rows: Iterable[Row], values: tuple[str, str], arm: str, unit: str) -> Cells:
    """Two columns of one arm as if they were two arms."""
    rows = [row for row in rows if str(row["arm"]) == arm]
    one, other = (means(rows, value, unit) for value in values)
    both: Cells = defaultdict(dict)
    for key in one.keys() & other.keys():
        both[key[1]][key[2]] = (one[key], other[key])
    return {seed: both[seed] for seed in sorted(both)}


def means(rows: Iterable[Row], value: str, unit: str) -> dict[tuple[str, str, str], float]:
    """By arm, seed and unit."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        if isfinite(each := number(row, value)):
            found[str(row["arm"]), str(row["seed"]), str(row[unit])].append(each)
    return {key: fmean(some) for key, some in found.items()}


def where(rows: Iterable[Row], /, **wanted: Any) -> list[Row]:
    """Rows whose columns are as wanted."""
    return [row for row in rows if all(str(row[key]) == str(value) for key, value in wanted.items())]


def middle(rows: Sequence[Row], column: str) -> float:
    """The median; nan of nothing, and where a number is missing."""
    return _median([number(row, column) for row in rows])


def _median(values: Sequence[float]) -> float:
    return median(values) if values and all(map(isfinite, values)) else nan
