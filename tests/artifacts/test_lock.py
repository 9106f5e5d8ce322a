"""One writer a folder, however it dies."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llcx import artifacts
from llcx.artifacts import lock, writer

ROW = {"task": "toy", "point": "a/b", "at.rank": 3, "sampler": "hmc", "where": "all", "target": "data", "seed": 0}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[artifacts.Writer]:
    with artifacts.Writer(tmp_path / "run", {"seed": 0}, {"schema": 1}) as folder:
        yield folder


def test_a_second_writer_is_refused_while_the_first_lives(run: artifacts.Writer) -> None:
    with pytest.raises(ValueError, match=f"one writer.*process {os.getpid()}"):
        lock.Lock(run.path).take()


def test_a_lock_of_a_dead_process_of_this_host_is_taken_over(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": dead.pid, "token": "x"}))
    assert not lock.alive(tmp_path / ".lock")
    mine = lock.Lock(tmp_path)
    mine.take()
    assert lock.holder(tmp_path / ".lock")["token"] == mine.token
    assert len(list(tmp_path.iterdir())) == 1


def test_a_lock_of_another_host_lives_as_long_as_its_heart_beats(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "x"}))
    with pytest.raises(ValueError, match="on elsewhere"):
        lock.Lock(tmp_path).take()
    past = time.time() - lock.STALE - 1
    os.utime(path, (past, past))
    lock.Lock(tmp_path).take()


def test_an_earlier_start_of_the_same_job_elsewhere_has_lost_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = {"host": "elsewhere", "pid": 1, "token": "x", "job": "17", "start": 0}
    (tmp_path / ".lock").write_text(json.dumps(who))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert lock.alive(tmp_path / ".lock"), "the same job, but not started again"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not lock.alive(tmp_path / ".lock")
    lock.Lock(tmp_path).take()
    assert lock.alive(tmp_path / ".lock"), "this start's own"


def test_of_many_who_want_a_dead_writers_folder_one_gets_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "x"}))
    past = time.time() - lock.STALE - 1
    os.utime(path, (past, past))
    got: list[bool] = []

    def want() -> None:
        try:
            lock.Lock(tmp_path).take()
            got.append(True)
        except ValueError:
            got.append(False)

    threads = [threading.Thread(target=want) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.count(True) == 1


def test_a_writer_that_slept_while_another_took_over_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BEAT", 0.01)
    with artifacts.Writer(tmp_path, {}, {}) as folder:
        (tmp_path / ".lock").write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "other"}))
        folder._heart.join(5)
        with pytest.raises(RuntimeError, match="took over"):
            folder.add(ROW)
    assert lock.holder(tmp_path / ".lock")["token"] == "other"
    assert folder.status["state"] == "running", "the other's status is not overwritten"
