"""Grids, and rows (grid, program, result), drawn many at once from explicit random numbers.

A grid is 2 to 4 rectangles with sides of 1 to 4 cells on background, drawn over one another in colours 1..C-1; one that
shows a single colour is drawn again. A program's parameters are uniform over their tables. A step that changes nothing
has its parameter drawn again, and a row that still has such a step all of it: but for rows whose tries ran out
(`Rows.idle`) every step counts. Where the parameters are given, grids alone are drawn again.
"""

from functools import lru_cache
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.random import Generator, default_rng
from torch import Tensor

from llcx.tasks.mcl.primitives import SIDE, Grids, Params, Rules
from llcx.tasks.mcl.programs import ABSENT, Steps

FEWEST, MOST = 2, 4  # rectangles of a grid
LONGEST_SIDE = 4  # of a rectangle

Fingerprints = Int[Tensor, " B"]


class Rows(NamedTuple):
    """Grids, programs, and what they make of the grids, which are int8."""

    grids: Int[Tensor, "B 8 8"]
    results: Int[Tensor, "B 8 8"]
    types: Int[Tensor, "B L"]
    params: Int[Tensor, "B L"]
    idle: Bool[Tensor, " B"]  # whether a step changed nothing


class Wish(NamedTuple):
    """What is asked of rows."""

    types: Int[Tensor, "B L"]
    tries: int  # of a step that changes nothing, and then of its row
    params: Int[Tensor, "B L"] | None = None  # given ones; None: drawn
    taken: Fingerprints | None = None  # of rows that must not come up, however many tries it takes
    distinct: bool = False  # no row twice

    def at(self, rows: Int[Tensor, " R"]) -> "Wish":
        """The same, of some rows."""
        return self._replace(types=self.types[rows], params=None if self.params is None else self.params[rows])


def draw(rules: Rules, wish: Wish, generator: Generator) -> Rows:
    """Rows as asked for."""
    drawn = _attempt(rules, wish, generator)
    refused = _refused(drawn, wish)
    for attempt in count(1):
        rows = (refused | drawn.idle if attempt < wish.tries else refused).nonzero().squeeze(1)
        if not len(rows):
            break
        fresh = _attempt(rules, wish.at(rows), generator)
        for kept, new in zip(drawn, fresh, strict=True):
            kept[rows] = new
        refused[rows] = _refused(fresh, wish)
        if wish.distinct:
            refused = _refused(drawn, wish)
    return drawn


def base_grids(colours: int, rows: int, generator: Generator) -> Grids:
    """Grids of rectangles, int8, of at least two colours beside the background."""
    grids = _rectangles(colours, rows, generator)
    while len(dull := (_shown(grids, colours) < 2).nonzero().squeeze(1)):
        grids[dull] = _rectangles(colours, len(dull), generator)
    return grids


def fingerprints(grids: Grids, types: Steps, params: Steps) -> Fingerprints:
    """A number for each (grid, program): the same for equal ones, padding apart, and for different ones others, but for
    chance: 64 bits are well mixed."""
    cells = grids.to(torch.int8).flatten(1).contiguous().view(torch.int64)  # a row of the grid is a word
    steps = torch.stack([types, params], 2).flatten(1).long() - ABSENT  # padding is 0
    words, factors = torch.cat([cells, steps], 1), _factors(cells.shape[1] + steps.shape[1])
    for by, factor in zip((0, 31, 29), factors, strict=True):
        words = (words if by == 0 else words ^ (words >> by)) * factor
    return words.sum(1)


def _attempt(rules: Rules, wish: Wish, generator: Generator) -> Rows:
    grids = results = base_grids(rules.colours, len(wish.types), generator)
    params = torch.full_like(wish.types, ABSENT)
    idle = torch.zeros(len(grids), dtype=torch.bool)
    for place, types in enumerate(wish.types.unbind(1)):
        before = results
        if wish.params is not None:
            params[:, place] = wish.params[:, place]
            results = rules.step(before, types, params[:, place])
        else:
            results, params[:, place] = _step(rules, before, types, generator, wish.tries)
        idle |= _same(before, results) & (types != ABSENT)
    return Rows(grids, results, wish.types.clone(), params, idle)


def _step(rules: Rules, grids: Grids, types: Params, generator: Generator, tries: int) -> tuple[Grids, Params]:
    """Grids after a step and its parameters, drawn again where it changed nothing and there is another parameter."""
    params = rules.draw_params(types, generator)
    after = rules.step(grids, types, params)
    several = torch.tensor([*(count > 1 for count in rules.counts), False])[types]  # the last is that of ABSENT
    for _ in range(tries - 1):
        rows = (_same(grids, after) & several).nonzero().squeeze(1)
        if not len(rows):
            break
        params[rows] = rules.draw_params(types[rows], generator)
        after[rows] = rules.step(grids[rows], types[rows], params[rows])
    return after, params


def _refused(drawn: Rows, wish: Wish) -> Bool[Tensor, " B"]:
    """Rows that must not be."""
    refused = torch.zeros(len(drawn.grids), dtype=torch.bool)
    if not (wish.distinct or (wish.taken is not None and len(wish.taken))):
        return refused
    found = fingerprints(drawn.grids, drawn.types, drawn.params)
    if wish.taken is not None:
        refused |= torch.isin(found, wish.taken)
    if wish.distinct:
        _, first = np.unique(found.numpy(), return_index=True)
        repeated = torch.ones_like(refused)
        repeated[torch.from_numpy(first)] = False
        refused |= repeated
    return refused


def _rectangles(colours: int, rows: int, generator: Generator) -> Grids:
    drawn = torch.from_numpy(generator.random((rows, 1 + 5 * MOST)))
    number = FEWEST + (drawn[:, 0] * (MOST - FEWEST + 1)).long()
    height, width, top, left, colour = drawn[:, 1:].view(rows, MOST, 5).unbind(2)
    height, width = (1 + (each * LONGEST_SIDE).long() for each in (height, width))
    top, left = ((each * (SIDE - side + 1)).long() for each, side in ((top, height), (left, width)))
    colour = (1 + colour * (colours - 1)).to(torch.int8)
    grids, cells = torch.zeros(rows, SIDE, SIDE, dtype=torch.int8), torch.arange(SIDE)
    for place in range(MOST):
        down = _between(cells, top[:, place], height[:, place]) & (place < number).unsqueeze(1)
        across = _between(cells, left[:, place], width[:, place])
        inside = down.unsqueeze(2) & across.unsqueeze(1)
        grids = torch.where(inside, colour[:, place].view(-1, 1, 1), grids)
    return grids


def _between(cells: Int[Tensor, " 8"], start: Int[Tensor, " B"], length: Int[Tensor, " B"]) -> Bool[Tensor, "B 8"]:
    start, end = start.unsqueeze(1), (start + length).unsqueeze(1)
    return (cells >= start) & (cells < end)


def _shown(grids: Grids, colours: int) -> Int[Tensor, " B"]:
    """How many colours beside the background each grid shows."""
    flat = grids.flatten(1)
    return torch.stack([(flat == colour).any(1) for colour in range(1, colours)]).sum(0)


def _same(one: Grids, other: Grids) -> Bool[Tensor, " B"]:
    return (one == other).flatten(1).all(1)


@lru_cache
def _factors(words: int) -> Int[Tensor, "3 words"]:
    """Odd numbers of 63 bits, always the same ones, of fewer words the first of them."""
    return torch.from_numpy(default_rng(0).integers(2**63, size=(words, 3)).T.copy() | 1)
