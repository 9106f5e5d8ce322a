"""What surrounds the numbers of a run: cost, code, machine, plans, settings, as pairs of words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llcx.artifacts.writer import flat
from llcx.figures import wording
from llcx.figures.rows import Row

ELSEWHERE = ("stages", "measuring", "git", "command", "sessions", "schema")  # of run_info.json, told in other places


class Plan(NamedTuple):
    """What calibration chose for a measurement, and what it predicts."""

    point: str
    sampler: str
    notes: list[str]


def stages(info: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(stage, seconds, gradient evaluations) of run_info.json, the parts of a measurement below it, and the sum."""
    spent = info.get("stages", {})
    found = []
    for name, account in spent.items():
        found.append((name, *cost(account)))
        if name == "measure":
            found += [(f"\u2003{part}", *cost(share)) for part, share in info.get("measuring", {}).items()]
    total = {key: sum(account.get(key, 0) for account in spent.values()) for key in ("seconds", "gradients")}
    return [*found, ("all", *cost(total))] if len(spent) > 1 else found


def cost(account: Mapping[str, Any]) -> tuple[str, str]:
    """(seconds, gradients) in words."""
    return seconds(float(account.get("seconds", math.nan))), f"{account.get('gradients', 0):,}"


def seconds(value: float) -> str:
    """0.42, 12.5, 3,725: hundredths at most, and three digits."""
    return f"{value:,.0f}" if value >= 100 else wording.three(round(value, 2))


def costs(every: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """(sampler, measurements, seconds of sampling, gradients a chain), summed over the measurements with a number."""
    found = []
    for sampler in dict.fromkeys(row.sampler for row in every if not row.failed):
        mine = [row.raw for row in every if row.sampler == sampler and not row.failed]
        spent, gradients = (sum(float(raw.get(key) or 0) for raw in mine) for key in ("seconds", "gradients"))
        found.append((sampler, f"{len(mine):,}", seconds(spent), f"{gradients:,.0f}"))
    return found


def origin(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Code, versions, machine and seeds, and when the run was started and resumed."""
    sessions = [when(str(session.get("start", ""))) for session in info.get("sessions", [])]
    about = {key: value for key, value in info.items() if key not in ELSEWHERE}
    started = [("started" if not place else f"resumed ({place})", when) for place, when in enumerate(sessions)]
    return [("git", git(info.get("git", {}))), *started, *pairs(about)]


def git(state: Mapping[str, Any]) -> str:
    """The commit in words."""
    if not state.get("commit"):
        return "not recorded: llcx ran outside a git repository"
    digest = f" (their diff has the sha256 {state['diff_sha256']})" if state.get("diff_sha256") else ""
    return f"{state['commit']}{f', with uncommitted changes{digest}' if state.get('dirty') else ', clean'}"


def plans(target: Mapping[str, Any]) -> list[Plan]:
    """As target_info.json has them."""
    notes = [(point, key, value) for point, facts in target.get("points", {}).items() for key, value in facts.items()]
    prefix = "plan of "
    return [Plan(point, key.removeprefix(prefix), value) for point, key, value in notes if key.startswith(prefix)]


def when(stamp: str) -> str:
    """`2026-01-31 12:00:02 UTC`, from what the files have."""
    return stamp.replace("T", " ").replace("+00:00", " UTC")


def pairs(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested settings as `task.data.n`, `1000`."""
    return [(".".join(key), "null" if value is None else str(value)) for key, value in flat(content).items() if key]
