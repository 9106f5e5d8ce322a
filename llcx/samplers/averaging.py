"""Nesterov's dual averaging of a step size towards an acceptance, for kernels with a Metropolis step.

Hoffman and Gelman (2014), JMLR 15:1593, section 3.2. It begins anew half-way, because chains start at one point, where
it is less stiff than where they go; after its last step it stands still, so that draws are those of a Markov chain.
"""

from math import exp, log
from typing import NamedTuple


class Averaging(NamedTuple):
    """Dual averaging of log eps: `center` is where it shrinks to, `error` the running mean of (aim - acceptance)."""

    center: float
    updates: int
    error: float
    log_step: float
    log_mean: float

    def update(self, accept: float, aim: float) -> "Averaging":
        """Constants gamma = 0.05, t0 = 10, kappa = 0.75 of the paper."""
        updates = self.updates + 1
        error = self.error + (aim - accept - self.error) / (updates + 10)
        log_step = self.center - updates**0.5 / 0.05 * error
        log_mean = self.log_mean + updates**-0.75 * (log_step - self.log_mean)
        return Averaging(self.center, updates, error, log_step, log_mean)

    @classmethod
    def begin(cls, step_size: float, reach: float) -> "Averaging":
        """Shrinking towards `reach` times the step size at hand."""
        return cls(log(reach * step_size), 0, 0.0, log(step_size), log(step_size))


class Adapted(NamedTuple):
    """A step size, how often the kernel has moved with any, and how it is found."""

    step_size: float
    moves: int
    averaging: Averaging

    def left(self, near: float, still: bool) -> "Adapted":
        """After a move on the way out of the mode: half the step, unless it stands `still`, where it kept the energy of
        less than half of the chains."""
        factor = 1.0 if near >= 0.5 or still else 0.5
        averaging = self.averaging.begin(factor * self.step_size, exp(self.averaging.center) / self.step_size)
        return Adapted(factor * self.step_size, self.moves + 1, averaging)

    def after(self, accept: float, aim: float, adapt: int) -> "Adapted":
        """After one more move of mean acceptance `accept`, the first `adapt` of which are there to adapt."""
        done = self.moves + 1
        if done > adapt:
            return Adapted(self.step_size, done, self.averaging)
        averaging = self.averaging.update(accept, aim)
        settled = done == adapt or done == adapt // 2
        step_size = exp(min(averaging.log_mean if settled else averaging.log_step, 50.0))
        return Adapted(step_size, done, Averaging.begin(step_size, 1.0) if done == adapt // 2 else averaging)

    @classmethod
    def begin(cls, step_size: float, reach: float) -> "Adapted":
        return cls(step_size, 0, Averaging.begin(step_size, reach))
