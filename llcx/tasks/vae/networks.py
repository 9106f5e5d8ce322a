"""Encoders x -> features [B, F] and decoders z -> [B, c, h, w], as modules that run under torch.func.vmap.

Every encoder is followed by affine heads, and every decoder begins with an affine layer, `first`: a rescaling of the
latent dimensions can be moved into either.

    mlp       `layers` hidden layers each way, ReLU
    conv      two 3x3 convolutions of stride 2, and their mirror: nearest-neighbour resizing, then 3x3 convolutions
    resnet18  He et al. (2016), arXiv:1512.03385, with a 3x3 stem of stride 1 and no pooling (for small images), four
              stages of two blocks; mirrored in the decoder, where a block resizes before its second convolution
    linear    none: the heads and `first` are all there is

Batch norm mixes the examples of a batch while it trains; in evaluation mode, at its running statistics, it does not. A
loss of one example needs that, or norm=group or none.
"""

from itertools import pairwise
from math import gcd, prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llcx.tasks.vae.schema import Model

STEM = 4  # most pixels a side that resnet18's decoder starts from


class Shape(NamedTuple):
    """Of one image."""

    channels: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Numbers, all channels counted."""
        return prod(self)


class Encoder(NamedTuple):
    """x [B, c, h, w] -> features [B, features]."""

    body: nn.Module
    features: int


class Decoder(nn.Module):
    """z [B, D] -> [B, c, h, w], no nonlinearity at the end."""

    def __init__(self, first: nn.Linear, rest: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = first, rest

    def forward(self, z: Tensor) -> Tensor:
        return self.rest(self.first(z))


class Offset(nn.Module):
    """The same learned vector for every example: what a head is where nothing is amortised."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, features: Tensor) -> Tensor:
        return self.bias.expand(len(features), -1)


class Resize(nn.Module):
    """Nearest-neighbour resizing to (h, w)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x if tuple(x.shape[-2:]) == self.size else F.interpolate(x, size=self.size, mode="nearest")


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: relu(norm(conv(relu(norm(conv x)))) + shortcut x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()


def encoder(cfg: Model, shape: Shape) -> Encoder:
    """Raises ValueError for an architecture that there is not."""
    if cfg.arch == "linear":
        return Encoder(nn.Flatten(1), shape.pixels)
    if cfg.arch == "mlp":
        return Encoder(nn.Sequential(nn.Flatten(1), *_hidden([shape.pixels, *[cfg.units] * cfg.layers])), cfg.units)
    if cfg.arch == "conv":
        _, _, (h, w) = _sides(shape, 2)
        body = [*_conv_relu(shape.channels, cfg.units, 2), *_conv_relu(cfg.units, 2 * cfg.units, 2), nn.Flatten(1)]
        return Encoder(nn.Sequential(*body), 2 * cfg.units * h * w)
    if cfg.arch == "resnet18":
        return Encoder(_resnet_encoder(cfg, shape), 8 * cfg.units)
    raise ValueError(f"task.model.arch must be mlp, conv, resnet18 or linear, got {cfg.arch}")


def decoder(cfg: Model, shape: Shape) -> Decoder:
    """Raises ValueError for an architecture that there is not."""
    if cfg.arch == "linear":
        return Decoder(nn.Linear(cfg.latent_dim, shape.pixels), nn.Unflatten(1, shape))
    if cfg.arch == "mlp":
        body = [nn.ReLU(), *_hidden([cfg.units] * cfg.layers), nn.Linear(cfg.units, shape.pixels)]
        return Decoder(nn.Linear(cfg.latent_dim, cfg.units), nn.Sequential(*body, nn.Unflatten(1, shape)))
    if cfg.arch == "conv":
        return _conv_decoder(cfg, shape)
    if cfg.arch == "resnet18":
        return _resnet_decoder(cfg, shape)
    raise ValueError(f"task.model.arch must be mlp, conv, resnet18 or linear, got {cfg.arch}")


def _hidden(widths: list[int]) -> list[nn.Module]:
    """An affine layer and a ReLU between each two of `widths`."""
    return [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]


def _sides(shape: Shape, halvings: int) -> list[tuple[int, int]]:
    """(h, w) of an image and after each convolution of stride 2."""
    sides = [(shape.height, shape.width)]
    for _ in range(halvings):
        sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
    return sides


def _conv_relu(a: int, b: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(a, b, 3, stride, 1), nn.ReLU()]


def _conv_decoder(cfg: Model, shape: Shape) -> Decoder:
    whole, half, quarter = _sides(shape, 2)
    start = (2 * cfg.units, *quarter)
    body = [nn.Unflatten(1, start), nn.ReLU(), Resize(half), *_conv_relu(2 * cfg.units, cfg.units)]
    body += [Resize(whole), nn.Conv2d(cfg.units, shape.channels, 3, 1, 1)]
    return Decoder(nn.Linear(cfg.latent_dim, prod(start)), nn.Sequential(*body))


def _resnet_encoder(cfg: Model, shape: Shape) -> nn.Module:
    width, norm = cfg.units, cfg.norm
    body = [_conv(shape.channels, width, 3, norm), _norm(width, norm), nn.ReLU()]
    before = width
    for stage, stride in enumerate((1, 2, 2, 2)):
        after = width * 2**stage
        body += [_down(before, after, stride, norm), _down(after, after, 1, norm)]
        before = after
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


def _resnet_decoder(cfg: Model, shape: Shape) -> Decoder:
    width, norm = cfg.units, cfg.norm
    whole, half, quarter, eighth = _sides(shape, 3)
    start = (8 * width, min(STEM, eighth[0]), min(STEM, eighth[1]))
    body: list[nn.Module] = [nn.Unflatten(1, start), Resize(eighth)]
    before = 8 * width
    for after, size in ((4 * width, quarter), (2 * width, half), (width, whole), (width, None)):
        body += [_up(before, after, size, norm), _up(after, after, None, norm)]
        before = after
    body.append(nn.Conv2d(width, shape.channels, 3, 1, 1, bias=False))
    return Decoder(nn.Linear(cfg.latent_dim, prod(start)), nn.Sequential(*body))


def _down(a: int, b: int, stride: int, norm: str) -> Block:
    """A block of the encoder: its first convolution has the stride and the change of channels."""
    body = [_conv(a, b, 3, norm, stride), _norm(b, norm), nn.ReLU(), _conv(b, b, 3, norm), _norm(b, norm)]
    same = stride == 1 and a == b
    shortcut = [] if same else [_conv(a, b, 1, norm, stride), _norm(b, norm)]
    return Block(nn.Sequential(*body), nn.Sequential(*shortcut))


def _up(a: int, b: int, size: tuple[int, int] | None, norm: str) -> Block:
    """A block of the decoder: resizing (None: none) and the change of channels are in its second convolution."""
    resized: list[nn.Module] = [] if size is None else [Resize(size)]
    body = [_conv(a, a, 3, norm), _norm(a, norm), nn.ReLU(), *resized, _conv(a, b, 3, norm), _norm(b, norm)]
    shortcut = [] if size is None and a == b else [*resized, _conv(a, b, 1, norm), _norm(b, norm)]
    return Block(nn.Sequential(*body), nn.Sequential(*shortcut))


def _conv(a: int, b: int, kernel: int, norm: str, stride: int = 1) -> nn.Conv2d:
    """A norm brings its own offset."""
    return nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=norm == "none")


def _norm(channels: int, norm: str) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":  # 16 channels a group, Wu and He (2018), arXiv:1803.08494
        return nn.GroupNorm(gcd(channels, max(1, channels // 16)), channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"task.model.norm must be batch, group or none, got {norm}")
