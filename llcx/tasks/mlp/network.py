"""The network: linear layers `layer0`, `layer1`, ..., `out`, in between activations, layer norms where asked for."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from llcx import rng
from llcx.tasks.mlp import sizes
from llcx.tasks.mlp.schema import Model

DOUBLE_UP_TO = 2_000  # parameters; beyond, module and rows hold float32

BENDS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}
SPREADS: dict[str, Callable[[int, int], float]] = {  # (inputs, outputs) of a layer -> standard deviation of its weights
    "he": lambda into, out: (2 / into) ** 0.5,
    "xavier": lambda into, out: (2 / (into + out)) ** 0.5,
    "lecun": lambda into, out: (1 / into) ** 0.5,
}


def build(model: Model, generator: Generator) -> nn.Sequential:
    """The network at its initial weights."""
    ends = [model.in_dim, *sizes.hidden(model), model.out_dim]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    with rng.seeded(generator):
        for place, (into, out) in enumerate(pairwise(ends)):
            last = place == len(ends) - 2
            layers["out" if last else f"layer{place}"] = nn.Linear(into, out, bias=model.bias)
            if not last:
                if model.layernorm:
                    layers[f"norm{place}"] = nn.LayerNorm(out)
                layers[f"bend{place}"] = BENDS[model.activation]()
    network = nn.Sequential(layers).to(dtype(model))
    for layer in network:
        if isinstance(layer, nn.Linear) and model.init != "torch":
            _start(layer, model.init, generator)
    return network


def dtype(model: Model) -> torch.dtype:
    """Of the module and its rows."""
    return torch.float64 if sizes.parameters(model) <= DOUBLE_UP_TO else torch.float32


def _start(layer: nn.Linear, init: str, generator: Generator) -> None:
    """Weights drawn in float64, so that the module's dtype does not change which they are; biases 0."""
    shape = layer.out_features, layer.in_features
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(_orthogonal(normal) if init == "orthogonal" else SPREADS[init](*shape[::-1]) * normal)
        if layer.bias is not None:
            layer.bias.zero_()


def _orthogonal(normal: Tensor) -> Tensor:
    """Orthonormal rows, or columns where there are more rows."""
    if normal.shape[0] < normal.shape[1]:
        return _orthogonal(normal.T).T
    frame, upper = torch.linalg.qr(normal)
    return frame * upper.diagonal().sign()
