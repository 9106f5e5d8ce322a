"""The exact means: against brute quadrature, against each other, and in the limit against theory."""

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from llcx import theory
from llcx.tasks.suite import exact, wishart
from llcx.tasks.suite.exact import Law, Mean
from llcx.theory import RLCT

INPUTS = (-1.5, -0.5, 0.5, 1.5)
ONE_SQUARE = theory.powers([2])


def brute(k: Callable[..., NDArray], dims: int, t: float, gamma: float, *, nodes: int) -> float:
    """E[t K] by the trapezoidal rule on a grid of `nodes` an axis, for K that varies slowly on it."""
    x = np.linspace(-7, 7, nodes) / gamma**0.5
    axes = np.meshgrid(*[x] * dims)
    energy = t * k(*axes)
    weight = np.exp(-energy - gamma * sum(axis**2 for axis in axes) / 2)
    return float((energy * weight).sum() / weight.sum())


@pytest.mark.parametrize(
    ("law", "k"),
    [
        (exact.product([1, 1], [2, 2]), lambda x, y: x**2 * y**2 / 2),
        (exact.product([1, 1], [2, 4]), lambda x, y: x**2 * y**4 / 2),
        (exact.product([2], [4]), lambda x, y: (x**2 + y**2) ** 2 / 2),
        (exact.independent(exact.product([1], [4]), exact.quadratic([3.0])), lambda x, y: x**4 / 2 + 1.5 * y**2),
        (exact.quadratic([2.0, 0.5], [0.3, -0.1]), lambda x, y: x**2 + y**2 / 4 - 0.3 * x + 0.1 * y),
        (exact.cusp, lambda x, y: (x**2 - y**3) ** 2),
        (exact.unit(INPUTS), lambda x, y: x**2 * np.mean([np.tanh(y * z) ** 2 for z in INPUTS], axis=0) / 2),
    ],
    ids=["x2y2", "x2y4", "norm", "sum", "slopes", "cusp", "unit"],
)
@pytest.mark.parametrize(("t", "gamma"), [(2.0, 1.0), (20.0, 4.0)])
def test_a_law_gives_the_mean_of_a_brute_quadrature(
    law: Law, k: Callable[..., NDArray], t: float, gamma: float
) -> None:
    assert Mean(law)(t, gamma) == pytest.approx(brute(k, 2, t, gamma, nodes=601), rel=2e-5)


def test_the_law_of_three_axes_too() -> None:
    found = brute(lambda x, y, z: (x * y) ** 2 + (y * z) ** 2 + (z * x) ** 2, 3, 2.0, 1.0, nodes=71)
    assert Mean(exact.triangle)(2.0, 1.0) == pytest.approx(found, rel=1e-5)


