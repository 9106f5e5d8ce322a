"""Runs as they lie on the disk: which there are, which should be, and how each stands."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from llcx.artifacts import RunFolder
from llcx.artifacts.folder import MARKS
from llcx.artifacts.rows import KEY
from llcx.collect import plan
from llcx.figures.rows import parse

DONE, WAITING = ("completed",), ("running", "missing")  # all other states are failures
OURS = re.compile(r"(hydra[./@]|log\.|run\.(?!points))")  # keys that change nothing of what is computed
NEEDED = {*KEY, "llc", "known_llc", "healthy", "flags"}  # columns without which a row says nothing
COMPLAINT = re.compile(
    r"^(?:.*\[ERROR\] - job \S+ failed|(?:\w+\.)*\w+(?:Error|Exception|Interrupt)): (.*)$", re.MULTILINE
)


class Job(NamedTuple):
    """One run. `state`: that of status.json, `missing` where it has not begun, `unreadable` where files are damaged."""

    name: str  # its place below what was collected: `3`, or `2026-01-31/12-00-00/3`
    path: Path  # its folder, which a missing one does not have
    state: str
    error: str = ""
    words: tuple[str, ...] = ()  # overrides
    started: str = ""
    heartbeat: str = ""
    seconds: float | None = None  # of all stages
    rows: Sequence[dict[str, str]] = ()

    @property
    def told(self) -> dict[str, str]:
        """Overrides by key."""
        return {plan.key_of(word): word.partition("=")[2] for word in self.words}


class Found(NamedTuple):
    """All jobs in natural order, and the keys in which they differ."""

    jobs: list[Job]
    swept: tuple[str, ...]


def find(paths: Sequence[Path]) -> Found:
    """Every run below `paths`, with the jobs of their sweeps that have not begun; ValueError where there is none."""
    jobs: list[Job] = []
    swept: list[str] = []
    above = Path(os.path.commonpath([path.resolve() for path in paths]))
    for path in paths:
        if not path.is_dir():
            raise ValueError(f"the folder to collect must exist, got {path}")
        prefix = path.resolve().relative_to(above) if len(paths) > 1 else Path()
        for kind, folder in walk(path):
            if kind == "run":
                jobs.append(read(folder, (prefix / folder.relative_to(path)).as_posix()))
            else:
                of_sweep = plan.read(folder)
                swept += of_sweep.swept
                jobs += missing(folder, of_sweep, prefix / folder.relative_to(path))
    jobs = [job for job in jobs if "run.dry=true" not in job.words]  # a forecast is no run
    if not jobs:
        raise ValueError(f"the folder to collect must hold runs or a sweep, got {', '.join(map(str, paths))}")
    return Found(sorted(jobs, key=lambda job: natural(job.name)), tuple(dict.fromkeys([*swept, *differing(jobs)])))


def walk(path: Path) -> Iterator[tuple[str, Path]]:
    """(`run` or `sweep`, folder) of everything below `path`; a run folder is not looked into."""
    if (path / "multirun.yaml").exists():
        yield "sweep", path
    elif begun(path):
        yield "run", path
        return
    for child in sorted(path.iterdir()):
        if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
            yield from walk(child)


def begun(path: Path) -> bool:
    """Whether a run has left anything here."""
    return any((path / name).exists() for name in (".hydra", *MARKS))


def missing(sweep: Path, of_sweep: plan.Plan, prefix: Path) -> list[Job]:
    """The jobs of a sweep that have no folder yet, or an empty one. Jobs are known by number, else by overrides."""
    there = [folder for kind, folder in walk(sweep) if kind == "run"]
    names = {folder.relative_to(sweep).as_posix() for folder in there}
    planned = dict(enumerate(of_sweep.jobs))
    if all(name.isdigit() for name in names):
        last = max([len(planned) - 1, *map(int, names)])
        absent = [index for index in range(last + 1) if str(index) not in names]
    else:
        said = {plan.overrides(folder) for folder in there}
        absent = [index for index, words in planned.items() if words not in said]
    return [
        Job((prefix / str(index)).as_posix(), sweep / str(index), "missing", words=planned.get(index, ()))
        for index in absent
    ]


def read(path: Path, name: str = ".") -> Job:
    """One run; damaged files are told, never raised."""
    words = plan.overrides(path)
    folder = RunFolder(path)
    try:
        status, info, rows = folder.status, folder.run_info, folder.rows
        refuse_damaged(rows, path / "metrics_summary.csv")
        seconds = sum(float(stage["seconds"]) for stage in info.get("stages", {}).values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        return Job(name, path, "unreadable", " ".join(f"{error}".split()), words)
    if not status:
        return Job(name, path, *stillborn(path), words, rows=rows)
    return Job(
        name, path, str(status.get("state", "unknown")), str(status.get("error") or ""), words,
        str(status.get("started") or status.get("ended") or ""), str(status.get("heartbeat") or ""), seconds, rows,
    )  # fmt: skip


def refuse_damaged(rows: Sequence[dict[str, str]], file: Path) -> None:
    """ValueError where a table has lost cells or columns, or has text for numbers."""
    for row in rows:
        if None in row or None in row.values() or not row.keys() >= NEEDED:
            raise ValueError(f"{file} must have whole lines of all columns")
        parse(row)


def stillborn(path: Path) -> tuple[str, str]:
    """(state, error) of a run without status.json: it failed before its first write, and its log tells why."""
    for file in sorted(path.glob("*.log")):
        found = list(COMPLAINT.finditer(file.read_text(errors="replace")))
        if found:
            return "failed", found[-1][1]
    return "missing", "its folder has no status.json yet"


def differing(jobs: Sequence[Job]) -> list[str]:
    """Keys of overrides that not all jobs have with one value."""
    told = [job.told for job in jobs if job.words]
    keys = dict.fromkeys(key for each in told for key in each)
    return [key for key in keys if not OURS.match(key) and len({each.get(key) for each in told}) > 1]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Job 10 comes after job 9."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
