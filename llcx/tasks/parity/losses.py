"""Losses of a margin, of F = alpha (f - f0) and labels y = +-1, divided by alpha.

    softhinge      softplus_beta(margin - F y) / alpha,  softplus_beta(z) = log(1 + e^{beta z}) / beta
    hinge          relu(margin - F y) / alpha
    qhinge         relu(margin - F y)^2 / (2 alpha)
    mse            (margin - F y)^2 / (2 alpha)
    cross_entropy  log(1 + e^{-F y}) / alpha

So the slope in f is free of alpha where F = 0, and lazy networks need times t ~ 1 / alpha. alpha times cross_entropy is
-log p(y | x) in nats, p = sigmoid(F y).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from llcx.tasks.parity.schema import Loss

Margins = Float[Tensor, "M N"]  # a row a member, a column an example
Labels = Float[Tensor, "#M N"] | Float[Tensor, " N"]


class Shape(NamedTuple):
    """alpha loss and its derivative, as functions of s = F y."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MarginLoss:
    """The loss of M members with output scales `alpha` [M]."""

    shape: Shape
    alpha: Float[Tensor, " M"]

    def value(self, f: Margins, y: Labels) -> Margins:
        """Loss of each example at outputs f, those at the start subtracted."""
        return self.shape.value(self.margins(f, y)) / self._alpha(f)

    def slope(self, f: Margins, y: Labels) -> Margins:
        """Its derivative in f."""
        return self.shape.slope(self.margins(f, y)) * y

    def margins(self, f: Margins, y: Labels) -> Margins:
        """F y; all of them positive: no error."""
        return self._alpha(f) * f * y

    def _alpha(self, f: Tensor) -> Tensor:
        return self.alpha.to(f).unsqueeze(1)


def build(cfg: Loss, alpha: Float[Tensor, " M"]) -> MarginLoss:
    """The loss that `cfg` asks for, of members with output scales alpha."""
    return MarginLoss(shape(cfg), alpha)


def shape(cfg: Loss) -> Shape:
    """Raises ValueError for a kind that there is not."""
    margin, beta = cfg.margin, cfg.beta
    if cfg.kind == "softhinge":
        return Shape(lambda s: softplus(margin - s, beta, threshold=40), lambda s: -torch.sigmoid(beta * (margin - s)))
    if cfg.kind == "hinge":
        return Shape(lambda s: (margin - s).relu(), lambda s: -(s < margin).to(s))
    if cfg.kind == "qhinge":
        return Shape(lambda s: (margin - s).relu().square() / 2, lambda s: -(margin - s).relu())
    if cfg.kind == "mse":
        return Shape(lambda s: (margin - s).square() / 2, lambda s: s - margin)
    if cfg.kind == "cross_entropy":
        return Shape(lambda s: softplus(-s, threshold=40), lambda s: -torch.sigmoid(-s))
    raise ValueError(f"task.loss.kind must be softhinge, hinge, qhinge, mse or cross_entropy, got {cfg.kind}")


def check_labels(y: Tensor) -> None:
    """Raise ValueError unless all labels are -1 or +1: with y = 0 a margin has no gradient and is never reached."""
    wrong = y[(y.abs() != 1) | ~y.isfinite()]
    if wrong.numel():
        raise ValueError(f"labels must be -1 or +1, got {wrong[0].item():g}; turn 0/1 labels into 2 y - 1")
