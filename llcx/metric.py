"""Coordinates in which a posterior is about isotropic: w = w* + A u.

    diagonal     A = diag(s)
    low rank     A = s (1 + V diag(d) V^T),  V [P, k] orthonormal

The low-rank form is (n*beta G + ridge)^(-1/2) for a matrix G of which only factor rows R [r, P], G = R^T R, are known:
its eigenvectors come from the smaller of R R^T and R^T R, and A acts as 1/sqrt(ridge) on all others. A density in u
differs from that in w by a constant, so a kernel that is exact in u is exact in w.

The preconditioning of Girolami and Calderhead (2011), JRSS B 73:123, with a metric that stands still.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from llcx.types import Chains, Flat, Index, Kernel, Noise, PerChain, Potential

NEGLIGIBLE = 0.3  # n*beta e / ridge below which a direction is left as it is: an eighth of its length
ROWS = 1500  # factor rows of a Gauss-Newton matrix
MEMORY = 2**28  # bytes that they may take
PRIOR_DRAWS = 5  # weight of the typical variance in `diagonal_of`


class Metric(NamedTuple):
    """The map w = w* + s (u + V d V^T u)."""

    at: Flat  # w*
    scale: Tensor  # s: [] or [P], > 0
    vectors: Float[Tensor, "P k"] | None = None  # V
    gains: Float[Tensor, " k"] | None = None  # d > -1

    def to(self, u: Chains) -> Chains:
        return self.at + self.scale * self._bent(u, self.gains)

    def back(self, w: Chains) -> Chains:
        return self._bent((w - self.at) / self.scale, self._inverse)

    def pull(self, grad: Chains) -> Chains:
        """A gradient in w as one in u: A^T grad."""
        return self._bent(self.scale * grad, self.gains)

    def push(self, grad: Chains) -> Chains:
        """A gradient in u as one in w, the inverse of `pull`."""
        return self._bent(grad, self._inverse) / self.scale

    def rounded(self) -> "Metric":
        """With V in float32, which every gradient is multiplied by: another map by 1e-7, and as good a one."""
        if self.vectors is None or self.gains is None:
            return self
        return self._replace(vectors=self.vectors.float(), gains=self.gains.float())

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue of A A^T (with a scale for each weight: bounds of them)."""
        low, high = 1.0, 1.0
        if self.gains is not None and len(self.gains) > 0:
            low, high = 1 + float(self.gains.min()), 1 + float(self.gains.max())
            if len(self.gains) < len(self.at):
                low, high = min(low, 1.0), max(high, 1.0)
        return (low * float(self.scale.min())) ** 2, (high * float(self.scale.max())) ** 2

    @property
    def _inverse(self) -> Tensor | None:
        return None if self.gains is None else 1 / (1 + self.gains) - 1

    def _bent(self, x: Chains, gains: Tensor | None) -> Chains:
        if self.vectors is None or gains is None:
            return x
        seen = ((x.to(self.vectors) @ self.vectors) * gains) @ self.vectors.T
        return x + seen.to(x)


def identity(at: Flat) -> Metric:
    return Metric(at, torch.ones((), dtype=at.dtype, device=at.device))


class Spectrum(NamedTuple):
    """Eigenvalues [k], falling, and eigenvectors rows^T left of G = R^T R; the others are zero."""

    values: Float[Tensor, " k"]
    rows: Float[Tensor, "r P"]
    left: Float[Tensor, "r k"]

    def vectors(self, kept: Bool[Tensor, " k"]) -> Float[Tensor, "P kept"]:
        """Those that are kept: where P is large, far fewer than there are rows."""
        return self.rows.T @ self.left[:, kept]

    def quadratic(self, nbeta: float, gamma: float) -> float:
        """E[n*beta K] of K = w^T G w / 2: 1/2 sum of n*beta e / (n*beta e + gamma)."""
        stiff = nbeta * self.values.double()
        return 0.5 * float((stiff / (stiff + gamma)).sum())


def spectrum(rows: Float[Tensor, "r P"]) -> Spectrum:
    """Of R^T R, by the smaller Gram matrix."""
    if len(rows) >= rows.shape[1]:
        values, vectors = torch.linalg.eigh(rows.T @ rows)
        return Spectrum(values.flip(0).clamp(min=0), vectors.flip(1).T, torch.eye(len(values)).to(values))
    values, left = torch.linalg.eigh(rows @ rows.T)
    values, left = values.flip(0), left.flip(1)
    rounding = 1e-10 if rows.dtype == torch.float64 else 1e-5  # of a Gram matrix, with room
    some = values > rounding * values[0].clamp(min=1e-30)
    return Spectrum(values[some], rows, left[:, some] / values[some].sqrt())


def low_rank(at: Flat, found: Spectrum, nbeta: float, ridge: float) -> Metric:
    """(n*beta G + ridge)^(-1/2), without the directions that it would change little."""
    if not ridge > 0:
        raise ValueError(f"ridge must be > 0, got {ridge}; directions that G does not see have no other scale")
    share = nbeta * found.values / ridge
    kept = share > NEGLIGIBLE
    scale = torch.tensor(ridge**-0.5, dtype=at.dtype, device=at.device)
    return Metric(at, scale, found.vectors(kept).to(at), ((1 + share[kept]).rsqrt() - 1).to(at))


