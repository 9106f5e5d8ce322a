"""Settings that the kernels on minibatches share, and the law of their biases on a quadratic.

A direction of precision h in which the minibatch gradient of log p has variance s^2 is drawn with 1/h times

    1 / (1 - eps h / 4)      and      1 + eps s^2 / 4

by a Langevin step of size eps: the discretisation, and the minibatch noise on top of the noise injected. The product is
exact (tests/samplers/test_sgld.py). s^2 is (n*beta)^2 c / batch for examples whose gradients have covariance c.

That is one direction. What is wanted of all of them is lambda = tr(M Sigma) / 2, M the Hessian of n*beta*K, and where
M shares its eigenvectors with the precision H = M + gamma, in the kernel's coordinates, and s_i^2 = S_ii is on them,

    lambda = 1/2 sum_i m_i / h_i    is drawn as    1/2 sum_i m_i / h_i (1 + eps s_i^2 / 4) / (1 - eps h_i / 4)

To first order in eps, and with m_i <= h_i for the noise, lambda is inflated by

    1 + (eps / 4) tr M / (2 lambda)      and at most by      1 + (eps / 4) tr S / (2 lambda)

the law of one direction with means over 2 lambda effective ones for h and s^2; the noise's is exact where gamma << m. A
direction of a thousand may be five times too wide, and lambda is two nats of five hundred off. Where lambda is known
about beforehand (calibrate.py) a step is chosen by that, elsewhere by the worst direction, which bounds it.

Kernels preconditioned by the loss gradient g_L share a metric that is learned along the run:

    G = 1 / (e + sqrt(v)),    v' = a v + (1 - a) g_L^2,    a = max(alpha, 1 - 3 / (t + 3)) at step t,    v = 1 at first

A metric that follows w (a = alpha, the field's choice, `memory: steady`) leaves the target by O(1), see
rmsprop_sgld.py. With a memory that grows, step s counts as s^2 in v: G comes to rest, and what rests leaves the target
alone, as any adaptation that fades (Roberts and Rosenthal, 2007, J. Appl. Prob. 44:458). It costs no gradient.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from llcx.samplers.steps import Factors, check_step_size, largest_step, within
from llcx.settings import one_of
from llcx.types import Chains

BASELINES = ("full", "paired")
MEMORIES = ("growing", "steady")
GROWTH = 3  # v forgets its start as t^-3, and averages over about a quarter of the steps so far


@dataclass(frozen=True)
class Minibatch:
    """Settings of a kernel on minibatches."""

    step_size: Any = "auto"  # eps; auto: the largest whose predicted biases are two per cent each
    batch_size: int | None = 500  # rows a step and chain; null: all data
    control_variate: bool = False  # g_B(w) - g_B(w*) + g(w*): quieter near w*, at twice the gradients
    baseline: str = "full"  # K of a kept draw: full, on all rows; paired, L_B(w) - L_B(w*) on the minibatch at hand

    apart: ClassVar[bool] = True  # no chain knows of another: they may run one after another
    bound: ClassVar[float] = 4.0  # eps * stiff, above which no step is looked for

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"sampler.batch_size must be >= 1, got {self.batch_size}; null means all data")
        one_of("sampler.baseline", self.baseline, BASELINES)

    def inflation(self, step_size: float, stiff: float, noise: float) -> Factors:
        """Factors on the variance of such a direction: (discretisation, minibatch noise); inf where unstable."""
        left = 1 - step_size * stiff / 4
        return 1 / left if left > 0 else float("inf"), 1 + step_size * noise / 4

    def first_step(self, stiff: float, noise: float) -> float:
        """The largest step whose predicted factors are within steps.LIMIT."""
        return largest_step(lambda eps: self.inflation(eps, stiff, noise), self.bound / max(stiff, 1e-12))


@dataclass(frozen=True)
class RootMeanSquare(Minibatch):
    """Settings of a kernel preconditioned by the running mean square v of the loss gradient."""

    alpha: float = 0.99  # memory of the mean square, at first
    memory: str = "growing"  # growing, with the steps so far; steady, alpha for good: the field's form, biased by O(1)
    eps: float = 0.1  # e, added to the root mean square; in the unit of the loss gradient

    def __post_init__(self) -> None:
        super().__post_init__()
        within("alpha", self.alpha, 0, 1)
        one_of("sampler.memory", self.memory, MEMORIES)
        within("eps", self.eps, 0, float("inf"))

    def preconditioner(self, square: Float[Tensor, "*C P"]) -> Float[Tensor, "*C P"]:
        """G = 1 / (e + sqrt(v)) where v is `square`."""
        return 1 / (self.eps + square.sqrt())

    def averaged(self, mean: Chains, new: Chains, steps: int) -> Chains:
        """The running mean with `new` in it, after `steps` others."""
        keep = self.alpha if self.memory == "steady" else max(self.alpha, 1 - GROWTH / (steps + GROWTH))
        return keep * mean + (1 - keep) * new
