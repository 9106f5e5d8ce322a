"""How microcanonical chains find their step size and their decoherence time along the warm-up.

The step size is held where a step's energy error has the variance asked for a parameter: Var(dE) goes as eps^6, so that
each step's errors say by which factor eps is off, and a running mean of that, outliers weighted down, is enough
(Robnik, De Luca, Silverstein and Seljak 2023, arXiv:2212.08549). The decoherence time is 0.4 of the time in which log p
forgets itself (Robnik and Seljak 2023, arXiv:2303.18221, who take the slowest parameter instead): it is log p that is
averaged here, and stiff directions exchange their energy with the others by decoherence alone, for which reason it is
bounded too: a long one makes log p slow, which would make it longer. It is set at an eighth, a quarter, a half and the
end of the warm-up, each time from the steps since the last. Both are pooled over chains, and stand still afterwards.
"""

from math import exp, isfinite, log
from typing import NamedTuple

import torch
from torch import Tensor

from llcx.samplers.averaging import Adapted
from llcx.types import PerChain, Trace

MEMORY = 50  # steps over which energy errors are averaged
SHARE = 0.4  # of the autocorrelation time of log p
SHORTEST, LONGEST = 5.0, 48.0  # steps that directions last
WORST = 1e4  # times the variance asked for: what a broken step counts as


def autocorrelation(trace: Trace) -> float:
    """Steps that one independent draw is worth, from the means of about sqrt(T) batches of each chain."""
    if trace.shape[1] < 2:
        return 1.0
    size = max(1, round(trace.shape[1] ** 0.5))
    batches = trace[:, : trace.shape[1] // size * size].unflatten(1, (-1, size)).mean(2)
    spread = float(trace.double().var(1).mean())
    return size * float(batches.double().var(1).mean()) / spread if spread > 0 and batches.shape[1] > 1 else 1.0


class Pace(NamedTuple):
    """Step size and decoherence time, and what they are tuned by."""

    step: Adapted
    length: float
    energy_var: float = 0.0  # Var(dE) / P, running
    rate: float = 0.0  # weighted sum of Var(dE) / eps^6, in units of what is asked for
    weight: float = 0.0
    energies: tuple[Tensor, ...] = ()  # log p [C] of the steps since the last mark

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

    def lasting(self, logp: PerChain, taken: int, adapt: int) -> "Pace":
        """With log p after move `step.moves`, of `taken` steps on average; at marks with a new decoherence time."""
        energies = (*self.energies, logp)
        if self.step.moves not in (adapt // 8, adapt // 4, adapt // 2, adapt):
            return self._replace(energies=energies)
        steps = SHARE * taken * autocorrelation(torch.stack(energies, 1))
        return self._replace(length=min(max(steps, SHORTEST), LONGEST) * self.step.step_size, energies=())
