"""A small transformer learns to copy within a few hundred steps: the transition that task=lm is about."""

from dataclasses import replace

import pytest

from llcx import rng
from llcx.fit import Fit
from llcx.tasks.lm.schema import LM, Network, Sequences
from llcx.tasks.lm.task import LanguageTask

LEARNING = LM(
    model=Network(d=32),
    data=Sequences(context=32, vocabulary=16, triggers=0.5, n_test=128),
    fit=Fit("adam", 5e-3, steps=400, batch_size=32, every=200),
)


def last(cfg: LM) -> tuple[dict[str, float], list[float]]:
    """Losses of test rows at the end, and how much each head copies."""
    made = LanguageTask(cfg, rng.streams(0))
    (training,) = made.trainings()
    *_, event = training.steps(training.start())
    tables = made.analyse([], lambda training, role: event.snapshots.get(role)).tables
    heads = [row["induction"] for row in tables["heads"] if row["step"] == cfg.fit.steps]
    levels = {f"{row['level']} {name}": row[name] for row in tables["levels"] for name in ("repeated", "new")}
    return {**event.metrics, **levels}, heads


@pytest.mark.slow
def test_two_layers_learn_to_copy_and_one_does_not() -> None:
    """After repeated tokens their loss falls far below what the token before tells; after new ones it does not."""
    found, heads = last(LEARNING)
    gap = found["marginal repeated"] - found["ideal repeated"]
    assert found["test/repeated"] < found["marginal repeated"] - 0.6 * gap
    assert found["test/new"] > found["ideal new"]
    assert found["test/in_context"] < -0.5
    assert max(heads) > 0.5
    single, alone = last(replace(LEARNING, model=Network(d=32, layers=1)))
    assert single["test/repeated"] > found["test/repeated"] + 0.3 * gap
    assert max(alone) < 0.5
