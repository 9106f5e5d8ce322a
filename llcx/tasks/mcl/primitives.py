"""The six primitives: functions of whole batches of grids, defined on every grid, none of which draws anything.

    0 rot90           k quarter turns, counter-clockwise                        k in 1..3
    1 flip            h: left and right change places, v: top and bottom
    2 color_swap      two colours change places, the background may be one      a < b in 0..C-1
    3 draw_border     the outermost frame of one cell takes a colour            1..C-1
    4 shift           dx cells to the right, dy down, what was vacated is background, what leaves is lost
    5 fill_component  the largest 4-connected component of one colour, background apart, takes a colour; of equally
                      large ones that with the first cell, row by row; where there is none the grid stays

A parameter is the index into the table of its primitive, and so does not depend on a grid.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, product

import torch
from jaxtyping import Bool, Int
from numpy.random import Generator
from torch import Tensor

from llcx.tasks.mcl.data_settings import Data

SIDE = 8
CELLS = SIDE * SIDE
BACKGROUND = 0
NAMES = ("rot90", "flip", "color_swap", "draw_border", "shift", "fill_component")
REACH = 2  # cells of a shift, at most, each way

Grids = Int[Tensor, "B 8 8"]
Params = Int[Tensor, " B"]
Sources = Int[Tensor, " 64"]


@dataclass(frozen=True)
class Rot90:
    quarters: int

    def sources(self) -> Sources:
        """Which cell each cell takes its colour from."""
        return torch.rot90(_cells(), self.quarters).flatten()


@dataclass(frozen=True)
class Flip:
    axis: str  # h | v

    def sources(self) -> Sources:
        """Which cell each cell takes its colour from."""
        return _cells().flip(1 if self.axis == "h" else 0).flatten()


@dataclass(frozen=True)
class ColorSwap:
    a: int
    b: int

    def colours(self, count: int) -> Int[Tensor, " C"]:
        """What each colour becomes."""
        found = torch.arange(count)
        found[self.a], found[self.b] = self.b, self.a
        return found


@dataclass(frozen=True)
class DrawBorder:
    colour: int


@dataclass(frozen=True)
class Shift:
    dx: int
    dy: int

    def sources(self) -> Sources:
        """Which cell each cell takes its colour from; CELLS: none, it was vacated."""
        y, x = torch.meshgrid(torch.arange(SIDE) - self.dy, torch.arange(SIDE) - self.dx, indexing="ij")
        inside = (y >= 0) & (y < SIDE) & (x >= 0) & (x < SIDE)
        return torch.where(inside, y * SIDE + x, CELLS).flatten()


@dataclass(frozen=True)
class FillComponent:
    colour: int


Primitive = Rot90 | Flip | ColorSwap | DrawBorder | Shift | FillComponent


@dataclass(frozen=True)
class Rules:
    """The primitives with their tables of parameters."""

    colours: int
    tables: tuple[tuple[Primitive, ...], ...]  # of each type

    @property
    def counts(self) -> tuple[int, ...]:
        """Parameters that each type has."""
        return tuple(map(len, self.tables))

    def draw(self, kind: int, generator: Generator) -> Primitive:
        """A primitive of this type, uniform over its table."""
        return self.tables[kind][int(generator.random() * self.counts[kind])]

    def draw_params(self, types: Params, generator: Generator) -> Params:
        """A parameter for each of `types`, uniform over its table; -1 for -1."""
        counts = torch.tensor([*self.counts, 1])[types]  # the last is that of -1
        drawn = (torch.from_numpy(generator.random(len(types))) * counts).long()
        return torch.where(types < 0, -1, drawn)

    def find(self, primitive: Primitive) -> tuple[int, int]:
        """Type and parameter of a primitive. Raises ValueError where no table has it."""
        for kind, table in enumerate(self.tables):
            if primitive in table:
                return kind, table.index(primitive)
        raise ValueError(f"primitive must be in the tables of the rules, got {primitive}")

    def step(self, grids: Grids, types: Params, params: Params) -> Grids:
        """Each grid after the primitive of its own row; -1: as it was."""
        after = grids.clone()
        for kind in range(len(NAMES)):
            rows = (types == kind).nonzero().squeeze(1)
            if len(rows):
                after[rows] = self.apply(kind, grids[rows], params[rows])
        return after

    def apply(self, kind: int, grids: Grids, params: Params) -> Grids:
        """Each grid after one primitive, of a parameter of its own. Raises ValueError for a type that there is not."""
        if kind in self._sources:
            return _moved(grids, self._sources[kind].to(grids.device)[params])
        if kind == 2:
            swapped = self._swaps.to(grids)[params].gather(1, grids.flatten(1).long())
            return swapped.view_as(grids)
        if kind == 3:
            return torch.where(_ring().to(grids.device), self._paint(kind, grids, params), grids)
        if kind == 5:
            return torch.where(largest_component(grids), self._paint(kind, grids, params), grids)
        raise ValueError(f"type must be in 0..{len(NAMES) - 1} ({', '.join(NAMES)}), got {kind}")

    @cached_property
    def _sources(self) -> dict[int, Int[Tensor, "params 64"]]:
        moving = {kind: [each for each in table if hasattr(each, "sources")] for kind, table in enumerate(self.tables)}
        return {kind: torch.stack([each.sources() for each in table]) for kind, table in moving.items() if table}

    @cached_property
    def _swaps(self) -> Int[Tensor, "params C"]:
        return torch.stack([each.colours(self.colours) for each in self.tables[2] if isinstance(each, ColorSwap)])

    def _paint(self, kind: int, grids: Grids, params: Params) -> Int[Tensor, "B 1 1"]:
        """The colour of each row's parameter."""
        colours = [each.colour for each in self.tables[kind] if isinstance(each, DrawBorder | FillComponent)]
        return torch.tensor(colours).to(grids)[params].view(-1, 1, 1)


