"""What users read of the scheduler: one line for each way in which a launcher gives up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from submitit.core.utils import FailedJobError, UncompletedJobError

from llcx import scheduler
from tests.running import start, toys_registered

STREAM = f"""Error stream produced:
{"-" * 40}
small-0 sample 812/4000
srun: error: node7: task 0: Killed
srun: Force Terminated StepId=13.0
"""
CASES = {
    "killed": (
        UncompletedJobError(
            "Job 13_0 (task: 0) with path /sweep one/.submitit/13_0/13_0_0_result.pkl\n"
            f"has not produced any output (state: FAILED)\n{STREAM}"
        ),
        ["job 13_0 ended without a result (FAILED): srun: error: node7: task 0: Killed srun: Force", "/sweep one/.sub"],
    ),
    "never started": (
        UncompletedJobError(
            "Job 13_1 (task: 0) with path /s/.submitit/13_1/13_1_0_result.pkl\n"
            "has not produced any output (state: CANCELLED by 0)\n"
            "No output/error stream produced ! Check: /s/.submitit/13_1/13_1_0_log.out"
        ),
        ["job 13_1 ended without a result (CANCELLED by 0); its logs are in /s/.submitit/13_1"],
    ),
    "could not be unpickled": (
        FailedJobError(
            "Job (task=0) failed during processing with trace:\n----------------------\nTraceback (most recent call "
            "last):\n  File x\nModuleNotFoundError: No module named 'mine'\n\n----------------------\n"
            "You can check full logs with 'job.stderr(0)' and 'job.stdout(0)'or at paths:\n  - a\n  - b"
        ),
        ["a job could not begin: ModuleNotFoundError: No module named 'mine'; its node"],
    ),
    "out of time": (
        UncompletedJobError("Job not requeued because: timed-out too many times."),
        ["timed-out too many times", "hydra.launcher.max_num_timeout", "run.resume=DIR"],
    ),
    "no such partition": (
        FailedJobError("sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed"),
        ["hydra.launcher must be", "got invalid partition specified: nope; sinfo"],
    ),
    "no SLURM": (
        RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?'),
        ["hydra/launcher=submitit_slurm must be started where SLURM is, got no srun on PATH"],
    ),
}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


@pytest.mark.parametrize("case", CASES)
def test_what_a_launcher_raises_is_one_line_that_says_what_to_do(case: str) -> None:
    error, parts = CASES[case]
    told = scheduler.told(error)
    assert told is not None
    assert "\n" not in told
    assert all(part in told for part in parts), told


def test_errors_of_others_are_left_alone() -> None:
    assert scheduler.told(RuntimeError("Job 13_0 (task: 0) with path x")) is None


@pytest.mark.parametrize(("launcher", "preset"), [("submitit_slurm", True), ("submitit_local", False)])
def test_a_launcher_without_a_sweep_is_warned_of(launcher: str, preset: bool, tmp_path: Path) -> None:
    assert start(tmp_path, f"hydra/launcher={launcher}") == 0
    said = (tmp_path / "llcx.log").read_text()
    assert f"hydra/launcher={launcher} is for sweeps, this run is here and now: --multirun" in said
    assert ("+cluster=slurm" in said) is preset


def test_a_run_without_a_launcher_is_not_warned(tmp_path: Path) -> None:
    assert start(tmp_path) == 0
    assert "is for sweeps" not in (tmp_path / "llcx.log").read_text()
