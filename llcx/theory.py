"""Known real log canonical thresholds: integers in, exact fractions out, no tensors.

For a loss K(w) >= 0 that vanishes at w*, with lambda the threshold and m its multiplicity,

    Z(t) = int exp(-t K(w)) phi(w) dw ~ C t^-lambda (log t)^(m-1),    t = n*beta.

Watanabe (2009), "Algebraic Geometry and Statistical Learning Theory".
Deep linear networks: K = |W_L ... W_1 - P|^2 / 2, widths = [H_0 (input), ..., H_L (output)], rank = rank P, and W_s has
the shape [H_s, H_(s-1)]. Every full-rank covariance of the inputs and every positive noise level give the same pair.

All functions raise ValueError, naming the field, its value and the cure, for numbers that no model can have.
"""

import operator
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import log
from typing import NamedTuple


class RLCT(NamedTuple):
    """A real log canonical threshold and its multiplicity."""

    lam: Fraction  # lambda, the learning coefficient
    mult: int  # m, the order of the pole at -lambda: 1 for regular models

    def at(self, nbeta: float) -> float:
        """E[nbeta * K] at a finite temperature, lambda - (m - 1) / log(nbeta), up to O(1 / log^2 nbeta)."""
        if not nbeta > 1:
            raise ValueError(f"nbeta must be > 1, got {nbeta}; the expansion holds for large n*beta, use `lam` alone")
        return float(self.lam) - (self.mult - 1) / log(nbeta)


class Bounds(NamedTuple):
    """low <= lambda <= high; an exact value where the two agree."""

    low: Fraction
    high: Fraction


def regular(parameters: int) -> RLCT:
    """lambda = d/2, m = 1: a quadratic of rank d = `parameters`, whatever its curvatures (Schwarz 1978's BIC)."""
    (d,) = _whole("parameters", parameters)
    return RLCT(Fraction(d, 2), 1)


def powers(exponents: Sequence[int]) -> RLCT:
    """K = sum_i |w_i|^p_i: lambda = sum_i 1/p_i, m = 1.

    By equipartition E[nbeta * K] = lambda at every nbeta, not only in the limit (flat prior, no localisation).
    """
    return RLCT(sum((Fraction(1, p) for p in _exponents(exponents)), Fraction(0)), 1)


def monomial(exponents: Sequence[int]) -> RLCT:
    """K = prod_i |w_i|^p_i at the origin: lambda = 1 / max_i p_i, m = how many i attain it (Watanabe 2009)."""
    p = _exponents(exponents)
    return RLCT(Fraction(1, max(p)), p.count(max(p)))


def disjoint_sum(*parts: RLCT) -> RLCT:
    """K = K_1(w_1) + K_2(w_2) + ..., no shared variable: Z factorises; lambda = sum lambda_j, m - 1 = sum (m_j - 1)."""
    return RLCT(sum((part.lam for part in parts), Fraction(0)), 1 + sum(part.mult - 1 for part in parts))


def product(*parts: RLCT) -> RLCT:
    """K = K_1(w_1) K_2(w_2) ... without a shared variable: lambda = min, m = sum over the parts that attain it.

    The zeta function int K^z is the product of the parts' own, and orders of a common pole add (Watanabe 2009).
    """
    if not parts:
        raise ValueError("parts must name at least one factor, got none")
    least = min(part.lam for part in parts)
    return RLCT(least, sum(part.mult for part in parts if part.lam == least))


def dln(widths: Sequence[int], rank: int) -> RLCT:
    """Global RLCT of a deep linear network of any depth L >= 1, the smallest over all w* with this product; O(L log L).

    M_s = H_s - r sorted ascending; k >= 2 is the one count of widths with l = k - 1, S = sum of the k smallest M and

        l M_(k) <= S < l M_(k+1)    (no right-hand side where k = L + 1)

        lambda = r (H_0 + H_L - r) / 2  +  (a (l - a) + S^2 - l Q) / (4 l),    m = a (l - a) + 1,

    with Q the sum of the k smallest M^2 and a = S mod l. It is the paper's Theorem 1, its sum over pairs written as
    (S^2 - Q) / 2 and its a = l as a = 0. k = 1 never qualifies, also where the smallest width is unique.
    A width may be 0: then K = 0, lambda = 0, m = 1.

    Aoyagi (2024), "Consideration on the learning efficiency of multiple-layered neural networks with linear units",
    Neural Networks 172, 106132.
    """
    widths = _widths(widths)
    rank = _rank("rank", rank, widths)
    active = _active(sorted(width - rank for width in widths))
    ell, total = len(active) - 1, sum(active)
    a = total % ell
    core = Fraction(a * (ell - a) + total**2 - ell * sum(excess**2 for excess in active), 4 * ell)
    return RLCT(Fraction(rank * (widths[0] + widths[-1] - rank), 2) + core, a * (ell - a) + 1)


