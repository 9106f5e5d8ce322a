"""The first lines of a report: how far to trust what follows, before anything else is read."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from llcx.figures import flags, rows, wording
from llcx.figures.rows import Row

DONE, WAITING = ("completed",), ("running", "missing")  # of a sweep's jobs; all other states are failures
Verdict = tuple[str, list[str]]  # good, warn or bad; sentences


def of_run(every: Sequence[Row], status: Mapping[str, Any]) -> Verdict:
    """The verdict on a run; a run that did not end is never called good."""
    state = str(status.get("state", "unknown"))
    if state == "running" and status.get("stage") == "report":
        state = "completed"  # but for this very page
    sentences = [] if state == "completed" else [f"State of this run: {state}. {status.get('error') or ''}".strip()]
    sentences.append(single(every[0]) if len(every) == 1 else several(every))
    failed = state == "failed" or not every or any(row.failed for row in every)
    ill = state != "completed" or not all(row.healthy for row in every)
    return ("bad" if failed or mostly_grave(every) else "warn" if ill else "good"), sentences


def of_sweep(every: Sequence[Row], states: Sequence[str]) -> Verdict:
    """The verdict on a sweep, from its measurements and the states of its jobs."""
    lost = [state for state in states if state not in (*DONE, *WAITING)]
    waiting = [state for state in states if state in WAITING]
    ill = bool(waiting) or not all(row.healthy for row in every)
    level = "bad" if lost or not every or mostly_grave(every) else "warn" if ill else "good"
    return level, [jobs(states), several(every)]


def jobs(states: Sequence[str]) -> str:
    """`498 of 500 jobs completed, 2 failed.`"""
    counts = Counter(states)
    rest = "".join(f", {count} {state}" for state, count in counts.most_common() if state not in DONE)
    return f"{sum(counts[state] for state in DONE)} of {len(states)} jobs completed{rest}."


def mostly_grave(every: Sequence[Row]) -> bool:
    """Whether more than half of the measurements have a flag that makes their number wrong."""
    return 2 * sum(any(flags.name(flag) in flags.GRAVE for flag in row.flags) for row in every) > len(every)


def single(row: Row) -> str:
    """The verdict on a run of one measurement."""
    if row.failed:
        return f"The measurement gave no number: {', '.join(row.flags) or 'no reason recorded'}."
    words = f"\u03bb\u0302 = {wording.interval(row.llc, row.low, row.high)} (95 %)"
    if math.isfinite(row.known):
        inside = "inside" if row.low <= row.known <= row.high else "outside"
        words += f"; the known value {wording.number(row.known)} lies {inside} the interval"
        words += f" (error {wording.percent(row.rel_error, signed=True)})"
    return f"{words}. {'Healthy.' if row.healthy else 'Flagged: ' + ', '.join(map(flags.short, row.flags)) + '.'}"


def several(every: Sequence[Row]) -> str:
    """The verdict on many measurements."""
    if not every:
        return "There is no measurement yet."
    failed, ill = sum(row.failed for row in every), sum(not row.healthy and not row.failed for row in every)
    words = f"{len(every) - ill - failed} of {len(every)} measurements are healthy"
    words += (f", {ill} flagged" if ill else "") + (f", {failed} without a number" if failed else "") + "."
    return f"{words}{scored([row for row in every if not row.failed and math.isfinite(row.rel_error)])}"


def scored(known: Sequence[Row]) -> str:
    """Errors and coverage of the rows whose answer is known; empty where there are none."""
    if not known:
        return ""
    held = sum(row.low <= row.known <= row.high for row in known)
    at = [abs(value) for row in known if math.isfinite(value := rows.number(row.raw.get("rel_error_at", "")))]
    error, there = median([abs(row.rel_error) for row in known]), median(at)
    beside = f" ({there} against what is known at this n\u03b2 and \u03b3)" if at and there != error else ""
    return f" Median |relative error| {error}{beside}; {held} of {len(known)} intervals hold the known value."


def median(shares: Sequence[float]) -> str:
    return wording.percent(statistics.median(shares)) if shares else ""
