"""The tables along a training, against singular values taken here."""

from typing import Any

import numpy as np
import pytest

from llcx import theory
from llcx.tasks.full_attn.schema import Grid, Model
from llcx.types import State
from tests.tasks.full_attention import task

Tables = dict[str, list[dict[str, Any]]]
GRID = Grid(d_l=[2, 5], view=["full", "lsa"])


@pytest.fixture(scope="module")
def run() -> tuple[Tables, dict[tuple[str, str], State]]:
    """Tables of two widths, and all the snapshots that they are of."""
    made = task(model=Model(3), grid=GRID, rank_tolerance=0.02)
    kept: dict[tuple[str, str], State] = {}
    for training in made.trainings():
        for event in training.steps(training.start()):
            kept |= {(training.name, role): state for role, state in event.snapshots.items()}
    found = made.analyse([], lambda training, role: kept.get((training, role)))
    return dict(found.tables), kept


def matrices(state: State) -> dict[str, np.ndarray]:
    W_Q, W_K = (np.asarray(state[name]) for name in ("W_Q", "W_K"))
    B = W_Q @ W_K.T
    return {"B": B, "M": B[:3, :3], "U": B[:3]}


def of(rows: list[dict[str, Any]], d_l: int, epoch: int) -> list[dict[str, Any]]:
    return [row for row in rows if (row["d_l"], row["epoch"]) == (d_l, epoch)]


@pytest.mark.parametrize("d_l", [2, 5])
@pytest.mark.parametrize(("role", "epoch"), [("init", 0), ("epoch=2", 2), ("final", 6)])
def test_spectra_and_ranks_are_those_of_the_snapshot(run: Any, d_l: int, role: str, epoch: int) -> None:
    tables, kept = run
    parts = matrices(kept[f"full_attn,d_l={d_l}", role])
    values = {name: np.linalg.svd(part, compute_uv=False)[:d_l] for name, part in parts.items()}
    spectra = of(tables["spectra"], d_l, epoch)
    assert [row["index"] for row in spectra] == [*range(1, min(d_l, 4) + 1)]
    np.testing.assert_allclose([row["sigma_B"] for row in spectra], values["B"], rtol=1e-9)
    np.testing.assert_allclose([row["sigma_U"] for row in spectra][: len(values["U"])], values["U"], rtol=1e-9)
    assert [row["sigma_U"] for row in spectra[3:]] == [None] * max(0, min(d_l, 4) - 3)
    (ranks,) = of(tables["ranks"], d_l, epoch)
    for name, found in values.items():
        assert ranks[f"rank_{name}"] == (found > 0.02 * found[0]).sum()
    assert ranks["sigma_rank"] == pytest.approx(values["B"][ranks["rank_B"] - 1])
    assert ranks["lambda_B"] == theory.dln([4, d_l, 4], ranks["rank_B"]).lam
    learned = theory.dln([4, d_l, 3], ranks["directions"]).lam + 1.5
    nothing = min(theory.dln([4, d_l, 3], 0).lam, theory.dln([1, d_l, 4], 0).lam)
    assert ranks["lambda_FA"] == (learned if ranks["directions"] else nothing)


def test_ranks_fall_with_the_tolerance_and_every_snapshot_stands_once(run: Any) -> None:
    tables, kept = run
    assert len(tables["ranks"]) == len(kept) == 6
    assert {row["seed"] for row in tables["ranks"]} == {0}
    for d_l in (2, 5):
        rows = of(tables["tolerances"], d_l, 6)
        assert [row["tolerance"] for row in rows] == [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
        for name in ("rank_B", "rank_M", "rank_U"):
            ranks = [row[name] for row in rows]
            assert ranks == sorted(ranks)
            assert ranks[-1] == min(d_l, 4 if name == "rank_B" else 3)


def test_only_what_a_training_left_is_told(run: Any) -> None:
    _, kept = run
    made = task(model=Model(3), grid=GRID)
    found = made.analyse([], lambda training, role: kept.get((training, role)) if role == "init" else None)
    assert [row["epoch"] for row in found.tables["ranks"]] == [0, 0]