def gauss_newton(potential: Potential, w: Chains, generator: Generator) -> Spectrum:
    """The spectrum of the Gauss-Newton matrix of K, averaged over the chains' positions, from ROWS random factor rows.

    Fewer rows where P is so large that they would not fit the memory: the directions that they miss count as flat.
    """
    assert potential.factors is not None  # calibration chooses these coordinates only where there are factors
    total = max(16, min(ROWS, MEMORY // (8 * w.shape[1])))
    idx = torch.randint(potential.rows, (len(w), -(-total // len(w))), generator=generator).to(w.device)
    rows = potential.factors(w, idx).flatten(0, 1)
    return spectrum(rows * (potential.rows / potential.n / len(rows)) ** 0.5)


def moved(potential: Potential, metric: Metric) -> Potential:
    """K as a function of u, for what probes it: full gradients, values, minibatches and factor rows."""
    mini, factors = potential.mini, potential.factors

    def of(found: tuple[PerChain, Chains]) -> tuple[PerChain, Chains]:
        return found[0], metric.pull(found[1])

    return replace(
        potential,
        at=torch.zeros_like(potential.at),
        full=lambda u: of(potential.full(metric.to(u))),
        value=lambda u: potential.value(metric.to(u)),
        mini=None if mini is None else lambda u, idx: of(mini(metric.to(u), idx)),
        factors=None if factors is None else lambda u, idx: metric.pull(factors(metric.to(u), idx)),
        blocks=(),
        frozen=None,
        slope=None,
    )


def diagonal_of(at: Flat, positions: Float[Tensor, "D P"]) -> Metric:
    """Each weight's spread over D warm-up draws, shrunk towards the median weight's as by five more draws."""
    draws = len(positions)
    if draws < 2:
        raise ValueError(f"positions must hold at least 2 draws, got {draws}")
    variance = positions.double().var(0)
    typical = variance.median().clamp(min=1e-300)
    shrunk = (draws * variance + PRIOR_DRAWS * typical) / (draws + PRIOR_DRAWS)
    return Metric(at, shrunk.sqrt().to(at))


@runtime_checkable
class Density(Protocol):
    """A target that also tells energies and distances, as posterior.Posterior does."""

    def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]: ...

    def energy(self, w: Chains) -> PerChain: ...

    def distance(self, w: Chains) -> PerChain: ...

    def slope(self, w: Chains) -> Chains: ...

    def loss_gradient(self, w: Chains, grad: Chains) -> Chains: ...


class Coordinates:
    """A target in u; energies and distances stay those of w."""

    def __init__(self, target: Density, metric: Metric) -> None:
        self.target, self.metric = target, metric

    def __call__(self, u: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        logp, grad = self.target(self.metric.to(u), batch)
        return logp, self.metric.pull(grad)

    def slope(self, u: Chains) -> Chains:
        return self.metric.pull(self.target.slope(self.metric.to(u)))

    def loss_gradient(self, u: Chains, grad: Chains) -> Chains:
        """The loss's part, in u, of a gradient in u."""
        metric = self.metric
        return metric.pull(self.target.loss_gradient(metric.to(u), metric.push(grad)))

    def energy(self, u: Chains) -> PerChain:
        return self.target.energy(self.metric.to(u))

    def distance(self, u: Chains) -> PerChain:
        return self.target.distance(self.metric.to(u))


class Placed(NamedTuple):
    """A kernel's state in u, seen from outside as one in w: everything but the position is the inner state's own."""

    w: Chains
    inner: Any
    metric: Metric
    given: float | None  # step size that the kernel of this metric was built with
    path: tuple[Chains, ...] = ()  # the last positions, until the metric is renewed
    steps: int = 0  # so far

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Renewal(NamedTuple):
    """A better metric on the way: `metric(path [S, C, P])` of the last `memory` positions, after `when` steps."""

    metric: Callable[[Float[Tensor, "S C P"]], Metric]
    when: int
    memory: int = 1


def placed(
    build: Callable[[Any, float | None], Kernel], target: Density, metric: Metric, renewal: Renewal | None = None
) -> Kernel:
    """The kernel `build(target, step size)` run in the coordinates of `metric`, its positions given in w.

    Where the metric is renewed the kernel starts afresh from where the chains are, with the step size that it had; at
    the beginning `build` is given None.
    """
    kernels: dict[int, Kernel] = {}  # by the metric's identity

    def kernel(metric: Metric, step_size: float | None) -> Kernel:
        if id(metric) not in kernels:
            kernels.clear()  # the old metric is as large as the new one
            kernels[id(metric)] = build(Coordinates(target, metric), step_size)
        return kernels[id(metric)]

    def init(w: Chains, noise: Noise) -> Placed:
        return Placed(w, kernel(metric, None).init(metric.back(w), noise), metric, None, (w,))

    def step(state: Placed, batch: Index | None, noise: Noise) -> Placed:
        held, inner, given = state.metric, state.inner, state.given
        if renewal is not None and state.steps == renewal.when:
            held, given = renewal.metric(torch.stack(state.path)), getattr(inner, "step_size", None)
            inner = kernel(held, given).init(held.back(state.w), noise)
        moved = kernel(held, given).step(inner, batch, noise)
        w, steps = held.to(moved.w), state.steps + 1
        path = (*state.path, w)[-renewal.memory :] if renewal is not None and steps <= renewal.when else ()
        return Placed(w, moved, held, given, path, steps)

    return Kernel(init, step)
