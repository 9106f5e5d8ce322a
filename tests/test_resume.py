"""Resume: a killed run goes on and ends as if nothing had happened; what contradicts is refused."""

import random
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from llcx import artifacts, survey
from llcx.artifacts import lock
from llcx.main import main
from tests.running import CONF, NUMBERS, child, comparable, process, resume, start, toys_registered


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def killed(folder: Path, here: str, *words: str) -> artifacts.RunFolder:
    """A run that was killed with SIGKILL at `here`."""
    dead = process(folder, *words, kill=here)
    dead.join(120)
    assert dead.exitcode == -signal.SIGKILL
    return artifacts.load(folder)


def refusal(capsys: pytest.CaptureFixture[str], code: int) -> str:
    told = capsys.readouterr().err
    assert code == 1
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    return told


def test_a_run_killed_between_points_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    half = killed(tmp_path / "killed", "point=2", "task.nets=4")
    assert half.status["state"] == "killed"
    assert [row["point"] for row in half.rows] == ["net=0", "net=1"]
    before = half.rows
    assert resume(tmp_path / "killed") == 0
    assert start(tmp_path / "whole", "task.nets=4") == 0
    whole, again = artifacts.load(tmp_path / "whole"), artifacts.load(tmp_path / "killed")
    assert comparable(again.rows) == comparable(whole.rows)
    assert again.rows[:2] == before, "what was done is not done again"
    assert again.status["state"] == "completed"
    assert len(again.run_info["sessions"]) == 2
    for row in whole.rows:
        ours, theirs = again.draws(row), whole.draws(row)
        assert all((ours[key] == theirs[key]).all() for key in theirs)


