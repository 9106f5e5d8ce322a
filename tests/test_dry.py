"""The forecast: every measurement of the run is in it, and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.table import Table

from llcx import dry, rng, survey
from llcx.artifacts import Writer
from llcx.config import Config
from llcx.estimators import places
from llcx.estimators.grid import Grid
from llcx.estimators.llc import LLC
from llcx.samplers import HMC, SGLD
from llcx.types import Point, Spec, State
from tests import toys

PARTS = {"first": ["weight[:, 0:1]"], "rest": ["weight[:, 1:]"]}


def forecast(empty: Writer, estimator: LLC, **toy: Any) -> tuple[dict[str, list[str]], list[tuple[str, str, str]]]:
    """The table's columns by name, and (point, sampler, where) of what a run would measure."""
    cfg = Config(task=toys.Toy(**toy), sampler=HMC(), samplers={"second": SGLD()}, estimator=estimator)
    task = Picky(cfg.task, rng.streams(0))
    grid = survey.combinations(task.points(), cfg)
    parts = places.parts(estimator.where_each)
    rows = [
        each.row
        for cell in grid
        for each in survey.wanted(cast(Any, task), cell.spec, cfg, empty, parts)
        if (cell.of.name, each.kernel.name) != ("net=1", "sgld")
    ]
    return columns(dry.forecast(cast(Any, task), grid, cfg)), [(r["point"], r["sampler"], r["where"]) for r in rows]


@pytest.fixture
def empty(tmp_path: Path) -> Writer:
    """A folder without a row."""
    return Writer(tmp_path / "run", {}, {}, False)


class Picky(toys.ToyTask):
    """Whose second point is not asked of SGLD."""

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        found = super().point(spec, snapshot)
        return replace(found, unsuited={"sgld": "it is told so"}) if spec.name == "net=1" else found


def columns(table: Table) -> dict[str, list[str]]:
    return {str(column.header): list(map(str, column.cells)) for column in table.columns}


@pytest.mark.parametrize("estimator", [
    LLC(),
    LLC(where_each=PARTS),
    LLC(where_each=["weight[:, [a-c]]", "weight"]),
    LLC(where_each=PARTS, where=["weight[:, 2]"], grid=Grid(nbeta=[10.0, 100.0])),
])  # fmt: skip
def test_every_measurement_of_a_run_is_forecast(estimator: LLC, empty: Writer) -> None:
    found, asked = forecast(empty, estimator, nets=3)
    named = list(zip(found["point"], found["sampler"], found["where"], strict=True))
    assert sorted(named[:-1]) == sorted((p, s, w.replace("[a", "\\[a")) for p, s, w in asked)
    assert named[-1][0] == f"all {len(asked)}"


def test_a_part_is_as_large_as_it_is_and_one_that_is_not_there_says_so(empty: Writer) -> None:
    found, _ = forecast(empty, LLC(where_each={**PARTS, "none": ["bias"]}))
    size = dict(zip(zip(found["sampler"], found["where"], strict=True), found["parameters"], strict=True))
    assert [size["hmc", where] for where in ("all", "first", "rest", "none")] == ["3", "1", "2", ""]
    assert sum("bias" in told for told in found["seconds (rough)"]) == 2


def test_modules_are_named_where_there_are_weights_and_promised_where_there_are_none_yet(empty: Writer) -> None:
    assert forecast(empty, LLC(where_each=places.AUTO))[0]["where"] == ["all", "all", "weight", "weight", ""]
    found, _ = forecast(empty, LLC(where_each=places.AUTO), trainings=1)
    assert found["where"][:4] == ["all", "all", "each module", "each module"]
    assert (found["seconds (rough)"][0], found["seconds (rough)"][-1]) == (
        "? (after training)",
        "0 and what follows training",
    )
