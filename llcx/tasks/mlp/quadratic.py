"""task.target=quadratic: the mean of normals, a model whose loss is a quadratic on every data set.

    x_i ~ N(w0, I_P),   nll = |x - w|^2 / 2,   w* = mean of the rows,   K(w) = |w - w*|^2 / 2 exactly

lambda = P/2, and at every n*beta and gamma the estimate is P/2 n*beta / (n*beta + gamma). Minibatch gradients have the
noise of their rows, so that kernels of minibatches are held against the exact value too.
"""

import torch
from torch import Tensor, nn

from llcx.likelihoods import Gaussian
from llcx.rng import counter_normal
from llcx.tasks.mlp.schema import MLP
from llcx.tasks.rows import stored
from llcx.types import Data, StatModel, Streams


class Mean(nn.Module):
    """A mean, whatever the row."""

    def __init__(self, at: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(at.clone())

    def forward(self, rows: Tensor) -> Tensor:
        return self.w.expand(len(rows), -1)


def parameters(cfg: MLP) -> int:
    """P."""
    assert cfg.model.target_params is not None  # MLP refused it
    return cfg.model.target_params


def rows(cfg: MLP, streams: Streams) -> Data:
    """The rows [n, P], which are their own labels."""
    generator = streams.generator("teacher")
    centre = torch.randn(parameters(cfg), generator=generator, dtype=torch.float64)

    def take(numbers: Tensor) -> tuple[Tensor, Tensor]:
        x = centre + counter_normal(streams.key("inputs"), numbers, len(centre))
        return x, x

    return Data(stored(take, cfg.data.n), cfg.data.n, cfg.data.mode)


def model(cfg: MLP, streams: Streams) -> StatModel:
    """At w*, the mean of the rows."""
    train = rows(cfg, streams).train
    assert isinstance(train, tuple)
    unit = Gaussian(1.0)
    return StatModel(Mean(train[0].mean(0)), unit, unit.kl, root=unit.root)
