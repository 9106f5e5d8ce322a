"""What a training sees of a model: scalar outputs for many weight vectors at once, and gradients of losses of them."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from llcx.params import layout
from llcx.tasks.parity.network import Inputs, Members, Outputs


@runtime_checkable
class Field(Protocol):
    """f(w, x) of M members; `network.FullyConnected` is one, without a graph."""

    def outputs(self, w: Members, x: Inputs) -> Outputs:
        """f."""

    def pull(self, w: Members, x: Inputs, slopes: Callable[[Outputs], Outputs]) -> tuple[Outputs, Members]:
        """f, and sum_i slopes(f)_i df_i/dw of each member.

        slopes(f)_i depends on f_i alone: it is asked for before other outputs are known, and again after.
        """


class OfModule:
    """A module x [N, D] -> [N] or [N, 1] as a field of its trainable parameters, in their order (llcx.params)."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.layout = module, layout(module)

    def outputs(self, w: Members, x: Inputs) -> Outputs:
        with torch.no_grad():
            return self._bound(x)(w)

    def pull(self, w: Members, x: Inputs, slopes: Callable[[Outputs], Outputs]) -> tuple[Outputs, Members]:
        f, back, *_ = vjp(self._bound(x), w)
        return f.detach(), back(slopes(f.detach()))[0].detach()

    def _bound(self, x: Inputs) -> Callable[[Tensor], Tensor]:
        shared = x.ndim == 2
        return lambda w: vmap(self._one, in_dims=(0, None if shared else 0))(w, x.to(w))

    def _one(self, w: Tensor, x: Tensor) -> Tensor:
        return functional_call(self.module, self.layout.unflatten(w), (x,)).reshape(len(x))
