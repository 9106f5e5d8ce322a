"""The stages of a study: what each part leaves, what verdicts read of it, and trainings that did not come to an end."""

import json
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest

from llcx import rng
from llcx.tasks.mcl import claims, hypotheses, schema, verdicts
from llcx.tasks.mcl.contrasts import Evidence
from llcx.tasks.mcl.schema import Grid
from llcx.tasks.mcl.splits import check
from llcx.tasks.mcl.trained import ABOUT, about
from llcx.tasks.mcl.verdicts import Registered
from llcx.tasks.summary import number
from llcx.types import Tables
from tests.tasks.mcl_evidence import evidence, world
from tests.tasks.mcl_studies import DATA, LOOK, settings, small, study, went, worked

ARMS = ("mcl,arm=b0", "mcl,arm=full")
TWO = ("gru", "looped")
CFG = Registered(resamples=1000)
COLUMNS = {  # what verdicts read, of Evidence
    "runs": {"val_iou", "copy_iou", "overlap", "erank", "shares", "groups_min", "gradient_min"},
    "zero_shot": {"split", "composition", "iou", "exact"},
    "few_shot": {"composition", "method", "cue", "n", "iou", "copy_iou"},
    "adaptation": {"composition", "method", "cue", "n", "step", "iou"},
    "course": {"step", "seconds", "iou", "ood"},
    "geometry": {"layer", "split", "task", "cka", "grassmann"},
    "probes": {"layer", "primitive", "auroc"},
    "sparse": {"primitive", "significant", "null"},
    "causal": {"composition", "kind", "drop"},
}


@cache
def whole() -> Tables:
    return worked(*small())


def test_stages_are_those_of_the_schema_and_parts_are_trainings() -> None:
    studies = small()[0].studies()
    assert tuple(each.name for each in studies) == schema.MCL.STAGES
    assert [each.parts for each in studies] == [ARMS, ARMS, (*ARMS, "verdicts")]


def test_tables_hold_what_verdicts_read_of_every_training() -> None:
    found = whole().tables
    assert COLUMNS.keys() == {each.name for each in fields(Evidence)}
    for stem, columns in COLUMNS.items():
        rows = found[stem]
        assert tuple(rows[0])[: len(ABOUT)] == ABOUT, stem
        assert columns <= rows[0].keys(), stem
        expected = {"mcl,arm=full"} if stem == "sparse" else {*ARMS}  # b0 trains no autoencoder
        assert {row["training"] for row in rows} == expected, stem
        assert {row["seed"] for row in rows} == {"3"}


def test_a_machine_that_has_learned_little_is_no_test_of_anything() -> None:
    found = whole()
    document = found.documents["hypotheses"]
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert [each["verdict"] for each in document["hypotheses"]] == 4 * ["NOT TESTED"]
    assert all(any("undertrained" in note for note in each["notes"]) for each in document["hypotheses"])
    assert document["registered"]["score"] == 0.02 and document["runs"] == {"b0": 1, "full": 1}
    assert {row["hypothesis"] for row in found.tables["effects"]} == {"H1", "H2", "H3", "H4"}
    (lines,) = found.shown.values()
    assert [each["verdict"] for each in lines] == 4 * ["NOT TESTED"]


def test_splits_are_recorded_once_a_seed() -> None:
    made = study(seeds=2)
    found = worked(made, {}, "zero_shot")
    record = found.documents["splits"]
    own = record.pop("4")
    assert {*own} == {*record} and own["digests"] != record["digests"]
    for each in (own, record):
        check(each)
    assert not found.tables  # nobody has been trained


def test_a_training_that_did_not_end_leaves_nothing() -> None:
    made, left = small()
    ended = {key: state for key, state in left.items() if key[0] == ARMS[0] or key[1] != "final"}
    found = worked(made, ended, "zero_shot")
    assert {row["training"] for row in found.tables["runs"]} == {ARMS[0]}
    assert worked(made, {}, "few_shot", "analysis") == Tables({}, {}, {}, {})


def test_verdicts_read_what_an_earlier_run_left() -> None:
    """The analysis alone, as with run.stages=[analysis] in a folder that has the other stages' tables."""
    rows = evidence(world(iou={"full": 0.1}), "zero_shot", seeds=5)
    left = {each.name: getattr(rows, each.name) for each in fields(Evidence)}
    found = claims.tables(lambda stem: left[stem], CFG, rng.streams(0))
    direct = hypotheses.judged(rows, CFG, rng.streams(0))
    assert found.documents["hypotheses"]["hypotheses"][0] == {"variant": "", **verdicts.as_json(direct)[0]}
    assert found.shown[claims.TITLE][0]["verdict"] == direct[0].verdict == "SUPPORTED"
    assert claims.tables(lambda stem: [], CFG, rng.streams(0)) == Tables()


