"""Traffic lights: every health check over all measurements, the ones that were passed or not run included.

red     the number is wrong, or one of something else
amber   the number is less sure, or belongs to its n*beta and gamma alone
green   passed
grey    not run
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llcx.figures import flags, wording
from llcx.figures.rows import Row
from llcx.report.cases import Case, cases
from llcx.report.checks import CHECKS

COLOURS = {"red": "raised, grave", "amber": "raised or to be told", "green": "passed", "grey": "not run"}
MARKS = {"red": "\u00d7", "amber": "!", "green": "\u2713", "grey": "\u2013"}  # told apart without colours
LISTED = 24  # measurements named under a flag
NO_NUMBER = "Not run: there is no number to check."


class Light(NamedTuple):
    """One check over all rows: the worst colour, what it says there, and how many rows have which colour."""

    flag: str
    colour: str
    name: str  # the flag's words where it is raised, else the check's
    sentence: str
    cure: str  # empty unless red or amber
    number: str  # what it looked at
    counts: dict[str, int]  # by colour, the worst first
    where: list[str]  # the rows that raised it
    more: int  # rows beyond those named

    @property
    def mark(self) -> str:
        return MARKS[self.colour]


def lights(every: Sequence[Row], config: Mapping[str, Any]) -> list[Light]:
    """All checks, the worst first; none where there is no row. `config`: the run's, or empty where runs differ."""
    if not every:
        return []
    unknown = dict.fromkeys(flags.name(flag) for row in every for flag in row.flags if flags.name(flag) not in CHECKS)
    of_rows = cases(every, config)
    found = [light(flag, of_rows) for flag in (*CHECKS, *unknown)]
    return sorted(found, key=lambda one: list(COLOURS).index(one.colour))


def counted(found: Sequence[Light]) -> dict[str, int]:
    """How many checks have which colour."""
    return {colour: sum(one.colour == colour for one in found) for colour in COLOURS}


def light(flag: str, cases: Sequence[Case]) -> Light:
    """One check over all rows."""
    colours = [colour(flag, case) for case in cases]
    counts = {name: colours.count(name) for name in COLOURS if name in colours}
    worst = next(iter(counts))
    ill = [case.row for case, name in zip(cases, colours, strict=True) if name in ("red", "amber")]
    meaning = flags.FLAGS.get(flag)
    apart = list({case.row.target: case.row for case in cases}.values())
    return Light(
        flag=flag,
        colour=worst,
        name=flags.short(flag) if ill or flag not in CHECKS else CHECKS[flag].name,
        sentence=sentence(flag, worst, cases),
        cure=meaning.cure if ill and meaning else "",
        number=number(flag, [case for case, name in zip(cases, colours, strict=True) if name != "grey"]),
        counts=counts,
        where=[place(flag, row, apart) for row in ill[:LISTED]],
        more=max(0, len(ill) - LISTED),
    )


def colour(flag: str, case: Case) -> str:
    """The state of a check on one row."""
    row = case.row
    if flag in map(flags.name, row.flags) or noted(flag, row):
        return "red" if flag in flags.GRAVE else "amber"
    if flag not in CHECKS or row.failed or CHECKS[flag].absent(case):
        return "grey"
    return "green"


def noted(flag: str, row: Row) -> bool:
    """What is read off the numbers of a row, and is no flag of it."""
    if row.failed:
        return False
    return row.llc < 0 if flag == "negative" else flag in flags.NOTED and flags.NOTED[flag](row)


def sentence(flag: str, worst: str, cases: Sequence[Case]) -> str:
    """What the check says where it stands worst."""
    if worst in ("red", "amber"):
        meaning = flags.FLAGS.get(flag)
        fault = "No fault, but to be told: " if flag in flags.NOTED else ""
        return f"{fault}{meaning.sentence}" if meaning else "A flag that has no words here; docs/health.md may know it."
    if worst == "green":
        return CHECKS[flag].passed
    reasons = [NO_NUMBER if case.row.failed else CHECKS[flag].absent(case) for case in cases]
    return " ".join(dict.fromkeys(reasons))


def number(flag: str, cases: Sequence[Case]) -> str:
    """The numbers that the check looked at: `R-hat 1.05 to 1.09`; empty where the rows do not have them."""
    looked = CHECKS[flag].number if flag in CHECKS else None
    if looked is None:
        return ""
    values = sorted(value for case in cases if not case.row.failed and math.isfinite(value := looked.of(case)))
    ends = dict.fromkeys(looked.told(value) for value in (*values[:1], *values[-1:]))
    return f"{looked.words} {' to '.join(ends)}" if ends else ""


def place(flag: str, row: Row, apart: Sequence[Row]) -> str:
    """The measurement, and what its flag says beside its name; `apart`: rows of every target there is."""
    details = [one[len(flag) :].lstrip(": ") for one in row.flags if flags.name(one) == flag]
    told = f": {details[0]}" if details and details[0] else ""
    job = row.raw.get("job", "")
    return (f"job {job} \u00b7 " if job else "") + wording.label(row, apart) + told
