"""Regression with Student's t, in nats, with the divergence that the self target needs.

    nll = (nu + 1)/2 log(1 + r^2 / (nu s^2)),   r = y - output, summed over outputs

With z = sqrt(nu) tan(theta) the divergence of two of them, d = gap / (s sqrt(nu)) apart, is a mean over angles

    KL = (nu + 1)/2 E[log(1 - d sin(2 theta) + d^2 cos(theta)^2)],   density of theta ~ cos(theta)^(nu - 1)

by Gauss-Legendre quadrature on half of them, since theta and -theta go together. For nu = 1 it is log(1 + d^2/4), the
divergence of two Cauchy laws (Chyzak and Nielsen 2019, arXiv:1905.10965). Fisher information of an output:
(nu + 1) / ((nu + 3) s^2); Lange, Little and Taylor (1989), JASA 84:881.
"""

from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np
from torch import Tensor

from llcx.likelihoods import Gaussian
from llcx.settings import positive
from llcx.tasks.mlp.schema import MLP
from llcx.types import Batch, PerExample

NODES = 64  # of the quadrature


@dataclass(frozen=True)
class StudentT:
    """-log of Student's t around the output; constants are dropped. Labels are the batch's second tensor."""

    df: float = 4.0  # nu
    scale: float = 1.0  # s, in the labels' units

    def __post_init__(self) -> None:
        positive("task.loss", df=self.df, scale=self.scale)

    def __call__(self, output: Tensor, batch: Batch) -> PerExample:
        z = (batch[1] - output) / self.scale
        return ((self.df + 1) / 2 * (z.square() / self.df).log1p()).flatten(1).sum(1)

    def kl(self, at_minimum: Tensor, output: Tensor) -> PerExample:
        d = ((at_minimum - output) / (self.scale * self.df**0.5)).unsqueeze(-1)
        sines, cosines, weights = (output.new_tensor(column) for column in self._angles)
        gain = d.square() * cosines  # log((1 + gain)^2 - (d sin 2 theta)^2) / 2 is the mean over theta and -theta
        both = (2 * gain + gain.square() - (d * sines).square()).log1p()
        return ((self.df + 1) / 4 * (both * weights).sum(-1)).flatten(1).sum(1)

    def root(self, output: Tensor, z: Tensor) -> Tensor:
        del output
        return z * ((self.df + 1) / (self.df + 3)) ** 0.5 / self.scale

    @cached_property
    def _angles(self) -> tuple[list[float], list[float], list[float]]:
        """sin(2 theta), cos(theta)^2 and weights of theta in (0, pi/2)."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        theta = pi / 4 * (1 + nodes)
        density = weights * np.cos(theta) ** (self.df - 1)
        return np.sin(2 * theta).tolist(), (np.cos(theta) ** 2).tolist(), (density / density.sum()).tolist()


def likelihood(cfg: MLP) -> Gaussian | StudentT:
    """What task.loss says."""
    return Gaussian(cfg.scale) if cfg.loss.kind == "mse" else StudentT(cfg.loss.df, cfg.scale)
