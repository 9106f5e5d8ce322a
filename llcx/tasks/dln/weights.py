"""The kinds of w*: weights of known rank, and the module that holds them.

    balanced     W_l = Q_l diag(I_r, 0) Q_(l-1)^T, Q_l orthogonal: every partial product has rank r, the deepest point
    layerwise    Xavier normal layers, each with probability 1/2 cut to rank k, k uniform on 0..full (Lau et al. 2023)
    random_svd   Xavier normal layers, the last one changed so that the product is its own best approximation of rank r
    zero         all weights 0
    trained      Xavier normal layers, trained towards the product of a balanced draw

Lau, Furman, Wang, Murfet and Wei (2023), arXiv:2308.12108, appendix J, for layerwise and random_svd.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from llcx.tasks.dln import nets
from llcx.tasks.dln.schema import Model
from llcx.types import Streams

DOUBLE_UP_TO = 10_000_000  # parameters; beyond, the module holds float32


def initial(model: Model, streams: Streams) -> list[Tensor]:
    """W_1..W_L, [H_l, H_(l-1)] float64: w*, or where a training to it starts."""
    generator = streams.generator("weights")
    if model.w_star == "zero":
        return [torch.zeros(shape, dtype=torch.float64) for shape in _shapes(model)]
    if model.w_star == "balanced":
        return _balanced(model, streams)
    layers = [_xavier(*shape, generator) for shape in _shapes(model)]
    if model.w_star == "layerwise":
        ranks = nets.layer_ranks(model, streams) or ()
        return [truncated(layer, rank) for layer, rank in zip(layers, ranks, strict=True)]
    if model.w_star == "random_svd":
        return _cut(layers, nets.rank(model, streams))
    return layers


def true_map(model: Model, streams: Streams) -> Tensor:
    """A [H_L, H_0], the map that labels the rows: the product at w*, or the one that training aims at."""
    return product(_balanced(model, streams) if model.w_star == "trained" else initial(model, streams))


def module(layers: Sequence[Tensor]) -> nn.Sequential:
    """Linear layers without bias that hold copies of `layers`; parameters "0.weight" (at the input), "1.weight", ..."""
    single = sum(layer.numel() for layer in layers) > DOUBLE_UP_TO
    built = nn.Sequential()
    for layer in layers:
        linear = nn.Linear(layer.shape[1], layer.shape[0], bias=False, device="meta")
        linear.weight = nn.Parameter(layer.float() if single else layer.clone())
        built.append(linear)
    return built


def product(layers: Sequence[Tensor]) -> Tensor:
    """W_L ... W_1."""
    return torch.linalg.multi_dot(list(reversed(layers))) if len(layers) > 1 else layers[0]


def truncated(matrix: Tensor, rank: int) -> Tensor:
    """The best approximation of `rank`: the matrix itself, projected on its leading singular directions."""
    if rank >= min(matrix.shape):
        return matrix
    if matrix.shape[0] > matrix.shape[1]:
        return truncated(matrix.T, rank).T.contiguous()
    _, vectors = torch.linalg.eigh(matrix @ matrix.T)
    leading = vectors[:, vectors.shape[1] - rank :]
    return leading @ (leading.T @ matrix)


def _shapes(model: Model) -> list[tuple[int, int]]:
    return [(out, into) for into, out in pairwise(model.widths)]


def _xavier(out: int, into: int, generator: Generator) -> Tensor:
    return torch.randn(out, into, generator=generator, dtype=torch.float64) * (2 / (out + into)) ** 0.5


def _balanced(model: Model, streams: Streams) -> list[Tensor]:
    """Numbers are drawn for the narrowest width, the first r columns are used: a study's ranks share directions."""
    rank, narrowest = nets.rank(model, streams), min(model.widths)
    generator = streams.generator("directions")
    normals = [torch.randn(width, narrowest, generator=generator, dtype=torch.float64) for width in model.widths]
    frames = [torch.linalg.qr(each[:, :rank])[0] for each in normals]
    return [after @ before.T for before, after in pairwise(frames)]


def _cut(layers: list[Tensor], rank: int) -> list[Tensor]:
    """Change the last layer so that the product is cut to its `rank` leading singular directions."""
    if len(layers) == 1:
        return [truncated(layers[0], rank)]
    before = product(layers[:-1])
    wanted = truncated(layers[-1] @ before, rank)
    return [*layers[:-1], wanted @ torch.linalg.pinv(before)]
