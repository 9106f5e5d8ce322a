"""Small machines of task=mcl, examples for them, and groups of rows whose subspaces are known."""

from typing import Any

import torch
from torch import Generator, Tensor

from llcx import rng
from llcx.tasks.mcl import machine
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.manager import Labels
from llcx.tasks.mcl.model_settings import ENCODERS, Model, Sae
from llcx.tasks.mcl.prompts import Inputs, Vocabulary

TABLES = (3, 2, 6, 3, 24, 3)
SMALL: dict[str, Any] = dict(width=8, heads=2, hidden=12, reduced=3, latent=10, decoder_hidden=9, state=11)
KINDS = [*ENCODERS, "recurrent of GRU cells"]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def number(found: Tensor) -> float:
    """A scalar that may require gradients."""
    return float(found.detach())


def normals(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def vocabulary(conditioning: str = "program", longest: int = 3) -> Vocabulary:
    return Vocabulary(4, TABLES, longest, conditioning)


def built(
    seed: int = 0, conditioning: str = "program", sae: Sae | None = None, longest: int = 3, **model: Any
) -> Machine:
    cfg, codes = Model(**{**SMALL, **model}), Sae(units=20, k=4) if sae is None else sae
    return machine.build(cfg, codes, vocabulary(conditioning, longest), rng.streams(seed), dtype=torch.float64)


def of_kind(kind: str, **settings: Any) -> Machine:
    """One of KINDS, in evaluation mode."""
    cell = "gru" if kind == KINDS[-1] else "residual"
    return built(encoder=kind.partition(" ")[0], cell=cell, **settings).eval()


def examples(rows: int, steps: int = 3, seed: int = 0, demos: int = 0) -> Inputs:
    """Random grids and programs of 1 to `steps` steps, each length in turn."""
    generator = seeded(seed)
    grids = torch.randint(0, 4, (rows, 8, 8), generator=generator)
    types = torch.randint(0, 6, (rows, steps), generator=generator)
    params = (torch.rand(types.shape, generator=generator) * torch.tensor(TABLES)[types]).long()
    padding = torch.arange(steps) > (torch.arange(rows) % steps).unsqueeze(1)
    pairs = [torch.randint(0, 4, (rows, demos, 8, 8), generator=generator) if demos else None for _ in range(2)]
    return Inputs(grids, types.masked_fill(padding, -1), params.masked_fill(padding, -1), *pairs)


def labels(inputs: Inputs, groups: int = 4) -> Labels:
    """A target for each example, which a network can learn: its grid with colours exchanged; groups in turn."""
    rows = len(inputs.grids)
    has = (inputs.types.unsqueeze(2) == torch.arange(6)).any(1)
    return Labels(3 - inputs.grids, has.float(), torch.arange(rows) % groups)


def rotation(size: int, seed: int = 3) -> Tensor:
    return torch.linalg.qr(normals(size, size, seed=seed)).Q


def rows_in(basis: Tensor, rows: int, seed: int, noise: float = 0.0) -> Tensor:
    """Rows that vary in the columns of `basis`, each direction by another amount, plus noise, about a random mean."""
    size, k = basis.shape
    spread = normals(rows, k, seed=seed) * torch.linspace(3, 1, k, dtype=torch.float64)
    return spread @ basis.mT + noise * normals(rows, size, seed=seed + 1) + normals(size, seed=seed + 2)
