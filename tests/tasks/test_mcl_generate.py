"""The laws of grids and of programs' parameters, rows that must not come up, and how fast rows come."""

from time import process_time
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from scipy.stats import chisquare

from llcx.tasks.mcl import generate, primitives, programs
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.generate import Rows, Wish
from llcx.tasks.mcl.programs import ABSENT, Composition, Program, every

PAIRS = programs.padded([*every(1), *every(2)], 3)


def drawn(wish: Wish, seed: int = 0, **settings: Any) -> Rows:
    return generate.draw(primitives.rules(Data(**settings)), wish, default_rng(seed))


def repeated(rows: int, *compositions: Composition) -> torch.Tensor:
    types = programs.padded(compositions, 3)
    return types[torch.arange(rows) % len(types)]


def marks(rows: Rows) -> torch.Tensor:
    return generate.fingerprints(rows.grids, rows.types, rows.params)


def test_grids_have_colours_enough_and_none_too_many() -> None:
    for colours in (3, 4, 7):
        grids = generate.base_grids(colours, 2000, default_rng(0)).long()
        hot = torch.nn.functional.one_hot(grids, colours).flatten(1, 2).any(1)
        assert grids.min() >= 0 and hot.shape[1] == colours
        assert int(hot[:, 1:].sum(1).min()) == 2 and int(hot[:, 1:].sum(1).max()) == min(4, colours - 1)


def test_colours_of_grids_are_uniform_and_places_are_not_all_the_same() -> None:
    grids = generate.base_grids(4, 20_000, default_rng(0)).long()
    for y, x in ((0, 0), (3, 3), (7, 2)):
        counts = torch.bincount(grids[:, y, x], minlength=4)
        assert chisquare(counts[1:].numpy()).pvalue > 1e-3
        assert counts[0] > 0.3 * len(grids)
    assert chisquare(np.bincount(grids[:, 3, 3].numpy(), minlength=4)).pvalue < 1e-9  # with the background
    inside = (grids != 0).double().mean(0)
    assert torch.allclose(inside, inside.flip(0), atol=0.02) and torch.allclose(inside, inside.T, atol=0.02)


def test_parameters_are_uniform_where_no_step_is_drawn_again() -> None:
    rules = primitives.rules(Data())
    rows = drawn(Wish(repeated(24_000, *every(1)), tries=1))
    for kind, count in enumerate(rules.counts):
        found = np.bincount(rows.params[rows.types[:, 0] == kind, 0].numpy(), minlength=count)
        assert len(found) == count and chisquare(found).pvalue > 1e-3, rules.tables[kind]
    lopsided = np.bincount((default_rng(0).random(4000) ** 1.2 * 24).astype(int), minlength=24)
    assert chisquare(lopsided).pvalue < 1e-3


def test_results_are_what_programs_make_of_grids() -> None:
    rows = drawn(Wish(PAIRS.repeat(20, 1), tries=8))
    rules, program = primitives.rules(Data()), Program(rows.types, rows.params)
    assert torch.equal(programs.execute(rules, rows.grids, program), rows.results)
    assert torch.equal(programs.idle(rules, rows.grids, program).any(1), rows.idle)
    assert torch.equal(rows.types == ABSENT, rows.params == ABSENT)
    assert all(int(rows.params[rows.types == kind].max()) < count for kind, count in enumerate(rules.counts))


def test_every_step_counts_but_for_those_that_never_can() -> None:
    wish = Wish(PAIRS.repeat(50, 1), tries=8)
    assert float(drawn(wish._replace(tries=1)).idle.double().mean()) > 0.05  # that many there would be
    assert not drawn(wish).idle.any()
    fixed = drawn(wish, params="fixed")
    stuck = {tuple(types) for types in fixed.types[fixed.idle].tolist()}
    assert stuck == {(3, 3, ABSENT), (5, 5, ABSENT)}  # the same border twice, the same component twice
    assert float(fixed.idle.double().mean()) == pytest.approx(2 / 42, abs=0.001)


def test_given_programs_are_kept_and_only_grids_drawn_again() -> None:
    types = repeated(300, (5, 0), (3, 5, 1))
    params = torch.where(types < 0, ABSENT, torch.zeros_like(types))
    rows = drawn(Wish(types, 8, params))
    assert torch.equal(rows.types, types) and torch.equal(rows.params, params)
    assert drawn(Wish(types, 1, params)).idle.double().mean() > 0.05 > rows.idle.double().mean()


def test_rows_that_are_taken_do_not_come_up() -> None:
    wish = Wish(repeated(500, (1,), (2, 0)), tries=8)
    first = marks(drawn(wish))
    assert torch.equal(marks(drawn(wish)), first)
    other = marks(drawn(wish._replace(taken=first[::2])))
    assert not torch.isin(other, first[::2]).any()
    assert torch.equal(other[1::2], first[1::2])  # the others stay as they were
    banned = torch.cat([first[::2], other[::2]])  # what is drawn first, and what is drawn next
    assert not torch.isin(marks(drawn(wish._replace(taken=banned))), banned).any()


def test_rows_can_be_asked_to_differ() -> None:
    twice = drawn(Wish(repeated(500, (1,)), 8, torch.tensor([[0, ABSENT, ABSENT]]).repeat(500, 1), distinct=True))
    assert len(set(marks(twice).tolist())) == 500
    copies = Rows(*(torch.cat([leaf[:3], leaf[:2]]) for leaf in twice))
    refused = generate._refused(copies, Wish(copies.types, 8, distinct=True))
    assert refused.tolist() == [False, False, False, True, True]


def test_fingerprints_tell_rows_apart_and_know_equal_ones() -> None:
    rows = drawn(Wish(PAIRS.repeat(100, 1), tries=8))
    rows = Rows(*(torch.cat([leaf, leaf[:7]]) for leaf in rows))
    exact = torch.cat([rows.grids.flatten(1).long(), rows.types, rows.params], 1)
    assert len(set(marks(rows).tolist())) == len(exact.unique(dim=0)) == len(exact) - 7
    other = rows.grids.clone()
    other[:, 7, 7] ^= 1
    assert not (generate.fingerprints(other, rows.types, rows.params) == marks(rows)).any()
    longer = [torch.cat([leaf, torch.full((len(leaf), 1), ABSENT)], 1) for leaf in (rows.types, rows.params)]
    assert torch.equal(generate.fingerprints(rows.grids.long(), *longer), marks(rows))


@pytest.mark.parametrize("params", ["sampled", "fixed"])
def test_a_row_costs_a_hundredth_of_3500_microseconds(params: str) -> None:
    types = PAIRS.repeat(98, 1)
    drawn(Wish(types[:100], 8), params=params)
    least = np.inf
    for seed in range(3):
        start = process_time()
        drawn(Wish(types, 8), seed, params=params)
        least = min(least, process_time() - start)
    assert least / len(types) < 35e-6
