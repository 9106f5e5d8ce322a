"""What a training leaves, and how it goes on after a kill."""

from math import nan
from pathlib import Path

import torch

from llcx import artifacts
from llcx.artifacts import files
from llcx.types import Event


def test_metrics_after_the_last_saved_state_are_dropped(tmp_path: Path) -> None:
    log = artifacts.TrainingLog(tmp_path, "a", 0.0)
    for step in (1, 2):
        log.follow(Event({"step": step}, step, {"val/loss": 0.5 * step, "nan": nan}))
    log.interval = 1e9
    log.follow(Event({"step": 3}, 3, {"val/loss": 9.0}))
    log.flush()
    with open(tmp_path / "metrics.csv", "a") as file:
        file.write("a,4,0.1,tr")  # cut off by the kill
    again = artifacts.TrainingLog(tmp_path, "a", 0.0)
    assert again.resume() == {"step": 2}
    assert again.step == 2
    kept = files.read_csv(tmp_path / "metrics.csv")
    assert [(row["step"], row["split"], row["name"]) for row in kept] == [
        ("1", "val", "loss"), ("1", "train", "nan"), ("2", "val", "loss"), ("2", "train", "nan")]  # fmt: skip


def test_a_finished_training_is_a_mark_and_its_snapshots(tmp_path: Path) -> None:
    log = artifacts.TrainingLog(tmp_path, "a", 60.0)
    assert (log.done, log.resume(), log.snapshot("final")) == (False, None, None)
    log.follow(Event({"w": torch.ones(3)}, 5, {}, {"final": {"w": torch.ones(3)}}))
    assert not log.done
    log.finish()
    assert log.done
    assert log.roles() == ["final"]
    assert torch.equal(torch.as_tensor((log.snapshot("final") or {})["w"]), torch.ones(3))
