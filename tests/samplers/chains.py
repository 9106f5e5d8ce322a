"""Run a kernel on a density with exact answers, without any of llcx's driver."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from llcx.registry import SAMPLERS
from llcx.rng import ChainNoise
from llcx.types import Chains, External, Index, Kernel, Noise, PerChain

C, BURN, DRAWS = 256, 300, 1500


class Normal:
    """log p = -sum h w^2 / 2 with precisions h [P], as one block.

    The gradient has noise of standard deviation `spread`; `nbeta` says in which unit the loss gradient is told.
    """

    def __init__(self, precision: Tensor, *, nbeta: float = 1.0, spread: Tensor | float = 0.0) -> None:
        self.precision, self.nbeta, self.spread = precision, nbeta, torch.as_tensor(spread, dtype=torch.float64)
        self.blocks = (torch.arange(len(precision)).unsqueeze(0),)
        self.shaker = Generator().manual_seed(3)

    def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        del batch
        grad = -self.precision * w
        if bool(self.spread.any()):
            grad = grad + self.spread * torch.randn(w.shape, generator=self.shaker, dtype=w.dtype)
        return -0.5 * (self.precision * w.square()).sum(1), grad

    def loss_gradient(self, w: Chains, grad: Chains) -> Chains:
        del w
        return -grad / self.nbeta

    def conditional(self, w: Chains, block: Tensor) -> tuple[Tensor, Tensor]:
        precision = torch.diag_embed(self.precision[block]).expand(len(w), -1, -1, -1)
        return precision, torch.zeros(len(w), *block.shape, dtype=w.dtype)


class Quartic:
    """log p = -sum w^4 / 2: a quarter of a nat a coordinate, whatever the temperature."""

    def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        del batch
        return -0.5 * w.pow(4).sum(1), -2 * w.pow(3)

    def loss_gradient(self, w: Chains, grad: Chains) -> Chains:
        return torch.zeros_like(w)


class Quiet(ChainNoise):
    """No normals, and every uniform number a half: what is left of a kernel is a function of its state."""

    def normal(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def uniform(self) -> PerChain:
        return torch.full((self.chains,), 0.5, dtype=torch.float64)

    def shared(self) -> float:
        return 0.5


class Placed(NamedTuple):
    w: Chains


def kernel_of(record: Any, target: Any) -> Kernel:
    """The kernel of a record; a sampler that runs by itself is called for one draw a chain and step."""
    built = SAMPLERS.builder(record.name)(record, target)
    if isinstance(built, Kernel):
        return built
    external: External = built

    def step(state: Placed, batch: Index | None, noise: Noise) -> Placed:
        del batch
        seeds = (noise.uniform() * 2**53).long().tolist()
        streams = [Generator().manual_seed(seed) for seed in seeds]
        drawn = [external.run(w, 0, 1, stream).w[0] for w, stream in zip(state.w, streams, strict=True)]
        return Placed(torch.stack(drawn))

    return Kernel(lambda w, noise: Placed(w), step)


def run(
    kernel: Kernel,
    parameters: int,
    measure: Callable[[Chains], Tensor],
    *,
    burn: int = BURN,
    draws: int = DRAWS,
    chains: int = C,
) -> Tensor:
    """`measure` [C] or [C, k] at every draw, chains starting at zero: [C, T] or [C, T, k]."""
    noise = ChainNoise(0, chains)
    state = kernel.init(torch.zeros(chains, parameters, dtype=torch.float64), noise)
    kept = []
    for step in range(burn + draws):
        state = kernel.step(state, None, noise)
        if step >= burn:
            kept.append(measure(state.w))
    return torch.stack(kept, 1)
