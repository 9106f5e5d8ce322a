"""The loss of a deep linear network above its value at w*, in closed form.

    K(w) = E|P x - y|^2 / (2 s^2) - (the same at w*) = (tr(D S D^T) + 2 <D, R>) / (2 s^2)

with P = W_L ... W_1, D = P - P* and s = noise_std, in nats summed over outputs.

S is the second moment of x, R = E[(P* x - y) x^T] the residual's cross moment at w*; both over the population, or over
all rows. R is zero where w* labels the rows without noise, and for the target self, whose rows w* labels itself. K is a
difference in D, so that no digits are lost near w*.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx.types import Chains, PerChain

Order = int | tuple[Any, Any]  # of a product: the number of a layer, or (left factor, right factor)


class Moments(NamedTuple):
    """S [H_0, H_0], or one number for S = c I, and R [H_L, H_0] (None: zero)."""

    second: Tensor | float
    cross: Tensor | None = None


class Quadratic:
    """K [C] float64 of flat weights [C, P], differentiable; the products are formed in the weights' own dtype."""

    def __init__(self, widths: Sequence[int], centre: Tensor, noise_std: float, moments: Callable[[], Moments]) -> None:
        self.shapes = [(out, into) for into, out in pairwise(widths)]
        self.sizes = [out * into for out, into in self.shapes]
        self.order = order(tuple(widths))
        self.scale = 1 / (2 * noise_std**2)
        self.centre = centre  # P*
        self.moments = cache(moments)  # a pass over the rows where the loss is empirical, so only once it is asked for
        self._like: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor | float, Tensor | None]] = {}

    def __call__(self, w: Chains) -> PerChain:
        centre, second, cross = self._cast(w)
        d = multiplied(self._layers(w), self.order) - centre
        inner = d @ second if isinstance(second, Tensor) else d
        if cross is not None:
            inner = inner + cross
        factor = self.scale if isinstance(second, Tensor) else self.scale * second
        return factor * (d * inner).sum((1, 2), dtype=torch.float64)

    def _layers(self, w: Chains) -> list[Tensor]:
        return [part.unflatten(1, shape) for part, shape in zip(w.split(self.sizes, 1), self.shapes, strict=True)]

    def _cast(self, w: Tensor) -> tuple[Tensor, Tensor | float, Tensor | None]:
        """P*, S and 2 R (over c, where S = c I) in the dtype and on the device of w."""
        key = w.dtype, w.device
        if key not in self._like:
            second, cross = self.moments()
            if cross is not None:
                cross = (2 * cross if isinstance(second, Tensor) else 2 * cross / second).to(w)
            self._like[key] = self.centre.to(w), second.to(w) if isinstance(second, Tensor) else second, cross
        return self._like[key]


def of_law(covariance: Tensor | float, gap: Tensor | None = None) -> Moments:
    """Moments under the law of x. `gap` = P* - A, [H_L, H_0], where w* is not what labels the rows."""
    if gap is None:
        return Moments(covariance)
    return Moments(covariance, gap @ covariance if isinstance(covariance, Tensor) else gap * covariance)


def of_rows(batches: Iterable[tuple[Tensor, Tensor]], at: Tensor | None = None) -> Moments:
    """Moments over the rows (x, y) of `batches`; `at` = P* [H_L, H_0], None where w* labels the rows without noise."""
    second: Tensor | float = 0.0
    cross: Tensor | float = 0.0
    rows = 0
    for x, y in batches:
        rows += len(x)
        second = second + x.T @ x
        if at is not None:
            cross = cross + (x @ at.T - y).T @ x
    return Moments(second / rows, cross / rows if isinstance(cross, Tensor) else None)


def multiplied(layers: Sequence[Tensor], tree: Order) -> Tensor:
    """W_L ... W_1 of batched matrices, [C, H_L, H_0]."""
    if isinstance(tree, int):
        return layers[tree]
    return torch.bmm(multiplied(layers, tree[0]), multiplied(layers, tree[1]))


@cache
def order(widths: tuple[int, ...]) -> Order:
    """The cheapest order of the product: 2 to 3 times fewer operations than from the input on, on random widths.

    Dynamic programming over the spans of layers; Cormen et al., "Introduction to algorithms", matrix-chain product.
    """
    layers = len(widths) - 1
    best: dict[tuple[int, int], tuple[int, Order]] = {(layer, layer): (0, layer) for layer in range(layers)}
    for span in range(1, layers):
        for low in range(layers - span):
            high = low + span
            cuts = [
                (best[low, cut][0] + best[cut + 1, high][0] + widths[low] * widths[cut + 1] * widths[high + 1], cut)
                for cut in range(low, high)
            ]
            cost, cut = min(cuts)
            best[low, high] = cost, (best[cut + 1, high][1], best[low, cut][1])
    return best[0, layers - 1][1]
