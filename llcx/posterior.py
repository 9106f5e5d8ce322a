"""The one target density, and the one place where a loss is scaled.

    log p(w) = -n*beta K(w) - gamma/2 |w - w*|^2 + const,    K(w) = L(w) - L(w*) in nats

Lau et al. (2023), arXiv:2308.12108; n*beta = n / log n is Watanabe's (2013) choice, JMLR 14:867.
"""

from math import log

from llcx.types import Chains, Index, PerChain, Potential


def n_over_log_n(n: int, beta0: float = 1.0) -> float:
    """n*beta for beta = beta0 / log n."""
    if n < 3:
        raise ValueError(f"n must be >= 3 for n*beta = n/log n, got {n}; set estimator.nbeta to a number")
    return beta0 * n / log(n)


class Posterior:
    """`(w [C, P], minibatch) -> (log p [C], gradient [C, P])`, counting what it was asked."""

    def __init__(self, potential: Potential, nbeta: float, gamma: float) -> None:
        self.potential, self.nbeta, self.gamma = potential, nbeta, gamma
        self.gradients = 0  # evaluations a chain
        self.examples = 0  # example gradients over all chains; a closed form looks at none

    def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        self.gradients += 1
        if batch is None:
            k, grad = self.potential.full(w)
            self.examples += 0 if self.potential.exact else w.shape[0] * self.potential.rows
        else:
            assert self.potential.mini is not None  # calibration refuses minibatches where there are none
            k, grad = self.potential.mini(w, batch)
            self.examples += batch.numel()
        shift = w - self.potential.at
        logp = -self.nbeta * k - 0.5 * self.gamma * shift.double().square().sum(1)
        return logp, -(self.nbeta * grad + self.gamma * shift)

    def energy(self, w: Chains) -> PerChain:
        """n*beta*K [C], the quantity whose posterior mean is the LLC."""
        return self.nbeta * self.potential.value(w)

    def distance(self, w: Chains) -> PerChain:
        """|w - w*|^2 [C]."""
        return (w - self.potential.at).double().square().sum(1)
