"""What an encoder is told to do, as one token a step.

    program   token = its type's embedding + its parameter's
    demos     K solved examples of the same program, averaged: as many tokens as the longest program has steps
    none      learned tokens, the same for every example: the target is then no function of the input
    a cue     the same thing in place of a program that is kept back: a network must adapt to what it stands for

Indices are looked up by comparison, so that -1 is the zero vector and torch.func.vmap can run over weights.
"""

from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from llcx.tasks.mcl.data_settings import CONDITIONINGS
from llcx.tasks.mcl.primitives import SIDE


class Vocabulary(NamedTuple):
    """What a model knows of the data that it is for."""

    colours: int
    tables: tuple[int, ...]  # parameters of each primitive
    longest: int  # steps of a program
    conditioning: str = "program"  # program | demos | none


class Inputs(NamedTuple):
    """B examples; padding is -1."""

    grids: Int[Tensor, "B 8 8"]
    types: Int[Tensor, "B S"]
    params: Int[Tensor, "B S"]
    demos_x: Int[Tensor, "B K 8 8"] | None = None  # solved examples of the same program, with conditioning=demos
    demos_y: Int[Tensor, "B K 8 8"] | None = None
    positions: Int[Tensor, "B S"] | None = None  # of steps, see `positions`; None: 0, 1, 2, ..


class Steps(NamedTuple):
    """Tokens of B examples, padding at the end."""

    tokens: Float[Tensor, "B S d"]
    mask: Bool[Tensor, "B S"]  # False: padding
    positions: Int[Tensor, "B S"] | None = None


class Table(nn.Module):
    """Embeddings of 0..n-1, N(0, std^2) at the start; any other index is the zero vector."""

    def __init__(self, count: int, width: int, std: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter(std * nn.Embedding(count, width).weight.detach())

    def forward(self, index: Int[Tensor, "*B"]) -> Float[Tensor, "*B d"]:
        return one_hot(index, len(self.weight)).to(self.weight.dtype) @ self.weight


class Program(nn.Module):
    """One token a step: type + parameter."""

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        self.types = Table(len(vocabulary.tables), width, std=1.0)
        self.params = Table(sum(vocabulary.tables), width, std=1.0)
        before = [0, *accumulate(vocabulary.tables)][:-1]  # parameters of earlier types
        self.register_buffer("before", torch.tensor(before), persistent=False)

    before: Tensor

    def forward(self, inputs: Inputs) -> Steps:
        mask = inputs.types >= 0
        place = self.before[inputs.types.clamp(min=0).long()] + inputs.params
        tokens = self.types(inputs.types) + self.params(torch.where(mask, place, -1))
        return Steps(tokens, mask, inputs.positions)


class Demos(nn.Module):
    """A vector of each pair (x, y), averaged over pairs, and a token a step from their mean."""

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        self.colours, self.steps = vocabulary.colours, vocabulary.longest
        channels = max(1, width // 4)
        patches = nn.Conv2d(2 * vocabulary.colours, channels, 2, 2)
        mix = nn.Linear(channels * (SIDE // 2) ** 2, width)
        self.pair = nn.Sequential(patches, nn.GELU(), nn.Flatten(), mix, nn.GELU())
        self.token = nn.Linear(width, self.steps * width)

    def forward(self, inputs: Inputs) -> Steps:
        """Raises ValueError where there are no demonstrations."""
        if inputs.demos_x is None or inputs.demos_y is None or inputs.demos_x.shape[1] == 0:
            raise ValueError("inputs must have demos_x and demos_y with task.data.conditioning=demos, got none")
        pairs = torch.cat([planes(part.flatten(0, 1), self.colours) for part in (inputs.demos_x, inputs.demos_y)], 1)
        each = self.pair(pairs.to(self.token.weight.dtype)).unflatten(0, inputs.demos_x.shape[:2])
        tokens = self.token(each.mean(1)).unflatten(1, (self.steps, -1))
        return Steps(tokens, _always(inputs, self.steps))


class Cue(nn.Module):
    """Learned tokens, the same for every example."""

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.tokens = Table(steps, width, std=1.0)

    def forward(self, inputs: Inputs) -> Steps:
        tokens = self.tokens.weight.expand(len(inputs.grids), -1, -1)
        return Steps(tokens, _always(inputs, tokens.shape[1]))


def build(vocabulary: Vocabulary, width: int) -> nn.Module:
    """Raises ValueError for a conditioning that there is not."""
    if vocabulary.conditioning == "program":
        return Program(vocabulary, width)
    if vocabulary.conditioning == "demos":
        return Demos(vocabulary, width)
    if vocabulary.conditioning == "none":
        return Cue(vocabulary.longest, width)
    raise ValueError(f"task.data.conditioning must be one of {', '.join(CONDITIONINGS)}, got {vocabulary.conditioning}")


def positions(types: Int[Tensor, "B S"], count: int, generator: Generator) -> Int[Tensor, "B S"]:
    """Increasing positions in 0..count-1 for the steps of each program, drawn at random; -1 at padding.

    Trained with these, positions that short programs never reach in order are trained too. Randomised positional
    encodings: Ruoss et al. (2023), arXiv:2305.16843.
    """
    rows, steps = types.shape
    if steps > count:
        raise ValueError(f"task.model.positions must be >= {steps}, the steps of a program, got {count}")
    order = torch.rand(rows, count, generator=generator).argsort(1)[:, :steps].to(types.device)
    padding = types < 0
    return order.masked_fill(padding, count).sort(1).values.masked_fill(padding, -1)


def trimmed(inputs: Inputs) -> Inputs:
    """Without the columns of padding that all programs have; what is computed stays the same, and takes less time."""
    longest = max(1, int((inputs.types >= 0).sum(1).max()))
    kept = None if inputs.positions is None else inputs.positions[:, :longest]
    return inputs._replace(types=inputs.types[:, :longest], params=inputs.params[:, :longest], positions=kept)


def one_hot(index: Int[Tensor, "*B"], count: int) -> Bool[Tensor, "*B n"]:
    """All False where the index is not in 0..count-1."""
    return index.unsqueeze(-1) == torch.arange(count, device=index.device)


def planes(grids: Int[Tensor, "B h w"], colours: int) -> Bool[Tensor, "B c h w"]:
    """One plane a colour."""
    return one_hot(grids, colours).movedim(-1, 1)


def _always(inputs: Inputs, steps: int) -> Bool[Tensor, "B S"]:
    return torch.ones(len(inputs.grids), steps, dtype=torch.bool, device=inputs.grids.device)
