"""The law of programs given a grid, and what can be scored at best under it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from numpy.random import default_rng

from llcx import rng
from llcx.tasks.mcl import ceiling, generate, programs
from llcx.tasks.mcl.ceiling import Law
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.sets import Sets

CFG = Data(conditioning="none", val_size=90, test_size=90, train_size=None)


def law_of(*compositions: tuple[int, ...], **settings: Any) -> Law:
    rules = Sets(replace(CFG, **settings), 0).rules
    shares = torch.full((len(compositions),), 1 / len(compositions), dtype=torch.float64)
    return Law(rules, programs.padded(compositions, 3), shares, torch.ones_like(shares), 8)


def grids(rows: int) -> torch.Tensor:
    return generate.base_grids(4, rows, default_rng(3)).long()


def test_a_single_fixed_program_leaves_nothing_to_guess() -> None:
    law, x = law_of((1, 4), params="fixed"), grids(20)
    found = law.applied(x, default_rng(0))
    program = programs.Program(law.types.expand(20, -1), torch.tensor([[0, 0, -1]]).expand(20, -1))
    assert torch.equal(found, programs.execute(law.rules, x, program))


def test_steps_that_change_nothing_are_drawn_again() -> None:
    """A mirrored swap of a colour that is not there is drawn again; rows whose every try fails are left as they are."""
    law, x = law_of((2,), (4,), (1, 3)), grids(300)
    found = law.applied(x, default_rng(0))
    assert not (found == x).flatten(1).all(1).any()
    blank = torch.zeros(4, 8, 8, dtype=torch.int64)
    assert (law_of((1,)).applied(blank, default_rng(0)) == 0).all()


@pytest.mark.parametrize(
    ("seldom", "accepted"),
    [((5,), 0.71), ((3, 3), 0.0)],
    ids=["the largest component may have the colour already", "a border is there already, at each try"],
)
def test_a_composition_comes_as_often_as_the_split_has_it(seldom: tuple[int, ...], accepted: float) -> None:
    """Over grids of the split, however seldom grids accept it."""
    sets = Sets(replace(CFG, params="fixed", val_size=2000, tries=8), 1)
    whole = sets.evaluation["val_id"]
    sample = whole.at((whole.composition_id == programs.code(seldom)) | (whole.composition_id == programs.code((4,))))
    law = ceiling.law(sets, sample, default_rng(0))
    shares = dict(zip(map(tuple, law.types.tolist()), zip(law.shares, law.accepted, strict=True), strict=True))
    share, found = shares[*seldom, *[-1] * (law.types.shape[1] - len(seldom))]
    assert float(found) == pytest.approx(accepted, abs=0.06)
    drawn = law.applied(sample.input.repeat(20, 1, 1), default_rng(1))
    shifted = sets.rules.apply(4, sample.input, torch.zeros(len(sample.input), dtype=torch.int64)).repeat(20, 1, 1)
    told = float((drawn != shifted).flatten(1).any(1).double().mean())
    assert told == pytest.approx(float(share), abs=0.03)


def test_the_law_given_a_grid_is_that_of_the_rows_with_it() -> None:
    """Of two compositions, one of which not all grids accept: grids that do hold more of it, and others the rest."""
    sets = Sets(replace(CFG, params="fixed", val_size=4000, tries=2), 2)
    whole = sets.evaluation["val_id"]
    fills = whole.composition_id == programs.code((5,))
    sample = whole.at(fills | (whole.composition_id == programs.code((4,))))
    law = ceiling.law(sets, sample, default_rng(0))
    changed = sets.rules.apply(5, sample.input, torch.zeros(len(sample.input), dtype=torch.int64)) != sample.input
    fillable = changed.flatten(1).any(1)  # grids that accept to be filled
    filled = sample.composition_id == programs.code((5,))
    drawn = law.applied(sample.input.repeat(20, 1, 1), default_rng(1))
    shifted = sets.rules.apply(4, sample.input, torch.zeros(len(sample.input), dtype=torch.int64)).repeat(20, 1, 1)
    guess = (drawn != shifted).flatten(1).any(1).view(20, -1).double().mean(0)
    for kind in (fillable, ~fillable):
        error = (float(filled[kind].double().mean()) * 0.5 / int(kind.sum())) ** 0.5
        assert float(guess[kind].mean()) == pytest.approx(float(filled[kind].double().mean()), abs=4 * error + 0.02)
    assert float(filled[~fillable].double().mean()) < 0.4 < float(filled[fillable].double().mean())


def test_every_split_has_a_row_and_the_best_is_above_a_guess_of_nothing() -> None:
    sets = Sets(CFG, 0)
    rows = ceiling.rows(sets, rng.streams(0), 6, 12)
    assert [row["split"] for row in rows] == ["val_id", "val_ood", "test_pair", "test_len3"]
    for row in rows:
        for name in ("accuracy", "exact", "iou"):
            assert 0 <= row[f"{name}_low"] <= row[f"{name}_high"] + 0.1 <= 1.1
        sample = sets.evaluation[row["split"]].at(slice(6))
        assert row["accuracy_high"] > float((sample.target == 0).double().mean()) - 0.2
    assert rows[:1] == ceiling.rows(only(sets), rng.streams(0), 6, 12)


def only(sets: Sets) -> Sets:
    """Of the first split alone."""
    found = replace(sets)
    found.__dict__["evaluation"] = {"val_id": sets.evaluation["val_id"]}
    return found
