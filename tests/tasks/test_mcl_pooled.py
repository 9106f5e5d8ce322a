"""Several runs judged together: as one run of all, whatever order they come in; what they share counts once."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from llcx import rng
from llcx.registry import Finished
from llcx.tasks.mcl import claims, schema
from llcx.tasks.mcl.contrasts import Evidence
from llcx.tasks.mcl.pooled import TWICE, pooled
from llcx.tasks.mcl.schema import Grid
from llcx.tasks.mcl.verdicts import Registered
from llcx.types import Tables
from tests.tasks.mcl_evidence import evidence, world

CFG = Registered(resamples=1000)
SETTINGS = asdict(schema.MCL(verdicts=CFG, grid=Grid(arm=["b0", "full"])))
EFFECT = world(iou={"full": 0.1})
Rows = dict[str, list[dict[str, Any]]]


def rows(of: Evidence, alpha: float = 0.1) -> Rows:
    """As a run of one seed leaves them: trainings are named by their arms alone."""

    def about(row: dict[str, Any]) -> dict[str, Any]:
        own = {"alpha": alpha if row["arm"] == "full" else 0.0, "k": 8, "encoder": "recurrent"}
        return {"training": f"mcl,arm={row['arm']}", **own, **row, "seed": str(row["seed"])}

    return {each.name: [about(row) for row in getattr(of, each.name)] for each in fields(Evidence)}


def job(name: str, tables: Rows, keep: Callable[[dict[str, Any]], bool], settings: Any = SETTINGS) -> Finished:
    return Finished(name, settings, lambda stem: [row for row in tables.get(stem, []) if keep(row)])


def jobs(tables: Rows, seeds: int, first: int = 0) -> list[Finished]:
    """One a seed."""
    return [
        job(str(first + seed), tables, lambda row, seed=seed: row["seed"] == str(seed))  # type: ignore[misc]
        for seed in range(seeds)
    ]


def verdicts(found: Tables) -> dict[tuple[str, str], str]:
    return {(each["name"], each["variant"]): each["verdict"] for each in found.documents["hypotheses"]["hypotheses"]}


def test_several_runs_are_judged_as_one_run_of_all() -> None:
    tables = rows(evidence(EFFECT, "zero_shot", seeds=3))
    whole = claims.tables(lambda stem: tables[stem], CFG, rng.streams(0))
    found = pooled(jobs(tables, 3))
    assert found.documents["hypotheses"] == whole.documents["hypotheses"]
    assert verdicts(found)["H1", ""] == "SUPPORTED"
    assert found.tables["effects"] == whole.tables["effects"]
    assert pooled(jobs(tables, 3)[::-1]).tables["effects"] == whole.tables["effects"]
    names = [row["training"] for row in found.tables["runs"]]
    assert names == [f"{seed}:mcl,arm={arm}" for seed in range(3) for arm in ("b0", "b1", "full")]
    assert {row["training"] for row in found.tables["zero_shot"]} == {*names}
    assert found.documents["settings"]["task"]["seeds"] == 3
    assert TWICE not in found.shown


def test_a_training_that_two_runs_made_counts_once_and_is_told() -> None:
    tables = rows(evidence(EFFECT, "zero_shot", seeds=2))
    once = pooled(jobs(tables, 2))
    again = {stem: [{**row, "val_iou": 0.7} for row in some] for stem, some in tables.items()}
    found = pooled([*jobs(tables, 2), job("9", again, lambda row: row["seed"] == "1" and row["arm"] == "full")])
    assert found.documents["hypotheses"] == once.documents["hypotheses"]
    assert found.tables["zero_shot"] == once.tables["zero_shot"]
    told = {"training": "mcl,arm=full", "seed": "1", "counted": "1", "not": "9", "alike": "no"}
    assert found.shown[TWICE] == [told]
    assert [line["alike"] for line in pooled([*jobs(tables, 2), *jobs(tables, 2, first=2)]).shown[TWICE]] == 6 * ["yes"]


def test_a_weight_that_runs_differ_in_names_the_arms_that_it_touches() -> None:
    """An effect at one alpha alone; b0 is the same training in both runs."""
    strong, weak = (evidence(replace(each, noise=0.002), "zero_shot") for each in (EFFECT, world()))
    control = {name: [row for row in getattr(strong, name) if row["arm"] == "b0"] for name in ("runs", "zero_shot")}
    weak = replace(weak, **{
        name: [*some, *(row for row in getattr(weak, name) if row["arm"] == "full")] for name, some in control.items()
    })  # fmt: skip
    other = {**SETTINGS, "weights": {**SETTINGS["weights"], "alpha": 0.2}}
    found = pooled([
        job("a", rows(strong), lambda row: row["arm"] != "b1"), job("b", rows(weak, 0.2), lambda row: True, other)
    ])  # fmt: skip
    told = verdicts(found)
    assert (told["H1", "alpha=0.1"], told["H1", "alpha=0.2"]) == ("SUPPORTED", "REJECTED")
    assert {row["arm"] for row in found.tables["runs"]} == {"b0", "full,alpha=0.1", "full,alpha=0.2"}
    assert len(found.shown[TWICE]) == 5
    assert found.documents["hypotheses"]["runs"] == {"b0": 5, "full,alpha=0.1": 5, "full,alpha=0.2": 5}
    assert found.documents["settings"]["task"]["grid"]["alpha"] == ["0.1", "0.2"]


def test_arms_may_come_from_different_runs() -> None:
    tables = rows(evidence(EFFECT, "zero_shot", seeds=4))
    whole = claims.tables(lambda stem: tables[stem], CFG, rng.streams(0))
    apart = [job(arm, tables, lambda row, arm=arm: row["arm"] == arm) for arm in ("b0", "b1", "full")]  # type: ignore[misc]
    assert verdicts(pooled(apart)) == verdicts(whole)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fit": {**SETTINGS["fit"], "steps": 7}}, r"task\.fit\.steps must be .* got 500 in 0 and 7 in 1"),
        ({"verdicts": {**SETTINGS["verdicts"], "score": 0.5}}, r"task\.verdicts\.score must be"),
        ({"new": 1}, r"task\.new must be .* got nothing in 0 and 1 in 1"),
    ],
)
def test_runs_that_differ_in_more_are_not_judged_together(settings: dict[str, Any], told: str) -> None:
    tables = rows(evidence(EFFECT, "zero_shot", seeds=2))
    one, other = jobs(tables, 2)
    with pytest.raises(ValueError, match=told):
        pooled([one, other._replace(settings={**SETTINGS, **settings})])


def test_runs_may_differ_in_what_makes_no_training_another_one() -> None:
    one, other = jobs(rows(evidence(EFFECT, "zero_shot", seeds=2)), 2)
    more = {"moments": [], "seeds": 5, "arm": "b0", "part": "whole", "grid": {**SETTINGS["grid"], "k": [8]}}
    assert verdicts(pooled([one, other._replace(settings={**SETTINGS, **more})])) == verdicts(pooled([one, other]))


def test_a_run_without_tables_is_none() -> None:
    one, other = jobs(rows(evidence(EFFECT, "zero_shot", seeds=2)), 2)
    empty = Finished("e", {**SETTINGS, "new": 1}, lambda stem: [])
    assert pooled([empty]) == pooled([]) == Tables()
    assert pooled([one, empty, other]).tables == pooled([one, other]).tables


def test_axes_touch_the_arms_that_have_them() -> None:
    touched = {arm: schema.touched(arm) for arm in schema.ARMS}
    assert touched["full"] == touched["b2"] == touched["shuffled"] == ("alpha", "k", "encoder")
    assert touched["b0"] == touched["b1"] == touched["alpha0"] == ("k", "encoder")
    assert touched["recurrent"] == touched["one_shot"] == ("k",)
