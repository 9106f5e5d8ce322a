"""Fully connected networks of one output, many at once: a row of weights a network, gradients without a graph.

    z_1 = W_0 x / sqrt(d) + b B_0,    z_{l+1} = W_l (c act(z_l)) / sqrt(h) + b B_l,    f = W_L (c act(z_L)) / s + b B_L

W ~ N(0, 1), B ~ N(0, bias_std^2); s = h (mean field) or sqrt(h) (NTK), b the multiplier of the biases, c the gain with
which E (c act)^2 = 1 for a standard normal argument. In the flat vector layers lie in their order, W_l before B_l.

In a layer z = W a + b B, with the scaling in a and the signal delta = df/dz, the gradient of f is delta a^T for W and
b delta for B. So the tangent kernel is sum_l (delta_l . delta_l') (a_l . a_l' + b^2).
"""

from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from llcx.tasks.parity import activations
from llcx.tasks.parity.schema import Network

Members = Float[Tensor, "M P"]
Outputs = Float[Tensor, "M N"]
Inputs = Float[Tensor, "N D"] | Float[Tensor, "M N D"]  # the same for all members, or each member's own
CACHED = 2**17  # activations of a layer, of all members whose turn it is: they stay in the cache on the way back
MOST = 2**20  # activations of a layer of one member; where there are more, rows are taken in turn


class Factor(NamedTuple):
    """What the gradients of f in one layer are made of."""

    signals: Float[Tensor, "M N out"]  # delta
    inputs: Float[Tensor, "M N in"]  # a, its scaling included
    bias: float  # b; 0: the layer has no biases


class _Trace(NamedTuple):
    """What a forward pass leaves for the way back."""

    inputs: list[Tensor]  # of each layer, [M, N, in], without its scaling
    slopes: list[Tensor]  # of each activation, [M, N, h]


class _Layer(NamedTuple):
    weight: Float[Tensor, "M out in"]
    bias: Float[Tensor, "M out"] | None
    gain: float  # of its input

    def __call__(self, a: Float[Tensor, "M N in"], b: float) -> Float[Tensor, "M N out"]:
        base = self.weight.new_zeros(1, 1, 1) if self.bias is None else self.bias.unsqueeze(1)
        return torch.baddbmm(base, a, self.weight.mT, beta=b, alpha=self.gain)


