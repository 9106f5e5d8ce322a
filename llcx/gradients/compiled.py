"""Backend `compile`: a recording (traces.py) made into machine code by torch's compiler, inductor.

It takes seconds a shape and needs a C++ compiler (Triton on a GPU), so that it is never chosen unasked. The compiler
is loaded by the first recording that goes through it. Ansel et al. (2024), "PyTorch 2", ASPLOS.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from llcx.gradients.quicker import Quicker


class Compiled(Quicker):
    """A recording by inductor."""

    name: ClassVar[str] = "compile"
    maker: ClassVar[str] = "torch's compiler"
    doing: ClassVar[str] = "compiled"

    def made(self, given: Sequence[Tensor]) -> Callable[..., Any]:
        del given  # it looks at them when it is called
        compiled: Callable[..., Any] = torch.compile(self._module, fullgraph=True, dynamic=False)
        return compiled
