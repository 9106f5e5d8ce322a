"""The files of a run of task=lm with made-up numbers: a head learns to copy after half of the steps."""

from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any

from llcx.artifacts.files import write_json, write_yaml
from llcx.artifacts.rows import columns
from tests.figures.run_folder import table

STEPS = tuple(range(0, 2001, 100))
MOMENTS = (0, 900, 2000)
HEADS = ((0, 0), (0, 1), (1, 0), (1, 1))
PLACES = ("all", *("layers.{}.heads.{}.*".format(*head) for head in HEADS))
LEVELS = {"marginal": (2.4, 0.2, 2.4, 2.4), "ideal": (1.6, -1.0, 1.0, 2.4)}
NUMBERS = ("loss", "in_context", "repeated", "new")


def write(
    path: Path,
    *,
    trainings: Sequence[str] = ("lm",),
    places: Sequence[str] = PLACES,
    flagged: int = 0,
    levels: bool = True,
) -> Path:
    """`places` of the first training have a number at each moment; the last `flagged` of these are not healthy."""
    said = [{"training": name, **told(step)} for name in trainings for step in STEPS]
    table(path / "analysis" / "scores.csv", tuple(said[0]), said)
    looked = [looks(name, step, *head) for name in trainings for step in STEPS for head in HEADS]
    table(path / "analysis" / "heads.csv", tuple(looked[0]), looked)
    if levels:
        best = [{"level": level, **dict(zip(NUMBERS, values, strict=True))} for level, values in LEVELS.items()]
        rows = [{"training": name, **each} for name in trainings for each in best]
        table(path / "analysis" / "levels.csv", tuple(rows[0]), rows)
    found = [measured(trainings[0], step, where) for step in MOMENTS for where in places]
    for row in found[len(found) - flagged :]:
        row |= {"healthy": False, "flags": "rhat"}
    if found:
        table(path / "metrics_summary.csv", columns(found), found)
    write_json(path / "status.json", {"state": "completed"})
    write_yaml(path / "config.yaml", {"seed": 0, "task": {"name": "lm"}})
    return path


def learned(step: int) -> float:
    """Share of what is learned in context, 0 to 1."""
    return 1 / (1 + exp(-(step - 1000) / 80))


def told(step: int) -> dict[str, Any]:
    repeated, new = 2.4 - learned(step) + exp(-step / 100), 2.4 + exp(-step / 100)
    return {"step": step, "loss": (repeated + new) / 2, "in_context": -learned(step), "repeated": repeated, "new": new}


def looks(training: str, step: int, layer: int, head: int) -> dict[str, Any]:
    share = 0.1 + (0.8 - 0.1 * head) * learned(step)
    values = (share, 0.1) if layer == 0 else (0.1, share)
    return {"training": training, "step": step, "layer": layer, "head": head} | dict(
        zip(("previous", "induction"), values, strict=True)
    )


def measured(training: str, step: int, where: str) -> dict[str, Any]:
    llc = (60.0 if where == "all" else 9.0) * (1 + learned(step)) + sum(map(ord, where)) % 7
    role = {0: "init", 2000: "final"}.get(step, f"step={step}")
    asked = {"task": "lm", "point": f"{training},{role}", "at.step": step, "sampler": "hmc", "where": where}
    found = {"target": "self", "llc": llc, "low": 0.95 * llc, "high": 1.05 * llc, "nbeta": 64.5, "gamma": 67.0}
    return asked | found | {"seed": 0, "parameters": 40320, "healthy": True, "flags": ""}
