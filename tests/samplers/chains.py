"""Run a kernel on a density with exact answers, without any of llcx's driver."""

from collections.abc import Callable

import torch
from torch import Tensor

from llcx.rng import ChainNoise
from llcx.types import Chains, Index, Kernel, PerChain, Trace

C, BURN, DRAWS = 256, 300, 1500


class Normal:
    """log p = -sum h w^2 / 2 with precisions h [P], as one block."""

    def __init__(self, precision: Tensor) -> None:
        self.precision = precision
        self.blocks = (torch.arange(len(precision)).unsqueeze(0),)

    def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        del batch
        return -0.5 * (self.precision * w.square()).sum(1), -self.precision * w

    def conditional(self, w: Chains, block: Tensor) -> tuple[Tensor, Tensor]:
        precision = torch.diag_embed(self.precision[block]).expand(len(w), -1, -1, -1)
        return precision, torch.zeros(len(w), *block.shape, dtype=w.dtype)


def run(
    kernel: Kernel, parameters: int, measure: Callable[[Chains], PerChain], *, burn: int = BURN, draws: int = DRAWS
) -> Trace:
    """`measure` [C] at every draw, chains starting at zero."""
    noise = ChainNoise(0, C)
    state = kernel.init(torch.zeros(C, parameters, dtype=torch.float64), noise)
    kept = []
    for step in range(burn + draws):
        state = kernel.step(state, None, noise)
        if step >= burn:
            kept.append(measure(state.w))
    return torch.stack(kept, 1)
