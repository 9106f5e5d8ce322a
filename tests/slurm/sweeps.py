"""Sweeps and runs of a small network's measurement on a cluster, as a user starts them: in processes of their own."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np

from llcx import artifacts
from tests.running import ROOT, comparable
from tests.slurm.cluster import Cluster, until

TINY = ("+experiment=dln_tiny", "task.nets=1", "run.stages=[train,measure]")
LONG = "estimator.draws=20000"  # minutes
PATIENCE = 240  # s, on a machine that does much else


@dataclass(frozen=True)
class Sweep:
    """A sweep and the process that waits for its jobs."""

    folder: Path
    process: subprocess.Popen[str]

    def end(self) -> tuple[int, str]:
        """The exit code, and what was said on stderr."""
        try:
            _, told = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the sweep in {self.folder} does not end") from None
        return self.process.returncode, told

    def run(self, job: int) -> artifacts.RunFolder:
        return artifacts.RunFolder(self.folder / str(job))

    def number(self, job: int) -> str:
        """What the scheduler calls a job of an array: 13_0."""
        (found,) = (self.folder / ".submitit").glob(f"*_{job}")
        return found.name


def start(cluster: Cluster, folder: Path, *words: str, unused: bool = False) -> Sweep:
    """`python train.py +cluster=slurm ...` on small networks; `unused`: the folder's name is found as by default."""
    name = f"${{unused:{folder}}}" if unused else folder
    command = [sys.executable, "train.py", "+cluster=slurm", *TINY, f"hydra.sweep.dir={name}", *words]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=cluster.environment, **pipes)  # type: ignore[call-overload]
    return Sweep(folder, process)


def resume(cluster: Cluster, folder: Path, *words: str) -> int:
    """The exit code of `python train.py run.resume=...`."""
    command = [sys.executable, "train.py", f"run.resume={folder}", *words]
    return subprocess.run(
        command, cwd=ROOT, env=cluster.environment, timeout=PATIENCE, check=False, stdout=subprocess.DEVNULL
    ).returncode


def draws_done(run: artifacts.RunFolder) -> list[int]:
    """The numbers of draws in the progress lines of a run's log, in their order."""
    log = run.path / "llcx.log"
    return [int(found) for found in re.findall(r" sample (\d+)/", log.read_text())] if log.exists() else []


def lowest_return(run: artifacts.RunFolder) -> float:
    """The number of draws that a later session of a run went back to; inf where none went back."""
    return min((later for earlier, later in pairwise(draws_done(run)) if later < earlier), default=inf)


def under_way(run: artifacts.RunFolder, draws: int = 1) -> None:
    """Wait until a run has told of so many draws."""
    until(lambda: max(draws_done(run), default=0) >= draws, PATIENCE, f"{draws} draws in {run.path}")


def kill(run: artifacts.RunFolder) -> None:
    os.kill(int(run.status["pid"]), 9)


def assert_equal(run: artifacts.RunFolder, other: artifacts.RunFolder) -> None:
    """Two runs have the same numbers, bit for bit."""
    assert run.rows
    assert comparable(run.rows) == comparable(other.rows)
    for row in run.rows:
        ours, theirs = run.draws(row), other.draws(row)
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key], equal_nan=True) for key in ours)
