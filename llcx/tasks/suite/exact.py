"""Exact posterior means of n*beta*K at any temperature, from the partition function.

    Z(t) = E exp(-t K(u)),  u ~ N(0, I / gamma),        E[t K] = -d log Z / d log t,    t = n*beta, u = w - w*

A law is log Z as an analytic function of t; the derivative is that of a complex step (Squire and Trapp 1998, SIAM
Review 40:110), which loses no digits. Laws of sums without a shared variable add. Quadratures are trapezoidal on the
logarithms of norms, which converges faster than any power of the step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

Law = Callable[[complex, float], complex]  # (t, gamma) -> log Z
Tail = Callable[[NDArray, complex, float], NDArray]  # (exp(s), t, gamma) -> log E[exp(-t K) | s]

STEP = 0.1  # of the logarithm of a norm
DEEP = 45.0  # e-folds that a quadrature goes below the scale at which t K is 1
TINY = 1e-20  # of the complex step


@dataclass(frozen=True)
class Mean:
    """The estimate expected of a law: `types.Known.at`."""

    law: Law

    def __call__(self, nbeta: float, gamma: float) -> float | None:
        """None without a localiser, where Z need not be finite."""
        if gamma <= 0:
            return None
        return -float(np.imag(self.law(nbeta * (1 + 1j * TINY), gamma))) / TINY


def independent(*laws: Law) -> Law:
    """K = K_1(w_1) + K_2(w_2) + ..., no shared variable."""
    return lambda t, gamma: sum((law(t, gamma) for law in laws), 0j)


def quadratic(curvatures: Sequence[float], slopes: Sequence[float] | None = None) -> Law:
    """K = sum h_i u_i^2 / 2 - g_i u_i: E[t K] = sum t h_i / (t h_i + gamma) / 2 for g = 0."""
    h = np.asarray(curvatures, dtype=float)
    g = np.zeros_like(h) if slopes is None else np.asarray(slopes, dtype=float)

    def law(t: complex, gamma: float) -> complex:
        return complex(np.sum(0.5 * t * t * g * g / (t * h + gamma) - 0.5 * np.log1p(t * h / gamma)))

    return law


def product(dims: Sequence[int], powers: Sequence[int]) -> Law:
    """K = prod_i |v_i|^p_i / 2 with v_i in R^d_i; one factor in one dimension is |u|^p / 2."""

    def tail(size: NDArray, t: complex, gamma: float) -> NDArray:
        del gamma
        return -0.5 * t * size

    return of_norms(dims, powers, tail)


def chain(hidden: Sequence[int], curvatures: Sequence[float], slopes: Sequence[float] | None = None) -> Law:
    """A deep linear network with one output, W_L ... W_1 = D [1, H_0], all weights 0 at w*: K = D S D'/2 - D g.

    Given all layers but the first, D is normal with variance |v_1|^2 ... / gamma, v_l in R^(H_l): the squared norms of
    products with Gaussian matrices multiply. `curvatures` [H_0] are the eigenvalues of S, `slopes` g in its eigenbasis.
    """
    h = np.asarray(curvatures, dtype=float)[:, None]
    g = np.zeros_like(h) if slopes is None else np.asarray(slopes, dtype=float)[:, None]

    def tail(size: NDArray, t: complex, gamma: float) -> NDArray:
        v = size / gamma
        found: NDArray = np.sum(0.5 * v * (t * g) ** 2 / (1 + t * v * h) - 0.5 * np.log1p(t * v * h), axis=0)
        return found

    return of_norms(hidden, [2] * len(hidden), tail, least=min(*hidden, len(h)) / 2)


def of_norms(dims: Sequence[int], powers: Sequence[int], tail: Tail, least: float | None = None) -> Law:
    """E over s = sum_i p_i log|v_i| of `tail`, the density of s by convolution.

    `least` is the rate at which that density times the tail falls below the scale of t, lambda; None: min d_i / p_i.
    """
    slowest = min(d / p for d, p in zip(dims, powers, strict=True))
    rate = slowest if least is None else min(least, slowest)

    def law(t: complex, gamma: float) -> complex:
        tops = [0.5 * p * log((80.0 + 4 * d) / gamma) for d, p in zip(dims, powers, strict=True)]
        lowest = min(0.0, -log(abs(t))) - DEEP / rate
        density, start = np.ones(1), 0.0
        for d, p, top in zip(dims, powers, tops, strict=True):
            floor = lowest - sum(max(other, 0.0) for other in tops)
            grid = np.arange(np.floor(floor / STEP), np.ceil(top / STEP) + 1) * STEP
            density, start = np.convolve(density, STEP * _density(grid, d, p, gamma)), start + grid[0]
        s = start + STEP * np.arange(len(density))
        kept = (density > 0) & (s > lowest)
        logs = np.log(density[kept]) + tail(np.exp(s[kept]), t, gamma)
        return complex(np.max(logs.real) + np.log(np.sum(np.exp(logs - np.max(logs.real)))))

    return law


def _density(s: NDArray, d: int, p: int, gamma: float) -> NDArray:
    """Of s = p log|v|, v ~ N(0, I_d / gamma)."""
    a = s / p
    logs = log(2) + 0.5 * d * log(gamma / 2) - lgamma(d / 2) + d * a - 0.5 * gamma * np.exp(2 * a) - log(p)
    return np.exp(logs)


def triangle(t: complex, gamma: float) -> complex:
    """K = (xy)^2 + (yz)^2 + (zx)^2: Gaussian in x given the others; their angle gives a Bessel function I_0."""
    r2 = np.exp(2 * _radii(t, gamma, 0.75))
    bent = _bessel(0.0, t * r2 * r2 / 8)
    return complex(np.log(np.sum(STEP * gamma * r2 * np.exp(-gamma * r2 / 2) * bent / np.sqrt(1 + 2 * t * r2 / gamma))))


def unit(inputs: Sequence[float]) -> Law:
    """One hidden unit, f = a tanh(b x) taught by f = 0, at the mean over `inputs`: K = a^2 mean tanh(b x)^2 / 2."""
    x = np.asarray(inputs, dtype=float)[:, None]

    def law(t: complex, gamma: float) -> complex:
        b = np.exp(_radii(t, gamma, 0.5))
        square = np.mean(np.tanh(b * x) ** 2, axis=0)
        weight = b * np.exp(-gamma * b * b / 2) * (2 * gamma / np.pi) ** 0.5
        return complex(np.log(np.sum(STEP * weight / np.sqrt(1 + t * square / gamma))))

    return law


def cusp(t: complex, gamma: float) -> complex:
    """K = (x^2 - y^3)^2: a quartic in x, whose integral is a Bessel function of order 1/4."""
    size = np.exp(_radii(t, gamma, 1 / 3))
    c = np.concatenate([-(size**3), size**3])
    b = 2 * t * c - gamma / 2  # the exponent is -t x^4 + b x^2 - t c^2
    z, outer = b * b / (8 * t), b.real > 0
    root = np.sqrt(np.where(outer, b, -b) / t)
    inner = 0.25 * root * _bessel(0.25, z, second=True) * np.exp(-t * c * c)
    both = np.pi / 32**0.5 * root * (_bessel(-0.25, z) + _bessel(0.25, z))
    tilt = np.exp(np.where(outer, -0.5 * gamma * c + gamma**2 / (16 * t), 0))  # exp(2 z - t c^2)
    weight = STEP * np.concatenate([size, size]) * np.exp(-0.5 * gamma * np.concatenate([size, size]) ** 2)
    return complex(np.log(np.sum(weight * np.where(outer, both * tilt, inner))))


def _bessel(order: float, z: NDArray, *, second: bool = False) -> NDArray:
    """exp(-z) I(z), or exp(z) K(z), to first order in the imaginary part of z; for large z by its asymptotic series."""
    from scipy.special import ive, kve

    large, mu = z.real > 1e5, 4 * order**2
    x = np.where(large, 1.0, z.real)
    kind = kve if second else ive
    value, beside = kind(order, x), 0.5 * (kind(order - 1, x) + kind(order + 1, x))
    small = value + 1j * z.imag * (value - beside if second else beside - value)
    far = np.where(large, z, 1.0)
    first = (mu - 1) / (8 * far)
    series = 1 + (first if second else -first) + first * (mu - 9) / (16 * far)
    return np.where(large, series * np.sqrt((np.pi / 2 if second else 1 / (2 * np.pi)) / far), small)


def _radii(t: complex, gamma: float, rate: float) -> NDArray:
    """Logarithms of a norm, from where its density has died out down to where t K has."""
    top = 0.5 * log(160.0 / gamma)
    return np.arange(min(0.0, -log(abs(t))) - DEEP / rate, top, STEP)
