"""The neural tangent kernel of scalar networks, exactly, as Gram matrices between train and test inputs.

    Theta(x, x') = df(x)/dw . df(x')/dw

`Layerwise` is for fully connected networks. The gradient in a layer's weights is of rank one, delta(x) a(x)^T, so that
without any Jacobian

    Theta(x, x') = sum over layers of (delta . delta') (a . a' + b^2)

where a are the inputs of the layer, delta = df/d(its preactivations), both with their scalings, and b multiplies the
bias: N^2 h products a layer for N inputs. `Jacobians` is for any module whose output is one number an example
(torch.func: N^2 P products for P parameters, and P numbers an input to keep or to compute again).

M members    N train inputs    K test inputs    P parameters    Jacot et al. (2018), arXiv:1806.07572
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from llcx.params import layout
from llcx.settings import one_of
from llcx.tasks.parity.network import Factor, FullyConnected
from llcx.types import Flat

PARTS = {"all": slice(None), "headless": slice(1, None), "features": slice(-1, None)}  # of the layers, first to last


class Blocks(NamedTuple):
    """Theta between the inputs of M members."""

    trtr: Float[Tensor, "M N N"]
    tetr: Float[Tensor, "M K N"]
    tete: Float[Tensor, "M L L"]  # L = K, or 0 where it was not asked for

    def minus(self, other: "Blocks") -> "Blocks":
        """The change from `other` to this."""
        return Blocks(*(here - there for here, there in zip(self, other, strict=True)))


@runtime_checkable
class Source(Protocol):
    """Gradients of one member, in whatever form, and their products."""

    def plan(self, inputs: int) -> tuple[int, bool]:
        """Inputs to take at once, and whether the gradients of all of them may be kept."""

    def gradients(self, w: Flat, x: Float[Tensor, "B d"], part: str) -> Any:
        """df(x)/dw of a part of the parameters, in the source's own form."""

    def products(self, rows: Any, columns: Any) -> Float[Tensor, "B D"]:
        """Of two batches of gradients."""


@dataclass(frozen=True)
class Layerwise:
    """Gradients as their rank-one factors: exact, and far smaller than a Jacobian."""

    network: FullyConnected
    chunk: int = 256  # inputs at once: three matrices of this size are all that a product needs

    def plan(self, inputs: int) -> tuple[int, bool]:
        del inputs
        return self.chunk, True

    def gradients(self, w: Flat, x: Float[Tensor, "B d"], part: str) -> Sequence[Factor]:
        return self.network.factors(w[None], x)[PARTS[part]]

    def products(self, rows: Sequence[Factor], columns: Sequence[Factor]) -> Float[Tensor, "B D"]:
        total: Tensor | None = None
        for one, other in zip(rows, columns, strict=True):
            of_inputs = one.inputs[0] @ other.inputs[0].mT + one.bias**2
            of_signals = one.signals[0] @ other.signals[0].mT
            total = of_signals.mul_(of_inputs) if total is None else total.addcmul_(of_signals, of_inputs)
        if total is None:
            raise ValueError("part must name at least one layer, got none; a network of one layer has no headless part")
        return total


