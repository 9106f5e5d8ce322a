"""Compositions are named by codes, programs run from their first step on, and steps without effect are found."""

import pytest
import torch
from numpy.random import default_rng

from llcx.tasks.mcl import primitives, programs
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.generate import base_grids
from llcx.tasks.mcl.primitives import DrawBorder, Primitive, Rot90, Shift
from llcx.tasks.mcl.programs import ABSENT, Program, every

RULES = primitives.rules(Data())


def program(rows: int, *steps: Primitive) -> Program:
    """The same one a row, padded by one step."""
    found = torch.tensor([[*RULES.find(step)] for step in steps] + [[ABSENT, ABSENT]])
    return Program(found[:, 0].repeat(rows, 1), found[:, 1].repeat(rows, 1))


def test_codes_are_those_of_one_composition_and_can_be_read_back() -> None:
    known = [each for length in range(1, 5) for each in every(length)]
    found = programs.codes(programs.padded(known, 4)).tolist()
    assert len(known) == 6 + 36 + 216 + 1296 == len(set(found))
    assert found == [programs.code(each) for each in known]
    assert [programs.decoded(each) for each in found] == known


def test_compositions_without_repeats_are_counted_as_they_should_be() -> None:
    assert [len(every(length, repeats=False)) for length in (1, 2, 3, 4)] == [6, 30, 120, 360]
    assert (2, 0, 2) in every(3) and (2, 0, 2) not in every(3, repeats=False)


def test_a_group_is_a_set_of_types_or_one_composition() -> None:
    hot = {each: programs.group(each, "multi_hot") for each in every(2)}
    assert hot[0, 3] == hot[3, 0] == 1 + 8 and hot[3, 3] == 8 == programs.group((3,), "multi_hot")
    assert len({*hot.values()}) == 21
    assert len({programs.group(each, "ordered") for each in every(2)}) == 36
    types = programs.padded([(3, 3), (0,), (5, 1)], 3)
    assert programs.multi_hot(types).tolist() == [[0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 1]]
    with pytest.raises(ValueError, match="group_by must be multi_hot or ordered, got length"):
        programs.group((0,), "length")


def test_the_first_step_of_a_program_comes_first() -> None:
    blank = torch.zeros(2, 8, 8, dtype=torch.int64)
    first_border = programs.execute(RULES, blank, program(2, DrawBorder(3), Shift(1, 0)))[0]
    first_shift = programs.execute(RULES, blank, program(2, Shift(1, 0), DrawBorder(3)))[0]
    assert first_border[3].tolist() == [0, 3, 0, 0, 0, 0, 0, 0] and first_shift[3].tolist() == [3, 0, 0, 0, 0, 0, 0, 3]
    assert programs.name((3, 4)) == "draw_border+shift"


def test_a_program_is_the_product_of_its_steps() -> None:
    generator = default_rng(0)
    grids, types = base_grids(4, 200, generator), programs.padded(every(3)[:200], 4)
    params = torch.stack([RULES.draw_params(each, generator) for each in types.unbind(1)], 1)
    assert torch.equal(params == ABSENT, types == ABSENT)
    by_hand = grids
    for place in range(3):
        by_hand = RULES.step(by_hand, types[:, place], params[:, place])
    assert torch.equal(programs.execute(RULES, grids, Program(types, params)), by_hand)


def test_steps_without_effect_are_found() -> None:
    grids = base_grids(4, 6, default_rng(0))
    twice = program(6, DrawBorder(3), DrawBorder(3))
    assert programs.idle(RULES, grids, twice).tolist() == [[False, True, False]] * 6  # padding is no step
    assert programs.idle_rates(RULES, grids, twice) == {"steps": 0.5, "rows": 1.0, "results": 0.0}
    round_trip = program(6, Rot90(1), Rot90(3))
    assert programs.idle_rates(RULES, grids, round_trip) == {"steps": 0.0, "rows": 0.0, "results": 1.0}
