"""Geometry, probes, units and removal of a small machine, and of machines whose answer is known."""

import copy
from functools import cache
from math import isnan
from statistics import fmean

import numpy as np
import pytest
import torch

from llcx.tasks.mcl import cka, representation
from llcx.tasks.mcl.primitives import NAMES
from llcx.tasks.mcl.representation import Evaluated
from llcx.tasks.mcl.trained import Trained
from llcx.types import Tables
from tests.tasks.mcl_studies import LOOK, Row, of_arm

FULL = "mcl,arm=full"


@cache
def tables(arm: str = "full") -> Tables:
    return representation.tables(of_arm(arm))


def where(rows: list[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_the_same_grids_look_the_same_until_the_program_is_seen() -> None:
    rows = tables().tables["geometry"]
    assert {row["split"] for row in rows} == {"train", "unseen"}
    assert len(rows) == 2 * 6 * LOOK.compositions  # patch, enc1, enc2, enc3, h, z
    for row in where(rows, layer="patch"):
        assert row["cka"] == pytest.approx(1) and abs(row["grassmann"]) < 1e-9 and row["projection"] < 1e-9
    apart = [row for row in rows if row["layer"] in ("enc1", "h")]
    assert all(row["cka"] < 0.999 and row["projection"] > 1e-4 for row in apart)
    train, unseen = (where(rows, split=split) for split in ("train", "unseen"))
    assert {row["task"].count("+") for row in train} == {1} and {row["task"].count("+") for row in unseen} == {2}


def test_arrays_are_of_the_rows_of_the_table() -> None:
    full, arrays = of_arm("full"), tables().arrays
    tasks = representation.aligned(full, "unseen")
    assert tasks is not None
    similar = {key.removeprefix(f"{FULL}/unseen/"): value for key, value in arrays["cka"].items()}
    place = list(similar["layers"]).index("enc2")
    expected = cka.cka(tasks.layers["enc2"][0], tasks.layers["enc2"][1])
    assert similar["pairs"][place, 0, 1] == pytest.approx(expected)
    (row,) = where(tables().tables["geometry"], layer="enc2", split="unseen", task=tasks.compositions[0])
    assert row["cka"] == pytest.approx(float(similar["tasks"][place, 0]))
    assert similar["tasks"][place, 0] == pytest.approx(similar["pairs"][place, 0, 1:].mean())
    crossed = arrays["grassmann"][f"{FULL}/unseen/crossed_projection"]
    assert crossed.shape == (len(arrays["grassmann"][f"{FULL}/unseen/layers"]), *2 * (LOOK.compositions,))
    assert not any(value.dtype.hasobject for each in arrays.values() for value in each.values())


def test_an_arm_without_an_autoencoder_says_nothing_of_it() -> None:
    found = tables("b0")
    assert "sparse" not in found.tables and "units" not in found.arrays
    assert "z" not in {row["layer"] for row in found.tables["geometry"]} | {
        row["layer"] for row in found.tables["probes"]
    }
    assert {row["kind"] for row in found.tables["causal"]} == {"shared", "random", "rows", "total"}
    assert {row["kind"] for row in tables().tables["causal"]} == {"shared", "random", "rows", "total", "splice"}


def test_arms_of_a_seed_are_looked_at_with_the_same_grids_and_programs() -> None:
    one, other = (representation.aligned(of_arm(arm), "train") for arm in ("b0", "full"))
    assert one is not None and other is not None and one.compositions == other.compositions
    assert all(torch.equal(a, b) for a, b in zip(one.sample, other.sample, strict=True))
    grids = one.sample.input.view(LOOK.compositions, LOOK.rows, 8, 8)
    assert torch.equal(grids[0], grids[1])


def test_probes_tell_no_program_from_a_grid_alone() -> None:
    rows = tables().tables["probes"]
    assert len(rows) == 6 * len(NAMES) and {row["primitive"] for row in rows} == {*NAMES}
    known = {layer: fmean(row["seen"] for row in where(rows, layer=layer)) for layer in ("patch", "enc3")}
    assert known["patch"] < 0.62 and known["enc3"] > known["patch"] + 0.15


def test_units_that_are_primitives_are_found_and_others_are_not() -> None:
    full = of_arm("full")
    sets = [representation.evaluated(full, split) for split in ("val_id", "test_len3")]
    found, arrays = representation.sparse(full, [planted(each) for each in sets])
    assert [row["unit"] for row in found] == [3, 4, 5, 6, 7, 8]
    assert all(row["significant"] == 1 and row["purity"] > 0.99 for row in found)
    compositions = arrays[f"{FULL}/compositions"]
    active = arrays[f"{FULL}/activation"] > 0
    assert (active == [[name in each.split("+") for each in compositions] for name in NAMES]).all()
    for name, row in zip(NAMES, arrays[f"{FULL}/composition"], strict=True):
        assert all(name in each.split("+") for each in row)
    assert arrays[f"{FULL}/grids"].shape == (len(NAMES), LOOK.pictures, 8, 8)
    noise, _ = representation.sparse(full, [planted(each, 0.0) for each in sets])
    assert sum(row["significant"] for row in noise) <= 1


def planted(of: Evaluated, share: float = 1.0) -> Evaluated:
    """z is noise, but for units 3 to 8."""
    z = torch.rand(len(of.sample.input), 20, generator=torch.Generator().manual_seed(1))
    z[:, 3:9] *= 1 - share + share * of.sample.primitives
    return of._replace(layers={"z": z})


def changed(**weights: float) -> Trained:
    """The machine of arm full with all numbers of some parameters replaced."""
    full = of_arm("full")
    machine = copy.deepcopy(full.machine)
    with torch.no_grad():
        for name, value in weights.items():
            machine.get_parameter(name.replace("__", ".")).fill_(value)
    return full._replace(machine=machine)


def test_a_machine_whose_h_is_always_the_same_has_no_geometry_there() -> None:
    found = representation.tables(changed(bottleneck__norm__weight=0.0))
    hidden = where(found.tables["geometry"], layer="h")
    assert hidden and all(isnan(row["cka"]) and "grassmann" not in row for row in hidden)
    assert "causal" not in found.tables
    assert {row["layer"] for row in found.tables["probes"]} == {"patch", "enc1", "enc2", "enc3"}  # nor has z
    assert "h" not in found.arrays["grassmann"][f"{FULL}/train/layers"]
    assert all("grassmann" in row for row in where(found.tables["geometry"], layer="enc1"))


def test_a_subspace_that_the_decoder_does_not_read_costs_nothing() -> None:
    of = changed(decoder__first__weight=0.0)
    tasks = [representation.aligned(of, split) for split in ("train", "unseen")]
    assert tasks[0] is not None and tasks[1] is not None
    rows = representation.removal(of, tasks[0], tasks[1])
    assert rows and all(row["drop"] == 0 or isnan(row["drop"]) for row in rows)
    used = [row for row in tables().tables["causal"] if row["kind"] == "total"]
    assert len(used) == LOOK.compositions


def test_what_is_looked_at_is_the_same_again() -> None:
    again = representation.aligned(of_arm("full"), "unseen")
    assert again is not None
    rows, similar, _ = representation.geometry(of_arm("full"), again)
    assert rows == where(tables().tables["geometry"], split="unseen")
    assert all(np.array_equal(value, tables().arrays["cka"][key]) for key, value in similar.items())
