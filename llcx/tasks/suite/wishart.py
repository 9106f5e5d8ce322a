"""The partition function of a two-layer linear network whose layers are both 0 at w*: K = |W_2 W_1|^2 / 2.

Given W_2 the columns of W_1 are normal, which leaves a mean over the eigenvalues x of gamma W_2 W_2',

    Z(t) = E prod_i (1 + t x_i / gamma^2)^(-H_0 / 2),

a real Wishart ensemble. Its density has the absolute value of a Vandermonde determinant, so Z is a Pfaffian of double
integrals (de Bruijn 1955, J. Indian Math. Soc. 19:133). With it the value at any n*beta and gamma is exact,
multiplicity included. The double integrals are sinc quadratures on log x (Stenger 1993, "Numerical methods based on
sinc and analytic functions").
"""

from collections.abc import Sequence
from functools import cache
from math import log

import numpy as np
from numpy.typing import NDArray

from llcx.tasks.suite.exact import DEEP, Law

STEP = 0.2  # of log x


def at_zero(widths: Sequence[int]) -> Law:
    """log Z, up to a constant, of a network [H_0, H_1, H_2] at the origin; 0 where a width is 0."""
    ends = sorted((widths[0], widths[2]))
    if min(widths) == 0:
        return lambda t, gamma: 0j
    few, many = sorted((ends[0], widths[1]))

    def law(t: complex, gamma: float) -> complex:
        grid = np.arange(min(0.0, log(gamma**2 / abs(t))) - 2 * DEEP, log(200.0 + 4 * many), STEP)
        x = np.exp(grid)
        logs = 0.5 * (many - few + 1) * grid - 0.5 * x - 0.5 * ends[1] * np.log1p(t * x / gamma**2)
        size = np.exp(logs.real)[:, None]
        basis = np.linalg.qr(_unit(x[:, None] ** np.arange(few) * size))[0]
        return _pfaffian(basis * np.exp(1j * logs.imag)[:, None])

    return law


def _unit(columns: NDArray) -> NDArray:
    found: NDArray = columns / np.linalg.norm(columns, axis=0)
    return found


def _pfaffian(f: NDArray) -> complex:
    """log Pf of the integrals of sign(y - x) f_j(x) f_l(y), bordered by those of f_j where their number is odd."""
    matrix = f.T @ (_sign(len(f)) @ f)
    if f.shape[1] % 2:
        edge = f.sum(0)[:, None]
        matrix = np.block([[matrix, edge], [-edge.T, np.zeros((1, 1))]])
    sign, size = np.linalg.slogdet(matrix)
    return complex(0.5 * (size + np.log(sign)))


@cache
def _sign(count: int) -> NDArray:
    """Quadrature [count, count] of sign(y - x) on a uniform grid: the sinc function's integral."""
    from scipy.special import sici

    steps = np.arange(count)
    found: NDArray = 2 / np.pi * sici(np.pi * (steps[None, :] - steps[:, None]))[0]
    return found
