"""Rows of data for chains: stored as tensors or computed on demand, each with what its loss is measured against."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from llcx.types import Batch, Data, Index, Rows, StatModel

NARROW = 16  # columns up to which rows are taken column by column


class Source:
    """The rows of `data` and their reference: the loss at w* (target data) or the output there (target self).

    `memory` in bytes bounds what is evaluated at once.
    """

    def __init__(self, model: StatModel, data: Data, target: str, memory: int) -> None:
        self.model, self.data, self.target, self.memory = model, data, target, memory
        first = next(model.module.parameters())
        self.device, self.dtype = first.device, first.dtype
        train = data.train
        self.stored = None if isinstance(train, Rows) else tree_map(self._cast, train)
        self.rows = train.total if isinstance(train, Rows) else _common_length(self.stored)
        self.row_bytes = self._row_bytes()
        self.loss_at_minimum = float("nan")
        self.reference = None if self.stored is None else self._reference()
        self._leaves, self._spec = tree_flatten((self.stored, self.reference))  # once: a step takes rows in 20 us

    def take(self, idx: Tensor) -> tuple[Batch, Any]:
        """Batch and reference of the rows `idx` [C, B] or [B], with the axes of `idx` in front."""
        flat = idx.reshape(-1)
        if self.stored is None:
            batch = self._computed(flat)
            chosen = (batch, self._at_minimum(batch))
            return tree_map(lambda leaf: leaf.unflatten(0, idx.shape), chosen)
        leaves = [leaf.index_select(0, flat).view(*idx.shape, *leaf.shape[1:]) for leaf in self._leaves]
        batch, reference = tree_unflatten(leaves, self._spec)
        return batch, reference

    def leaves(self, idx: Index, any_order: bool) -> list[Tensor]:
        """The tensors of `take`, of stored rows; in `any_order` few columns lie one after the other in memory."""
        flat = idx.reshape(-1)
        if not any_order or not self._narrow:
            return [leaf.index_select(0, flat).view(*idx.shape, *leaf.shape[1:]) for leaf in self._leaves]
        columns = iter(self._columns.index_select(1, flat).view(-1, *idx.shape).permute(1, 2, 0).split(self._sizes, 2))
        return [
            next(columns) if k in self._narrow else leaf.index_select(0, flat).view(*idx.shape, *leaf.shape[1:])
            for k, leaf in enumerate(self._leaves)
        ]

    @cached_property
    def _narrow(self) -> tuple[int, ...]:
        """Places of the leaves of few columns."""
        return tuple(
            k
            for k, leaf in enumerate(self._leaves)
            if isinstance(leaf, Tensor) and leaf.dtype == self.dtype and leaf.dim() == 2 and 1 < leaf.shape[1] <= NARROW
        )

    @cached_property
    def _sizes(self) -> list[int]:
        return [self._leaves[k].shape[1] for k in self._narrow]

    @cached_property
    def _columns(self) -> Tensor:
        """All of them [columns, N], row by row: a second copy of little."""
        return torch.cat([self._leaves[k].T for k in self._narrow]).contiguous()

    def slice(self, rows: slice) -> tuple[Batch, Any]:
        """Batch and reference of consecutive rows."""
        if self.stored is not None:
            return tree_map(lambda leaf: leaf[rows], (self.stored, self.reference))
        return self.take(torch.arange(rows.start, rows.stop, device=self.device))

    def at_once(self, chains: int) -> int:
        """Rows that fit the memory for so many chains."""
        return max(1, self.memory // (chains * self.row_bytes))

    def _cast(self, leaf: Tensor) -> Tensor:
        return leaf.to(self.device, self.dtype if leaf.is_floating_point() else leaf.dtype)

    def _computed(self, idx: Tensor) -> Batch:
        assert isinstance(self.data.train, Rows)
        return tree_map(self._cast, self.data.train.take(idx))

    def _at_minimum(self, batch: Batch) -> Any:
        with torch.no_grad():
            output = call(self.model, {}, batch)
            return output if self.target == "self" else self.model.nll(output, batch).double()

    def _reference(self) -> Any:
        """References of all stored rows; on the way, L(w*) and a look at the loss's shape."""
        outputs, losses = [], []
        with torch.no_grad():
            for rows in chunks(self.rows, self.at_once(1)):
                batch = tree_map(lambda leaf, rows=rows: leaf[rows], self.stored)
                outputs.append(call(self.model, {}, batch))
                losses.append(self.model.nll(outputs[-1], batch).double())
                check_per_example(losses[-1], rows.stop - rows.start)
        self.loss_at_minimum = float(torch.cat(losses).sum()) / self.data.n
        return tree_map(lambda *leaves: torch.cat(leaves), *(outputs if self.target == "self" else losses))

    def _row_bytes(self) -> int:
        """Bytes that one row leaves behind for the backward pass, counted on a few rows at w*."""
        some, saved = min(self.rows, 4), []
        own = {p.data_ptr() for p in self.model.module.parameters()}
        idx = torch.arange(some, device=self.device)
        batch = self._computed(idx) if self.stored is None else tree_map(lambda leaf: leaf[:some], self.stored)

        def keep(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in own:
                saved.append(tensor.numel() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.model.nll(call(self.model, {}, batch), batch)
        return max(1, 3 * sum(saved) // some)  # the backward pass holds about as much again, and the batch itself


def call(model: StatModel, values: dict[str, Tensor], batch: Batch) -> Any:
    """The module's output on `batch` with the parameters in `values` in place of its own."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # attention that is fused for inference has no gradient under vmap
    try:
        if model.forward is None:
            return functional_call(model.module, values, (batch[0],))
        named = {f"module.{name}": value for name, value in values.items()}
        return functional_call(_Forward(model.module, model.forward), named, (batch,))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


class _Forward(nn.Module):
    """A module whose forward is the user's function of (module, batch)."""

    def __init__(self, module: nn.Module, function: Callable[[nn.Module, Batch], Any]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, batch: Batch) -> Any:
        return self.function(self.module, batch)


def check_per_example(loss: Tensor, rows: int) -> None:
    """Raise ValueError unless `loss` holds one number a row."""
    if loss.dim() == 0:
        raise ValueError("loss must return one number an example, got a scalar; use reduction='none' and no mean")
    if loss.shape != (rows,):
        raise ValueError(f"loss must have shape [{rows}], one number an example, got {list(loss.shape)}")


def chunks(total: int, size: int) -> Sequence[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def _common_length(stored: Batch) -> int:
    sizes = {len(leaf) for leaf in tree_leaves(stored)}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(f"data must be tensors with a common, non-empty first axis, got lengths {sorted(sizes)}")
    return sizes.pop()