class FullyConnected:
    """Networks f(w, x) as functions of flat weights w [M, P]; `inputs` numbers are what they see of an example."""

    def __init__(self, cfg: Network, inputs: int) -> None:
        self.cfg, self.act = cfg, activations.build(cfg.act, cfg.act_beta, cfg.normalise)
        self.dtype: torch.dtype = getattr(torch, cfg.dtype)
        self.widths = (inputs, *[cfg.h] * cfg.layers, 1)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(cfg.layers + 1):
            self.shapes[f"W{layer}"] = (self.widths[layer + 1], self.widths[layer])
            if cfg.bias:
                self.shapes[f"B{layer}"] = (self.widths[layer + 1],)
        gain, h = self.act.gain, cfg.h
        self.gains = (
            inputs**-0.5,
            *[gain * h**-0.5] * (cfg.layers - 1),
            gain / (h if cfg.out_scale == "mf" else h**0.5),
        )

    @property
    def parameters(self) -> int:
        """P."""
        return sum(map(prod, self.shapes.values()))

    def initial(self, generator: Generator) -> Float[Tensor, " P"]:
        """Weights at the start, W before all B: networks of one shape start at the same W whatever their alpha or b."""
        drawn = {}
        for kind, scale in (("W", 1.0), ("B", self.cfg.bias_std)):
            for name in (name for name in self.shapes if name.startswith(kind)):
                drawn[name] = scale * torch.randn(self.shapes[name], generator=generator, dtype=torch.float64)
        return torch.cat([drawn[name].flatten() for name in self.shapes]).to(self.dtype)

    def named(self, w: Float[Tensor, "*M P"]) -> dict[str, Tensor]:
        """name -> [*M, *shape], as views."""
        parts = w.split([prod(shape) for shape in self.shapes.values()], dim=-1)
        return {name: part.unflatten(-1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def outputs(self, w: Members, x: Inputs) -> Outputs:
        """f, to the last bit that of `pull`."""
        x = self._rows(w, x)
        f = w.new_empty(x.shape[:2])
        for own, rows in self._turns(x):
            f[own, rows] = self._forward(w[own], x[own, rows])[0]
        return f

    def gradient(self, w: Members, x: Inputs, slope: Outputs) -> Members:
        """sum_i slope_i df_i/dw."""
        return self.pull(w, x, lambda _: slope)[1]

    def pull(self, w: Members, x: Inputs, slopes: Callable[[Outputs], Outputs]) -> tuple[Outputs, Members]:
        """f, and `gradient` with slopes(f); the slope of an example must depend on its own f alone."""
        x = self._rows(w, x)
        f, found = w.new_zeros(x.shape[:2]), torch.zeros_like(w)
        for own, rows in self._turns(x):
            f[own, rows], trace = self._forward(w[own], x[own, rows])
            found[own] += self._backward(w[own], trace, slopes(f)[own, rows])
        return f, found

    def factors(self, w: Members, x: Inputs) -> list[Factor]:
        """Of each layer, for all rows at once."""
        f, trace = self._forward(w, self._rows(w, x))
        signals = self._signals(w, trace, torch.ones_like(f))
        pairs = zip(signals, trace.inputs, self.gains, strict=True)
        return [Factor(delta, gain * a, self.cfg.bias) for delta, a, gain in pairs]

    def module(self, w0: Float[Tensor, " P"], alpha: float) -> nn.Module:
        """F = alpha (f(w, x) - f(w0, x)) as a module that starts at w0: x [B, D] -> [B]."""
        return Shifted(self, w0, alpha)

    def _layers(self, w: Members) -> list[_Layer]:
        named = self.named(w)
        return [_Layer(named[f"W{i}"], named.get(f"B{i}"), gain) for i, gain in enumerate(self.gains)]

    def _rows(self, w: Members, x: Inputs) -> Float[Tensor, "M N D"]:
        return x.to(w).expand(len(w), *x.shape[-2:])

    def _turns(self, x: Float[Tensor, "M N D"]) -> Iterator[tuple[slice, slice]]:
        """Members, and rows, that go through all layers and back before the next do."""
        members, rows = max(1, CACHED // max(1, x.shape[1] * self.cfg.h)), max(1, MOST // self.cfg.h)
        starts = product(range(0, len(x), members), range(0, x.shape[1], rows))
        return ((slice(own, own + members), slice(row, row + rows)) for own, row in starts)

    def _forward(self, w: Members, x: Float[Tensor, "M N D"]) -> tuple[Outputs, _Trace]:
        *hidden, last = self._layers(w)
        trace = _Trace([x], [])
        for layer in hidden:
            value, slope = self.act.both(layer(trace.inputs[-1], self.cfg.bias))
            trace.inputs.append(value)
            trace.slopes.append(slope)
        return last(trace.inputs[-1], self.cfg.bias).squeeze(2), trace

    def _signals(self, w: Members, trace: _Trace, slope: Outputs) -> list[Float[Tensor, "M N out"]]:
        """slope df/dz of each layer, the first one first."""
        signals = [slope.unsqueeze(2)]
        for layer, turned in zip(self._layers(w)[:0:-1], reversed(trace.slopes), strict=True):
            weight = layer.gain * layer.weight
            one = weight.shape[1] == 1  # the outer product by itself is faster
            signals.append((signals[-1] * weight if one else torch.bmm(signals[-1], weight)).mul_(turned))
        return signals[::-1]

    def _backward(self, w: Members, trace: _Trace, slope: Outputs) -> Members:
        found = []
        for delta, a, gain in zip(self._signals(w, trace, slope), trace.inputs, self.gains, strict=True):
            found.append(torch.bmm(a.mT, delta).mul_(gain).mT.flatten(1))
            if self.cfg.bias:
                found.append(delta.sum(1).mul_(self.cfg.bias))
        return torch.cat(found, 1)


class Probe:
    """Norms of every layer and of its change, and how much the inputs of the support stand out in the first one."""

    def __init__(self, network: FullyConnected, bits: int) -> None:
        """`bits` inputs are bits of the string; a bias column after them belongs to neither side."""
        self.network, self.bits = network, bits

    def __call__(self, w: Members, w0: Members, support: Int[Tensor, "M k"]) -> dict[str, Float[Tensor, " M"]]:
        """norm.W0, dnorm.W0, ..; dmax of any weight; rms of W_0 at relevant and irrelevant bits, and of its change."""
        found: dict[str, Tensor] = {"dmax": (w - w0).abs().amax(1)}
        for letter, at in (("", w), ("d", w - w0)):
            named = self.network.named(at)
            found |= {f"{letter}norm.{name}": part.flatten(1).norm(dim=1) for name, part in named.items()}
            power = named["W0"].square().mean(1)[:, : self.bits]
            inside = torch.zeros_like(power).scatter(1, support, 1.0)
            for name, mask in (("relevant", inside), ("irrelevant", 1 - inside)):
                found[letter + name] = ((power * mask).sum(1) / mask.sum(1)).sqrt()
        return found


class Shifted(nn.Module):
    """F = alpha (f(w, x) - f(w0, x)), or alpha f(w, x) where nothing is to be subtracted."""

    w0: Tensor

    def __init__(self, network: FullyConnected, w0: Float[Tensor, " P"], alpha: float) -> None:
        super().__init__()
        self.network, self.alpha = network, alpha
        for name, value in network.named(w0).items():
            self.register_parameter(name, nn.Parameter(value.clone()))
        self.register_buffer("w0", w0.clone(), persistent=False)

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        f = self._f(dict(self.named_parameters()), x)
        return self.alpha * (f - self._f(self.network.named(self.w0), x) if self.network.cfg.subtract else f)

    def _f(self, named: dict[str, Tensor], x: Tensor) -> Tensor:
        net, a = self.network, x.to(self.w0)
        for layer, gain in enumerate(net.gains):
            a = a if layer == 0 else net.act.value(a)
            a = gain * (a @ named[f"W{layer}"].mT)
            if net.cfg.bias:
                a = a + net.cfg.bias * named[f"B{layer}"]
        return a.squeeze(-1)
