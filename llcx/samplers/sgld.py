"""Stochastic gradient Langevin dynamics: one Euler-Maruyama step.

    w' = w + (eps / 2) grad log p(w; batch) + sqrt(eps) xi,    xi ~ N(0, I)

Targets p up to O(eps). On a Gaussian direction of precision h, with minibatch gradients of variance s^2, the law is
exact, Var w = (1 + eps s^2 / 4) / (h (1 - eps h / 4)), and tests/samplers/test_sgld.py holds us to it.

Welling and Teh (2011), "Bayesian learning via stochastic gradient Langevin dynamics". As an LLC sampler: Lau et al.
(2023), arXiv:2308.12108.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from llcx.registry import SAMPLERS
from llcx.samplers.minibatch import Minibatch
from llcx.samplers.steps import check_metric
from llcx.types import Chains, Index, Kernel, Noise, Target


@dataclass(frozen=True)
class SGLD(Minibatch):
    """Settings of SGLD. Biases: O(eps) discretisation, and minibatch noise that grows as eps (n*beta)^2 / batch."""

    step_size: Any = "auto"  # eps; stable only while eps * (n*beta * curvature + gamma) < 4; auto: calibrated
    metric: str = "identity"  # coordinates: identity | diagonal | ggn | auto
    name: str = "sgld"

    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    unbiased: ClassVar[bool] = False
    watched: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metric(self.metric)


@runtime_checkable
class Fused(Protocol):
    """Noise that can make the whole step, in one pass over memory."""

    def langevin(self, w: Chains, grad: Chains, *, drift: float, scale: float) -> Any:
        """w' = (w + drift grad) + scale z, with the lengths [C, 1] of grad and z (normal); None: not this time."""


class SGLDState(NamedTuple):
    """`grad`, `drift` and `noise` are of the last step; of a fused step their lengths [C, 1] alone."""

    w: Chains
    grad: Chains | None = None  # of log p
    drift: Chains | None = None
    noise: Chains | None = None


@SAMPLERS.register("sgld", SGLD)
def build(cfg: SGLD, target: Target) -> Kernel:
    """Bind the step size (a number by now) and the target; what is left is the kernel."""
    eps = float(cfg.step_size)

    def init(w: Chains, noise: Noise) -> SGLDState:
        del noise
        return SGLDState(w)

    def step(state: SGLDState, batch: Index | None, noise: Noise) -> SGLDState:
        _, grad = target(state.w, batch)
        if isinstance(noise, Fused) and (made := noise.langevin(state.w, grad, drift=0.5 * eps, scale=eps**0.5)):
            return SGLDState(made.w, made.grad, 0.5 * eps * made.grad, eps**0.5 * made.normal)
        drift, xi = 0.5 * eps * grad, noise.normal(grad).mul_(eps**0.5)
        return SGLDState((state.w + drift).add_(xi), grad, drift, xi)

    return Kernel(init, step)
