"""The doctor's words: what was seen, what it comes from, and one command."""

import os
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from llcx.artifacts import RunFolder
from llcx.doctor import causes, command, failures, health
from llcx.doctor.cures import Case, Cure
from llcx.figures import flags, rows, wording
from llcx.figures.rows import Row

WIDTH = 110
AXES = ("at.nbeta", "at.gamma", "at.step_size")  # of estimator.grid
LENGTHS = ("warmup", "draws", "chains")  # of the estimator, hence of all samplers
WITHOUT_NUMBERS = ("every measurement must", "every training must")  # how a run ends that did all it could


class Diagnosis(NamedTuple):
    """What to tell about a run."""

    head: str
    seen: list[str]  # symptoms
    found: list[str]  # causes, with their cures
    advice: str
    command: str
    place: str = ""  # where the command must be given, if not here

    def __str__(self) -> str:
        parts = [folded(self.head), *listed("Seen", self.seen), *listed("What it comes from", self.found)]
        where = f" (in {self.place})" if self.place else ""
        return "\n".join([*parts, "", folded(self.advice), f"next{where}:", f"  {self.command}"])


class Ailment(NamedTuple):
    """What some rows of one sampler have in common."""

    name: str
    words: str
    rows: Sequence[Row]
    cure: Callable[[Case], Cure]

    def told(self, index: int, every: Sequence[Row], cure: Cure) -> str:
        """A paragraph of the diagnosis."""
        changes = "".join(f" {key}={value}" for key, value in cure.changes.items())
        return f"{index}. {self.name}: {names(self.rows, every)}. {self.words} {cure.words}{changes}"


def diagnose(folder: RunFolder) -> Diagnosis:
    """What is wrong with a run and what to try next; of several causes the commonest has the command."""
    config = folder.config
    every = own(rows.read(folder), config)
    place = folder.run_info.get("cwd", "")
    elsewhere = place if place and os.path.realpath(place) != os.path.realpath(os.getcwd()) else ""
    head = f"{folder.path}: {counted(every)}"
    early = unfinished(folder) or (None if every else nothing(folder, config))
    if early:
        return Diagnosis(head, seen(every), [], *early, elsewhere)
    cases = ailments(every)
    if not cases:
        return Diagnosis(head, seen(every), [], *health.told(folder, config, every), elsewhere)
    cured = [case.cure(Case(case.rows, config)) for case in cases]
    found = [case.told(index, every, cure) for index, (case, cure) in enumerate(zip(cases, cured, strict=True), 1)]
    advice = "For the first of these:" if len(cases) > 1 else "So:"
    return Diagnosis(head, seen(every), found, advice, treated(folder, config, every, cases[0], cured[0]), elsewhere)


def treated(folder: RunFolder, config: Mapping[str, Any], every: Sequence[Row], first: Ailment, cure: Cure) -> str:
    """The next command: for the points that need it, and their sampler alone where each had a length of its own."""
    changes = cure.changes | part(folder, config, every, first.rows)
    shared = [key for key in LENGTHS if f"estimator.{key}" in changes and not (config.get("estimator") or {}).get(key)]
    if config.get("samplers") and shared:
        return command.alone(folder, first.rows[0].sampler, changes)
    return command.again(folder, changes)


def ailments(every: Sequence[Row]) -> list[Ailment]:
    """Failures and causes: what most rows suffer from first, and of two as frequent ones the graver."""
    found = [
        Ailment(loss.failure.name, f"{reasons(loss.rows)}.", loss.rows, loss.failure.cure)
        for loss in failures.lost(every)
    ]
    found += [Ailment(each.cause.name, each.words, each.rows, each.cause.cure) for each in causes.found(every)]
    return sorted(found, key=lambda each: -len(each.rows))


def gridded(config: Mapping[str, Any]) -> bool:
    return any(((config.get("estimator") or {}).get("grid") or {}).values())