@dataclass(frozen=True)
class Jacobians:
    """Gradients of any module, by vmap(grad), in chunks of inputs. Its forward maps [B, d] to [B] or [B, 1].

    The parts are by leaf modules that own trainable parameters, in the order of `named_parameters`: headless is without
    the first of them, features is the last one alone. `parts` says otherwise, by globs of names.
    """

    module: nn.Module
    memory: float = 2.0**28  # bytes of Jacobians; what does not fit is computed more than once
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def plan(self, inputs: int) -> tuple[int, bool]:
        each = 8 * layout(self.module).size
        return max(1, min(inputs, int(self.memory / (4 * each)))), inputs * each <= self.memory

    def gradients(self, w: Flat, x: Float[Tensor, "B d"], part: str) -> tuple[Tensor, ...]:
        """[B, p] for each parameter tensor of the part."""
        weights = layout(self.module).unflatten(w)
        asked = {name: weights[name] for name in self._names(part)}

        def output(asked: dict[str, Tensor], one: Tensor) -> Tensor:
            found = functional_call(self.module, weights | asked, (one[None],))
            if found.numel() != 1:
                raise ValueError(f"model must give one number an example, got shape {tuple(found.shape)}")
            return found.reshape(())

        jacobian = vmap(grad(output), (None, 0))(asked, x.to(w))
        return tuple(rows.detach().flatten(1) for rows in jacobian.values())

    def products(self, rows: Sequence[Tensor], columns: Sequence[Tensor]) -> Float[Tensor, "B D"]:
        total = rows[0] @ columns[0].mT
        for one, other in zip(rows[1:], columns[1:], strict=True):
            total.addmm_(one, other.mT)
        return total

    def _names(self, part: str) -> Sequence[str]:
        known = layout(self.module)
        if part in self.parts:
            matched = known.matching(self.parts[part])
            return [name for name in known.names if name in matched]
        leaves = list(dict.fromkeys(_leaf(name) for name in known.names))[PARTS[part]]
        if not leaves:
            raise ValueError(f"part={part!r} must hold parameters, got none; the model has one module that has any")
        return [name for name in known.names if _leaf(name) in leaves]


def _leaf(name: str) -> str:
    return name.rpartition(".")[0]


def blocks(
    source: Source,
    w: Float[Tensor, "M P"],
    train: Float[Tensor, "*M1 N d"],
    test: Float[Tensor, "*M1 K d"],
    part: str = "all",
    *,
    tete: bool = True,
) -> Blocks:
    """Theta of each member at its weights; the inputs are one set for all members, or one each.

    `part` is all | headless (without the first layer) | features (the last layer alone). Member after member, in the
    dtype and on the device of `w`. Raises ValueError for an unknown part and for a part without parameters.
    """
    one_of("part", part, tuple(PARTS))
    members, (n, k) = len(w), (train.shape[-2], test.shape[-2])
    own = k if tete else 0
    found = Blocks(w.new_empty(members, n, n), w.new_empty(members, k, n), w.new_empty(members, own, own))
    for member, (at, *inputs) in enumerate(zip(w, _each(train, members), _each(test, members), strict=True)):
        _fill(Blocks(*(block[member : member + 1] for block in found)), source, at, torch.cat(inputs), part)
    return found


def _each(x: Tensor, members: int) -> Tensor:
    return x.expand(members, *x.shape[-2:])


def _fill(found: Blocks, source: Source, w: Flat, x: Tensor, part: str) -> None:
    """Each pair of chunks once; train/train and test/test are symmetric to the bit."""
    chunk, keep = source.plan(len(x))
    n = found.trtr.shape[-1]
    spans = [*_spans(0, n, chunk), *_spans(n, len(x), chunk)]

    def gradients(index: int) -> Any:
        return source.gradients(w, x[spans[index]], part)

    of_column: Callable[[int], Any] = cache(gradients) if keep else gradients
    for row in range(len(spans)):
        of_row = of_column(row)
        for column in range(row + 1):
            place = _place(found, spans[row], spans[column], n)
            if place is not None:
                products = source.products(of_row, of_row if column == row else of_column(column))
                if column == row:
                    products = (products + products.mT) / 2
                for target, values in zip(place, (products, products.mT), strict=False):
                    target.copy_(values)


def _spans(first: int, end: int, chunk: int) -> list[slice]:
    return [slice(begin, min(begin + chunk, end)) for begin in range(first, end, chunk)]


def _place(found: Blocks, row: slice, column: slice, n: int) -> tuple[Tensor, ...] | None:
    """Where the products of two spans of [train, test] belong, and where their transpose does."""
    if row.start < n:
        return found.trtr[0, row, column], found.trtr[0, column, row]
    row = slice(row.start - n, row.stop - n)
    if column.start < n:
        return (found.tetr[0, row, column],)
    if found.tete.shape[-1] == 0:
        return None
    column = slice(column.start - n, column.stop - n)
    return found.tete[0, row, column], found.tete[0, column, row]
