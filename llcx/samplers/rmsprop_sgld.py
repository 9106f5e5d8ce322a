"""SGLD preconditioned by the running mean square of the loss gradient.

    G  = 1 / (e + sqrt(v)),    v' = a v + (1 - a) g_L^2,    v = 1 at first
    w' = w + (eps / 2) (G grad log p(w; batch) + Gamma) + sqrt(eps G) xi,    xi ~ N(0, I)

g_L is the gradient of the loss alone, in nats an example, without n*beta and localiser. G is taken before the step's
own minibatch enters v, so that the two are independent. Were G constant, the law would be SGLD's with G h and G s^2,
and it becomes so: by default the memory of v grows with the run and Gamma = 0 (minibatch.py), which targets p up to
O(eps).

At `memory: steady`, a = alpha, G follows w, and the bias does not vanish with eps: in one dimension and without
minibatches the chain tends to p / G, that is p (e + |g_L|), which is hotter (tests/samplers/test_rmsprop_sgld.py).
Sampling p then takes the divergence Gamma_i = dG_i/dw_i (`divergence: true`; a second gradient a step). v averages
g_L^2 over 1/(1 - alpha) steps, and so does our derivative of it: u' = alpha u + (1 - alpha) 2 g_L dg_L/dw, with the
diagonal of the Hessian from one random direction, and Gamma = -G^2 u / (2 sqrt(v)). With it p is the target up to
O(eps / (1 - alpha)): it corrects for a metric that has arrived, not for one that lags behind w.

Li, Chen, Carlson and Carin (2016), "Preconditioned stochastic gradient Langevin dynamics", arXiv:1512.07666, eq. 7-10;
Girolami and Calderhead (2011), JRSS B 73:123, for Gamma; as an LLC sampler Hitchcock and Hoogland (2025),
arXiv:2507.21449.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch

from llcx.registry import SAMPLERS
from llcx.samplers.minibatch import RootMeanSquare
from llcx.types import Chains, Index, Kernel, Noise, Tempered

TINY = 1e-30  # keeps 0/0 away where a gradient is exactly zero


@dataclass(frozen=True)
class RMSpropSGLD(RootMeanSquare):
    """Settings of RMSprop-SGLD. Biases: SGLD's, in the metric G; with a steady memory and no divergence one of O(1)."""

    step_size: Any = "auto"  # eps, before the preconditioner; auto: calibrated
    divergence: bool = False  # add Gamma, for a steady memory: a second gradient a step
    name: str = "rmsprop_sgld"

    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    unbiased: ClassVar[bool] = False
    watched: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.divergence and self.memory != "steady":
            raise ValueError(
                "sampler.divergence must be false with a growing memory, whose metric does not follow w, got true; "
                "set sampler.memory=steady"
            )


class RMSpropState(NamedTuple):
    w: Chains
    square: Chains  # v
    slope: Chains  # u, the derivative of v
    steps: int = 0
    grad: Chains | None = None
    drift: Chains | None = None
    noise: Chains | None = None
    metric: Chains | None = None  # G of the last step


@SAMPLERS.register("rmsprop_sgld", RMSpropSGLD)
def build(cfg: RMSpropSGLD, target: Tempered) -> Kernel:
    """Bind the settings (step size a number by now) and the target."""
    eps = float(cfg.step_size)

    def init(w: Chains, noise: Noise) -> RMSpropState:
        del noise
        return RMSpropState(w, torch.ones_like(w), torch.zeros_like(w))

    def loss_gradient(w: Chains, batch: Index | None) -> tuple[Chains, Chains]:
        _, grad = target(w, batch)
        return grad, target.loss_gradient(w, grad)

    def step(state: RMSpropState, batch: Index | None, noise: Noise) -> RMSpropState:
        metric = cfg.preconditioner(state.square)
        force, bend = torch.zeros_like(state.w), torch.zeros_like(state.w)
        if cfg.divergence:
            reach = (eps * metric).sqrt().copysign(noise.normal(state.w))  # as far as the noise of a step goes
            _, beside = loss_gradient(state.w + reach, batch)
            force = -metric.square() * state.slope / (2 * state.square.sqrt() + TINY)
        grad, loss = loss_gradient(state.w, batch)
        if cfg.divergence:
            bend = 2 * loss * (beside - loss) / reach
        drift, xi = 0.5 * eps * (metric * grad + force), (eps * metric).sqrt() * noise.normal(grad)
        square, slope = (
            cfg.averaged(mean, new, state.steps) for mean, new in ((state.square, loss.square()), (state.slope, bend))
        )
        return RMSpropState(state.w + drift + xi, square, slope, state.steps + 1, grad, drift, xi, metric)

    return Kernel(init, step)
