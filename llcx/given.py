"""What a user of the library gives: rows, a loss, a module and a kernel, as what a measurement takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from llcx import rowwise
from llcx.registry import SAMPLERS
from llcx.types import Batch, Data, Point, StatModel

Loss = Callable[[Any, Batch], Tensor]
Forward = Callable[[nn.Module, Batch], Any]


@dataclass(frozen=True)
class Hardware:
    """Where and how precisely chains run."""

    device: str
    dtype: str
    backend: str = "auto"
    memory: float | None = None


@dataclass(frozen=True)
class Given:
    """Data, a loss and how a module meets them; the point is made when there are weights."""

    data: Data
    loss: Loss
    forward: Forward | None = None
    n: int | None = None  # predictions, where a row holds several
    others: Mapping[str, Data] = field(default_factory=dict)  # measure_on

    def point(self, module: nn.Module, name: str = "model") -> Point:
        """The module at its present weights."""
        kl, root = getattr(self.loss, "kl", None), getattr(self.loss, "root", None)
        model = StatModel(module, summed(self.loss, self.n), kl, forward=self.forward, root=root)
        rowwise.check(model, self.data.train)
        return Point(name, {}, model, self.data, others=self.others)


def given(data: Any, loss: Loss, *, forward: Forward | None, n: int | None, measure_on: Any) -> Given:
    """Raises ValueError for data that cannot be used, naming the argument."""
    found = rows(data)
    if forward is None and not isinstance(found, tuple | list):
        raise ValueError(f"forward is required for data of type {type(found).__name__}; give forward(model, batch)")
    count = len(tree_leaves(found)[0])
    others = {} if measure_on is None else {"measure_on": _other(measure_on)}
    return Given(Data(found, count if n is None else n), loss, forward, n, others)


def checked(model: Any) -> nn.Module:
    """Raises ValueError where `model` is not a module."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}; see llcx.estimate_potential")
    return model


def hardware(model: nn.Module, device: str | torch.device | None, dtype: str) -> Hardware:
    """The model's own device where none is named."""
    return Hardware(str(device or next(model.parameters()).device), dtype)


def kernel(sampler: Any) -> Any:
    """A kernel's record from a name or a record."""
    return SAMPLERS.schema(sampler)() if isinstance(sampler, str) else sampler


def rows(data: Any) -> Batch:
    """A pytree of stacked tensors from tensors or numpy's arrays, a map-style Dataset or a DataLoader."""
    if isinstance(data, str):
        raise ValueError(
            f"data must be tensors, a map-style Dataset or a DataLoader, got the text {data!r}; load it first"
        )
    if isinstance(data, Tensor):
        raise ValueError("data must be a tuple, list or dict of tensors, a Dataset or a DataLoader, got a tensor; "
                         "wrap it: (x,) or (x, y)")  # fmt: skip
    if isinstance(data, tuple | list | dict):
        data = tree_map(_tensor, data)
        if all(isinstance(leaf, Tensor) for leaf in tree_leaves(data)):
            return data
    dataset = getattr(data, "dataset", data)
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise ValueError(f"data must be tensors, a map-style Dataset or a DataLoader, got {type(data).__name__}")
    collate = getattr(data, "collate_fn", None) or torch.utils.data.default_collate
    found = collate([dataset[i] for i in range(len(dataset))])
    return tuple(found) if isinstance(found, list) else found


def summed(loss: Loss, n: int | None) -> Loss:
    """`loss` as nats a row: [B, T] losses are summed over their predictions."""

    def per_row(output: Any, batch: Batch) -> Tensor:
        found = loss(output, batch)
        if found.dim() == 2 and n is None:
            raise ValueError(
                f"n must be given for a loss of shape {list(found.shape)}; it is the number of predictions"
            )
        return found.sum(1) if found.dim() == 2 else found

    return per_row


def _other(data: Any) -> Data:
    """Other data for L, of the same kind; n is the number of its rows."""
    try:
        found = rows(data)
    except ValueError as error:
        raise ValueError(f"measure_on must be rows like data: {error}") from error
    return Data(found, len(tree_leaves(found)[0]))


def _tensor(leaf: Any) -> Any:
    """Of an array; floating-point numbers in torch's default dtype, in which modules are built."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    found = torch.from_numpy(np.ascontiguousarray(leaf))
    return found.to(torch.get_default_dtype()) if found.is_floating_point() else found
