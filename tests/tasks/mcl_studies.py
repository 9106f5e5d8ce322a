"""A small study of task=mcl: two arms trained for a few steps, and its stages worked through in memory."""

import csv
import io
from functools import cache
from typing import Any, cast

from llcx import rng
from llcx.artifacts.files import csv_lines
from llcx.run import joined
from llcx.tasks.mcl import schema, task, trained
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.model_settings import Model, Sae, Share
from llcx.tasks.mcl.schema import Analysis, FewShot, Fit, Grid
from llcx.tasks.mcl.task import MCLTask
from llcx.tasks.mcl.trained import Trained
from llcx.tasks.mcl.verdicts import Registered
from llcx.types import State, Tables
from tests.tasks.mcl_machines import SMALL

Row = dict[str, Any]
Left = dict[tuple[str, str], State]  # (training, role) -> what it left

DATA = Data(
    params="fixed", train_size=480, val_size=84, test_size=120, chunk=240, groups_per_batch=2, samples_per_group=8
)
FEW = FewShot(compositions=2, examples=[2, 4], stop_rows=4, query=8, steps=6, every=2, patience=4)
LOOK = Analysis(
    rows=16, compositions=3, splits=2, controls=1, permutations=100, random_draws=2, pictures=3
)  # fmt: skip


def settings(**other: Any) -> schema.MCL:
    usual: dict[str, Any] = {
        "model": Model(**SMALL),
        "sae": Sae(units=20, k=4),
        "share": Share(k=2, monitor=1),
        "data": DATA,
        "fit": Fit(steps=6, every=3, rows=60, learning_rate=0.01),
        "few_shot": FEW,
        "analysis": LOOK,
        "verdicts": Registered(resamples=1000),
        "grid": Grid(arm=["b0", "full"]),
    }
    return schema.MCL(**{**usual, **other})


def study(**other: Any) -> MCLTask:
    made = task.build(settings(**other), rng.streams(3))
    assert isinstance(made, MCLTask)
    return made


def went(made: MCLTask) -> Left:
    """Every training to its end."""
    found: Left = {}
    for each in made.trainings():
        for event in each.steps(each.start()):
            found |= {(each.name, role): dict(state) for role, state in event.snapshots.items()}
    return found


@cache
def small() -> tuple[MCLTask, Left]:
    """Arms b0 and full of one seed. Not to be written to."""
    made = study()
    return made, went(made)


def of_arm(arm: str) -> Trained:
    """Of the small study. Not to be written to."""
    made, left = small()
    found = trained.left(made.arms[f"mcl,arm={arm}"], lambda name, role: left.get((name, role)))
    assert found is not None
    return found


def worked(made: MCLTask, left: Left, *stages: str) -> Tables:
    """What the stages leave, or some of them, rows as text, as from a file."""
    whole = Tables()

    def earlier(stem: str) -> list[dict[str, str]]:
        return text(list(whole.tables.get(stem, [])))

    for one in made.studies():
        for part in one.parts if one.name in stages or not stages else ():
            found = one.work(part, lambda name, role: left.get((name, role)), earlier)
            whole = joined(whole, found)._replace(shown={**whole.shown, **found.shown})
    return whole._replace(tables={stem: cast(list[Row], text(rows)) for stem, rows in whole.tables.items()})


def text(rows: list[Row]) -> list[dict[str, str]]:
    names = dict.fromkeys(key for row in rows for key in row)
    return list(csv.DictReader(io.StringIO(csv_lines(names, rows).decode())))