LONG = {
    "dln": (
        *("task=dln", "task.nets=2", "task.model.widths=[3,2,3]", "sampler=auto"),
        *("estimator.chains=4", "estimator.warmup=40", "estimator.draws=120", "estimator.check=full"),
    ),
    "training": ("task=toy", "task.trainings=2", "task.steps=400", "sampler=sgld", "estimator.draws=40"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", LONG)
def test_three_kills_at_random_moments_change_no_bit(case: str, tmp_path: Path) -> None:
    words = [*LONG[case], "log.checkpoint=0", NUMBERS]
    begun = time.monotonic()
    assert main(["--config-dir", str(CONF), *words, f"hydra.run.dir={tmp_path / 'whole'}"]) == 0
    length, moments = time.monotonic() - begun, random.Random(0)
    folder = tmp_path / "killed"
    for kill in range(3):
        goes_on = [f"run.resume={folder}"] if kill else [*words, f"hydra.run.dir={folder}"]
        dying = child(partial(main, ["--config-dir", str(CONF), *goes_on]))
        await_session(folder, kill + 1)
        time.sleep(moments.uniform(0.05, 0.3) * length)
        dying.kill()
        dying.join(120)
        assert dying.exitcode == -signal.SIGKILL
        assert artifacts.load(folder).status["state"] == "killed"
    assert resume(folder) == 0
    whole, again = artifacts.load(tmp_path / "whole"), artifacts.load(folder)
    assert comparable(again.rows) == comparable(whole.rows)
    untimed = [each.metrics().drop(columns="time", errors="ignore") for each in (whole, again)]
    assert untimed[0].equals(untimed[1])
    for row in whole.rows:
        ours, theirs = again.draws(row), whole.draws(row)
        assert set(ours) == set(theirs)
        assert all((ours[key] == theirs[key]).all() for key in theirs)


def await_session(folder: Path, count: int) -> None:
    """Until the run has begun for the `count`-th time."""
    until = time.monotonic() + 120
    while len(artifacts.RunFolder(folder).run_info.get("sessions", [])) < count:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_training_killed_in_the_middle_goes_on_from_its_state(tmp_path: Path) -> None:
    words = ("task.trainings=2", "task.members=2", "log.checkpoint=0")
    half = killed(tmp_path / "killed", "step=4", *words)
    assert half.status["stage"] == "train"
    assert half.metrics()["step"].max() == 3
    assert not half.rows
    assert resume(tmp_path / "killed") == 0
    assert start(tmp_path / "whole", *words) == 0
    whole, again = artifacts.load(tmp_path / "whole"), artifacts.load(tmp_path / "killed")
    assert comparable(again.rows) == comparable(whole.rows)
    assert again.metrics().drop(columns="time").equals(whole.metrics().drop(columns="time"))


def test_a_failed_point_is_tried_again_and_a_finished_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    true_measure = survey.measure

    def counted(point: Any, *rest: Any, **more: Any) -> Any:
        measured.append(point.name)
        if point.name == "net=1" and len(measured) == 2:
            raise MemoryError("this time")
        return true_measure(point, *rest, **more)

    monkeypatch.setattr(survey, "measure", counted)
    assert start(tmp_path, "task.nets=3") == 1
    assert artifacts.load(tmp_path).rows[1]["flags"] == "failed: MemoryError: this time"
    assert resume(tmp_path) == 0
    assert measured == ["net=0", "net=1", "net=2", "net=1"]
    assert [row["point"] for row in artifacts.load(tmp_path).rows] == ["net=0", "net=1", "net=2"]


@pytest.mark.parametrize("word", ["seed=3", "task.nets=2", "sampler=sgld", "hydra.run.dir=x", "--multirun"])
def test_other_overrides_beside_resume_are_refused(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(capsys, resume(tmp_path, word))
    assert "run.resume must stand alone" in told
    assert word in told


def test_verbosity_and_stages_may_stand_beside_resume(tmp_path: Path) -> None:
    assert start(tmp_path, "run.stages=[train,measure]") == 0
    assert not (tmp_path / "analysis").exists()
    assert resume(tmp_path, "run.stages=[analyse]", "run.verbosity=quiet") == 0
    assert (tmp_path / "analysis" / "points.csv").exists()


def test_a_configuration_that_changed_meanwhile_is_refused_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(tmp_path) == 0
    capsys.readouterr()
    found = yaml.safe_load((tmp_path / "config.yaml").read_text())
    found["estimator"]["draws"] = 9
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(found))
    hydra_before = (tmp_path / ".hydra" / "config.yaml").read_bytes()
    told = refusal(capsys, resume(tmp_path))
    assert "estimator.draws must be 9" in told
    assert "got 8" in told
    assert (tmp_path / ".hydra" / "config.yaml").read_bytes() == hydra_before
    assert artifacts.load(tmp_path).status["state"] == "completed"


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path / "nothing") in refusal(capsys, resume(tmp_path / "nothing"))


def test_overrides_of_hydra_in_a_foreign_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("['++hydra.callbacks.x._target_=os.abort']")
    assert "hydra.callbacks" in refusal(capsys, resume(tmp_path))


def test_a_folder_that_is_being_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path) == 0
    capsys.readouterr()
    other = lock.Lock(tmp_path)
    other.take()
    assert "one writer" in refusal(capsys, resume(tmp_path))
    other.release()
    assert resume(tmp_path) == 0


def test_a_sweep_is_resumed_whole_with_the_jobs_that_never_started(tmp_path: Path) -> None:
    assert start(None, "-m", f"hydra.sweep.dir={tmp_path}", "task.nets=1,2") == 0
    whole = [comparable(artifacts.load(tmp_path / str(k)).rows) for k in range(2)]
    shutil.rmtree(tmp_path / "1")
    kept = (tmp_path / "0" / "metrics_summary.csv").stat().st_mtime_ns
    assert resume(tmp_path) == 0
    assert [comparable(artifacts.load(tmp_path / str(k)).rows) for k in range(2)] == whole
    assert (tmp_path / "0" / "metrics_summary.csv").stat().st_mtime_ns == kept

    (tmp_path / "1" / "metrics_summary.csv").unlink()
    assert resume(tmp_path / "1") == 0, "a job alone"
    assert comparable(artifacts.load(tmp_path / "1").rows) == whole[1]
    assert not (tmp_path / "1" / "multirun.yaml").exists()


def test_a_job_that_its_scheduler_started_again_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert start(tmp_path, "task.nets=2") == 0
    assert start(tmp_path, "task.nets=2") == 1, "the same job, but not started again"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert start(tmp_path, "task.nets=2") == 0
    assert len(artifacts.load(tmp_path).run_info["sessions"]) == 2
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    assert start(tmp_path, "task.nets=2") == 1, "another job"
