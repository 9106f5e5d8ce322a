"""The one target density, and the one place where a loss is scaled.

    log p(w) = -n*beta K(w) - gamma/2 |w - w*|^2 + const,    K(w) = L(w) - L(w*) in nats

Lau et al. (2023), arXiv:2308.12108; n*beta = n / log n is Watanabe's (2013) choice, JMLR 14:867.
"""

from math import log

from jaxtyping import Float
from torch import Tensor

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

    @property
    def blocks(self) -> tuple[Tensor, ...]:
        """Positions [G, b] that have Gaussian conditionals: see StatModel.blocks."""
        return self.potential.blocks

    def conditional(self, w: Chains, block: Tensor) -> tuple[Float[Tensor, "C G b b"], Float[Tensor, "C G b"]]:
        """Precision A and A times the mean of the parameters in each group of `block`, given all others.

        The gradient is linear in a block of a quadratic, h - A u at u: b + 1 gradients, one at 0 and one at each unit
        vector, give h and A without a loss of digits. The groups are probed together.
        """
        chains, (groups, size) = len(w), block.shape
        probes = w.repeat(size + 1, 1, 1)
        probes[:, :, block.reshape(-1)] = 0.0
        for column in range(size):
            probes[column + 1, :, block[:, column]] = 1.0
        _, grad = self(probes.flatten(0, 1), None)
        self.gradients += size
        slopes = grad.unflatten(0, (size + 1, chains))[:, :, block.reshape(-1)].unflatten(2, (groups, size))
        precision = (slopes[0] - slopes[1:]).permute(1, 2, 3, 0)
        return 0.5 * (precision + precision.mT), slopes[0]

    def energy(self, w: Chains) -> PerChain:
        """n*beta*K [C], the quantity whose posterior mean is the LLC."""
        return self.nbeta * self.potential.value(w)

    def distance(self, w: Chains) -> PerChain:
        """|w - w*|^2 [C]."""
        return (w - self.potential.at).double().square().sum(1)
