"""Whether a loss is one of single rows: what a mean over rows, minibatches and chains all rest on."""

import copy

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from llcx.types import Batch, StatModel

LOOKED_AT = 8  # rows
TOLERANCE = 1e-2  # of the mean loss: rounding, even of half precision, is below


def check(model: StatModel, rows: Batch) -> None:
    """Raise ValueError where the loss of a row depends on the rows beside it, or on chance, in eval mode.

    So do batch normalisation without running statistics, and noise that eval() leaves on. The first rows are compared,
    all at once and in halves; of fewer than four nothing is told.
    """
    count = min(len(tree_leaves(rows)[0]), LOOKED_AT)
    if count < 4:
        return
    module = copy.deepcopy(model.module).eval()
    first = next(module.parameters())

    def loss(start: int, stop: int) -> Tensor:
        batch = tree_map(lambda leaf: _like(leaf[start:stop], first), rows)
        output = module(batch[0]) if model.forward is None else model.forward(module, batch)
        return model.nll(output, batch).double()

    with torch.no_grad():
        together = loss(0, count)
        if together.shape != (count,):
            return  # refused, with the reason, where the loss itself is looked at
        apart = torch.cat([loss(0, count // 2), loss(count // 2, count)])
    moved = float((together - apart).abs().max() / together.abs().mean().clamp(min=1e-12))
    if moved > TOLERANCE:
        raise ValueError(
            f"model must give a row one loss whatever rows are beside it, got one that moves by {moved:.2g} of its "
            "mean in eval mode; batch normalisation needs running statistics, and noise must follow module.training"
        )


def _like(leaf: Tensor, parameter: Tensor) -> Tensor:
    return leaf.to(parameter.device, parameter.dtype if leaf.is_floating_point() else leaf.dtype)