@lru_cache
def rules(cfg: Data) -> Rules:
    """The rules that the settings ask for; `task.data.params=fixed` leaves each type the first of its parameters."""
    tables = _tables(cfg.colours, cfg.shift)
    return Rules(cfg.colours, tuple(table[:1] for table in tables) if cfg.params == "fixed" else tables)


def _tables(colours: int, shift: str) -> tuple[tuple[Primitive, ...], ...]:
    """The first of each are chosen so that no two of them undo or hide one another on most grids."""
    reach = range(-REACH, REACH + 1)
    shifts = [(dx, dy) for dx, dy in product(reach, reach) if (dx, dy) != (0, 0) and (shift == "all" or dx * dy == 0)]
    return (
        tuple(Rot90(k) for k in range(1, 4)),
        tuple(Flip(axis) for axis in ("h", "v")),
        tuple(ColorSwap(a, b) for a, b in sorted(combinations(range(colours), 2), key=lambda pair: pair[0] == 0)),
        tuple(DrawBorder(colour) for colour in range(colours - 1, 0, -1)),
        tuple(Shift(dx, dy) for dx, dy in sorted(shifts, key=lambda by: by != (1, 0))),
        tuple(FillComponent(colour) for colour in range(1, colours)),
    )


def largest_component(grids: Grids) -> Bool[Tensor, "B 8 8"]:
    """The cells of the largest component of each grid; of equally large ones, that with the first cell."""
    labels = components(grids).flatten(1)
    sizes = torch.zeros(len(grids), CELLS + 1, dtype=torch.int32, device=grids.device)
    sizes.scatter_add_(1, labels.long(), torch.ones_like(labels, dtype=torch.int32))
    sizes[:, 0] = 0
    rank = sizes * (CELLS + 1) + torch.arange(CELLS + 1, dtype=torch.int32, device=grids.device)
    return ((labels == rank.argmax(1, keepdim=True)) & (labels > 0)).view_as(grids)


def components(grids: Grids) -> Int[Tensor, "B 8 8"]:
    """Labels of the 4-connected components of one colour: 0 the background, else CELLS minus the place of its first
    cell, row by row. Labels spread to neighbours, all at once, until none changes."""
    shown = grids != BACKGROUND
    down = (grids[:, 1:] == grids[:, :-1]) & shown[:, 1:]
    right = (grids[:, :, 1:] == grids[:, :, :-1]) & shown[:, :, 1:]
    labels = (CELLS - _cells()).to(torch.int8).to(grids.device) * shown
    while True:
        before = labels.clone()
        for later, sooner, joined in (
            (labels[:, 1:], labels[:, :-1], down),
            (labels[:, :, 1:], labels[:, :, :-1], right),
        ):
            torch.maximum(later, sooner * joined, out=later)
            torch.maximum(sooner, later * joined, out=sooner)
        if torch.equal(labels, before):
            return labels


def _moved(grids: Grids, sources: Int[Tensor, "B 64"]) -> Grids:
    vacated = grids.new_full((len(grids), 1), BACKGROUND)
    return torch.cat([grids.flatten(1), vacated], 1).gather(1, sources).view_as(grids)


def _cells() -> Int[Tensor, "8 8"]:
    return torch.arange(CELLS).view(SIDE, SIDE)


def _ring() -> Bool[Tensor, "8 8"]:
    ring = torch.ones(SIDE, SIDE, dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    return ring