def own(every: Sequence[Row], config: Mapping[str, Any]) -> list[Row]:
    """The rows to judge: those of the points themselves where a grid has others beside them, maybe out of reach."""
    alone = [row for row in every if not (gridded(config) and any(row.raw.get(axis) for axis in AXES))]
    return alone or list(every)


def counted(every: Sequence[Row]) -> str:
    ill = sum(not row.healthy and not row.failed for row in every)
    dead = sum(row.failed for row in every)
    if not every:
        return "there is no measurement."
    parts = [f"{ill} flagged"] if ill else []
    parts += [f"{dead} without a number"] if dead else []
    return ", ".join([f"{len(every) - ill - dead} of {len(every)} measurements healthy", *parts]) + "."


def seen(every: Sequence[Row]) -> list[str]:
    """Every flag that was raised, what it says, and where."""
    raised: dict[str, list[Row]] = {}
    for row in every:
        for flag in causes.symptoms(row):
            raised.setdefault(flag, []).append(row)
    unknown = flags.Meaning("", "A flag that has no words here; docs/health.md may know it.", "")
    return [
        f"{flag}: {flags.FLAGS.get(flag, unknown).sentence} In {names(ill, every)}." for flag, ill in raised.items()
    ]


def names(ill: Sequence[Row], every: Sequence[Row]) -> str:
    return wording.listing([wording.label(row, every) for row in ill], 4)


def reasons(ill: Sequence[Row]) -> str:
    """What the rows without a number say, each message once."""
    told = list(dict.fromkeys(failures.message(row) for row in ill))
    return "; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else "")


def unfinished(folder: RunFolder) -> tuple[str, str] | None:
    """Advice and command where the run has not come to its end; None where it has."""
    status = folder.status
    state, stage, error = (str(status.get(key) or "") for key in ("state", "stage", "error"))
    if state == "running":
        done = f"{status.get('done', 0)} of {status.get('total', 0)}"
        return f"The run is still at work, in stage {stage} ({done}). Look again:", command.look(folder)
    if state in ("killed", "preempted"):
        words = f"The run was {state} in stage {stage}; nothing that was done is lost. Go on with it:"
        return words, command.resume(folder)
    if state == "failed" and not error.startswith(WITHOUT_NUMBERS):
        words = f"The run stopped in stage {stage}: {error}. Its stack is in llcx.log. With that mended, go on with it:"
        return words, command.resume(folder)
    return None


def nothing(folder: RunFolder, config: Mapping[str, Any]) -> tuple[str, str]:
    """Advice and command where nothing was measured."""
    stages = (config.get("run") or {}).get("stages") or ["measure"]
    if "measure" not in stages:
        words = f"It was told to do {', '.join(stages)} alone. Measure what it has:"
        return words, command.resume(folder, "run.stages=[measure,analyse,figures,report]")
    return "It has no points to measure. What it would do:", command.again(folder, {"run.dry": "true"})


def part(folder: RunFolder, config: Mapping[str, Any], every: Sequence[Row], ill: Sequence[Row]) -> dict[str, str]:
    """run.points where few of many points need another look, and the folder says which is which."""
    points = list(folder.target_info.get("points", {}))
    measured = list(dict.fromkeys(row.point for row in every))
    asked = (config.get("run") or {}).get("points")
    if asked is not None or gridded(config) or [point for point in points if point in measured] != measured:
        return {}
    wanted = sorted({points.index(row.point) for row in ill})
    if len(points) < 3 or len(wanted) > len(points) / 2:
        return {}
    return {"run.points": str(wanted[0]) if len(wanted) == 1 else f"[{','.join(map(str, wanted))}]"}


def folded(text: str, indent: str = "") -> str:
    below = f"{indent}  " if indent else ""
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=below, break_long_words=False)


def listed(head: str, items: Iterable[str]) -> list[str]:
    lines = [folded(item, "  ") for item in items]
    return ["", head, *lines] if lines else []
