"""`+cluster=slurm` on a real SLURM: what is asked for arrives, and every way in which a job can end is noticed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, until
from tests.slurm.sweeps import LONG, PATIENCE, Sweep, assert_equal, draws_done, kill, lowest_return, resume, under_way

pytestmark = pytest.mark.slurm
Submit = Callable[..., Sweep]


def test_a_job_at_its_time_limit_goes_on_as_often_as_it_may_and_then_says_so(cluster: Cluster, submit: Submit) -> None:
    words = ("timeout_min=10", "signal_delay_s=120", "max_num_timeout=1")  # every signal counts up to ten minutes
    sweep = submit(LONG, "log.interval=1", *(f"hydra.launcher.{word}" for word in words))
    run = sweep.run(0)
    under_way(run)
    job = str(run.status["job"])
    nearly_over(cluster, job)
    until(lambda: cluster.job(job)["Restarts"] == "1", PATIENCE, "the job to be queued again")
    before = draws_done(run)
    cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=10")
    until(lambda: len(run.run_info["sessions"]) == 2, PATIENCE, "the job to go on")
    until(lambda: len(draws_done(run)) > len(before), PATIENCE, "more draws")
    assert draws_done(run)[len(before)] >= before[-1], "the second time it began anew"
    nearly_over(cluster, job)
    code, told = sweep.end()
    assert code == 1
    assert "timed-out too many times" in told.splitlines()[-1]
    assert run.status["state"] == "preempted"
    assert len(run.run_info["sessions"]) == 2


def nearly_over(cluster: Cluster, job: str) -> None:
    """Leave a job 90 to 150 s, so that within 30 s slurmctld signals it and has time to spare before the kill."""
    hours, minutes, seconds = map(int, cluster.job(job)["RunTime"].split(":"))
    limit = (3600 * hours + 60 * minutes + seconds + 90) // 60 + 1
    cluster.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")


@pytest.mark.parametrize("by", ["SIGUSR2", "SIGTERM"])
def test_a_preempted_job_is_queued_again_and_ends_with_the_numbers_of_an_undisturbed_one(
    by: str, cluster: Cluster, submit: Submit
) -> None:
    sweep = submit("estimator.draws=700", "log.interval=0.5,0.51", "log.checkpoint=1")
    runs = [sweep.run(job) for job in range(2)]
    for run in runs:
        under_way(run, draws=100)  # more than a run has at its first line
    before = [draws_done(run)[-1] for run in runs]
    if by == "SIGUSR2":
        cluster.ask("scancel", "--signal=USR2", sweep.number(0))
    else:  # a more urgent job, which leaves room for one of the two
        cluster.ask("sbatch", "--partition=urgent", f"--ntasks={cluster.cpus - 1}", "--output=/dev/null", "--wrap=true")
    assert sweep.end() == (0, "")
    restarts = [int(cluster.job(sweep.number(job))["Restarts"]) for job in range(2)]
    assert sorted(restarts) == [0, 1]
    job = restarts.index(1)
    disturbed, undisturbed = runs[job], runs[1 - job]
    assert len(disturbed.run_info["sessions"]) == 2
    assert by in (disturbed.path / "llcx.log").read_text()
    assert lowest_return(disturbed) >= before[job], "the second time it began anew"
    assert_equal(disturbed, undisturbed)


def test_a_killed_job_is_noticed_and_reported_and_goes_on_when_it_is_told_to(
    cluster: Cluster, submit: Submit, tmp_path: Path
) -> None:
    sweep = submit("estimator.draws=20,400", "log.interval=1", "log.checkpoint=0.5")
    under_way(sweep.run(1), draws=50)
    kill(sweep.run(1))
    code, told = sweep.end()
    assert code == 1
    assert told.startswith(f"error: job {sweep.number(1)} ended without a result (FAILED)")
    assert "task 0: Killed" in told
    assert told.count("\n") == 1
    assert sweep.run(1).status["state"] == "killed"
    assert sweep.run(0).status["state"] == "completed"

    assert resume(cluster, tmp_path / "sweep", "hydra.launcher.partition=urgent") == 0
    runs = [sweep.run(job) for job in range(2)]
    assert [run.status["state"] for run in runs] == ["completed", "completed"]
    assert lowest_return(runs[1]) > 20
    assert cluster.job(str(runs[1].status["job"]))["Partition"] == "urgent"


def test_of_eight_jobs_the_one_that_fails_leaves_its_stack_and_the_others_end(submit: Submit, tmp_path: Path) -> None:
    parts = ("0*", "1*", "2*", "nothing*", "3*", "[01]*", "[23]*", "*")
    places = ",".join(f"['{part}']" for part in parts)
    sweep = submit(f"estimator.where={places}", unused=True)
    code, told = sweep.end()
    assert code == 1
    assert told.startswith("error: every measurement must have a number")
    assert "nothing*" in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"], "each job took a name of its own"
    runs = [sweep.run(job) for job in range(8)]
    assert [run.status["state"] for run in runs] == ["failed" if job == 3 else "completed" for job in range(8)]
    assert [row["where"] for run in runs for row in run.rows] == list(parts)
    assert len({run.status["job"] for run in runs}) == 8
    assert "matches no parameter" in runs[3].status["error"]
    assert "Traceback" in runs[3].status["traceback"]
    log = (runs[3].path / "llcx.log").read_text()
    assert "Traceback" in log
    assert "in _parts" in log


def test_a_job_gets_what_the_launcher_asks_for(cluster: Cluster, submit: Submit) -> None:
    asked = ("partition=debug", "account=lab", "timeout_min=30", "cpus_per_task=2", "gpus_per_node=1", "mem_gb=1")
    sweep = submit("seed=5", *(f"hydra.launcher.{word}" for word in asked))
    assert sweep.end() == (0, "")
    run = sweep.run(0)
    assert run.status["state"] == "completed"
    got = cluster.job(str(run.status["job"]))
    assert (got["Partition"], got["Account"], got["TimeLimit"]) == ("debug", "lab", "00:30:00")
    assert (got["CPUs/Task"], got["TresPerNode"], got["MinMemoryNode"]) == ("2", "gres:gpu:1", "1G")
    assert got["JobName"] == "llcx"


def test_a_partition_that_is_none_is_one_clear_line(submit: Submit) -> None:
    code, told = submit("hydra.launcher.partition=nope").end()
    assert code == 1
    (line,) = [line for line in told.splitlines() if not line.startswith("sbatch: ")]
    assert line.startswith("error: ")
    assert "nope" in line
    assert "hydra.launcher" in line
