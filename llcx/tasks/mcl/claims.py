"""Verdicts on H1 to H4 from the tables that the parts of a study left, whatever runs they are of.

effects          a row a comparison, with its interval
hypotheses.json  the verdicts, and what was registered before there were any runs
mediation        whether runs that share more compose better

Where other axes than the arm have several values, "full,alpha=0.2" is compared with "b0,alpha=0.2", value by value; or
with "b0", to which that axis makes no difference.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Any

from llcx.tasks.mcl.contrasts import Evidence, Row
from llcx.tasks.mcl.hypotheses import judged
from llcx.tasks.mcl.mediation import mediation
from llcx.tasks.mcl.verdicts import Hypothesis, Registered, as_json, part_rows
from llcx.types import Left, Streams, Tables

VARIANT = "variant"  # the column of what an arm's name has beyond the arm
TITLE = "hypotheses, as registered before the runs"
NUMBERS = ("mean", "low", "high", "sesoi")


def tables(left: Left, cfg: Registered, streams: Streams) -> Tables:
    """Of the rows that were left; no runs, no verdicts."""
    rows = {table.name: left(table.name) for table in fields(Evidence)}
    made: dict[str, list[Row]] = {"effects": [], "mediation": []}
    told, shown = [], []
    for variant in variants(rows["runs"], cfg.treated):
        evidence = Evidence(**{name: list(of(some, variant)) for name, some in rows.items()})
        found = judged(evidence, cfg, streams)
        made["effects"] += [{VARIANT: variant, **row} for row in part_rows(found)]
        made["mediation"] += [{VARIANT: variant, **row} for row in mediation(evidence, cfg)]
        told += [{VARIANT: variant, **each} for each in as_json(found)]
        shown += [line(variant, each) for each in found]
    if not told:
        return Tables()
    content = {"registered": asdict(cfg), "runs": counts(rows["runs"]), "hypotheses": told}
    return Tables(made, shown={TITLE: shown}, documents={"hypotheses": content})


def variants(runs: Iterable[Row], treated: str) -> list[str]:
    """What names of the treated arm have beyond the arm, each once; "" where that is nothing.

    Where it has no runs, what those of any arm have, but for what is part of another.
    """
    names = [str(row["arm"]) for row in runs]
    own = [name for name in names if name.partition(",")[0] == treated]
    found = list(dict.fromkeys(name.partition(",")[2] for name in own or names))
    return [one for one in found if not any(axes(one) < axes(other) for other in found)]


def axes(variant: str) -> set[str]:
    """`alpha=0.2,k=8` -> {`alpha=0.2`, `k=8`}."""
    return set(filter(None, variant.split(",")))


def of(rows: Iterable[Row], variant: str) -> Iterator[Row]:
    """Rows of a variant, by their arms alone: those that have its values of all axes that they name."""
    for row in rows:
        arm, _, own = str(row["arm"]).partition(",")
        if axes(own) <= axes(variant):
            yield {**row, "arm": arm}


def counts(runs: Iterable[Row]) -> dict[str, int]:
    """Runs by arm."""
    found: dict[str, int] = {}
    for row in runs:
        found[str(row["arm"])] = found.get(str(row["arm"]), 0) + 1
    return found


def line(variant: str, found: Hypothesis) -> dict[str, str]:
    """A hypothesis for a reader: its verdict, the first comparison that decides, and the first thing in its way.

    Of several variants shorter, for there are many.
    """
    told: dict[str, Any] = {"name": ""}
    for part in found.primary()[:1]:
        told = {**part._asdict(), **part.effect._asdict()}
    numbers = {name: f"{told[name]:.3f}" if name in told else "" for name in NUMBERS}
    claim = {"claim": f"{found.name} {variant or found.claim}", "verdict": found.verdict, "first of": told["name"]}
    note = {} if variant else {"note": "; ".join(found.notes[:1])}
    return {**claim, **numbers, "seeds": str(told.get("seeds", "")), **note}
