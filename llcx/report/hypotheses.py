"""Verdicts on what was registered before a run, where it has any: analysis/hypotheses.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llcx.artifacts.files import read_json
from llcx.figures import wording

STATES = {"SUPPORTED": "ok", "REJECTED": "failed", "REVERSED": "failed", "INCONCLUSIVE": "flagged", "SPLIT": "flagged"}
MOST = 8  # jobs that are named


class Line(NamedTuple):
    """Of a hypothesis, or of a comparison that decides on it."""

    title: str  # of a hypothesis; empty of a comparison
    cells: list[str]  # what is compared, the effect, the smallest one of interest, seeds
    verdict: str
    state: str  # ok, flagged, failed, or "" where nothing was tested
    note: str


def lines(path: Path) -> list[Line]:
    """Of a run folder, or of several runs collected; none where nothing was registered."""
    found = []
    for each in read_json(path / "analysis" / "hypotheses.json").get("hypotheses", []):
        primary = [part for part in each["parts"] if part["role"] == "primary"]
        reasons = [part["note"].split("; ") for part in primary]
        shared = [reason for reason in (reasons[0] if reasons else []) if all(reason in some for some in reasons)]
        own = [note for note in each["notes"] if all(note != part["note"] for part in primary)]
        variant = f" [{each['variant']}]" if each.get("variant") else ""
        title, verdict = f"{each['name']}{variant} {each['claim']}", each["verdict"]
        found.append(Line(title, [], verdict, STATES.get(verdict, ""), "; ".join(filter(None, [*own, *shared]))))
        found += [compared(part, [reason for reason in some if reason not in shared])
                  for part, some in zip(primary, reasons, strict=True)]  # fmt: skip
    return found


def briefly(path: Path) -> str:
    """`H1 SUPPORTED, H2 REJECTED`; of several variants how many have each verdict. Empty of a file that is damaged."""
    found: dict[str, Counter[str]] = {}
    try:
        for each in read_json(path / "analysis" / "hypotheses.json").get("hypotheses", []):
            found.setdefault(each["name"], Counter())[each["verdict"]] += 1
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ""
    return ", ".join(f"{name} {' + '.join(counted(verdicts))}" for name, verdicts in found.items())


def counted(verdicts: Counter[str]) -> list[str]:
    alone = sum(verdicts.values()) == 1
    return [verdict if alone else f"{count} {verdict}" for verdict, count in verdicts.items()]


def of_jobs(path: Path) -> str:
    """Which jobs of several the verdicts are on; empty where no such record was left."""
    record = read_json(path / "analysis" / "pooled.json")
    if not record:
        return ""
    lacking, done = record["without"], len(record["jobs"])
    rest = f", without {', '.join(lacking[:MOST])}{', …' * (len(lacking) > MOST)}" if lacking else ""
    return f"{done} of {done + len(lacking)} jobs, judged together as one run{rest}."


def compared(part: Mapping[str, Any], notes: Sequence[str]) -> Line:
    """A comparison that decides."""
    cells = [part["name"], f"{part['treated']} against {part['control']}", effect(part), wording.three(part["sesoi"])]
    verdict = part["verdict"]
    return Line("", [*cells, str(part["seeds"])], verdict, STATES.get(verdict, ""), "; ".join(notes))


def effect(part: Mapping[str, Any]) -> str:
    """With its 95 % interval; a single seed has none."""
    mean, low, high = (part[key] for key in ("mean", "low", "high"))
    if mean is None:
        return "\u2013"
    if low is None or high is None:
        return wording.three(mean).replace("-", "\u2212")
    return wording.interval(mean, low, high, most=3)
