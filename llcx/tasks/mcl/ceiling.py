"""What can be scored at all where the program is not shown, split by split (tasks.mcl.bayes).

Programs are drawn from their law given the grid: a composition as often as the split has it, a step's parameter again
while the step changes nothing, and all of it again where a step still does. Of a composition that is seldom accepted
those grids that accept it are the more likely, for which its weight is divided by how often it is.
"""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from numpy.random import Generator, default_rng
from torch import Tensor

from llcx.tasks.mcl import bayes, generate, losses, programs
from llcx.tasks.mcl.batches import Sample
from llcx.tasks.mcl.bayes import Bracket
from llcx.tasks.mcl.primitives import Rules
from llcx.tasks.mcl.sets import Sets
from llcx.tasks.mcl.trained import Row
from llcx.types import Streams

TRIED = 256  # grids that tell how often a composition is accepted

Grids = Int[Tensor, "B 8 8"]


class Law(NamedTuple):
    """Of programs of a split."""

    rules: Rules
    types: Int[Tensor, "M L"]  # of its compositions
    shares: Float[Tensor, " M"]  # of draws, sum 1
    tries: int

    def applied(self, grids: Grids, numbers: Generator) -> Grids:
        """Each grid under a program of its own."""
        found, left = torch.empty_like(grids), torch.arange(len(grids))
        for _ in range(self.tries):
            drawn = torch.from_numpy(numbers.choice(len(self.shares), len(left), p=self.shares.numpy()))
            found[left], idle = executed(self.rules, grids[left], self.types[drawn], numbers, self.tries)
            left = left[idle]
            if not len(left):
                break
        return found


def rows(sets: Sets, streams: Streams, grids: int, draws: int) -> list[Row]:
    """A row a split, of so many of its grids."""
    made = []
    score = partial(_macro_iou, colours=sets.cfg.colours)
    for split, sample in sets.evaluation.items():
        some, numbers = sample.at(slice(grids)), default_rng(streams.key(f"ceiling/{split}"))
        applied = partial(law(sets, sample, numbers).applied, numbers=numbers)
        found = bayes.ceiling(some.input, applied, colours=sets.cfg.colours, draws=draws, score=score)
        about = {"seed": streams.seed, "split": split, "rows": len(some.input), "draws": draws}
        made.append({**about, **_bracket("accuracy", found.accuracy), **_bracket("exact", found.exact)})
        if found.score is not None:
            made[-1] |= _bracket("iou", found.score)
    return made


def law(sets: Sets, sample: Sample, numbers: Generator) -> Law:
    """Of the programs of a sample."""
    codes, counts = sample.composition_id.unique(return_counts=True)
    types = programs.padded([programs.decoded(code) for code in codes.tolist()], sets.cfg.longest)
    tried = generate.base_grids(sets.cfg.colours, TRIED, numbers).long().repeat(len(types), 1, 1)
    _, idle = executed(sets.rules, tried, types.repeat_interleave(TRIED, 0), numbers, sets.cfg.tries)
    accepted = (~idle).view(len(types), TRIED).double().mean(1)
    weights = counts / accepted.clamp(min=1 / TRIED)
    return Law(sets.rules, types, weights / weights.sum(), sets.cfg.tries)


def executed(
    rules: Rules, grids: Grids, types: Int[Tensor, "B L"], numbers: Generator, tries: int
) -> tuple[Grids, Bool[Tensor, " B"]]:
    """What programs with parameters drawn step by step make of grids, and whether a step still changes nothing."""
    none = torch.zeros(len(grids), dtype=torch.bool)
    for step in types.unbind(1):
        after, same = grids.clone(), step != programs.ABSENT
        for _ in range(tries):
            again = same.nonzero().squeeze(1)
            if not len(again):
                break
            params = rules.draw_params(step[again], numbers)
            after[again] = rules.step(grids[again], step[again], params)
            same = same & (after == grids).flatten(1).all(1)
        grids, none = after, none | same
    return grids, none


def _macro_iou(guesses: Tensor, targets: Tensor, colours: int) -> Tensor:
    return losses.macro_iou(guesses, targets, colours)


def _bracket(name: str, found: Bracket) -> Row:
    return {f"{name}_low": found.low, f"{name}_high": found.high}
