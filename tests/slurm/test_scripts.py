"""Job scripts as docs/slurm.md has them, sweeps that nobody waits for, and the stand-in for sacct."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from submitit.slurm.slurm import SlurmInfoWatcher

from llcx import artifacts
from tests.running import ROOT, comparable
from tests.slurm.cluster import Cluster, until
from tests.slurm.sweeps import PATIENCE, TINY, under_way

pytestmark = pytest.mark.slurm
TRAIN = f"{sys.executable} {ROOT / 'train.py'}"


def documented(start: str) -> str:
    """What docs/slurm.md shows that begins so, with this Python and this checkout in it."""
    page = (ROOT / "docs" / "slurm.md").read_text()
    (found,) = [block for block in re.findall(r"```\w*\n(.*?)```", page, re.DOTALL) if block.startswith(start)]
    assert "python train.py" in found
    return found.replace("python train.py", TRAIN)


def submitted(cluster: Cluster, *words: str) -> str:
    """The number of a job."""
    return cluster.ask("sbatch", "--parsable", *words).strip()


def ended(cluster: Cluster, number: str) -> dict[str, str]:
    """What the scheduler says of a job at its end."""
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
    until(lambda: cluster.job(number)["JobState"] in over, PATIENCE, f"job {number}")
    return cluster.job(number)


def test_an_array_that_is_preempted_leaves_the_rows_of_an_undivided_run(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "study.sh"
    script.write_text(documented("#!/bin/bash"))
    here = ("--partition=debug", "--mem=1G", "--cpus-per-task=1", "--array=0-1", f"--chdir={tmp_path}")
    words = (*TINY, "task.nets=4", "estimator.draws=150", "log.interval=0.5")
    array = submitted(cluster, *here, str(script), *words)
    parts = [artifacts.RunFolder(tmp_path / "outputs" / "study" / str(task)) for task in range(2)]
    for part in parts:
        under_way(part)
    urgent = submitted(cluster, "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap", "true")
    whole = subprocess.run(
        [*TRAIN.split(), *words, f"hydra.run.dir={tmp_path / 'whole'}"], env=cluster.environment, capture_output=True
    )
    assert whole.returncode == 0
    assert ended(cluster, urgent)["JobState"] == "COMPLETED"
    for task, part in enumerate(parts):
        job = ended(cluster, f"{array}_{task}")
        assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
        assert len(part.run_info["sessions"]) == 2
        assert "stopped by SIGTERM" in (part.path / "llcx.log").read_text()
    rows = [row for part in parts for row in part.rows]
    assert comparable(rows) == comparable(artifacts.load(tmp_path / "whole").rows)
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("way", "start"), [("--multirun", "sbatch --time=4:"), ("+cluster=slurm", "sbatch --time=2-0")]
)
def test_a_sweep_in_a_job_of_its_own_needs_nobody_who_waits(
    way: str, start: str, cluster: Cluster, tmp_path: Path
) -> None:
    command = documented(start).strip()
    assert f" {way} " in command
    words = " ".join([*TINY, f"hydra.sweep.dir={tmp_path / 'sweep'}", "seed=1,2"])
    command = command.replace("seed=1,2,3", words).replace("sweep-%j.log", str(tmp_path / "%j.log"))
    told = cluster.ask("bash", "-c", command)
    job = ended(cluster, told.split()[-1])
    assert job["JobState"] == "COMPLETED", (tmp_path / f"{job['JobId']}.log").read_text()
    runs = [artifacts.load(tmp_path / "sweep" / str(k)) for k in range(2)]
    assert [run.status["state"] for run in runs] == ["completed", "completed"]
    same_job = {run.status["job"] for run in runs} == {job["JobId"]}
    assert same_job is (way == "--multirun")


def test_the_stand_in_for_sacct_says_what_a_launcher_understands(cluster: Cluster) -> None:
    sleepers = submitted(cluster, "--array=0-2%1", "--output=/dev/null", "--wrap", "sleep 60")
    until(lambda: cluster.job(f"{sleepers}_0")["JobState"] == "RUNNING", 30, "the first task")
    alone = submitted(cluster, "--output=/dev/null", "--wrap", "exit 3")
    assert ended(cluster, alone)["JobState"] == "FAILED"
    said = cluster.ask("sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", sleepers, "-j", alone, "-j", "9999")
    states = {job: found["State"] for job, found in SlurmInfoWatcher().read_info(said).items()}
    assert [states[f"{sleepers}_{task}"] for task in range(3)] == ["RUNNING", "PENDING", "PENDING"]
    assert states[alone] == "FAILED"
    assert states["9999"] == states["9999_7"] == "COMPLETED", "a job that the scheduler has forgotten has ended"
    cluster.ask("scancel", sleepers)


def test_the_stand_in_for_sacct_says_nothing_where_the_scheduler_does_not_answer(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    (tmp_path / "scontrol").chmod(0o755)
    environment = cluster.environment | {"PATH": f"{tmp_path}:{cluster.environment['PATH']}"}
    done = subprocess.run(["sacct", "-j", "1"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Unable to contact" in done.stderr
