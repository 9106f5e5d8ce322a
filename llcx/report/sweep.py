"""A sweep as one page: its jobs, their measurements together, and links to the jobs' own reports.

Reads what `python -m llcx.collect` left: collected.csv, jobs.csv and collected.png.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_csv, read_yaml, replace
from llcx.figures import rows, wording
from llcx.figures.rows import Row
from llcx.report import facts, hypotheses, verdict
from llcx.report.lights import lights
from llcx.report.page import FILE, filled
from llcx.report.pictures import pictures
from llcx.report.table import ALWAYS, Cell, table

Job = dict[str, str]  # a line of jobs.csv
SWEPT = "sweep."
NAMED = 200  # jobs without a result that the page lists


def write_sweep(path: Path | str) -> Path:
    """Write report.html into a collected sweep; returns its path. ValueError where nothing was collected."""
    file = Path(path) / FILE
    replace(file, render(Path(path)).encode())
    return file


def render(path: Path) -> str:
    """The page as text; every value from the files is escaped."""
    if not (path / "jobs.csv").exists():
        raise ValueError(f"a sweep must be collected first, got no jobs.csv in {path}; python -m llcx.collect {path}")
    jobs = read_csv(path / "jobs.csv")
    every = [rows.parse(raw) for raw in read_csv(path / "collected.csv")]
    links = {job["job"]: link(path, job) for job in jobs}
    names = short([key for key in (every[0].raw if every else ()) if key.startswith(SWEPT)])
    level, sentences = verdict.of_sweep(every, [job["state"] for job in jobs])
    rest = [job for job in jobs if job["state"] not in verdict.DONE]
    return filled(
        "sweep.html.jinja",
        title=f"sweep \u00b7 {'/'.join(path.resolve().parts[-2:])}",
        command=" ".join(overrides(path)),
        level=level,
        verdict=sentences,
        conditions=wording.conditions([row for row in every if not row.failed]),
        hypotheses=hypotheses.lines(path),
        judged=hypotheses.of_jobs(path),
        table=table(every, [before(row, links, names) for row in every]),
        lights=lights(every, {}),
        pictures=pictures(path),
        when=facts.when,
        rest=[
            (job, links[job["job"]]) for job in sorted(rest, key=lambda job: job["state"] in verdict.WAITING)[:NAMED]
        ],
        unnamed=max(0, len(rest) - NAMED),
        costs=facts.costs(every),
        spent=spent(jobs),
        origin=origin(path, jobs),
    )


def link(path: Path, job: Job) -> str:
    """From the sweep's page to the job's own; empty where it has none."""
    page = path / job["folder"] / FILE
    return quote(Path(os.path.relpath(page, path)).as_posix()) if page.exists() else ""


def short(keys: Sequence[str]) -> dict[str, str]:
    """Column -> head: the last part of a swept key, or all of it where two end alike or a row has such a column."""
    full = {key: key.removeprefix(SWEPT) for key in keys}
    last = {key: name.rpartition(".")[2] for key, name in full.items()}
    taken = Counter(last.values()) + Counter(ALWAYS)
    return {key: last[key] if taken[last[key]] == 1 else full[key] for key in keys}


def before(row: Row, links: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Cell]:
    """Job and swept values, which stand before what a row has itself."""
    job = row.raw["job"]
    return {"job": Cell(job, href=links.get(job, ""))} | {name: Cell(row.raw[key]) for key, name in names.items()}


def overrides(path: Path) -> list[str]:
    """What the sweep was told, where Hydra left a record."""
    hydra = read_yaml(path / "multirun.yaml").get("hydra") or {}
    return [str(word) for word in (hydra.get("overrides") or {}).get("task") or []]


def spent(jobs: Sequence[Job]) -> str:
    """Seconds of all jobs."""
    known = [float(job["seconds"]) for job in jobs if job["seconds"]]
    return (
        f"{facts.seconds(sum(known))} s in {len(known)} jobs, {facts.seconds(max(known))} s the longest"
        if known
        else ""
    )


def origin(path: Path, jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """Code, versions and machines of all jobs: each value, and how many jobs have it where they differ."""
    found: dict[str, Counter[str]] = {}
    for job in jobs:
        for key, value in facts.origin(info(path / job["folder"])):
            if key == "git" or key.startswith(("versions.", "machine.", "device", "threads")):
                found.setdefault(key, Counter())[value] += 1
    return [(key, told(values)) for key, values in found.items()]


def info(path: Path) -> dict[str, Any]:
    """run_info.json of a job; empty where it has none that can be read."""
    try:
        return RunFolder(path).run_info
    except (OSError, ValueError):
        return {}


def told(values: "Counter[str]") -> str:
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(f"{value} ({count} jobs)" for value, count in values.most_common(5))
