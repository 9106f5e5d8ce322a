"""A module's loss for C chains: backends `vmap` (all chains in one call) and `seq` (chain after chain, the reference).

Chains and rows are cut into chunks that fit the memory given. The excess over w* is formed per example and summed in
float64, so that no digits of L(w*) are lost.
"""

import logging
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from llcx.gradients.rows import Source, call, chunks
from llcx.params import flatten, layout
from llcx.types import Batch, Chains, Flat, Index, PerChain

log = logging.getLogger(__name__)
BACKENDS = ("auto", "vmap", "seq")


class ModuleLoss:
    """K(w) of a module over a source's rows. Backend `auto` is settled on first use, which a closed form spares."""

    def __init__(self, source: Source, backend: str = "auto") -> None:
        if backend not in BACKENDS:
            raise ValueError(f"hardware.backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        self.source, self.backend = source, backend
        self.layout = layout(source.model.module)

    def full(self, w: Chains) -> tuple[PerChain, Chains]:
        """K and its gradient on all rows."""
        parts = [self._on_all_rows(w[some]) for some in chunks(len(w), self.at_once(w, 1))]
        return torch.cat([k for k, _ in parts]), torch.cat([grad for _, grad in parts])

    def value(self, w: Chains) -> PerChain:
        """K on all rows."""
        k = torch.zeros(len(w), dtype=torch.float64, device=w.device)
        with torch.no_grad():
            for some in chunks(len(w), self.at_once(w, 1)):
                for rows in chunks(self.source.rows, self.source.at_once(len(w[some]))):
                    k[some] += self.excess(w[some], *self.source.slice(rows), None)
        return k / self.source.data.n

    def mini(self, w: Chains, idx: Index) -> tuple[PerChain, Chains]:
        """K and its gradient on a minibatch a chain, scaled to all rows."""
        scale = self.source.rows / idx.shape[1] / self.source.data.n
        parts = [
            self.excess_and_grad(w[some], *self.source.take(idx[some]), 0)
            for some in chunks(len(w), self.at_once(w, idx.shape[1]))
        ]
        return torch.cat([k for k, _ in parts]) * scale, torch.cat([grad for _, grad in parts]) * scale

    def excess(self, w: Chains, batch: Batch, reference: Any, axis: int | None) -> PerChain:
        """Sum over rows of the loss above its value at w*; `axis`: the chains' in the batch, None where shared."""
        if self.settled() == "vmap":
            return vmap(self._of_one, (0, axis, axis))(w, batch, reference)
        own = (batch, reference)
        return torch.stack(
            [
                self._of_one(row, *(own if axis is None else tree_map(lambda leaf, c=c: leaf[c], own)))
                for c, row in enumerate(w)
            ]
        )

    def excess_and_grad(self, w: Chains, batch: Batch, reference: Any, axis: int | None) -> tuple[PerChain, Chains]:
        """`excess` [C] and its gradient [C, P]."""
        w = w.detach().requires_grad_()
        k = self.excess(w, batch, reference, axis)
        (grad,) = torch.autograd.grad(k.sum(), w)
        return k.detach(), grad

    def settled(self) -> str:
        """The backend in use: vmap | seq."""
        if self.backend == "auto":
            with torch.enable_grad():  # whoever asks first may have turned gradients off
                self.backend = _choose(self.source)
        return self.backend

    def at_once(self, w: Chains, rows: int) -> int:
        """Chains that fit the memory: weights, gradient and their product, and the activations of `rows` rows each."""
        each = 4 * w.shape[1] * w.element_size() + rows * self.source.row_bytes
        return max(1, self.source.memory // each)

    def _on_all_rows(self, w: Chains) -> tuple[PerChain, Chains]:
        k, grad = torch.zeros(len(w), dtype=torch.float64, device=w.device), torch.zeros_like(w)
        for rows in chunks(self.source.rows, self.source.at_once(len(w))):
            more, slope = self.excess_and_grad(w, *self.source.slice(rows), None)
            k, grad = k + more, grad + slope
        return k / self.source.data.n, grad / self.source.data.n

    def _of_one(self, w: Flat, batch: Batch, reference: Any) -> Tensor:
        model = self.source.model
        output = call(model, self.layout.unflatten(w), batch)
        if self.source.target == "self":
            assert model.kl is not None  # of_model refused it
            return model.kl(reference, output).double().sum()
        return (model.nll(output, batch).double() - reference).sum()


def _choose(source: Source) -> str:
    """vmap where the module runs under it and agrees with seq on a few rows, else seq, saying why."""
    seq, fast = (ModuleLoss(source, name) for name in ("seq", "vmap"))
    try:
        w, idx = probe(fast)
        with torch.no_grad():  # some layers run under vmap only while gradients are recorded
            fast.excess(w, *source.take(idx), 0)
        close = apart(seq, fast) < 1e-3
    except RuntimeError as error:
        log.info("backend seq: the module does not run under vmap (%s)", str(error).splitlines()[0])
        return "seq"
    if not close:
        log.warning("backend seq: vmap gives other gradients for this module")
    return "vmap" if close else "seq"


def apart(one: ModuleLoss, other: ModuleLoss) -> float:
    """The distance of two gradients on a few rows, relative to the first."""
    found = [loss.mini(*probe(loss))[1].double() for loss in (one, other)]
    return float((found[1] - found[0]).norm() / found[0].norm().clamp(min=1e-300))


def probe(loss: ModuleLoss) -> tuple[Chains, Index]:
    """Two chains near w* and four rows.

    Far enough that the self target's gradient, a difference of outputs, has digits in float32 to compare.
    """
    w = flatten(loss.source.model.module).expand(2, -1)
    idx = torch.arange(min(loss.source.rows, 4), device=w.device).expand(2, -1)
    return w + 0.3 * w.abs().mean().clamp(min=1e-3), idx