LIMITS: dict[str, tuple[Law, RLCT]] = {
    "x2y2": (exact.product([1, 1], [2, 2]), theory.product(ONE_SQUARE, ONE_SQUARE)),
    "x2y2z2": (exact.product([1, 1, 1], [2, 2, 2]), theory.product(*[ONE_SQUARE] * 3)),
    "x2y4": (exact.product([1, 1], [2, 4]), theory.monomial([2, 4])),
    "norms": (exact.product([3, 3], [2, 2]), theory.product(*[theory.regular(3)] * 2)),
    "triangle": (exact.triangle, theory.powers([4, 4, 4])),
    "cusp": (exact.cusp, theory.powers([4, 6])),
    "unit": (exact.unit(INPUTS), theory.product(ONE_SQUARE, ONE_SQUARE)),
    "chain": (exact.chain([2, 2], [1.0, 1.0]), theory.dln([2, 2, 2, 1], 0)),
    "uneven chain": (exact.chain([3, 5], [1.0] * 6), theory.dln([6, 3, 5, 1], 0)),
    "3,3,3": (wishart.at_zero([3, 3, 3]), theory.dln([3, 3, 3], 0)),
    "6,5,4": (wishart.at_zero([6, 5, 4]), theory.dln([6, 5, 4], 0)),
    "2,7,3": (wishart.at_zero([2, 7, 3]), theory.dln([2, 7, 3], 0)),
    "5,6,5": (wishart.at_zero([5, 6, 5]), theory.dln([5, 6, 5], 0)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_law_tends_to_lambda_as_its_multiplicity_says(name: str) -> None:
    """lambda - E = (m - 1) / (log t + c): its inverse rises by 1 / (m - 1) an e-fold; where m is 1 it dies out."""
    (law, rlct), temperatures = LIMITS[name], (1e10, 1e13)
    gaps = [float(rlct.lam) - (Mean(law)(t, 1.0) or 0.0) for t in temperatures]
    if rlct.mult == 1:
        assert abs(gaps[1]) < 0.7 * abs(gaps[0]) + 1e-4  # the cusp's next pole is 1/12 away
        assert abs(gaps[1]) < 0.02
    else:
        slope = (1 / gaps[1] - 1 / gaps[0]) / log(temperatures[1] / temperatures[0])
        assert 1 / slope == pytest.approx(rlct.mult - 1, rel=0.1)


@pytest.mark.parametrize("t", [3.0, 1e3, 1e8])
def test_two_ways_to_a_network_with_one_output_agree(t: float) -> None:
    """By norms and by eigenvalues; and the order of the widths does not matter."""
    assert Mean(exact.chain([4], [1.0] * 3))(t, 2.0) == pytest.approx(
        Mean(wishart.at_zero([3, 4, 1]))(t, 2.0), rel=1e-9
    )
    one, other = (Mean(wishart.at_zero(widths))(t, 1.0) for widths in ([5, 3, 2], [2, 3, 5]))
    assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("widths", [(2, 2, 2), (4, 3, 2), (4, 4, 4)])
def test_the_pfaffian_is_the_mean_over_random_matrices(widths: tuple[int, int, int]) -> None:
    t, gamma = 3.0, 2.0
    w = np.random.default_rng(0).standard_normal((40, 1000, widths[2], widths[1])) / gamma**0.5
    x = t / gamma * np.linalg.eigvalsh(w @ w.swapaxes(-1, -2))
    weight = np.prod(1 + x, axis=-1) ** (-widths[0] / 2)
    energy = widths[0] / 2 * (x / (1 + x)).sum(-1)
    groups = (weight * energy).mean(1) / weight.mean(1)  # [40], their bias far below their spread
    se = float(groups.std()) / 40**0.5
    found = Mean(wishart.at_zero(widths))(t, gamma) or 0.0
    assert se < 0.01 * found
    assert abs(groups.mean() - found) < 4 * se
    assert abs(groups.mean() - (Mean(wishart.at_zero(widths))(1.2 * t, gamma) or 0.0)) > 4 * se  # that would show


def test_powers_are_equipartitioned_but_for_the_localiser() -> None:
    assert Mean(exact.product([1], [4]))(1e4, 1e-9) == pytest.approx(0.25, rel=1e-6)
    assert Mean(exact.quadratic([2.0, 1.0]))(10.0, 5.0) == pytest.approx(0.5 * (20 / 25 + 10 / 15), rel=1e-14)


def test_nothing_is_said_without_a_localiser() -> None:
    assert Mean(exact.quadratic([1.0]))(1e4, 0.0) is None


def test_slopes_of_a_chain_are_those_of_the_noise_in_its_labels() -> None:
    """[2, 1, 1]: D = a b, K = D S D'/2 - D g, by brute quadrature over a and the two b."""
    h, g = (1.0, 0.5), (0.2, -0.1)

    def k(a: NDArray, b: NDArray, c: NDArray) -> NDArray:
        return (h[0] * (a * b) ** 2 + h[1] * (a * c) ** 2) / 2 - g[0] * a * b - g[1] * a * c

    assert Mean(exact.chain([1], h, g))(2.0, 1.0) == pytest.approx(brute(k, 3, 2.0, 1.0, nodes=71), rel=1e-5)
