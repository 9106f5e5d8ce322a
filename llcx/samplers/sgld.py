"""Stochastic gradient Langevin dynamics: one Euler-Maruyama step.

    w' = w + (eps / 2) grad log p(w; batch) + sqrt(eps) xi,    xi ~ N(0, I)

Targets p up to O(eps). On a Gaussian direction of precision h, with minibatch gradients of variance s^2, the law is
exact, Var w = (1 + eps s^2 / 4) / (h (1 - eps h / 4)), and tests/samplers/test_sgld.py holds us to it.

Welling and Teh (2011), "Bayesian learning via stochastic gradient Langevin dynamics". As an LLC sampler: Lau et al.
(2023), arXiv:2308.12108.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from llcx.registry import SAMPLERS
from llcx.types import Chains, Index, Kernel, Noise, Target


@dataclass(frozen=True)
class SGLD:
    """Settings of SGLD. Biases: O(eps) discretisation, and minibatch noise that grows as eps (n*beta)^2 / batch."""

    step_size: Any = "auto"  # eps; stable only while eps * (n*beta * curvature + gamma) < 4; auto: calibrated
    batch_size: int | None = 500  # rows a step and chain; null: all data
    name: str = "sgld"

    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    unbiased: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"sampler.batch_size must be >= 1, got {self.batch_size}; null means all data")


def check_step_size(step_size: Any) -> None:
    """Raise ValueError unless `step_size` is "auto" or a positive number."""
    number = isinstance(step_size, int | float) and not isinstance(step_size, bool)
    if step_size != "auto" and not (number and 0 < step_size < float("inf")):
        raise ValueError(f"sampler.step_size must be a number > 0 or auto, got {step_size!r}")


class SGLDState(NamedTuple):
    w: Chains


@SAMPLERS.register("sgld", SGLD)
def build(cfg: SGLD, target: Target) -> Kernel:
    """Bind the step size (a number by now) and the target; what is left is the kernel."""
    eps = float(cfg.step_size)

    def init(w: Chains, noise: Noise) -> SGLDState:
        del noise
        return SGLDState(w)

    def step(state: SGLDState, batch: Index | None, noise: Noise) -> SGLDState:
        _, grad = target(state.w, batch)
        return SGLDState(state.w + 0.5 * eps * grad + eps**0.5 * noise.normal(grad))

    return Kernel(init, step)
