"""Run a kernel on a density with exact answers, without any of llcx's driver."""

from collections.abc import Callable

import torch

from llcx.rng import ChainNoise
from llcx.types import Chains, Index, Kernel, PerChain, Target, Trace

C, BURN, DRAWS = 256, 300, 1500


def gaussian(precision: torch.Tensor) -> Target:
    """log p = -sum h w^2 / 2 with precisions h [P]."""

    def target(w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        del batch
        return -0.5 * (precision * w.square()).sum(1), -precision * w

    return target


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
