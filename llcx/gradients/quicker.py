"""What runs a recording (traces.py) quicker: held against it, and dropped where it fails or gives other numbers."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule

from llcx.gradients.announced import ran
from llcx.types import Chains, PerChain

log = logging.getLogger(__name__)
Found = tuple[PerChain, Chains]


class Quicker(ABC):
    """A recording of (w, *leaves), made quicker at its first call for the order in memory of what it is given there.

    Its result near there is held against the recording's; where it differs, or cannot be made, the recording runs.
    """

    name: ClassVar[str]  # backend, as the column `backend` has it
    maker: ClassVar[str]  # who may fail
    doing: ClassVar[str]  # past participle

    def __init__(self, module: GraphModule, close: Callable[[Found, Found], bool]) -> None:
        self.meta, self.backend = module.meta, ""  # `name` or fx, once it has run
        self._run: Callable[..., Any] = module.forward
        self._module, self._close = module, close

    @abstractmethod
    def made(self, given: Sequence[Tensor]) -> Callable[..., Any]:
        """What gives the recording's results, in memory of their own, for tensors shaped like those `given`."""

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
        try:
            self._run, self.backend = self.made(given), self.name
            near = self._close(self._called(*given), truth)
        except Exception as error:  # no compiler, no room for its files, an operation that it does not know
            near = False
            log.warning("backend fx: %s failed (%s)", self.maker, str(error).partition("\n")[0])
        else:
            if not near:
                log.warning("backend fx: what was %s of this loss gives other gradients", self.doing)
        if not near:
            self._run, self.backend = self._module.forward, "fx"


def off(w: Tensor) -> Tensor:
    """Not where a gradient vanishes: at w* that of the self target has no digits to compare."""
    return w + 0.3 * w.abs().mean().clamp(min=1e-3)
