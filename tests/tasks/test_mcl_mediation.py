"""Runs that share more and compose better: across arms, within them, and not at all."""

from dataclasses import replace
from math import isnan

import pytest

from llcx.tasks.mcl.contrasts import Evidence
from llcx.tasks.mcl.mediation import mediation
from llcx.tasks.mcl.verdicts import Registered
from tests.tasks.mcl_evidence import Row, evidence, world

SHARES = {"full": 0.2, "b1": 0.1}


def related(study: Evidence) -> dict[str, Row]:
    return {row["sharing"]: row for row in mediation(study, Registered())}


def study(iou: dict[str, float]) -> Evidence:
    return evidence(world(iou=iou, alike=SHARES), "zero_shot", "geometry", seeds=8)


def test_arms_that_share_and_compose_are_related_overall_and_not_within() -> None:
    found = related(study({"full": 0.2, "b1": 0.1}))
    assert found["cka"]["runs"] == 24 and found["cka"]["arms"] == 3
    assert found["cka"]["overall"] > 0.8 and found["cka"]["overall_p"] < 1e-3
    assert found["grassmann"]["overall"] < -0.8
    assert abs(found["cka"]["within"]) < 0.5 and found["cka"]["within_p"] > 0.01


def test_arms_that_only_share_are_not_related() -> None:
    found = related(study({}))
    assert abs(found["cka"]["overall"]) < 0.5


def test_seeds_that_share_and_compose_are_related_within() -> None:
    made = study({})
    geometry = [row | {"cka": 0.1 * row["seed"] + (row["arm"] == "b0")} for row in made.geometry]
    zero_shot = [row | {"iou": 0.01 * row["seed"] ** 2 + (row["arm"] == "b1")} for row in made.zero_shot]
    found = related(replace(made, geometry=geometry, zero_shot=zero_shot))
    assert found["cka"]["within"] == pytest.approx(1, abs=0.05)
    assert found["cka"]["overall"] < 0.7


def test_few_runs_and_equal_ones_are_not_related() -> None:
    assert isnan(related(Evidence())["cka"]["overall"])
    made = study({})
    same = [row | {"cka": 0.5} for row in made.geometry]
    assert isnan(related(replace(made, geometry=same))["cka"]["overall"])
