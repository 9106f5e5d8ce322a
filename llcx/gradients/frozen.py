"""K(w) on rows that are gathered once: chain c keeps to its own rows idx[c].

    K_c(w) = sum over rows of idx[c] of the excess over w*, times rows / n' / n

so that n' rows stand for all. Where every row is frozen this is the full loss, in the order of idx.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from llcx.gradients.chains import ModuleLoss
from llcx.gradients.rows import chunks
from llcx.types import Batch, Chains, Frozen, Index, PerChain


def frozen(loss: ModuleLoss, idx: Index, slope: Callable[[Chains], Chains] | None = None) -> Frozen:
    """K and its gradient on the rows `idx` [C, n'] of C chains; w must hold as many."""
    source = loss.source
    held = source.take(idx)
    scale = source.rows / idx.shape[1] / source.data.n

    def parts(w: Chains) -> list[tuple[slice, tuple[Batch, Any]]]:
        """Chains and rows that fit the memory together: several whole chains, or one cut into rows."""
        if len(w) != len(idx):
            raise ValueError(f"w must hold {len(idx)} chains, as many as have frozen rows, got {len(w)}")
        chains = loss.at_once(w, idx.shape[1])
        rows = idx.shape[1] if chains > 1 else source.at_once(1)
        return [
            (some, tree_map(lambda leaf, s=some, r=more: leaf[s, r], held))
            for some in chunks(len(w), chains)
            for more in chunks(idx.shape[1], rows)
        ]

    def full(w: Chains) -> tuple[PerChain, Chains]:
        k, grad = torch.zeros(len(w), dtype=torch.float64, device=w.device), torch.zeros_like(w)
        for some, own in parts(w):
            more, slope = loss.excess_and_grad(w[some], *own, 0, scale)
            k[some] += more
            grad[some] += slope
        return k, grad

    def value(w: Chains) -> Tensor:
        k = torch.zeros(len(w), dtype=torch.float64, device=w.device)
        with torch.no_grad():
            for some, own in parts(w):
                k[some] += loss.excess(w[some], *own, 0)
        return k * scale

    return Frozen(full, value, slope)