def test_other_axes_are_judged_value_by_value() -> None:
    """An effect at one alpha is found there, and not at the other."""

    def named(given: Evidence, name: str) -> dict[str, list[dict[str, Any]]]:
        of = {each.name: getattr(given, each.name) for each in fields(Evidence)}
        return {stem: [{**row, "arm": f"{row['arm']},{name}"} for row in rows] for stem, rows in of.items()}

    strong = named(evidence(world(iou={"full": 0.1}), "zero_shot"), "alpha=0.2")
    weak = named(evidence(replace(world(), noise=0.002), "zero_shot", start=1), "alpha=0.05")
    found = claims.tables(lambda stem: strong[stem] + weak[stem], CFG, rng.streams(0))
    told = {each["variant"]: each["verdict"] for each in found.documents["hypotheses"]["hypotheses"][::4]}
    assert told == {"alpha=0.2": "SUPPORTED", "alpha=0.05": "REJECTED"}
    assert {row["variant"] for row in found.tables["effects"]} == {*told}
    assert {row["variant"] for row in found.tables["mediation"]} == {*told}


def test_an_arm_that_an_axis_does_not_touch_is_trained_once_and_compared_with_all() -> None:
    made = study(grid=Grid(arm=["b0", "full"], alpha=[0.05, 0.2]), seeds=2)
    names = [f"mcl,arm={arm},seed={seed}" for seed in (3, 4) for arm in ("b0", "full,alpha=0.05", "full,alpha=0.2")]
    assert [each.name for each in made.trainings()] == names
    assert [each.training for each in made.points()] == names
    rows = [{**about(arm), "val_iou": 0.5} for arm in made.arms.values()]
    assert claims.variants(rows, "full") == ["alpha=0.05", "alpha=0.2"]
    for variant, alpha in (("alpha=0.05", 0.05), ("alpha=0.2", 0.2)):
        found = [(row["arm"], row["seed"], row["alpha"]) for row in claims.of(rows, variant)]
        assert found == [("b0", 3, 0.0), ("full", 3, alpha), ("b0", 4, 0.0), ("full", 4, alpha)]


@pytest.mark.parametrize(
    ("arms", "variants"),
    [
        (["b0", "full"], [""]),
        (["b0", "b1,k=8", "b1,k=16", "full,k=8"], ["k=8"]),
        (["b0", "b2,alpha=0.1,k=8", "one_shot,k=8"], ["alpha=0.1,k=8"]),
        (["b0", "b2,k=8", "b2,k=16"], ["k=8", "k=16"]),
        ([], []),
    ],
)
def test_variants_are_those_of_the_arm_that_claims_or_of_all(arms: list[str], variants: list[str]) -> None:
    assert claims.variants([{"arm": arm} for arm in arms], "full") == variants


@pytest.mark.parametrize(
    ("grid", "names"),
    [
        (Grid(arm=["b0", "full"]), ["b0", "full"]),
        (Grid(arm=["full"], alpha=[0.1]), ["full"]),
        (Grid(arm=["b0", "full"], alpha=[0.05, 0.2]), ["b0", "full,alpha=0.05", "full,alpha=0.2"]),
        (
            Grid(arm=["b1", "b2"], alpha=[0.05, 0.2], k=[2, 3]),
            [*(f"b1,k={k}" for k in (2, 3)), *(f"b2,alpha={x},k={k}" for x in (0.05, 0.2) for k in (2, 3))],
        ),
        (Grid(arm=["alpha0", "b1"], alpha=[0.0, 0.2]), ["alpha0", "b1"]),
        (Grid(arm=["one_shot", "full"], encoder=[*TWO]), ["one_shot", *(f"full,encoder={e}" for e in TWO)]),
        (Grid(k=[2, 3], encoder=["gru"]), ["full,k=2", "full,k=3"]),
        (Grid(k=[2, 3], encoder=["gru", "looped"]), [f"full,k={k},encoder={e}" for k in (2, 3) for e in TWO]),
    ],
)
def test_an_arm_is_named_by_what_the_study_varies(grid: Grid, names: list[str]) -> None:
    arms = study(grid=grid).arms.values()
    assert [about(arm)["arm"] for arm in arms] == names
    assert {about(arm)["alpha"] for arm in arms if arm.cfg.arm == "b0"} <= {0.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conditioning", "encoder"),
    [("demos", "gru"), ("none", "looped"), ("program", "transformer"), ("none", "recurrent")],
)
def test_every_encoder_and_conditioning_can_be_studied(conditioning: str, encoder: str) -> None:
    data = replace(DATA, conditioning=conditioning, demos=2, train_size=240, val_size=60, test_size=60)
    look = replace(LOOK, rows=8, bayes=4)
    made = study(data=data, model=replace(settings().model, encoder=encoder), analysis=look, grid=Grid(arm=["full"]))
    found = worked(made, went(made))
    assert {*COLUMNS} <= found.tables.keys()
    assert ("ceiling" in found.tables) == (conditioning == "none")
    hidden = [row for row in found.tables["geometry"] if row["layer"] == "h"]
    alike = [number(row, "cka") > 0.9999 for row in hidden]
    assert all(alike) if conditioning == "none" else not any(alike)  # what is not shown makes no difference


@pytest.mark.slow
def test_a_study_is_the_same_again() -> None:
    again = worked(*small())
    assert again.tables == whole().tables
    assert number(again.tables["runs"][0], "erank") > 1
