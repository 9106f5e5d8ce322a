"""What can be scored at all where the program is not shown: then the target is not a function of the grid.

Given a grid, programs drawn at random make a law of targets. What is known of the best guess against that law:

    accuracy    expected cells right of the most frequent colour, cell by cell, which is best for cells
    exact       how often the most frequent target is the target
    score       of the best of some guesses by any other measure; better guesses may exist

Each from two sets of draws. A guess from the first, scored on the second, is what a rule attains: `low`, no more than
the best in the mean. Scored on the first, which chose it, `high`, no less than the best among the guesses considered
(all there are, for accuracy and exact). The truth lies between, and they meet with the number of draws.

B grids    R draws    C colours
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llcx import rng

Grids = Int[Tensor, "B h w"]
Outcomes = Int[Tensor, "B R h w"]
Draw = Callable[[Tensor], Tensor]  # grids [m, h, w] -> each under a program of its own, drawn at random [m, h, w]
Score = Callable[[Tensor, Tensor], Tensor]  # (guesses [m, h, w], targets [m, h, w]) -> a score each [m]


class Bracket(NamedTuple):
    low: float
    high: float


class Ceiling(NamedTuple):
    """Means over grids."""

    accuracy: Bracket
    exact: Bracket
    score: Bracket | None


def ceiling(
    x: Grids, draw: Draw, *, colours: int, draws: int = 256, score: Score | None = None, guesses: int = 16
) -> Ceiling:
    """`guesses`: drawn targets tried for the score, beside the grid itself and its most frequent colours and target."""
    first, second = (_outcomes(x, draw, draws) for _ in range(2))
    shares, fresh = (torch.nn.functional.one_hot(each, colours).double().mean(1) for each in (first, second))
    colour = shares.argmax(-1)
    right = fresh.gather(-1, colour[..., None])
    accuracy = Bracket(float(right.mean()), float(shares.amax(-1).mean()))
    target, exact = _most_frequent(first, second)
    tried = None
    if score is not None:
        tried = _best(torch.stack([x.long(), colour, target, *first[:, :guesses].unbind(1)], 1), first, second, score)
    return Ceiling(accuracy, exact, tried)


def _outcomes(x: Grids, draw: Draw, draws: int) -> Outcomes:
    return draw(x.repeat_interleave(draws, 0)).long().unflatten(0, (len(x), draws))


def _most_frequent(first: Outcomes, second: Outcomes) -> tuple[Grids, Bracket]:
    """Targets by a number each, sums modulo 2^64 of multiples of their cells."""
    cells = rng.counter_uniform(0, torch.arange(first.shape[2]), first.shape[3])
    weights = (cells * 2**62).long() * 2 + 1
    own, others = ((each * weights).sum((2, 3)) for each in (first, second))
    usual, place = own.mode(1)
    attained, chosen = ((each == usual[:, None]).double().mean() for each in (others, own))
    return first[torch.arange(len(first)), place], Bracket(float(attained), float(chosen))


def _best(guesses: Int[Tensor, "B G h w"], first: Outcomes, second: Outcomes, score: Score) -> Bracket:
    own, others = (torch.stack([_mean(g, each, score) for g in guesses.unbind(1)], 1) for each in (first, second))
    best = own.argmax(1, keepdim=True)
    return Bracket(float(others.gather(1, best).mean()), float(own.gather(1, best).mean()))


def _mean(guess: Grids, targets: Outcomes, score: Score) -> Float[Tensor, " B"]:
    """Over draws."""
    draws = targets.shape[1]
    each = score(guess.repeat_interleave(draws, 0), targets.flatten(0, 1))
    return each.double().unflatten(0, (len(guess), draws)).mean(1)
