"""Sweeps for real: a failing job costs no other, nothing is lost, two sweeps never share a folder."""

import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llcx import artifacts
from llcx.artifacts.files import read_csv
from llcx.collect import find, plan, tables
from tests.running import ROOT, comparable, process, resume, start, toys_registered

TINY = (
    "sampler=sgld",
    'estimator={chains: 2, draws: 8, warmup: 4, every: 1, check: "off"}',
    "run.stages=[train,measure,analyse]",
)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def states(path: Path) -> list[str]:
    return [job.state for job in find([path]).jobs]


def test_a_failing_job_says_why_in_its_own_folder_and_the_sweep_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(None, "-m", f"hydra.sweep.dir={tmp_path}", "task.fails=[],[0]", "task.model.width=2,0") == 1
    assert capsys.readouterr().err.count("\n") == 1
    logging.shutdown()
    assert states(tmp_path) == ["completed", "failed", "failed", "failed"]
    for name, why in {"1": "width must be >= 1", "2": "cannot be built", "3": "width must be >= 1"}.items():
        log, status = (tmp_path / name / "llcx.log").read_text(), artifacts.load(tmp_path / name).status
        assert "Traceback (most recent call last)" in log and why in log
        assert "Traceback (most recent call last)" in status["traceback"] and why in status["error"]
    assert "Traceback" not in (tmp_path / "0" / "llcx.log").read_text()


def test_what_is_collected_is_what_the_jobs_wrote(tmp_path: Path) -> None:
    words = ("task.nets=2", "+sampler@samplers.B=hmc,mala")
    assert start(None, "-m", f"hydra.sweep.dir={tmp_path}", *words) == 0
    assert [job.words[-2:] for job in find([tmp_path]).jobs] == [job[-2:] for job in plan.read(tmp_path).jobs]
    tables.write(find([tmp_path]), tmp_path)
    rows = read_csv(tmp_path / "collected.csv")
    kept = [row for k in range(2) for row in artifacts.load(tmp_path / f"{k}").rows]
    assert [{key: row[key] for key in of_job} for row, of_job in zip(rows, kept, strict=True)] == kept
    assert Counter(row["sweep.sampler@samplers.B"] for row in rows) == {"hmc": 4, "mala": 4}


def test_a_study_in_parts_is_the_whole_study(tmp_path: Path) -> None:
    assert start(None, "-m", f"hydra.sweep.dir={tmp_path / 'parts'}", "task.nets=4", "run.points=0-1,2-3") == 0
    assert start(tmp_path / "whole", "task.nets=4") == 0
    parts = [row for job in find([tmp_path / "parts"]).jobs for row in job.rows]
    assert comparable(list(parts)) == comparable(artifacts.load(tmp_path / "whole").rows)


def test_a_killed_sweep_is_told_as_it_stands_and_goes_on(tmp_path: Path) -> None:
    words = ("-m", f"hydra.sweep.dir={tmp_path / 'sweep'}", "task.nets=1,4,2")
    dead = process(tmp_path / "unused", *words, kill="point=2")
    dead.join(120)
    assert dead.exitcode == -signal.SIGKILL
    found = find([tmp_path / "sweep"])
    assert [(job.state, len(job.rows)) for job in found.jobs] == [("completed", 1), ("killed", 2), ("missing", 0)]
    assert found.jobs[2].told["task.nets"] == "2"
    assert resume(tmp_path / "sweep") == 0
    assert [(job.state, len(job.rows)) for job in find([tmp_path / "sweep"]).jobs] == [
        ("completed", 1),
        ("completed", 4),
        ("completed", 2),
    ]


def test_of_two_sweeps_into_one_folder_one_is_refused_and_the_other_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    both = [
        process(tmp_path / "unused", "-m", f"hydra.sweep.dir={folder}", f"seed={10 * k},{10 * k + 1}") for k in range(2)
    ]
    for each in both:
        each.join(120)
    codes = [each.exitcode for each in both]
    assert sorted(code or 0 for code in codes) == [0, 1]
    won, found = codes.index(0), find([folder])
    assert [job.state for job in found.jobs] == ["completed"] * 2
    for k, job in enumerate(found.jobs):
        seed = str(10 * won + k)
        assert (job.told["seed"], job.rows[0]["seed"]) == (seed, seed)


def train(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A sweep in a process of its own, whose workers are processes too."""
    command = [sys.executable, str(ROOT / "train.py"), "-m", f"hydra.sweep.dir={folder}", *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=ROOT, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_failing_job_of_another_process_says_why_and_the_sweep_goes_on(launcher: str, tmp_path: Path) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs pip install 'llcx[joblib]'")
    done = train(tmp_path, f"hydra/launcher={launcher}", *TINY, "sampler.step_size=1e-5,10,-1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    found = find([tmp_path]).jobs
    assert [job.state for job in found] == ["completed", "failed", "failed"]
    assert "n*beta*K" in found[1].error and "sampler.step_size must be" in found[2].error
    for name in ("1", "2"):
        assert "Traceback (most recent call last)" in (tmp_path / name / "llcx.log").read_text()


@pytest.mark.slow
def test_optuna_finds_a_step_and_goes_on_where_chains_die(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs pip install 'llcx[optuna]'")
    short = ("task.nets=1", "estimator.warmup=20", "estimator.draws=20", "estimator.chains=2")
    steps = "sampler.step_size=tag(log, interval(1e-9, 1))"  # the largest kill the chains
    done = train(tmp_path, "+experiment=tune_step", "hydra.sweeper.n_trials=6", *short, steps)
    assert done.returncode == 0, done.stderr
    found = find([tmp_path])
    assert found.swept == ("sampler.step_size",)
    assert len(found.jobs) == 6
    assert any(row["llc"] == "" for job in found.jobs for row in job.rows)
    assert "best_value" in (tmp_path / "optimization_results.yaml").read_text()
