"""How microcanonical chains find their step size and their decoherence time along the warm-up.

The step size is held where a step's energy error has the variance asked for a parameter: Var(dE) goes as eps^6, so that
each step's errors say by which factor eps is off, and a running mean of that, outliers weighted down, is enough
(Robnik, De Luca, Silverstein and Seljak 2023, arXiv:2212.08549). The decoherence time is set to the size of the
distribution, sqrt(sum of variances / P), at an eighth, a quarter, a half and the end of the warm-up, each time from the
positions since the last. Both are pooled over chains, and stand still afterwards.
"""

from math import exp, isfinite, log
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.samplers.averaging import Adapted
from llcx.types import Chains, PerChain

MEMORY = 50  # steps over which energy errors are averaged
SHORTEST = 5.0  # steps that directions last at least
WORST = 1e4  # times the variance asked for: what a broken step counts as


class Sizes(NamedTuple):
    """Sums over positions."""

    seen: int
    total: Float[Tensor, " P"]
    squares: Float[Tensor, " P"]

    @classmethod
    def none(cls, w: Chains) -> "Sizes":
        zero = torch.zeros(w.shape[1], dtype=torch.float64, device=w.device)
        return cls(0, zero, zero)

    def plus(self, w: Chains) -> "Sizes":
        w = w.double()
        return Sizes(self.seen + len(w), self.total + w.sum(0), self.squares + w.square().sum(0))

    @property
    def size(self) -> float:
        """Root mean variance of a parameter."""
        variance = self.squares / self.seen - (self.total / self.seen).square()
        return float(variance.clamp(min=0).mean().sqrt())


class Pace(NamedTuple):
    """Step size and decoherence time, and what they are tuned by."""

    step: Adapted
    length: float
    sizes: Sizes
    energy_var: float = 0.0  # Var(dE) / P, running
    rate: float = 0.0  # weighted sum of Var(dE) / eps^6, in units of what is asked for
    weight: float = 0.0

    def noted(self, error: PerChain) -> "Pace":
        """With the energy errors [C] of a step, each divided by sqrt(P)."""
        spread = float(error.double().square().mean())
        share = 1 / min(MEMORY, self.step.moves + 1)
        old = self.energy_var if isfinite(self.energy_var) else 0.0
        return self._replace(energy_var=old + share * (spread - old))

    def timed(self, error: PerChain, desired: float) -> "Pace":
        """With a step size nearer to a variance of `desired`."""
        eps, spread = self.step.step_size, float(error.double().square().mean())
        off = min(max(spread / desired, 1e-8), WORST) if isfinite(spread) else WORST
        trust = exp(-0.5 * (log(off) / 9) ** 2)  # a spread of 1.5 in log eps
        rate = (1 - 1 / MEMORY) * self.rate + trust * off / eps**6
        weight = (1 - 1 / MEMORY) * self.weight + trust
        step = Adapted(min((rate / weight) ** (-1 / 6), 2 * eps), self.step.moves + 1, self.step.averaging)
        return self._replace(step=step, rate=rate, weight=weight)

    def sized(self, w: Chains, adapt: int) -> "Pace":
        """With the positions of a step, the last of `self.step.moves`; at marks with a new decoherence time."""
        sizes = self.sizes.plus(w)
        if self.step.moves not in (adapt // 8, adapt // 4, adapt // 2, adapt):
            return self._replace(sizes=sizes)
        length = max(sizes.size, SHORTEST * self.step.step_size)
        return self._replace(length=length, sizes=Sizes.none(w))
