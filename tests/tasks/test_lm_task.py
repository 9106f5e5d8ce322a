"""task=lm: points along a training, what is scored, the text, and what is left under analysis/."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from llcx import rng
from llcx.course import ROLE
from llcx.fit import Fit
from llcx.tasks.lm import corpus as corpora
from llcx.tasks.lm.schema import LM, Grid, Network, Sequences
from llcx.tasks.lm.task import LanguageTask
from llcx.types import Data, State

SMALL = LM(
    model=Network(d=8, layers=1),
    data=Sequences(n=6, n_train=500, n_test=8, context=10, vocabulary=6),
    fit=Fit("adam", 1e-2, steps=20, every=10, batch_size=8, checkpoints=[0]),
)


def task(**settings: Any) -> LanguageTask:
    return LanguageTask(replace(SMALL, **settings), rng.streams(0))


@cache
def left() -> dict[str, State]:
    (training,) = task().trainings()
    events = training.steps(training.start())
    return {role: state for event in events for role, state in event.snapshots.items()}


def test_points_are_moments_of_a_training_at_the_localiser_of_its_start() -> None:
    made = task()
    assert [(spec.name, spec.role, spec.moment) for spec in made.points()] == [
        ("lm,init", "init", "step"),
        ("lm,final", "final", "step"),
    ]
    points = [made.point(spec, left()[spec.role]) for spec in made.points()]
    assert [point.target for point in points] == ["self", "self"]
    assert points[0].wishes == points[1].wishes
    assert points[0].wishes["gamma"] > 0
    weights = [point.model.module.state_dict()["embed.weight"] for point in points]
    assert not torch.equal(*weights)


def test_n_counts_scored_predictions_and_kinds_are_data_sets_of_their_own() -> None:
    made = task(grid=Grid(scored=["all", "repeated", "new"]))
    points = [made.point(spec, left()[spec.role]) for spec in made.points() if spec.role == "final"]
    whole, again, new = (point.data for point in points)
    assert whole.n == 60 == again.n + new.n
    assert len(made.trainings()) == 1
    for kind, data in points[0].others.items():
        assert data.n == {"all": whole, "repeated": again, "new": new}[kind].n
    assert all(torch.equal(tokens(data), tokens(whole)) for data in (again, new))


def tokens(data: Data) -> torch.Tensor:
    assert isinstance(data.train, tuple)
    found: torch.Tensor = data.train[0]
    return found


def test_measured_rows_are_the_first_training_rows_and_test_rows_are_others() -> None:
    found = corpora.corpus(SMALL, rng.streams(0))
    made = task()
    measured = tokens(made.point(made.points()[0], left()["init"]).data)
    assert torch.equal(measured, found.train(torch.arange(6)))
    assert not torch.equal(found.test(torch.arange(6)), measured)


def test_a_course_becomes_tables_of_scores_heads_and_levels() -> None:
    made = task()
    tables = made.analyse([], lambda training, role: left().get(role)).tables
    assert [row["step"] for row in tables["scores"]] == [0, 10, 20]
    assert {(row["step"], row["layer"], row["head"]) for row in tables["heads"]} == {
        (step, 0, head) for step in (0, 10, 20) for head in (0, 1)
    }
    assert [row["level"] for row in tables["levels"]] == ["marginal", "ideal"]
    told = [row["loss"] for row in tables["scores"]]
    assert told[-1] < told[0]
    assert torch.as_tensor(left()[ROLE]["test/loss"]).tolist() == told
    assert made.analyse([], lambda training, role: None).tables.keys() == {"levels"}


TEXT = replace(SMALL, data=Sequences(source="text", n=4, n_train=2000, n_test=50, context=20))


def test_the_text_is_windows_of_the_documentation_its_end_held_out() -> None:
    found = corpora.corpus(TEXT, rng.streams(0))
    assert found.language is None
    assert found.vocabulary == len(corpora.LETTERS)
    text = "".join(letter for letter in corpora.documentation() if letter in corpora.LETTERS)
    border = round(0.9 * len(text))
    for part, windows in ((text[:border], found.train), (text[border:], found.test)):
        for row in windows(torch.arange(50)):
            assert "".join(corpora.LETTERS[token] for token in row) in part


def test_a_model_learns_from_the_text() -> None:
    made = LanguageTask(TEXT, rng.streams(0))
    (training,) = made.trainings()
    losses = [event.metrics["test/loss"] for event in training.steps(training.start())]
    assert losses[-1] < losses[0] - 0.1
    assert made.analyse([], lambda training, role: None).tables == {}


def test_a_context_longer_than_the_text_is_refused() -> None:
    long = replace(TEXT, data=replace(TEXT.data, context=10**6))
    with pytest.raises(ValueError, match=r"task\.data\.context must be below \d+, .* got 1000000"):
        corpora.corpus(long, rng.streams(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "books"}, r"task\.data\.source must be one of bigrams, text, got books"),
        ({"scored": "none"}, r"task\.data\.scored must be one of all, repeated, new, got none"),
        ({"context": 9}, r"task\.data\.context must be >= 10"),
        ({"n": 7, "n_train": 6}, r"task\.data\.n must be in 1\.\.6"),
        ({"triggers": 1.0}, r"task\.data\.triggers must be in \[0, 1\)"),
        ({"concentration": 0.0}, r"task\.data\.concentration must be > 0"),
        ({"vocabulary": 1}, r"task\.data\.vocabulary must be >= 2"),
    ],
)
def test_settings_that_nothing_can_have_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sequences(**settings)
