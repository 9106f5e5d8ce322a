"""What can be scored at all where the program is not shown, split by split (tasks.mcl.bayes).

Programs are drawn from their law given the grid, as tasks.mcl.generate makes it: a row of a composition is drawn up to
T times, grid and all, until each of its steps changes something, and the last is kept whatever it does. Where a share a
of grids has such a program, a row comes with a grid x of the law p of grids at the rate

    p(x) (1 - (1 - a)^T) / a    of programs that change something at each step
    p(x) (1 - a)^(T - 1)        of others

so that of a composition that is seldom accepted the grids that accept it are the more likely, and one that never is (a
border twice) comes with all of them alike.
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
ROUNDS = 64  # in which nearly every draw is accepted once

Grids = Int[Tensor, "B 8 8"]


class Law(NamedTuple):
    """Of programs of a split."""

    rules: Rules
    types: Int[Tensor, "M L"]  # of its compositions
    shares: Float[Tensor, " M"]  # of its rows, sum 1
    accepted: Float[Tensor, " M"]  # a, of grids
    tries: int  # T

    def applied(self, grids: Grids, numbers: Generator) -> Grids:
        """Each grid under a program of its own; grids that no composition accepts keep what came last."""
        busy, idle = self.rates()
        most = torch.maximum(busy, idle)
        chances = (self.shares * most / (self.shares * most).sum()).numpy()
        found, left = torch.empty_like(grids), torch.arange(len(grids))
        for _ in range(ROUNDS):
            drawn = torch.from_numpy(numbers.choice(len(chances), len(left), p=chances))
            found[left], same = executed(self.rules, grids[left], self.types[drawn], numbers, self.tries)
            kept = torch.where(same, idle[drawn], busy[drawn]) / most[drawn]
            left = left[torch.from_numpy(numbers.random(len(left))) >= kept]
            if not len(left):
                break
        return found

    def rates(self) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
        """At which grids come with programs that change something at each step, and with others, over p(x)."""
        a, never = self.accepted, (1 - self.accepted) ** self.tries
        return torch.where(a > 0, (1 - never) / a.clamp(min=1e-12), self.tries), (1 - a) ** (self.tries - 1)


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
    return Law(sets.rules, types, counts / counts.sum(), accepted, sets.cfg.tries)


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
