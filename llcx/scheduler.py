"""What a cluster's scheduler says through its launcher, in one line; of SLURM, whose launcher is submitit."""

import re
from pathlib import Path
from typing import Any

LOST = re.compile(
    r"Job (?P<job>\S+) \(task: \d+\) with path (?P<path>.+)\nhas not produced any output \(state: (?P<state>.*)\)"
)
RAISED = re.compile(r"failed during processing with trace:\n(?P<stack>.*)\n-+\nYou can check full logs", re.DOTALL)


def told(error: BaseException) -> str | None:
    """The line for an error of the launcher; None for any other error."""
    text = str(error)
    if 'Could not detect "srun"' in text:
        return (
            "hydra/launcher=submitit_slurm must be started where SLURM is, got no srun on PATH; hydra/launcher=joblib"
        )
    if not type(error).__module__.startswith("submitit."):
        return None
    if lost := LOST.search(text):
        return _lost(lost, text[lost.end() :])
    if raised := RAISED.search(text):
        return f"a job could not begin: {_last(raised['stack'])}; its node must have this python and llcx"
    if "timed-out too many times" in text:
        return (
            "a job ran into its time limit and was not queued again: timed-out too many times; "
            "hydra.launcher.max_num_timeout and timeout_min give more, run.resume=DIR goes on with it"
        )
    refused = text.splitlines()[0].removeprefix("sbatch: error: ") if text else type(error).__name__
    return f"hydra.launcher must be what the cluster accepts, got {refused}; sinfo and sacctmgr show what there is"


def idle(hydra: Any) -> str | None:
    """A warning where a launcher was asked for in a run that is no sweep, which Hydra starts without it."""
    name = hydra.runtime.choices.get("hydra/launcher", "basic")
    if name == "basic" or hydra.mode.name == "MULTIRUN":
        return None
    preset = "; +cluster=slurm does both" if name == "submitit_slurm" else ""
    return f"hydra/launcher={name} is for sweeps, this run is here and now: --multirun makes a sweep{preset}"


def _lost(lost: re.Match[str], stream: str) -> str:
    """Of a job that left no result: which, how it ended, the last that it said, and where the rest is."""
    said = _last(stream.partition("-" * 40)[2], lines=2)
    logs = Path(lost["path"]).parent
    return f"job {lost['job']} ended without a result ({lost['state']}){said and f': {said}'}; its logs are in {logs}"


def _last(text: str, lines: int = 1) -> str:
    """The last lines of a text that say something, as one."""
    return " ".join([line for part in text.splitlines() if (line := part.strip()).strip("-")][-lines:])
