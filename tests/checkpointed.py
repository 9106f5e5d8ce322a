"""A model whose checkpoints have known learning coefficients, and a count of what was measured of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import llcx
from llcx import measure
from tests.problems import noisy_line

NOISE = 0.5
FIXED: dict[str, Any] = {"sampler": llcx.samplers.HMC(step_size=0.05, leapfrog=3), "chains": 4, "draws": 8}
ADAPTED: dict[str, Any] = {"sampler": llcx.samplers.HMC(leapfrog=6), "chains": 8, "draws": 40}


class Scaled(nn.Module):
    """scale * (w, x): the scale, a buffer, moves the learning coefficient, and w is what is sampled."""

    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x @ self.weight.T)


def scaled() -> tuple[Scaled, tuple[Tensor, Tensor]]:
    line, data = noisy_line()
    return Scaled(line.weight.detach()), data


def state(model: Scaled, scale: float) -> dict[str, Tensor]:
    """w* of the same predictions at another scale."""
    return {"weight": model.weight.detach() / scale, "scale": torch.tensor(scale)}


class Counted:
    """How often what was measured; after the first time the result is that of the first, but in slow tests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
        self.scales, inner = list[float](), measure.measure
        found: list[measure.Measurement] = []

        def counting(point: Any, *given: Any, **more: Any) -> measure.Measurement:
            self.scales.append(float(getattr(point.model.module, "scale", 0.0)))
            if not (found and quick):
                found.append(inner(point, *given, **more))
            return found[-1]

        monkeypatch.setattr(measure, "measure", counting)

    @property
    def count(self) -> int:
        return len(self.scales)

    def during(self, work: Callable[[], Any]) -> int:
        before = self.count
        work()
        return self.count - before
