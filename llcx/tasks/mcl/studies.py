"""The stages of a study of its own: every machine as it is, adapted to a few examples, and looked into; then verdicts.

Each part is a training, whose rows join those of the others; one that did not come to its end leaves none.
"""

from functools import partial

from llcx.tasks.generic import Arm, GenericTask
from llcx.tasks.mcl import ceiling, claims, few_shot, representation, schema, zero_shot
from llcx.tasks.mcl.built import sets_of
from llcx.tasks.mcl.trained import Trained, left
from llcx.types import Left, Snapshots, Study, Tables

VERDICTS = "verdicts"  # the last part of the analysis


def studies(made: GenericTask) -> tuple[Study, ...]:
    """By the names in schema.MCL.STAGES."""
    names = tuple(made.arms)
    work = (partial(_zero_shot, made), partial(_few_shot, made), partial(_analysis, made))
    parts = (names, names, (*names, VERDICTS))
    found = zip(schema.MCL.STAGES, parts, work, strict=True)
    return tuple(Study(name, each, what) for name, each, what in found)


def _zero_shot(made: GenericTask, part: str, snapshot: Snapshots, earlier: Left) -> Tables:
    """And, with the first arm of each seed, what its data are."""
    del earlier
    arm = made.arms[part]
    first = next(name for name, each in made.arms.items() if each.streams.seed == arm.streams.seed)
    data = of_data(arm, numbered=arm.streams.seed != made.streams.seed) if part == first else Tables()
    trained = left(arm, snapshot)
    found = Tables() if trained is None else zero_shot.tables(trained)
    return found._replace(tables={**found.tables, **data.tables}, documents=data.documents)


def _few_shot(made: GenericTask, part: str, snapshot: Snapshots, earlier: Left) -> Tables:
    del earlier
    trained = left(made.arms[part], snapshot)
    return Tables() if trained is None else few_shot.tables(trained)


def _analysis(made: GenericTask, part: str, snapshot: Snapshots, earlier: Left) -> Tables:
    if part == VERDICTS:
        return claims.tables(earlier, made.cfg.verdicts, made.streams)
    trained: Trained | None = left(made.arms[part], snapshot)
    return Tables() if trained is None else representation.tables(trained)


def of_data(arm: Arm, *, numbered: bool) -> Tables:
    """splits.json, under the number of the seed if `numbered`; and where no program is shown, what can be scored."""
    sets, cfg = sets_of(arm.cfg, arm.streams), arm.cfg.analysis
    record = sets.record()
    documents = {"splits": {str(arm.streams.seed): record} if numbered else record}
    if not cfg.bayes or arm.cfg.data.conditioning != "none":
        return Tables(documents=documents)
    return Tables({"ceiling": ceiling.rows(sets, arm.streams, cfg.rows, cfg.bayes)}, documents=documents)
