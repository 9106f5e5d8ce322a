"""collected.csv, jobs.csv, and the tables on the screen."""

import os
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from llcx.artifacts.files import csv_lines, replace
from llcx.artifacts.rows import columns
from llcx.collect.jobs import DONE, WAITING, Found, Job
from llcx.figures import rows, wording
from llcx.figures.sweep_axes import is_seed, numeric
from llcx.terminal import entries, number

Lines = list[dict[str, str]]
OF_JOB = ("job", "folder", "state", "error", "overrides", "started", "seconds", "rows", "healthy", "heartbeat")
MOST = 40  # measurements that the screen shows one by one
LISTED = 20  # jobs that it names one by one


def write(found: Found, out: Path) -> tuple[Lines, Lines]:
    """Write both tables into `out`; returns (measurements, jobs) as they stand there."""
    named = [f"sweep.{key}" for key in found.swept]
    of_rows = measurements(found)
    seen = columns(row for job in found.jobs for row in job.rows)
    replace(out / "collected.csv", csv_lines(("job", "state", *named, *seen), of_rows))
    of_jobs = overview(found, out)
    replace(out / "jobs.csv", csv_lines((*OF_JOB, *named), of_jobs))
    return of_rows, of_jobs


def measurements(found: Found) -> Lines:
    """A line a row of metrics_summary.csv, the job's overrides before it."""
    return [{"job": job.name, "state": job.state, **swept(job, found), **row} for job in found.jobs for row in job.rows]


def overview(found: Found, out: Path) -> Lines:
    """A line a job; `folder` is relative to `out`, so that both can be moved together."""
    return [
        {
            "job": job.name,
            "folder": Path(os.path.relpath(job.path, out)).as_posix(),
            "state": job.state,
            "error": " ".join(job.error.split()),
            "overrides": " ".join(job.words),
            "started": job.started,
            "seconds": "" if job.seconds is None else f"{job.seconds:.3f}",
            "rows": str(len(job.rows)),
            "healthy": str(sum(row.get("healthy") == "True" for row in job.rows)),
            "heartbeat": job.heartbeat,
            **swept(job, found),
        }
        for job in found.jobs
    ]


def swept(job: Job, found: Found) -> dict[str, str]:
    """The columns of the keys that differ; empty where the job was not told."""
    told = job.told
    return {f"sweep.{key}": told.get(key, "") for key in found.swept}


def shown(measured: Lines, keys: Sequence[str]) -> Lines:
    """What the screen shows: every measurement, or, where there are many, those of equal settings together."""
    told = [f"sweep.{key}" for key in keys]
    if len(measured) > MOST:
        return pooled(measured, [key for key in told if not is_seed(key)])
    several = [key for key in ("point", "sampler") if len({row[key] for row in measured}) > 1]
    several = [key for key in several if f"sweep.{key}" not in told]
    names = ("\u03bb\u0302", "95 % interval", "known", "error", "health")
    return [
        {key.removeprefix("sweep."): short(row[key]) for key in ("job", *told, *several)}
        | dict(zip(names, entries(row), strict=True))
        for row in measured
    ]


def short(text: str) -> str:
    """A long number in four digits."""
    return f"{numeric(text):.4g}" if len(text) > 9 and numeric(text) == numeric(text) else text


def pooled(measured: Lines, keys: Sequence[str]) -> Lines:
    """Counts, median estimate and median error for each combination of settings and sampler."""
    by = [*keys, *([] if "sweep.sampler" in keys else ["sampler"])]
    groups: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in measured:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    return [
        {key.removeprefix("sweep."): short(value) for key, value in zip(by, group, strict=True)} | summary(members)
        for group, members in sorted(groups.items(), key=lambda item: [ordered(text) for text in item[0]])
    ]


def ordered(text: str) -> tuple[float, str]:
    """Numbers by their size, before words."""
    value = numeric(text)
    return (value, "") if value == value else (float("inf"), text)


def summary(members: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """One line for measurements of equal settings; an estimate only where one value is known of all, or none."""
    parsed = [rows.parse(dict(row)) for row in members]
    alive = [row for row in parsed if not row.failed]
    scored = [row for row in alive if row.known == row.known]
    alike = alive and len({row.raw["known_llc"] for row in alive}) == 1
    errors = [abs(row.rel_error) for row in scored if row.rel_error == row.rel_error]
    return {
        "rows": str(len(members)),
        "healthy": str(sum(row.healthy for row in parsed)),
        "no number": str(len(members) - len(alive)),
        "median \u03bb\u0302": wording.number(statistics.median(row.llc for row in alive)) if alike else "",
        "known": number(alive[0].raw["known_llc"]) if alike else "",
        "median |error|": wording.percent(statistics.median(errors)) if errors else "",
        "covered": f"{sum(row.low <= row.known <= row.high for row in scored)}/{len(scored)}" if scored else "",
    }


def states(jobs: Iterable[Job]) -> str:
    """`12 jobs: 10 completed, 2 failed`."""
    counts = Counter(job.state for job in jobs)
    total = sum(counts.values())
    return f"{total} job{'s' * (total != 1)}: {', '.join(f'{count} {state}' for state, count in counts.most_common())}"


def unfinished(jobs: Sequence[Job]) -> list[str]:
    """What the jobs that are not completed say, failures first."""
    rest = [job for job in jobs if job.state not in DONE]
    rest.sort(key=lambda job: job.state in WAITING)
    lines = [f"job {job.name} {job.state}: {job.error or ' '.join(job.words)}".rstrip(": ") for job in rest]
    more = [f"and {len(lines) - LISTED} more (jobs.csv)"] if len(lines) > LISTED else []
    return lines[:LISTED] + more
