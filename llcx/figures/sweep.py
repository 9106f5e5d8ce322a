"""collected.png: estimates of many runs against what differs between them, a panel a setting, samplers told apart.

Here is what stands in which panel; `sweep_panel` draws it.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from llcx.figures import flags, rows, style, sweep_axes, sweep_panel, wording
from llcx.figures.rows import Row
from llcx.figures.sweep_axes import OF_SERIES, Across, Line, column_of, is_seed, values
from llcx.figures.sweep_panel import Panel

MOST = 9  # panels
POINTS = 6  # more points than these stand together in one panel
WAITING = ("running", "missing")


class Place(NamedTuple):
    """What tells a panel from the others: values of the keys that are no axis, and the point."""

    settings: tuple[str, ...]
    point: str


@style.look
def figure(measured: Sequence[Line], jobs: Sequence[Line], *, x: str | None = None, y: str | None = None) -> Figure:
    """`measured`, `jobs`: lines of collected.csv and jobs.csv. `x`: a key that differs, `y`: a column of measurements.

    ValueError where there is no such key or column.
    """
    every = [rows.parse(dict(line)) for line in measured]
    alive = [row for row in every if not row.failed]
    keys = [name.removeprefix("sweep.") for name in (jobs[0] if jobs else {}) if name.startswith("sweep.")]
    keys = [key for key in keys if len(values(jobs, key)) > 1]
    across = sweep_axes.chosen(jobs, keys, x)
    if y is not None and not any(math.isfinite(sweep_axes.numeric(row.raw.get(y, ""))) for row in alive):
        raise ValueError(f"--y must be a column of metrics_summary.csv that holds numbers, got {y}")
    others = [key for key in keys if key not in (across.key, *OF_SERIES) and not is_seed(key)]
    apart = told_apart(jobs, others)
    together = f"Not told apart here: {', '.join(others[len(apart) :])}." if len(apart) < len(others) else ""
    notes = [wording.conditions(alive), states(jobs), together, flagged(alive), failures(every, jobs)]
    if not alive:
        return style.empty("Sweep", "No measurement has a number yet.", notes)
    panels = split(every, jobs, apart)
    column = y or best(panels, across)
    picture, axes = style.grid(len(panels), 3, 0.72)
    tones = style.tones(list(dict.fromkeys(row.series for row in alive)))
    alike = column != "llc" or len({row.known for row in alive if math.isfinite(row.known)}) == 1
    common = [row for panel in panels for row in panel.rows] if alike else None
    for axis, panel in zip(axes, panels, strict=True):
        sweep_panel.draw(axis, panel, across, column, tones, common or panel.rows)
    style.outer_labels(axes, across.key, sweep_axes.NAMES.get(column, wording.plain(column)))
    title = f"{sweep_axes.TITLES.get(column, column)} over {across.key}"
    return style.finish(picture, title, notes, sweep_panel.legend(axes, tones, alive))


def told_apart(jobs: Sequence[Line], keys: Sequence[str]) -> list[str]:
    """The first of `keys`, as many as make few enough panels."""
    counts = [len({setting(line, keys[:k]) for line in jobs}) for k in range(len(keys) + 1)]
    return list(keys[: max(k for k, count in enumerate(counts) if count <= max(MOST, counts[0]))])


def split(every: Sequence[Row], jobs: Sequence[Line], apart: Sequence[str]) -> list[Panel]:
    """A panel a setting; a panel a point too, where that makes few of them."""
    points = list(dict.fromkeys(row.point for row in every))
    settings = list(dict.fromkeys(setting(line, apart) for line in jobs))
    single = len(points) > 1 and len(points) <= POINTS and len(points) * len(settings) <= MOST
    places = [Place(each, point) for each in settings for point in (points if single else [""])]
    found = []
    for place in places:
        mine = [row for row in every if setting(row.raw, apart) == place.settings and place.point in ("", row.point)]
        if place.point and not mine and any(setting(row.raw, apart) == place.settings for row in every):
            continue  # a point that this setting does not have
        waiting = [line for line in jobs if setting(line, apart) == place.settings and line["rows"] == "0"]
        said = [
            f"{key.rpartition('.')[2]} {value or 'default'}" for key, value in zip(apart, place.settings, strict=True)
        ]
        title = ", ".join([*said, *([place.point] if place.point else [])])
        found.append(Panel(title, mine, [line for line in waiting if line["state"] not in WAITING],
                           [line for line in waiting if line["state"] in WAITING]))  # fmt: skip
    return found


def setting(line: Line, apart: Sequence[str]) -> tuple[str, ...]:
    return tuple(line[column_of(key)] for key in apart)


def best(panels: Sequence[Panel], across: Across) -> str:
    """The estimate where every place has one known value, or none has any; the relative error where they have many."""
    for panel in panels:
        known: dict[str, set[float]] = {}
        for row in panel.rows:
            if math.isfinite(row.known):
                known.setdefault(row.raw[column_of(across.key)], set()).add(row.known)
        if any(len(found) > 1 for found in known.values()):
            return "rel_error"
    return "llc"


def states(jobs: Sequence[Line]) -> str:
    counts = Counter(line["state"] for line in jobs)
    return f"{len(jobs)} jobs: {', '.join(f'{count} {state}' for state, count in counts.most_common())}."


def flagged(alive: Sequence[Row]) -> str:
    """How many rows are hollow, and which flags they have most."""
    raised = Counter(flags.short(flag) for row in alive for flag in row.flags)
    ill = sum(not row.healthy for row in alive)
    told = ", ".join(f"{flag} {count}" for flag, count in raised.most_common(6))
    return f"Flagged ({ill} of {len(alive)}): {told}" if ill else ""


def failures(every: Sequence[Row], jobs: Sequence[Line]) -> str:
    """What rows and jobs without a number say; messages that differ in their numbers alone are one."""
    said = [", ".join(row.flags) or "no reason recorded" for row in every if row.failed]
    said += [f"job {line['state']}: {line['error']}".removesuffix(": ") for line in jobs if silent(line)]
    first: dict[str, str] = {}
    counts = Counter(first.setdefault(re.sub(r"\d+|nan|inf", "", text), text) for text in said)
    return f"No number: {'; '.join(f'{count} x {text}' for text, count in counts.most_common(3))}" if said else ""


def silent(line: Line) -> bool:
    """A job that ended without a row."""
    return line["rows"] == "0" and line["state"] not in WAITING
