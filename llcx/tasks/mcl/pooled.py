"""Several finished runs as one: their tables put together and judged by the same rule, as if one run had made them.

Runs may differ in their seeds, in the arms and moments that they have, and in alpha, k and the encoder, by which arms
are then named. A training that several of them made alike counts once.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, NamedTuple

from llcx import rng
from llcx.registry import Finished
from llcx.tasks.mcl import claims, schema
from llcx.tasks.mcl.contrasts import Evidence, Row
from llcx.tasks.mcl.verdicts import Registered
from llcx.types import Tables

STEMS = tuple(each.name for each in fields(Evidence))
FREE = ("seeds", "arm", "grid", "moments", "part", "llc_rows")  # what makes no training another one
TWICE = "in several runs, counted once"


class Of(NamedTuple):
    """A training of a run: what it is named by, and what tells it from others."""

    run: str
    row: Row  # of runs.csv

    @property
    def kind(self) -> str:
        return str(self.row["arm"]).partition(",")[0]

    @property
    def key(self) -> tuple[str, ...]:
        """The same of trainings that are alike."""
        return (self.kind, *(str(self.row[name]) for name in ("seed", *schema.AXES)))

    @property
    def name(self) -> str:
        """With its run, so that it is the only one of this name."""
        return f"{self.run}:{self.row['training']}"


def pooled(runs: Sequence[Finished]) -> Tables:
    """The joined tables, the verdicts on them, and the settings that all have; nothing of runs without trainings.

    Raises ValueError where runs differ in more than they may.
    """
    runs = [run for run in runs if run.left("runs")]
    if not runs:
        return Tables()
    for other in runs[1:]:
        refuse_different(runs[0], other)
    alike = defaultdict(list)
    for each in (Of(run.name, row) for run in runs for row in run.left("runs")):
        alike[each.key].append(each)
    kept = [same[0] for same in alike.values()]
    several = swept(kept)
    told = {(each.run, each.row["training"]): {"training": each.name, "arm": labelled(each, several)} for each in kept}
    rows = {stem: list(joined(runs, stem, told)) for stem in STEMS}
    seeds = sorted({int(each.row["seed"]) for each in kept})
    found = claims.tables(lambda stem: rows[stem], Registered(**runs[0].settings["verdicts"]), rng.streams(seeds[0]))
    settings = {**runs[0].settings, "seeds": len(seeds), "grid": grid(kept, several)}
    twice = [line(same) for same in alike.values() if len(same) > 1]
    return Tables(
        {**{stem: some for stem, some in rows.items() if some}, **found.tables},
        shown={**found.shown, **({TWICE: twice} if twice else {})},
        documents={**found.documents, "settings": {"task": settings}},
    )


def refuse_different(one: Finished, other: Finished) -> None:
    """ValueError names the first setting that both must have alike."""
    ours, theirs = (dict(flat(run.settings)) for run in (one, other))
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        free = key.partition(".")[0] in FREE or key in schema.AXES.values()
        if not free and ours.get(key, "nothing") != theirs.get(key, "nothing"):
            raise ValueError(
                f"task.{key} must be the same in all runs that are judged together, got {ours.get(key, 'nothing')} in "
                f"{one.name} and {theirs.get(key, 'nothing')} in {other.name}"
            )


def flat(node: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def swept(kept: Sequence[Of]) -> dict[str, list[str]]:
    """Axes of which the arms that they make a difference to have several values, and these."""
    values = {axis: [str(each.row[axis]) for each in kept if axis in touched(each.kind)] for axis in schema.AXES}
    return {axis: list(dict.fromkeys(some)) for axis, some in values.items() if len(set(some)) > 1}


def labelled(each: Of, several: Mapping[str, Any]) -> str:
    """As `trained.about` names it in a run of all."""
    own = [f"{axis}={each.row[axis]}" for axis in several if axis in touched(each.kind)]
    return ",".join([each.kind, *own])


touched = cache(schema.touched)


def joined(runs: Sequence[Finished], stem: str, told: Mapping[tuple[str, str], Row]) -> Iterator[Row]:
    """Rows of the trainings that count."""
    for run in runs:
        for row in run.left(stem):
            if (found := told.get((run.name, row["training"]))) is not None:
                yield {**row, **found}


def grid(kept: Sequence[Of], several: Mapping[str, list[str]]) -> Row:
    """The axes of a run of all."""
    kinds = list(dict.fromkeys(each.kind for each in kept))
    return {"arm": kinds, **{axis: several.get(axis, []) for axis in schema.AXES}, "part": []}


def line(same: Sequence[Of]) -> dict[str, str]:
    """Trainings that are alike, for a reader."""
    first, *others = same
    numbers = {str(each.row["val_iou"]) for each in same}
    told = {"training": str(first.row["training"]), "seed": str(first.row["seed"]), "counted": first.run}
    return {**told, "not": ", ".join(each.run for each in others), "alike": "no" if len(numbers) > 1 else "yes"}