def reduced_rank(m_in: int, hidden: int, n_out: int, rank: int) -> RLCT:
    """Global RLCT of reduced-rank regression, one hidden linear layer: M = m_in, H = hidden, N = n_out, r = rank.

        balanced (no case below)    lambda = q/8, m = 1 for M + H + N + r even; (q + 1)/8, m = 2 for it odd,
                                    q = -(H + r)^2 - M^2 - N^2 + 2 (H + r) M + 2 (H + r) N + 2 M N
        M + H < N + r               lambda = (H M - H r + N r) / 2, m = 1
        N + H < M + r               lambda = (H N - H r + M r) / 2, m = 1
        M + N < H + r               lambda = M N / 2, m = 1

    Equal to dln([M, H, N], r).

    Aoyagi and Watanabe (2005), "Stochastic complexities of reduced rank regression in Bayesian estimation",
    Neural Networks 18, 924-933.
    """
    m, h, n = _whole("m_in, hidden, n_out", m_in, hidden, n_out)
    r = _rank("rank", rank, (m, h, n))
    if m + h < n + r:
        return RLCT(Fraction(h * m - h * r + n * r, 2), 1)
    if n + h < m + r:
        return RLCT(Fraction(h * n - h * r + m * r, 2), 1)
    if m + n < h + r:
        return RLCT(Fraction(m * n, 2), 1)
    q = -((h + r) ** 2) - m**2 - n**2 + 2 * (h + r) * (m + n) + 2 * m * n
    odd = (m + h + n + r) % 2
    return RLCT(Fraction(q + odd, 8), 1 + odd)


def dln_local(widths: Sequence[int], rank_w2: int, rank_w1: int, rank_product: int) -> RLCT:
    """Local RLCT of a two-layer linear network at w* = (W_2, W_1) of ranks a and b, W_2 W_1 of rank r.

        lambda = (a H_0 + (H_2 - a) b) / 2 + lambda_0,    (lambda_0, m) = dln([H_0 - b, H_1 - a - b + r, H_2 - a], 0)

    m too is exact, and of this very point: eliminating the invertible blocks of W_2 and W_1 at w*, an analytic change
    of coordinates, leaves a H_0 + (H_2 - a) b squares and, in other variables, the product of the two remaining blocks,
    both zero at w*. K is their disjoint sum up to bounded positive factors, which change neither lambda nor m. The
    squares have m = 1; the product is homogeneous, so its value at 0 is the global one. a = b = r, as in a balanced
    factorisation, gives dln(widths, r); every other point has the same lambda or a larger one.

    lambda is half the codimension of the fibre at w* (globally: Pepin Lehalleur and Rimanyi 2024, arXiv:2411.19920).
    """
    widths = _widths(widths)
    if len(widths) != 3:
        raise ValueError(f"widths must be [H_0, H_1, H_2], got {list(widths)}; for other depths use dln_local_bounds")
    h0, h1, h2 = widths
    a, b = _rank("rank_w2", rank_w2, (h1, h2)), _rank("rank_w1", rank_w1, (h0, h1))
    r = _rank_of_product("rank_product", rank_product, (a, b), h1)
    return disjoint_sum(regular(a * h0 + (h2 - a) * b), dln([h0 - b, h1 - a - b + r, h2 - a], 0))


