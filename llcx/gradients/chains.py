"""A module's loss for C chains: backends `seq` (chain after chain, the reference), `vmap` (all in one call), `fx`
(vmap, recorded where it is repeated: traces.py) and `compile` (what is recorded, compiled: compiled.py).

Chains and rows are cut into chunks that fit the memory given. The excess over w* is formed per example and summed in
float64, so that no digits of L(w*) are lost.
"""

import logging
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from llcx.gradients.announced import ran
from llcx.gradients.quicker import off
from llcx.gradients.rows import Source, call, chunks
from llcx.gradients.traces import Traces, quiet, unheard
from llcx.gradients.work import work
from llcx.params import flatten, layout
from llcx.types import Batch, Chains, Flat, Index, PerChain

log = logging.getLogger(__name__)
BACKENDS = ("auto", "fx", "compile", "vmap", "seq")
CLOSE = 1e-4  # of a gradient: how far vmap may be from seq; layers of float32 are 5e-7 apart at most


class ModuleLoss:
    """K(w) of a module over a source's rows. The backend is settled on first use, which a closed form spares."""

    def __init__(self, source: Source, backend: str = "auto") -> None:
        """`fx` records whatever is asked; what is announced as repeated `auto` records and `compile` compiles.

        Where vmap does not run, all three become seq.
        """
        if backend not in BACKENDS:
            raise ValueError(f"hardware.backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        self.source, self.backend, self._asked = source, backend, backend
        self.layout = layout(source.model.module)
        self._traces: Traces | None = None
        self._settled = backend in ("vmap", "seq")
        self._forward = True  # whether vmap runs without gradients
        self._silent = True  # whether vmap's warnings are kept from the user, who has read of them in the log

    def full(self, w: Chains) -> tuple[PerChain, Chains]:
        """K and its gradient on all rows."""
        return _joined([self._on_all_rows(w[some]) for some in chunks(len(w), self.at_once(w, 1))])

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
        return _joined(
            [self._on_rows(w[some], idx[some], scale) for some in chunks(len(w), self.at_once(w, idx.shape[1]))]
        )

    def excess(self, w: Chains, batch: Batch, reference: Any, axis: int | None) -> PerChain:
        """Sum over rows of the loss above its value at w*; `axis`: the chains' in the batch, None where shared."""
        if self.together():
            with unheard() if self._silent else nullcontext():
                return vmap(self._of_one, (0, axis, axis))(w, batch, reference)
        own = (batch, reference)
        return torch.stack(
            [
                self._of_one(row, *(own if axis is None else tree_map(lambda leaf, c=c: leaf[c], own)))
                for c, row in enumerate(w)
            ]
        )

    def excess_and_grad(
        self, w: Chains, batch: Batch, reference: Any, axis: int | None, scale: float
    ) -> tuple[PerChain, Chains]:
        """`excess` [C] and its gradient [C, P], both times `scale`; the gradient is the caller's to write into."""
        if self.settled() != "seq" and self._traces is not None:
            return self._traces(w, (batch, reference), axis, scale)
        ran(self.backend)
        return self.differentiated(w, (batch, reference), axis, scale)

    def settled(self) -> str:
        """The backend in use: compile | fx | vmap | seq."""
        if not self._settled:
            with torch.enable_grad():  # whoever asks first may have turned gradients off
                found = _weighed(self.source)
            quick = "vmap" if self._asked == "auto" else self._asked
            self.backend, self._settled = "seq" if found is None else quick, True
            if found is not None:
                self._forward, self._silent = found.forward, found.warns
                self._traces = Traces(self.differentiated, found.weight, self._asked)
        return self.backend

    def together(self) -> bool:
        """Whether vmap runs here and now: some layers it runs only while gradients are recorded."""
        return self.settled() != "seq" and (self._forward or torch.is_grad_enabled())

    def on(self, source: Source) -> "ModuleLoss":
        """The same loss on another source of the same model, with the backend that this one has."""
        return ModuleLoss(source, self._asked if self.settled() != "seq" else "seq")

    def at_once(self, w: Chains, rows: int) -> int:
        """Chains that fit the memory: weights, gradient and their product, and the activations of `rows` rows each."""
        each = 4 * w.shape[1] * w.element_size() + rows * self.source.row_bytes
        return max(1, self.source.memory // each)

    def differentiated(
        self, w: Chains, given: tuple[Batch, Any], axis: int | None, scale: float
    ) -> tuple[PerChain, Chains]:
        """`excess_and_grad` by autograd, whether recorded or not. The scale goes in where the gradient is small."""
        with torch.enable_grad():
            w = w.detach().requires_grad_()
            k = self.excess(w, *given, axis)
            slope = torch.full(k.shape, scale, dtype=k.dtype, device=k.device)
            (grad,) = torch.autograd.grad(k, w, slope)
        return k.detach() * scale, grad

    def _on_rows(self, w: Chains, idx: Index, scale: float) -> tuple[PerChain, Chains]:
        """`excess_and_grad` on a minibatch a chain, whose rows a recording takes in the order that is quick for it."""
        traces, source = self._traces, self.source
        if self.settled() == "seq" or traces is None or source.stored is None:
            return self.excess_and_grad(w, *source.take(idx), 0, scale)
        run = traces.of(w, (idx.shape,), lambda: source.take(idx), 0, scale)
        if run is None:
            return self.differentiated(w, source.take(idx), 0, scale)
        k, grad = run.forward(w.detach(), *source.leaves(idx, bool(run.meta["any_order"])))
        return k, grad

    def _on_all_rows(self, w: Chains) -> tuple[PerChain, Chains]:
        k, grad = torch.zeros(len(w), dtype=torch.float64, device=w.device), torch.zeros_like(w)
        for rows in chunks(self.source.rows, self.source.at_once(len(w))):
            more, slope = self.excess_and_grad(w, *self.source.slice(rows), None, 1 / self.source.data.n)
            k, grad = k + more, grad.add_(slope)
        return k, grad

    def _of_one(self, w: Flat, batch: Batch, reference: Any) -> Tensor:
        model = self.source.model
        output = call(model, self.layout.unflatten(w), batch)
        if self.source.target == "self":
            assert model.kl is not None  # of_model refused it
            return model.kl(reference, output).double().sum()
        return (model.nll(output, batch).double() - reference).sum()


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[PerChain, Chains]:
    """Of chunks of chains; one chunk is not copied."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([k for k, _ in parts]), torch.cat([grad for _, grad in parts])


class _Weight(NamedTuple):
    """What is known of a module that vmap runs."""

    weight: float  # floating-point operations of one row in one tensor operation of the gradient
    forward: bool  # whether it runs without gradients too
    warns: bool  # whether it is slow, and says so


def _weighed(source: Source) -> _Weight | None:
    """None, saying why, where seq has to do: vmap has to run, and to agree with seq on a few rows."""
    seq, fast = (ModuleLoss(source, name) for name in ("seq", "vmap"))
    fast._silent = False
    try:
        with quiet() as alone:
            close = apart(seq, fast) < CLOSE
    except RuntimeError as error:
        log.info("backend seq: the module does not run under vmap (%s)", str(error).splitlines()[0])
        return None
    if not close:
        log.warning("backend seq: vmap gives other gradients for this module")
        return None
    w, idx = probe(fast)
    given, forward = source.take(idx), True
    try:
        with torch.no_grad(), quiet() as more:
            fast.excess(w, *given, 0)
    except RuntimeError as error:
        forward, more = False, []
        log.info("values chain after chain: without gradients vmap does not run (%s)", str(error).splitlines()[0])
    if names := sorted({*alone, *more}):
        log.info("vmap goes chain after chain through %s", ", ".join(names))
    with quiet():
        flops, calls = work(lambda: fast.differentiated(w, given, 0, 1.0))
    return _Weight(flops / calls / idx.numel(), forward, bool(names))


def apart(one: ModuleLoss, other: ModuleLoss) -> float:
    """The distance of two gradients on a few rows, relative to the first."""
    found = [loss.mini(*probe(loss))[1].double() for loss in (one, other)]
    return float((found[1] - found[0]).norm() / found[0].norm().clamp(min=1e-300))


def probe(loss: ModuleLoss) -> tuple[Chains, Index]:
    """Two chains near w* and four rows.

    Far enough that the self target's gradient, a difference of outputs, has digits in float32 to compare.
    """
    w = flatten(loss.source.model.module).expand(2, -1)
    return off(w), torch.arange(min(loss.source.rows, 4), device=w.device).expand(2, -1)
