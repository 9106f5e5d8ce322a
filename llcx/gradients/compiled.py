"""Backend `compile`: a recording (traces.py) made into machine code by torch's compiler, inductor.

It takes seconds a shape and needs a C++ compiler (Triton on a GPU), so that it is never chosen unasked. The compiler
is loaded by the first recording that goes through it. Ansel et al. (2024), "PyTorch 2", ASPLOS.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from llcx.gradients.announced import ran

log = logging.getLogger(__name__)
Found = tuple[Tensor, Tensor]


class Compiled:
    """A recording of (w, *leaves), compiled at its first call for the order in memory of what it is given there.

    Its result near there is held against the recording's; where it differs, or the compiler fails, the recording runs.
    """

    def __init__(self, module: GraphModule, close: Callable[[Found, Found], bool]) -> None:
        self.meta, self.backend = module.meta, ""  # compile | fx, once it has run
        self._run: Callable[..., Any] = module.forward
        self._module, self._close = module, close

    def forward(self, *given: Tensor) -> Found:
        """K [C] and its gradient [C, P], which is the caller's to write into."""
        if not self.backend:
            self._settle(off(given[0]), *given[1:])
        ran(self.backend)
        return self._called(*given)

    def _called(self, *given: Tensor) -> Found:
        with torch.no_grad():
            k, grad = self._run(*given)
        return k, grad

    def _settle(self, *given: Tensor) -> None:
        truth = self._called(*given)
        self._run, self.backend = torch.compile(self._module, fullgraph=True, dynamic=False), "compile"
        try:
            near = self._close(self._called(*given), truth)
        except Exception as error:  # no C++ compiler, no room for its files, an operation that it does not know
            near = False
            log.warning("backend fx: torch's compiler failed (%s)", str(error).partition("\n")[0])
        else:
            if not near:
                log.warning("backend fx: what was compiled of this loss gives other gradients")
        if not near:
            self._run, self.backend = self._module.forward, "fx"


def off(w: Tensor) -> Tensor:
    """Not where a gradient vanishes: at w* that of the self target has no digits to compare."""
    return w + 0.3 * w.abs().mean().clamp(min=1e-3)
