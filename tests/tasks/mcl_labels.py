"""Compositions of six primitives and labels of rows, as the analyses of task=mcl take them."""

from itertools import product

import torch
from torch import Generator

from llcx.tasks.mcl.occurrences import Occurrences

PRIMITIVES = 6


def labels(rows: int, *, unseen: bool = False) -> Occurrences:
    """`rows` of each composition: 6 singles and 28 pairs, or, unseen, the other 8 pairs and 40 triples."""
    pairs = list(product(range(PRIMITIVES), repeat=2))
    held = [(i, (i + 1 + i // 3) % PRIMITIVES) for i in range(PRIMITIVES)] + [(0, 4), (4, 1)]
    trained: list[tuple[int, ...]] = [(i,) for i in range(PRIMITIVES)] + [pair for pair in pairs if pair not in held]
    triples = list(product(range(PRIMITIVES), repeat=3))[::5][:40]
    some: list[tuple[int, ...]] = [*held, *triples] if unseen else trained
    each = [occurrences(composition, number + 1000 * unseen) for number, composition in enumerate(some)]
    return Occurrences(
        *(torch.cat([part.expand(rows, *part.shape[1:]) for part in parts]) for parts in zip(*each, strict=True))
    )


def occurrences(composition: tuple[int, ...], number: int) -> Occurrences:
    held = torch.zeros(1, PRIMITIVES, dtype=torch.bool)
    held[0, list(composition)] = True
    return Occurrences(held, torch.tensor([number]), torch.tensor([len(composition)]))


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normals(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)
