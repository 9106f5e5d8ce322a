"""Adapting a trained machine to one composition: which of its weights may move.

    lora     W + (scale / r) B A on `bottleneck.linear` and `decoder.first`, B = 0 at the start; Hu et al. (2021),
             arXiv:2106.09685
    adapter  h + U relu(V h) after h, U = 0 at the start; Houlsby et al. (2019), arXiv:1902.00751
    full     every weight that a prediction depends on

lora and adapter start as the machine itself, to the last bit. With a cue that is opaque the program is kept back, and a
new learned token takes its place: it moves too.
"""

import copy
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from llcx import rng
from llcx.settings import at_least, one_of, positive
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.prompts import Cue

METHODS = ("lora", "adapter", "full")
CUES = ("program", "opaque")


@dataclass(frozen=True)
class Adaptation:
    """What moves."""

    method: str = "lora"  # lora | adapter | full
    cue: str = "program"  # program | opaque (kept back)
    rank: int = 4  # r of lora
    scale: float = 8.0  # of lora, divided by r
    bottleneck: int = 16  # units of adapter
    cue_steps: int = 1  # learned tokens of an opaque cue

    def __post_init__(self) -> None:
        one_of("task.few_shot.method", self.method, METHODS)
        one_of("task.few_shot.cue", self.cue, CUES)
        at_least("task.few_shot", 1, rank=self.rank, bottleneck=self.bottleneck, cue_steps=self.cue_steps)
        positive("task.few_shot", scale=self.scale)


class LowRank(nn.Module):
    """W -> W + (scale / r) B A."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale / rank
        self.a = nn.Parameter(nn.Linear(layer.in_features, rank, bias=False).weight.detach())
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        return weight + self.scale * (self.b @ self.a)


class Adapter(nn.Module):
    """h -> h + U relu(V h)."""

    def __init__(self, latent: int, units: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(latent, units), nn.Linear(units, latent)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: Float[Tensor, "B latent"]) -> Float[Tensor, "B latent"]:
        return h + self.up(self.down(h).relu())


def adapted(machine: Machine, cfg: Adaptation, generator: Generator) -> Machine:
    """A copy of the machine whose parameters that require gradients are those that may move."""
    made = copy.deepcopy(machine).requires_grad_(cfg.method == "full")
    for beside in (made.sae, made.head):  # no prediction depends on them
        beside.requires_grad_(False)
    first = next(machine.parameters())
    with rng.seeded(generator):
        if cfg.method == "lora":
            for layer in (made.bottleneck.linear, made.decoder.first):
                new = LowRank(layer, cfg.rank, cfg.scale).to(first)
                parametrize.register_parametrization(layer, "weight", new)
        elif cfg.method == "adapter":
            made.adapter = Adapter(machine.cfg.latent, cfg.bottleneck).to(first)
        if cfg.cue == "opaque":
            made.prompt = Cue(cfg.cue_steps, machine.cfg.width).to(first)
    return made


def moving(machine: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that may move, by name."""
    return {name: p for name, p in machine.named_parameters() if p.requires_grad}


def trainable(machine: nn.Module) -> int:
    """How many numbers may move."""
    return sum(prod(p.shape) for p in moving(machine).values())
