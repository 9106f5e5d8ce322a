"""experiments.csv and experiments.md: a line a run, kept from call to call.

A run that is found again has its line renewed, but for `note`, which is yours; a run that is gone keeps its line.
"""

import os
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from llcx.artifacts import RunFolder
from llcx.artifacts.files import csv_lines, read_csv, replace
from llcx.collect.jobs import Job, natural
from llcx.doctor import command
from llcx.figures import flags, rows, wording
from llcx.figures.rows import Row
from llcx.report import hypotheses

SHOWN = ("date", "command", "numbers", "verdict", "seeds", "device", "commit", "note")  # columns of the page
COLUMNS = ("folder", *SHOWN, "state", "rows", "healthy", "seconds")
Line = dict[str, str]


def keep(jobs: Sequence[Job], out: Path) -> list[Line]:
    """Write both files into `out` and return their lines, oldest first. Calling it again changes nothing more."""
    kept, more = before(out / "experiments.csv")
    for job in jobs:
        if job.state != "missing":
            folder = Path(os.path.relpath(job.path, out)).as_posix()
            kept[folder] = {**kept.get(folder, {"note": ""}), "folder": folder, **entry(job)}
    lines = sorted(kept.values(), key=lambda line: (line["date"], natural(line["folder"])))
    replace(out / "experiments.csv", csv_lines((*COLUMNS, *more), lines))
    replace(out / "experiments.md", page(lines, out).encode())
    return lines


def before(file: Path) -> tuple[dict[str, Line], list[str]]:
    """The lines that are there, by folder, and the columns that a person has added to ours."""
    lines = read_csv(file)
    if lines and "folder" not in lines[0]:
        raise ValueError(f"{file} must have the columns it was written with, got {', '.join(lines[0])}; move it away")
    more = [name for name in (lines[0] if lines else ()) if name and name not in COLUMNS]
    names = (*COLUMNS, *more)
    return {line["folder"]: {name: line.get(name) or "" for name in names} for line in lines}, more


def entry(job: Job) -> Line:
    """One run in one line."""
    folder = RunFolder(job.path)
    every = [rows.parse(row) for row in job.rows]
    info: dict[str, Any] = {} if job.state == "unreadable" else folder.run_info
    seeds = {int(row.raw["seed"]) for row in every if row.raw.get("seed")}
    if not seeds and info.get("seed") is not None:
        seeds = {int(info["seed"])}
    return {
        "date": job.started,
        "command": told(folder, job) if info else " ".join(job.words),
        "numbers": numbers(every),
        "verdict": verdict(job, every),
        "seeds": ranges(seeds),
        "device": str(info.get("device", "")),
        "commit": commit(info.get("git") or {}),
        "state": job.state,
        "rows": str(len(every)),
        "healthy": str(sum(row.healthy for row in every)),
        "seconds": "" if job.seconds is None else f"{job.seconds:.1f}",
    }


def told(folder: RunFolder, job: Job) -> str:
    """The run's own command, which inside a sweep is not the one that was typed."""
    try:
        first, _, rest = command.again(folder, {}).partition(" ")
    except (ValueError, KeyError, TypeError, AttributeError):
        return " ".join(job.words)
    return f"{'python' if Path(first).name.startswith('python') else first} {rest}"


def numbers(every: Sequence[Row]) -> str:
    """The estimate with its interval; of several, how far they are from what is known."""
    alive = [row for row in every if not row.failed]
    scored = [row for row in alive if row.rel_error == row.rel_error]
    if len(alive) == 1:
        (row,) = alive
        error = f", known {wording.number(row.known)} ({wording.percent(row.rel_error, signed=True)})" if scored else ""
        return f"\u03bb\u0302 {wording.interval(row.llc, row.low, row.high)}{error}"
    if not scored:
        return f"{len(alive)} numbers, \u03bb\u0302 {wording.span([row.llc for row in alive])}" if alive else ""
    median = wording.percent(statistics.median(abs(row.rel_error) for row in scored))
    covered = sum(row.low <= row.known <= row.high for row in scored)
    return f"{len(alive)} numbers, median |error| {median}, {covered} of {len(scored)} intervals hold the known value"


def verdict(job: Job, every: Sequence[Row]) -> str:
    """Whether to believe it: how the run ended where it did not complete, what is flagged, and its hypotheses."""
    dead = sum(row.failed for row in every)
    raised = Counter(flags.short(flag) for row in every if not row.failed for flag in row.flags)
    ill = sum(not row.healthy and not row.failed for row in every)
    said = [f"{dead} without a number"] if dead else []
    if job.state != "completed":
        said = [f"{job.state}: {job.error}".rstrip(": ")]
    said += [f"{ill} flagged ({', '.join(flag for flag, _ in raised.most_common(3))})"] if ill else []
    told = hypotheses.briefly(job.path)
    said = said or (["healthy"] if every else [] if told else ["nothing measured"])
    return "; ".join([*said, told] if told else said)


def commit(git: dict[str, Any]) -> str:
    """Its first letters; `-dirty` where files differed from it."""
    return f"{git['commit'][:10]}{'-dirty' * bool(git.get('dirty'))}" if git.get("commit") else ""


def ranges(seeds: set[int]) -> str:
    """{0, 1, 2, 5} -> `0-2, 5`."""
    runs = [list(run) for _, run in groupby(enumerate(sorted(seeds)), key=lambda item: item[1] - item[0])]
    return ", ".join(f"{run[0][1]}-{run[-1][1]}" if len(run) > 1 else f"{run[0][1]}" for run in runs)


def page(lines: Sequence[Line], out: Path) -> str:
    """The newest run first, each linked to its report."""
    heads = f"| {' | '.join(SHOWN)} |\n|{'---|' * len(SHOWN)}\n"
    body = "".join(f"| {' | '.join(cells(line, out))} |\n" for line in reversed(lines))
    return f"# Experiments\n\n`note` in experiments.csv is yours, and is kept.\n\n{heads}{body}"


def cells(line: Line, out: Path) -> list[str]:
    """The cells of a line of the page."""
    there = [path for path in (f"{line['folder']}/report.html", line["folder"]) if (out / path).exists()]
    date = line["date"][:16].replace("T", " ") or "unknown"
    shown = {**line, "command": f"`{line['command']}`" if line["command"] else ""}
    plain = [(shown.get(key) or "").replace("|", "\\|").replace("\n", " ") for key in SHOWN[1:]]
    return [f"[{date}](<{there[0]}>)" if there else f"{date} (gone)", *plain]
