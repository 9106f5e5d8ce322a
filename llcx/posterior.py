"""The one target density, and the one place where a loss is scaled.

    log p(w) = -n*beta K(w) - gamma/2 |w - w*|^2 + const,    K(w) = L(w) - L(w*) in nats

Lau et al. (2023), arXiv:2308.12108; n*beta = n / log n is Watanabe's (2013) choice, JMLR 14:867.
"""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.types import Chains, Index, PerChain, Potential, State

LONG, PIECE = 2**16, 2**10  # numbers


def n_over_log_n(n: int, beta0: float = 1.0) -> float:
    """n*beta for beta = beta0 / log n."""
    if n < 3:
        raise ValueError(f"n must be >= 3 for n*beta = n/log n, got {n}; set estimator.nbeta to a number")
    return beta0 * n / log(n)


class Posterior:
    """`(w [C, P], minibatch) -> (log p [C], gradient [C, P])`, counting what it was asked."""

    def __init__(self, potential: Potential, nbeta: float, gamma: float, *, control_variate: bool = False) -> None:
        """With `control_variate`, a minibatch's gradient is g_B(w) - g_B(w*) + g(w*), at twice the cost."""
        self.potential, self.nbeta, self.gamma = potential, nbeta, gamma
        self.control_variate = control_variate and potential.target == "data"  # self: both terms are zero
        self.gradients = 0  # evaluations a chain
        self.examples = 0  # example gradients over all chains; a closed form looks at none
        self.last: PerChain | None = None  # K of the last call
        self._slope = potential.at.new_zeros(1, len(potential.at))  # g(w*) [1, P]
        if self.control_variate and potential.mini is not None:
            self.gradients, self._slope = 1, potential.full(potential.at.unsqueeze(0))[1]

    def state(self) -> State:
        """What was counted, and K of the last call: a run that goes on needs them."""
        found: State = {"gradients": self.gradients, "examples": self.examples}
        return found if self.last is None else {**found, "last": self.last}

    def load(self, state: State) -> None:
        self.gradients, self.examples = int(state["gradients"]), int(state["examples"])
        last = state.get("last")
        self.last = last.to(self.potential.at.device) if isinstance(last, Tensor) else None

    def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        self.gradients += 1
        if batch is None:
            k, grad = self.potential.full(w)
            self.examples += 0 if self.potential.exact else w.shape[0] * self.potential.rows
        else:
            k, grad = self._mini(w, batch)
        self.last = k
        shift = w - self.potential.at
        logp = -self.nbeta * k - 0.5 * self.gamma * squares(shift)
        return logp, self._tilted(grad, shift)

    def slope(self, w: Chains) -> Chains:
        """The gradient on all rows, in float32 where that is faster: for steps that an exact energy decides on."""
        quick = self.potential.slope
        if quick is None:
            return self(w, None)[1]
        self.gradients, self.examples = self.gradients + 1, self.examples + w.shape[0] * self.potential.rows
        return self._tilted(quick(w), w - self.potential.at)

    def loss_gradient(self, w: Chains, grad: Chains) -> Chains:
        """The gradient of K [C, P], nats an example, in what a call gave at w."""
        return -(grad + self.gamma * (w - self.potential.at)) / self.nbeta

    def _mini(self, w: Chains, batch: Index) -> tuple[PerChain, Chains]:
        assert self.potential.mini is not None  # calibration refuses minibatches where there are none
        self.examples += batch.numel()
        k, grad = self.potential.mini(w, batch)
        if not self.control_variate:
            return k, grad
        self.gradients, self.examples = self.gradients + 1, self.examples + batch.numel()
        at = self.potential.at.expand(len(w), -1)
        return k, grad - self.potential.mini(at, batch)[1] + self._slope

    def _tilted(self, grad: Chains, shift: Chains) -> Chains:
        """-(n*beta grad + gamma shift), in the memory of `grad` unless a closed form may hold that."""
        out = grad * -self.nbeta if self.potential.exact else grad.mul_(-self.nbeta)
        return out.sub_(shift, alpha=self.gamma)

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
        return squares(w - self.potential.at)


def squares(v: Chains) -> PerChain:
    """|v|^2 [C] in float64; of long vectors in float32, of pieces whose own are as good as float32 is."""
    if v.dtype == torch.float64 or v.shape[1] <= LONG:
        return v.double().square().sum(1)
    whole = v.shape[1] // PIECE * PIECE
    pieces = torch.linalg.vector_norm(v[:, :whole].unflatten(1, (-1, PIECE)), dim=2)
    return pieces.double().square().sum(1) + v[:, whole:].double().square().sum(1)
