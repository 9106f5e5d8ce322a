"""What a task makes of several finished runs together, below analysis/ of the collected folder, and its figures."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from yaml import YAMLError  # type: ignore[import-untyped]

from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_csv, read_json, remove, slug, write_json, write_tables
from llcx.collect.jobs import DONE, Job
from llcx.figures import draw
from llcx.registry import TASKS, Finished, Pooled
from llcx.report import hypotheses
from llcx.types import Tables

RECORD = "pooled.json"  # below analysis/: of which jobs, without which, and what was written
Shown = Mapping[str, list[dict[str, str]]]  # title -> rows for the reader


class Made(NamedTuple):
    """What was written, and what a person wants to see of it."""

    shown: Shown
    files: tuple[str, ...]
    note: str  # of which jobs it is, or why there is nothing; empty where no task makes anything of several runs


def write(jobs: Sequence[Job], out: Path) -> Made:
    """Of the completed jobs of the first task that makes something of several; what an earlier call left gives way."""
    forget(out)
    for task, done in by_task(jobs).items():
        if (make := hook(task)) is None:
            continue
        try:
            found = make([finished(job) for job in done])
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            return Made({}, (), f"nothing of {len(done)} jobs of task={task} together: {' '.join(f'{error}'.split())}")
        if found.tables:
            return Made(found.shown, *kept(found, task, (done, jobs), out))
    return Made({}, (), "")


def hook(task: str) -> Pooled | None:
    """What the task makes of several runs; None too where it cannot be imported here."""
    try:
        return TASKS.pooled(task)
    except ImportError:
        return None


def kept(found: Tables, task: str, of: tuple[Sequence[Job], Sequence[Job]], out: Path) -> tuple[tuple[str, ...], str]:
    """Write tables, figures, and the record of both; returns their names, and which of all jobs they are of."""
    done, jobs = of
    files = [path.relative_to(out).as_posix() for path in write_tables(out / "analysis", found)]
    record = {"task": task, "jobs": [job.name for job in done], "without": without(jobs, task), "files": files}
    write_json(out / "analysis" / RECORD, record)  # before the figures, which may fail
    figures = [path.relative_to(out).as_posix() for path in draw.of_task(RunFolder(out), task)]
    write_json(out / "analysis" / RECORD, {**record, "files": [*files, *figures]})
    return (*figures, "analysis/"), hypotheses.of_jobs(out)


def forget(out: Path) -> None:
    """Take away what an earlier call wrote: it may be of other jobs."""
    for name in map(Path, read_json(out / "analysis" / RECORD).get("files", [])):
        if name.parent.as_posix() in (".", "analysis"):
            remove(out / name)
    remove(out / "analysis" / RECORD)


def by_task(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """Completed jobs by the task that they are of."""
    found: dict[str, list[Job]] = {}
    for job in (job for job in jobs if job.state in DONE):
        task = job.rows[0].get("task") if job.rows else settings(job).get("name")  # reading YAML takes its time
        found.setdefault(str(task), []).append(job)
    return found


def finished(job: Job) -> Finished:
    """What a task sees of a job."""
    return Finished(job.name, settings(job), lambda stem: read_csv(job.path / "analysis" / f"{slug(stem)}.csv"))


def settings(job: Job) -> dict[str, Any]:
    """The task's part of a job's configuration; empty where it cannot be read."""
    try:
        return dict(RunFolder(job.path).config.get("task") or {})
    except (OSError, ValueError, YAMLError):
        return {}


def without(jobs: Sequence[Job], task: str) -> list[str]:
    """Jobs that are not completed, unless they say that they are of another task."""
    return [f"{job.name} ({job.state})" for job in jobs if job.state not in DONE and job.told.get("task", task) == task]
