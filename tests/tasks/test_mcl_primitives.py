"""Primitives against plain Python on lists, the laws of their groups, and grids they were not made for."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from numpy.random import default_rng
from torch import Tensor

from llcx.tasks.mcl import primitives
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.generate import base_grids
from llcx.tasks.mcl.primitives import (
    NAMES,
    ColorSwap,
    DrawBorder,
    FillComponent,
    Flip,
    Primitive,
    Rot90,
    Shift,
    largest_component,
)

RULES = primitives.rules(Data())
EVERY = [(kind, param) for kind, table in enumerate(RULES.tables) for param in range(len(table))]
Grid = list[list[int]]


def grids(count: int = 24, colours: int = 4) -> Tensor:
    """Rectangles, noise of all colours (many small components), and grids of one colour."""
    drawn = default_rng(0)
    noise = torch.from_numpy(drawn.integers(0, colours, (count, 8, 8)))
    sparse = noise * (torch.from_numpy(drawn.random((count, 8, 8))) < 0.3)
    plain = torch.arange(colours).view(-1, 1, 1).expand(-1, 8, 8)
    return torch.cat([base_grids(colours, count, drawn).long(), noise, sparse, plain])


def components(grid: Grid) -> list[set[tuple[int, int]]]:
    """4-connected ones of one colour, by their first cells."""
    found: list[set[tuple[int, int]]] = []
    for cell in product(range(8), range(8)):
        colour = grid[cell[0]][cell[1]]
        if colour == 0 or any(cell in known for known in found):
            continue
        component, ahead = {cell}, [cell]
        while ahead:
            y, x = ahead.pop()
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                inside = min(near) >= 0 and max(near) < 8
                if inside and near not in component and grid[near[0]][near[1]] == colour:
                    component.add(near)
                    ahead.append(near)
        found.append(component)
    return found


def expected(primitive: Primitive, grid: Grid) -> Grid:
    """What the primitive makes of one grid, cell by cell."""
    at: Callable[[int, int], int] = lambda y, x: grid[y][x]  # noqa: E731
    cell = at
    if isinstance(primitive, Rot90):
        turned = grid
        for _ in range(primitive.quarters):  # the last column becomes the first row
            turned = [[turned[y][7 - x] for y in range(8)] for x in range(8)]
        return turned
    if isinstance(primitive, Flip):
        cell = (lambda y, x: at(y, 7 - x)) if primitive.axis == "h" else (lambda y, x: at(7 - y, x))
    elif isinstance(primitive, ColorSwap):
        change = {primitive.a: primitive.b, primitive.b: primitive.a}
        cell = lambda y, x: change.get(at(y, x), at(y, x))  # noqa: E731
    elif isinstance(primitive, DrawBorder):
        cell = lambda y, x: primitive.colour if {y, x} & {0, 7} else at(y, x)  # noqa: E731
    elif isinstance(primitive, Shift):
        came = lambda y, x: (y - primitive.dy, x - primitive.dx)  # noqa: E731
        cell = lambda y, x: at(*came(y, x)) if min(came(y, x)) >= 0 and max(came(y, x)) < 8 else 0  # noqa: E731
    elif isinstance(primitive, FillComponent):
        largest = max(components(grid), key=len, default=set())  # of equally large ones, the first
        cell = lambda y, x: primitive.colour if (y, x) in largest else at(y, x)  # noqa: E731
    return [[cell(y, x) for x in range(8)] for y in range(8)]


def applied(primitive: Primitive, to: Tensor) -> Tensor:
    kind, param = RULES.find(primitive)
    return RULES.apply(kind, to, torch.full((len(to),), param))


@pytest.mark.parametrize("kind", range(6), ids=NAMES)
def test_a_primitive_does_what_plain_python_does(kind: int) -> None:
    some = grids(4 if kind == 4 else 12)
    for primitive in RULES.tables[kind]:
        assert applied(primitive, some).tolist() == [expected(primitive, grid) for grid in some.tolist()], primitive


def test_the_comparison_refuses_a_turn_the_other_way() -> None:
    some = grids(4)
    assert applied(Rot90(3), some).tolist() != [expected(Rot90(1), grid) for grid in some.tolist()]
    assert applied(Shift(1, 0), some).tolist() != [expected(Shift(0, 1), grid) for grid in some.tolist()]
    assert applied(Flip("h"), some).tolist() != [expected(Flip("v"), grid) for grid in some.tolist()]


def test_a_quarter_turn_is_counter_clockwise_and_a_shift_goes_right_and_down() -> None:
    one = torch.zeros(1, 8, 8, dtype=torch.int64)
    one[0, 1, 6] = 2  # near the upper right corner
    assert applied(Rot90(1), one)[0].nonzero().tolist() == [[1, 1]]
    assert applied(Flip("h"), one)[0].nonzero().tolist() == [[1, 1]]
    assert applied(Flip("v"), one)[0].nonzero().tolist() == [[6, 6]]
    assert applied(Shift(1, 2), one)[0].nonzero().tolist() == [[3, 7]]
    assert not applied(Shift(2, 0), one).any()  # lost


def test_the_largest_component_is_the_first_of_equally_large_ones() -> None:
    two = torch.zeros(3, 8, 8, dtype=torch.int64)
    two[0, 6, :3], two[0, 2, 5:] = 1, 2
    two[1, 0, 0] = two[1, 1, 1] = 3  # diagonal neighbours are apart
    first, diagonal, none = largest_component(two).long()
    assert first.nonzero().tolist() == [[2, 5], [2, 6], [2, 7]]
    assert diagonal.nonzero().tolist() == [[0, 0]]
    assert not none.any() and torch.equal(applied(FillComponent(2), two[2:]), two[2:])


def test_a_component_that_winds_is_one() -> None:
    snake = torch.zeros(1, 8, 8, dtype=torch.int64)
    snake[0, ::2] = 1
    snake[0, 1::4, 7] = snake[0, 3::4, 0] = 1
    assert torch.equal(largest_component(snake), snake == 1)


def test_turns_flips_and_swaps_are_groups_and_a_border_stays() -> None:
    some = grids()
    turned = some
    for _ in range(4):
        turned = applied(Rot90(1), turned)
    assert torch.equal(turned, some)
    assert torch.equal(applied(Rot90(1), applied(Rot90(2), some)), applied(Rot90(3), some))
    for primitive in (*RULES.tables[1], *RULES.tables[2]):
        assert torch.equal(applied(primitive, applied(primitive, some)), some), primitive
        assert not torch.equal(applied(primitive, some), some), primitive
    for primitive in RULES.tables[3]:
        once = applied(primitive, some)
        assert torch.equal(applied(primitive, once), once), primitive
    assert torch.equal(applied(Flip("h"), applied(Flip("v"), some)), applied(Rot90(2), some))
    there = applied(Shift(2, 1), some)
    back = applied(Shift(-2, -1), there)
    assert torch.equal(back[:, :7, :6], some[:, :7, :6]) and not back[:, 7].any() and not back[:, :, 6:].any()


@pytest.mark.parametrize("colours", [3, 4, 9])
def test_primitives_stay_among_the_colours_and_leave_their_input_alone(colours: int) -> None:
    rules, some = primitives.rules(Data(colours=colours)), grids(colours=colours)
    before = some.clone()
    for kind, count in enumerate(rules.counts):
        for param in range(count):
            after = rules.apply(kind, some, torch.full((len(some),), param))
            assert after.dtype == some.dtype and after.shape == some.shape
            assert int(after.min()) >= 0 and int(after.max()) < colours
    assert torch.equal(some, before)


def test_a_row_does_not_depend_on_those_beside_it() -> None:
    some = base_grids(4, len(EVERY) + 1, default_rng(1))
    types, params = torch.tensor([*EVERY, (-1, -1)]).unbind(1)
    together = RULES.step(some, types, params)
    alone = [RULES.step(some[i : i + 1], types[i : i + 1], params[i : i + 1]) for i in range(len(some))]
    assert torch.equal(together, torch.cat(alone)) and torch.equal(together[-1], some[-1])


@pytest.mark.parametrize(
    ("cfg", "counts"),
    [
        (Data(), (3, 2, 6, 3, 24, 3)),
        (Data(shift="axis"), (3, 2, 6, 3, 8, 3)),
        (Data(colours=3), (3, 2, 3, 2, 24, 2)),
        (Data(params="fixed"), (1, 1, 1, 1, 1, 1)),
    ],
)
def test_tables_have_every_parameter_once(cfg: Data, counts: tuple[int, ...]) -> None:
    rules = primitives.rules(cfg)
    assert rules.counts == counts and counts == tuple(len(set(table)) for table in rules.tables)
    assert all(rules.find(each) == (kind, place) for kind, t in enumerate(rules.tables) for place, each in enumerate(t))


def test_fixed_primitives_each_do_something_and_no_two_the_same() -> None:
    rules = primitives.rules(Data(params="fixed"))
    some = base_grids(4, 200, default_rng(2))
    after = [rules.apply(kind, some, torch.zeros(200, dtype=torch.int64)) for kind in range(6)]
    same = [(one == some).flatten(1).all(1).double().mean() for one in after]
    assert max(same[:5]) < 0.01 and same[5] < 0.5  # the largest component may have its colour already
    assert all(not torch.equal(one, other) for i, one in enumerate(after) for other in after[:i])


def test_a_primitive_is_drawn_from_the_generator_that_is_given() -> None:
    drawn = [RULES.draw(4, default_rng(seed)) for seed in (0, 0, *range(1, 30))]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 10 and all(isinstance(each, Shift) for each in drawn)


def test_unknown_types_and_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"type must be in 0..5 \(rot90, .*\), got 6"):
        RULES.apply(6, grids(1), torch.zeros(7, dtype=torch.int64))
    with pytest.raises(ValueError, match="must be in the tables of the rules, got Rot90"):
        RULES.find(Rot90(4))
