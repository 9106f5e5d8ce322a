"""A run folder as one page."""

import math
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from llcx.artifacts import RunFolder
from llcx.artifacts.files import replace
from llcx.figures import rows, wording
from llcx.report import facts, hypotheses, verdict
from llcx.report.lights import COLOURS, MARKS, counted, lights
from llcx.report.pictures import pictures
from llcx.report.table import table

FILE = "report.html"
PLANS = 100  # measurements whose plans a page shows


def write(folder: RunFolder) -> Path:
    """Write report.html into the folder, from what the folder holds; returns its path."""
    path = folder.path / FILE
    replace(path, render(folder).encode())
    return path


def render(folder: RunFolder) -> str:
    """The page as text; every value from the folder is escaped."""
    every, info, status, config = rows.read(folder), folder.run_info, folder.status, folder.config
    level, sentences = verdict.of_run(every, status)
    target = folder.target_info
    return filled(
        "run.html.jinja",
        title=title(folder),
        command=info.get("command", ""),
        level=level,
        verdict=sentences,
        chips=chips(info, status),
        traceback=status.get("traceback") or "",
        conditions=wording.conditions([row for row in every if not row.failed]),
        hypotheses=hypotheses.lines(folder.path),
        table=table(every),
        lights=lights(every, config),
        pictures=pictures(folder.path),
        stages=facts.stages(info),
        costs=facts.costs(every),
        origin=facts.origin(info),
        plans=facts.plans(target)[:PLANS],
        unplanned=max(0, len(facts.plans(target)) - PLANS),
        target=facts.pairs({key: value for key, value in target.items() if key not in ("points", "schema")}),
        settings=facts.pairs(config),
    )


def filled(name: str, **values: Any) -> str:
    """A template with its values."""
    return environment().get_template(name).render(**values)


@cache
def environment() -> Environment:
    """Templates escape whatever they are given, and refuse a name that they are not."""
    places = resources.files("llcx.report").joinpath("templates")
    found = Environment(
        loader=FunctionLoader(lambda name: places.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(COLOURS=COLOURS, MARKS=MARKS, counted=counted)
    return found


def title(folder: RunFolder) -> str:
    """Task, and the last two parts of the path: a run's day and time."""
    task = folder.config.get("task", {}).get("name", "llcx")
    return f"{task} \u00b7 {'/'.join(folder.path.resolve().parts[-2:])}"


def chips(info: dict[str, Any], status: dict[str, Any]) -> list[str]:
    """State, start, duration, device and commit, as far as known."""
    spent = sum(float(account.get("seconds", math.nan)) for account in info.get("stages", {}).values())
    commit = (info.get("git") or {}).get("commit")
    words = [
        str(status.get("started", "")).replace("T", " ").removesuffix("+00:00")
        + (" UTC" if "started" in status else ""),
        f"{facts.seconds(spent)} s" if spent else "",
        str(info.get("device", "")),
        f"seed {info['seed']}" if "seed" in info else "",
        f"commit {str(commit)[:8]}{' + changes' if info['git'].get('dirty') else ''}" if commit else "",
    ]
    return [word for word in words if word]
