"""log.tensorboard=true in real runs, killed ones too: each number stands there once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llcx import artifacts
from tests.running import process, resume, start, toys_registered
from tests.test_tensorboard import MISSING, grow_old, scalars

EVENTS = "log.tensorboard=true"


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("torch.utils.tensorboard", reason=MISSING)  # before a fork
    yield from toys_registered(monkeypatch)


def test_a_killed_and_resumed_run_has_every_metric_and_measurement_once(tmp_path: Path) -> None:
    words = ("task.trainings=1", "log.checkpoint=0", EVENTS)
    child = process(tmp_path, *words, kill="step=4")
    child.join()
    assert child.exitcode != 0
    before = scalars(tmp_path / "tensorboard/train/training=0")
    assert [step for step, _ in before["train/loss"]] == [1, 2, 3]
    grow_old(tmp_path / "tensorboard/train/training=0")
    assert resume(tmp_path) == 0
    folder = artifacts.load(tmp_path)
    metrics = folder.metrics()
    found = scalars(tmp_path / "tensorboard/train/training=0")
    for name in ("loss", "norm"):
        mine = metrics[metrics["name"] == name]
        assert found[f"train/{name}"] == [
            (step, pytest.approx(value)) for step, value in zip(mine["step"], mine["value"], strict=True)
        ]
    for row in folder.rows:
        own = scalars(tmp_path / "tensorboard" / "measure" / artifacts.draws_path(row).stem)
        assert own["sample/lambda_hat"][-1][1] == pytest.approx(float(row["llc"]))
    assert len(list((tmp_path / "tensorboard" / "measure").iterdir())) == len(folder.rows) == 2


def test_event_files_change_no_number(tmp_path: Path) -> None:
    assert start(tmp_path / "with", EVENTS) == start(tmp_path / "without") == 0
    ours, theirs = (artifacts.load(tmp_path / name).rows for name in ("with", "without"))
    assert [row["llc"] for row in ours] == [row["llc"] for row in theirs]
    assert not (tmp_path / "without" / "tensorboard").exists()