def dln_local_bounds(widths: Sequence[int], left: Sequence[int], right: Sequence[int], rank: int) -> Bounds:
    """Bounds on the local lambda of a deep linear network at w*, from the ranks of its partial products.

    left[s-1] = rank(W_L ... W_(s+1)) and right[s-1] = rank(W_s ... W_1) for each hidden layer s = 1..L-1.

        low  = max(lambda of dln(widths, rank), rank J / 2),    rank J = sum_(s=1..L) (u_s - u_(s-1)) v_s
        high = N (H_0 + H_L - N) / 2,    N the narrowest width

    J is the Jacobian of the product at w*; u_s, of u = (0, *left, H_L), is the rank to the left of W_s (u_0 = 0 by
    convention), and v_s, of v = (H_0, *right), the rank to its right. low: K has rank J squares, and lambda is lower
    semicontinuous in w*. high: no component of a fibre has a codimension above the dimension of the image, the matrices
    of rank <= N. For two layers dln_local is exact.
    """
    widths = _widths(widths)
    u, v = _partial_ranks(widths, left, right, rank)
    jacobian = sum((here - before) * right_rank for (before, here), right_rank in zip(pairwise(u), v, strict=True))
    narrowest = min(widths)
    high = Fraction(narrowest * (widths[0] + widths[-1] - narrowest), 2)
    return Bounds(max(dln(widths, rank).lam, Fraction(jacobian, 2)), high)


def _active(excess: list[int]) -> list[int]:
    """Theorem 1's index set: the k smallest of the sorted M.

    Growing while the next M is at most S / l keeps l M_(k) <= S, and past the first S < l M_(k+1) no larger k has it.
    """
    k, total = 2, excess[0] + excess[1]
    while k < len(excess) and total >= (k - 1) * excess[k]:
        total += excess[k]
        k += 1
    return excess[:k]


def _whole(field: str, *values: int, least: int = 0) -> tuple[int, ...]:
    """`values` as plain ints; ValueError where one is not whole or falls short of `least`."""
    for value in values:
        if not hasattr(value, "__index__") or operator.index(value) < least:
            among = f" among {list(values)}" if len(values) > 1 else ""
            raise ValueError(f"{field} must be whole and >= {least}, got {value!r}{among}; correct it where it is set")
    return tuple(map(operator.index, values))


def _widths(widths: Sequence[int]) -> tuple[int, ...]:
    if len(widths) < 2:
        raise ValueError(f"widths must hold at least an input and an output, got {list(widths)}; add the missing width")
    return _whole("widths", *widths)


def _exponents(exponents: Sequence[int]) -> tuple[int, ...]:
    if len(exponents) == 0:
        raise ValueError("exponents must hold at least one power, got []; give one a variable")
    return _whole("exponents", *exponents, least=1)


def _rank(field: str, rank: int, widths: Sequence[int]) -> int:
    """`rank` as an int; ValueError where a product through `widths` cannot have it."""
    (whole,) = _whole(field, rank)
    if whole > min(widths):
        raise ValueError(
            f"{field} must be <= {min(widths)}, the narrowest of the widths {list(widths)}, got {whole}; "
            "lower the rank or widen the layers"
        )
    return whole


def _rank_of_product(field: str, rank: int, factors: tuple[int, int], hidden: int) -> int:
    """Sylvester: rank A + rank B - hidden <= rank AB <= min(rank A, rank B)."""
    (whole,) = _whole(field, rank)
    low, high = max(0, sum(factors) - hidden), min(factors)
    if not low <= whole <= high:
        raise ValueError(
            f"{field} must be in {low}..{high} for factors of ranks {factors[0]} and {factors[1]} over {hidden} hidden "
            f"units, got {whole}; measure all ranks with one tolerance"
        )
    return whole


def _partial_ranks(
    widths: tuple[int, ...], left: Sequence[int], right: Sequence[int], rank: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """u [L+1] and v [L] of `dln_local_bounds`."""
    hidden = widths[1:-1]
    for field, ranks in (("left", left), ("right", right)):
        if len(ranks) != len(hidden):
            raise ValueError(
                f"{field} must hold {len(hidden)} ranks, one a hidden layer, got {list(ranks)}; add or drop some"
            )
    u = (0, *(_rank(f"left[{s}]", value, widths[s + 1 :]) for s, value in enumerate(left)), widths[-1])
    v = (widths[0], *(_rank(f"right[{s}]", value, widths[: s + 2]) for s, value in enumerate(right)))
    for width, after, before in zip(hidden, u[1:-1], v[1:], strict=True):
        _rank_of_product("rank", rank, (after, before), width)
    if list(u) != sorted(u) or list(v) != sorted(v, reverse=True):
        raise ValueError(
            f"left must not fall and right must not rise from layer to layer, got {list(left)} and {list(right)}: "
            "a product has at most the rank of its factors; measure all ranks with one tolerance"
        )
    return u, v
