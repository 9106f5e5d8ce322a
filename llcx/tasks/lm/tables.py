"""What task=lm leaves under analysis/.

scores.csv   a row for each training and event of it, or for each model that is given: losses of test rows in nats a
             prediction, in_context, repeated, new (scores.py)
heads.csv    a row for each of these and each head: previous, induction
levels.csv   of bigrams, a row for each language: nats of the best prediction from the token before alone (marginal),
             and from the whole sequence (ideal), of all predictions and of each kind
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from llcx.course import ROLE
from llcx.tasks.generic import Arm
from llcx.tasks.lm import scores
from llcx.tasks.lm.corpus import corpus
from llcx.types import Snapshots, State, Tables

if TYPE_CHECKING:
    from llcx.tasks.lm.task import LanguageTask

Row = dict[str, Any]


def analyse(task: "LanguageTask", snapshot: Snapshots) -> Tables:
    found: dict[str, list[Row]] = {"scores": [], "heads": [], "levels": []}
    for arm in task.arms.values():
        found["levels"] += levels(arm)
        if not task.recipe.trained(arm.cfg):
            found["scores"].append(given(task, arm))
        elif (course := snapshot(arm.name, ROLE)) is not None:
            found["scores"] += told(arm, course)
            found["heads"] += looks(arm, course)
    return Tables({name: rows for name, rows in found.items() if rows})


def told(arm: Arm, course: State) -> Iterator[Row]:
    """What the events of a training said of the test rows."""
    columns = {name.removeprefix("test/"): values for name, values in course.items() if name.startswith("test/")}
    for place, step in enumerate(_steps(course)):
        numbers = {name: float(_tensor(values)[place]) for name, values in columns.items()}
        yield {"training": arm.name, **arm.coords, "step": step, **numbers}


def looks(arm: Arm, course: State) -> Iterator[Row]:
    """Where heads looked."""
    heads = arm.cfg.model.heads
    for place, step in enumerate(_steps(course)):
        numbers = {name: _tensor(course[name])[place].tolist() for name in scores.HEADS}
        for at in range(arm.cfg.model.layers * heads):
            of = {"layer": at // heads, "head": at % heads, **{name: values[at] for name, values in numbers.items()}}
            yield {"training": arm.name, **arm.coords, "step": step, **of}


def given(task: "LanguageTask", arm: Arm) -> Row:
    """Of a model that was not trained here."""
    tokens = corpus(arm.cfg, arm.streams).test(torch.arange(arm.cfg.data.n_test))
    module = task.recipe.model(arm.cfg, arm.streams).module
    return {"training": arm.name, **arm.coords, "step": "", **scores.losses(module, tokens)}


def levels(arm: Arm) -> Iterator[Row]:
    spoken = corpus(arm.cfg, arm.streams).language
    if spoken is not None:
        tokens = corpus(arm.cfg, arm.streams).test(torch.arange(arm.cfg.data.n_test))
        for name, nats in {"marginal": spoken.marginal(tokens), "ideal": spoken.ideal(tokens)}.items():
            yield {"training": arm.name, **arm.coords, "level": name, **scores.summary(nats, tokens)}


def _steps(course: Mapping[str, Any]) -> list[int]:
    return [int(step) for step in _tensor(course["at"])]


def _tensor(value: Any) -> torch.Tensor:
    return torch.as_tensor(value)
