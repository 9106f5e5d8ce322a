"""What is known of lambda: of linear regression and of the quadratic all of it, of a network nothing.

A loss that is a quadratic of eigenvalues h_i on these very rows has lambda = rank/2, and at n*beta and gamma the mean

    E[n*beta K] = 1/2 sum_i n*beta h_i / (n*beta h_i + gamma)
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llcx.tasks.mlp import quadratic
from llcx.tasks.mlp.data import Taught
from llcx.tasks.mlp.schema import MLP
from llcx.tasks.rows import stored
from llcx.types import Known, Streams

ZERO = 1e-10  # relative eigenvalue that counts as none
REFERENCE = "regular: half the rank of a quadratic loss; exact at every n*beta and gamma"


@dataclass(frozen=True)
class OfQuadratic:
    """The exact estimate at n*beta and gamma, from the Hessian's eigenvalues other than 0."""

    curvatures: tuple[float, ...]

    def __call__(self, nbeta: float, gamma: float) -> float:
        return 0.5 * sum(nbeta * h / (nbeta * h + gamma) for h in self.curvatures)


def known(cfg: MLP, streams: Streams, module: nn.Module) -> Known:
    """Of Gaussian linear regression, whatever its rows, and of the quadratic."""
    del module
    if cfg.target == "quadratic":
        return _regular((1.0,) * quadratic.parameters(cfg))
    if cfg.loss.kind == "mse" and not (cfg.model.depth if cfg.model.widths is None else cfg.model.widths):
        return _regular(_curvatures(cfg, streams) * cfg.model.out_dim)
    return Known()


def _regular(curvatures: tuple[float, ...]) -> Known:
    lam = len(curvatures) / 2
    return Known(lam, 1, lam, OfQuadratic(curvatures), REFERENCE)


def _curvatures(cfg: MLP, streams: Streams) -> tuple[float, ...]:
    """Eigenvalues above 0 of the second moment of (x, 1), over scale^2; an output has them all."""
    x: Tensor = stored(Taught(cfg, streams), cfg.data.n)[0].double()
    if cfg.model.bias:
        x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    found = torch.linalg.eigvalsh(x.T @ x / len(x)) / cfg.scale**2
    return tuple(float(value) for value in found if value > ZERO * found[-1])
