"""SGLD with Adam's moments: an averaged drift, preconditioned by the running mean square of the loss gradient.

    m' = b m + (1 - b) grad log p(w; batch),    v' = a v + (1 - a) g_L^2,    G = 1 / (e + sqrt(v))
    w' = w + (eps / 2) G m' + sqrt(eps G) xi,    xi ~ N(0, I);    m = 0 and v = 1 at first

g_L is the gradient of the loss alone, in nats an example; G is taken before the step's own minibatch enters v, whose
memory grows with the run (minibatch.py).

Targets p up to O(eps / (1 - b)); at `memory: steady`, as in the literature, G follows w and there is the O(1) of
rmsprop_sgld.py besides. The averaged drift lags behind the noise and heats: on a Gaussian direction of precision h (and
gradient variance s^2; with a metric h and s^2 times G) the law is exactly

    h Var w = 1 + (1 + b) / (1 - b) (eps h / 4) / q + (eps s^2 / 4) / q,    q = 1 - eps h (1 - b) / (4 (1 + b))

that is 19 times SGLD's discretisation at b = 0.9, and SGLD's own at b = 0. The average does not lessen the minibatch
noise. A momentum that keeps the temperature is that of sghmc.py.

The update is that of Hitchcock and Hoogland (2025), arXiv:2507.21449; moments as in Kingma and Ba (2015),
arXiv:1412.6980.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch

from llcx.registry import SAMPLERS
from llcx.samplers.minibatch import RootMeanSquare
from llcx.samplers.steps import Factors
from llcx.types import Chains, Index, Kernel, Noise, Tempered


@dataclass(frozen=True)
class AdamSGLD(RootMeanSquare):
    """Settings of Adam-SGLD. Biases: those of RMSprop-SGLD, and the heat of the lagging drift."""

    step_size: Any = "auto"  # eps, before the preconditioner; auto: calibrated
    momentum: float = 0.5  # b, memory of the drift; 0.9 in the literature, whose steps are 6.3 times as small
    name: str = "adam_sgld"

    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    unbiased: ClassVar[bool] = False
    watched: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ValueError(f"sampler.momentum must lie in [0, 1), got {self.momentum}")

    def inflation(self, step_size: float, stiff: float, noise: float) -> Factors:
        """1 plus each excess of the law above, which add."""
        ratio = (1 + self.momentum) / (1 - self.momentum)
        left = 1 - step_size * stiff / (4 * ratio)
        if left <= 0:
            return float("inf"), float("inf")
        return 1 + ratio * step_size * stiff / 4 / left, 1 + step_size * noise / 4 / left


class AdamState(NamedTuple):
    w: Chains
    mean: Chains  # m
    square: Chains  # v
    steps: int = 0
    grad: Chains | None = None
    drift: Chains | None = None
    noise: Chains | None = None
    metric: Chains | None = None  # G of the last step


@SAMPLERS.register("adam_sgld", AdamSGLD)
def build(cfg: AdamSGLD, target: Tempered) -> Kernel:
    """Bind the settings (step size a number by now) and the target."""
    eps = float(cfg.step_size)

    def init(w: Chains, noise: Noise) -> AdamState:
        del noise
        return AdamState(w, torch.zeros_like(w), torch.ones_like(w))

    def step(state: AdamState, batch: Index | None, noise: Noise) -> AdamState:
        metric = cfg.preconditioner(state.square)
        _, grad = target(state.w, batch)
        mean = cfg.momentum * state.mean + (1 - cfg.momentum) * grad
        drift, xi = 0.5 * eps * metric * mean, (eps * metric).sqrt() * noise.normal(grad)
        square = cfg.averaged(state.square, target.loss_gradient(state.w, grad).square(), state.steps)
        return AdamState(state.w + drift + xi, mean, square, state.steps + 1, grad, drift, xi, metric)

    return Kernel(init, step)
