"""Gradients in float32 of a loss in float64, for steps whose end an exact energy decides on.

A trajectory that is led by a gradient with rounding of its own is as reversible as any, so that what accepts by the
energy in float64 keeps its distribution, and loses acceptance alone.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch

from llcx.gradients.chains import ModuleLoss, apart
from llcx.gradients.frozen import frozen
from llcx.gradients.rows import Source
from llcx.types import Chains, Index

log = logging.getLogger(__name__)
WORTH = 1e6  # floating-point operations of a gradient below which its precision decides nothing
Slope = Callable[[Chains], Chains]


class Slopes:
    """Gradients of a loss in float64, built when they are first asked for."""

    def __init__(self, loss: ModuleLoss) -> None:
        self.loss = loss

    def whole(self, w: Chains) -> Chains:
        """On all rows."""
        return self._led.full(w.to(self._dtype))[1].to(w)

    def on(self, idx: Index) -> Slope:
        """On the rows `idx` [C, n'], chain c on its own."""
        held = frozen(self._led, idx)
        return lambda w: held.full(w.to(self._dtype))[1].to(w)

    @property
    def _dtype(self) -> torch.dtype:
        return self._led.source.dtype

    @cached_property
    def _led(self) -> ModuleLoss:
        """The loss in float32; the loss itself, saying so, where the two disagree on a few rows."""
        own = self.loss.source
        module = copy.deepcopy(own.model.module).float()
        source = Source(replace(own.model, module=module), own.data, own.target, own.memory)
        fast = self.loss.on(source)
        if apart(self.loss, fast) < 1e-2:
            return fast
        log.info("gradients in float64: in float32 this module gives others")
        return self.loss


def slopes(loss: ModuleLoss, flops: float) -> Slopes | None:
    """Of a loss in float64 whose gradient takes `flops`; None where nothing would be won."""
    return Slopes(loss) if loss.source.dtype == torch.float64 and flops >= WORTH else None
