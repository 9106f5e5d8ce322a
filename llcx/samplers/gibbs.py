"""Gibbs sampling of multilinear models: each block of parameters in turn, from its exact conditional.

    p(u | all others) = N(A^-1 h, A^-1),    -d log p / du = A u - h

Targets p exactly. It needs a K that is a quadratic in each block given the others, as the loss of a bilinear model
|Q K^T - B*|^2 in Q and in K, under any metric; its step has nothing to tune, which makes it a reference for the others.
Blocks move by about a conditional standard deviation a sweep, so directions along which both factors must change
together (Q -> Q R, K -> K R^-T) mix slowly.

Geman and Geman (1984), IEEE PAMI 6:721; for reduced-rank regression Geweke (1996), Journal of Econometrics 75:121.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.registry import SAMPLERS
from llcx.types import Chains, Conditionals, Index, Kernel, Noise


@dataclass(frozen=True)
class Gibbs:
    """Settings of Gibbs sampling: none. A step is a sweep over all blocks."""

    name: str = "gibbs"

    needs: ClassVar[tuple[str, ...]] = ("conditionals", "full_data")
    unbiased: ClassVar[bool] = True
    watched: ClassVar[tuple[str, ...]] = ()


class GibbsState(NamedTuple):
    w: Chains


@SAMPLERS.register("gibbs", Gibbs)
def build(cfg: Gibbs, target: Conditionals) -> Kernel:
    """Bind the target; there is nothing else to bind."""
    del cfg

    def init(w: Chains, noise: Noise) -> GibbsState:
        del noise
        return GibbsState(w)

    def step(state: GibbsState, batch: Index | None, noise: Noise) -> GibbsState:
        del batch
        w, z = state.w.clone(), noise.normal(state.w)
        for block in target.blocks:
            precision, linear = target.conditional(w, block)
            w[:, block] = _drawn(precision, linear, z[:, block])
        return GibbsState(w)

    return Kernel(init, step)


def _drawn(
    precision: Float[Tensor, "C G b b"], linear: Float[Tensor, "C G b"], z: Float[Tensor, "C G b"]
) -> Float[Tensor, "C G b"]:
    """A^-1 h + L^-T z for A = L L^T."""
    root = torch.linalg.cholesky(precision)
    mean = torch.cholesky_solve(linear.unsqueeze(-1), root)
    return (mean + torch.linalg.solve_triangular(root.mT, z.unsqueeze(-1), upper=True)).squeeze(-1)
