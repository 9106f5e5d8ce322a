"""theory.py against answers reached by other roads: Theorem 1 read literally, water-filling, orbit dimensions, tables.

It is more than 300 lines because those roads live here and nowhere in llcx.
"""

import ast
import re
import runpy
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import reduce
from itertools import combinations, pairwise, permutations, product
from math import comb, exp, log
from pathlib import Path
from random import Random
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from llcx import theory
from llcx.theory import RLCT, dln, dln_local, dln_local_bounds, reduced_rank

Case = tuple[tuple[int, ...], int]  # widths, rank
Ranks = dict[tuple[int, int], int]

# As users run it: the suite's run-time type checks would refuse a wrong type before our own error is reached.
UNCHECKED = SimpleNamespace(**runpy.run_path(theory.__file__))


def ceil_div(top: int, bottom: int) -> int:
    return -(-top // bottom)


def literal(widths: tuple[int, ...], r: int, smallest_k: int = 2) -> RLCT:
    """Aoyagi's Theorem 1 word for word, every k tried; `smallest_k` = 1 is the mistake it is tested against."""
    m = sorted(h - r for h in widths)
    base = Fraction(r * (widths[0] + widths[-1] - r), 2)
    fits = []
    for k in range(smallest_k, len(m) + 1):
        s, ell, last = sum(m[:k]), k - 1, k == len(m)
        if s >= ell * m[k - 1] and (last or (m[k - 1] < m[k] and (s < ell * m[k] or ell == 0))):
            fits.append((k, s, ell))
    if fits[0][0] == 1:
        return RLCT(base, 1)
    ((k, s, ell),) = fits
    a = s - (ceil_div(s, ell) - 1) * ell if s else ell
    pairs = sum(x * y for x, y in combinations(m[:k], 2))
    core = Fraction(a * (ell - a), 4 * ell) - Fraction(ell * (ell - 1), 4) * Fraction(s, ell) ** 2 + Fraction(pairs, 2)
    return RLCT(base + core, a * (ell - a) + 1)


def filled(widths: tuple[int, ...], r: int) -> tuple[int, int, int]:
    """Water-filling: (2 lambda, T, a), with m = a (T - a) + 1 and binom(T, a) components of least codimension."""
    narrowest, *others = sorted(h - r for h in widths)
    base = r * (widths[0] + widths[-1] - r)
    if narrowest == 0:
        return base, 0, 0
    levels = sorted(level for m in others for level in range(m - narrowest + 1, m + 1))
    tau = levels[narrowest - 1]
    tied = sum(m - narrowest + 1 <= tau for m in others)
    below = sum(level < tau for level in levels[:narrowest])
    return base + narrowest * (narrowest - 1) // 2 + sum(levels[:narrowest]), tied, narrowest - below


def water_filling(widths: tuple[int, ...], r: int) -> RLCT:
    twice, tied, a = filled(widths, r)
    return RLCT(Fraction(twice, 2), a * (tied - a) + 1)


def orbits(widths: tuple[int, ...], r: int) -> Iterator[Ranks]:
    """Every multiplicity of the intervals [i, j] in 0..L that gives these widths and a product of rank r."""
    top = len(widths) - 1
    long = [(i, j) for i in range(top + 1) for j in range(i + 1, top + 1) if (i, j) != (0, top)]

    def rest(room: tuple[int, ...], index: int, found: Ranks) -> Iterator[Ranks]:
        if index == len(long):
            yield found | {(s, s): left for s, left in enumerate(room)}
            return
        i, j = long[index]
        for count in range(min(room[i : j + 1]) + 1):
            taken = tuple(left - count * (i <= s <= j) for s, left in enumerate(room))
            yield from rest(taken, index + 1, found | {(i, j): count})

    yield from rest(tuple(h - r for h in widths), 0, {(0, top): r})


def codimension(orbit: Ranks, widths: tuple[int, ...], r: int) -> int:
    """Of this orbit's weights with their product held fixed: dim Ext^1, plus the dimension of the rank-r matrices."""
    meet = sum(m * n for (a, b), m in orbit.items() if m for (c, d), n in orbit.items() if a < c <= b + 1 <= d)
    return meet + r * (widths[0] + widths[-1] - r)


def ranks(orbit: Ranks) -> Ranks:
    """(i, j) -> rank of W_j ... W_(i+1)."""
    return {(i, j): sum(m for (a, b), m in orbit.items() if a <= i and j <= b) for i, j in orbit if i < j}


def above(point: Ranks, strata: list[tuple[int, Ranks]]) -> list[int]:
    """Codimensions of the strata whose closure holds `point`: none of their ranks is below the point's."""
    return [codimension for codimension, at in strata if all(at[k] >= point[k] for k in point)]


def cases(layers: int, widest: int) -> Iterator[Case]:
    """Every network of `layers` layers with widths 1..widest, every rank."""
    for widths in product(range(1, widest + 1), repeat=layers + 1):
        yield from ((widths, r) for r in range(min(widths) + 1))


def random_cases(seed: int, count: int, widest: int, deepest: int = 12) -> Iterator[Case]:
    """`count` widths at random; of their ranks, both ends and two between."""
    draw = Random(seed)
    for _ in range(count):
        widths = tuple(draw.randint(1, widest) for _ in range(draw.randint(1, deepest) + 1))
        yield from ((widths, r) for r in {0, min(widths), draw.randint(0, min(widths)), draw.randint(0, min(widths))})


def local_points(widest: int) -> Iterator[tuple[tuple[int, ...], int, int, int]]:
    """Every two-layer w* by widths, rank W_2, rank W_1, rank W_2 W_1."""
    for widths in product(range(1, widest + 1), repeat=3):
        for a, b in product(range(min(widths[1:]) + 1), range(min(widths[:2]) + 1)):
            yield from ((widths, a, b, r) for r in range(max(0, a + b - widths[1]), min(a, b) + 1))


def layer_of_some_rank(rows: int, columns: int, draw: torch.Generator) -> torch.Tensor:
    """Gaussian entries, every other layer cut to a random rank."""
    weight = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    u, sigma, v = torch.linalg.svd(weight, full_matrices=False)
    cut, full = torch.randint(len(sigma), (1,), generator=draw), torch.randint(2, (1,), generator=draw)
    return weight if full else u @ (sigma * (torch.arange(len(sigma)) < cut)).diag() @ v


def chain(weights: list[torch.Tensor]) -> torch.Tensor:
    """W_s ... W_1 of [W_1, ..., W_s]."""
    return reduce(lambda before, layer: layer @ before, weights)


def rank_of(matrix: torch.Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix, rtol=1e-9))


def mean_energy(
    energy: Callable[[float], float], density: Callable[[float], float], end: float, nbeta: float, steps: int = 6000
) -> float:
    """E[nbeta * K] over x in (0, end), K = energy(x), prior density(x), by the midpoint rule."""
    grid = [(i + 0.5) * end / steps for i in range(steps)]
    weight = [density(x) * exp(-nbeta * energy(x)) for x in grid]
    return sum(nbeta * energy(x) * w for x, w in zip(grid, weight, strict=True)) / sum(weight)


def mean_of_a_power(p: int, nbeta: float) -> float:
    """E[nbeta * u^p] under a flat prior, cut where exp(-nbeta * u^p) = exp(-40)."""
    return mean_energy(lambda u: u**p, lambda u: 1.0, (40 / nbeta) ** (1 / p), nbeta)


# Each value was reached in two or more independent ways: Theorem 1, brute force over quiver strata, special cases.
REFERENCE = [
    ((4, 6), 2, "12", 1),
    ((1, 1, 1), 0, "1/2", 2),
    ((2, 1, 2), 0, "1", 2),
    ((2, 2, 2), 0, "3/2", 1),
    ((2, 2, 2), 1, "2", 2),
    ((3, 2, 5), 1, "9/2", 1),
    ((5, 3, 5), 1, "8", 1),
    ((5, 3, 5), 2, "19/2", 2),
    ((5, 4, 5), 2, "21/2", 1),
    ((9, 5, 9), 3, "28", 1),
    ((16, 8, 16), 5, "83", 2),
    ((7, 7, 7, 7), 0, "33/2", 3),
    ((3, 3, 3, 3), 1, "4", 3),
    ((1, 1, 1, 1, 1), 0, "1/2", 4),
    ((4, 4, 4, 4, 4), 1, "13/2", 4),
    ((10,) * 11, 4, "85/2", 25),
    ((3, 3, 3), 0, "7/2", 2),  # from here on: problems that samplers are tested on
    ((4, 4, 4), 0, "6", 1),
    ((5, 3, 4), 1, "7", 2),
    ((6, 6, 6), 2, "16", 1),
    ((4, 4, 4, 4), 0, "11/2", 3),
    ((7, 5, 3, 9), 0, "15/2", 2),
]


@pytest.mark.parametrize(("widths", "rank", "lam", "mult"), REFERENCE)
def test_dln_gives_every_reference_value(widths: tuple[int, ...], rank: int, lam: str, mult: int) -> None:
    assert dln(widths, rank) == literal(widths, rank) == water_filling(widths, rank) == (Fraction(lam), mult)


def test_dln_equals_both_other_forms_on_every_two_layer_network_up_to_width_12() -> None:
    tried = list(cases(2, 12))
    assert len(tried) == 7812
    for widths, rank in tried:
        assert dln(widths, rank) == literal(widths, rank) == water_filling(widths, rank), (widths, rank)


def test_dln_equals_both_other_forms_on_every_small_network_of_one_three_and_four_layers() -> None:
    tried = [*cases(1, 20), *cases(3, 6), *cases(4, 4)]
    assert len(tried) > 6000
    for widths, rank in tried:
        assert dln(widths, rank) == literal(widths, rank) == water_filling(widths, rank), (widths, rank)


def test_dln_equals_both_other_forms_on_random_networks_to_12_layers_and_width_300() -> None:
    tried = [*random_cases(0, 400, 300), *random_cases(1, 1000, 30)]
    assert len(tried) > 4000
    for widths, rank in tried:
        assert dln(widths, rank) == literal(widths, rank) == water_filling(widths, rank), (widths, rank)


def test_dln_equals_both_other_forms_at_every_rank_of_wide_networks() -> None:
    for widths in [
        (300, 211, 257),
        (140, 190, 150, 160, 155, 170, 300),
        (90, 80, 100, 95, 85, 90, 100, 80, 88, 92, 97, 90, 91),
    ]:
        for rank in range(min(widths) + 1):
            assert dln(widths, rank) == literal(widths, rank) == water_filling(widths, rank), (widths, rank)


def test_dln_is_half_the_least_orbit_codimension_and_its_multiplicity_counts_the_orbits() -> None:
    tried = [*cases(1, 4), *cases(2, 5), *cases(3, 3), *cases(4, 2), *cases(5, 2)]
    assert len(tried) > 700
    for widths, rank in tried:
        codimensions = [codimension(orbit, widths, rank) for orbit in orbits(widths, rank)]
        _, tied, a = filled(widths, rank)
        assert 2 * dln(widths, rank).lam == min(codimensions), (widths, rank)
        assert codimensions.count(min(codimensions)) == comb(tied, a), (widths, rank)


@pytest.mark.parametrize(
    ("widths", "rank", "broken", "right"),
    [((5, 3, 5), 1, 4.5, 8), ((10, 7, 9, 12), 3, 28.5, 39.5), ((6, 3, 8), 2, 12, 14), ((7, 9), 3, 19.5, 31.5)],
)
def test_dln_never_stops_at_a_single_smallest_width(
    widths: tuple[int, ...], rank: int, broken: float, right: float
) -> None:
    assert literal(widths, rank, smallest_k=1).lam == broken
    assert dln(widths, rank).lam == right


def test_the_comparison_rejects_the_formula_that_stops_at_a_single_smallest_width() -> None:
    wrong = sum(literal(*case, smallest_k=1) != water_filling(*case) for case in cases(2, 12))
    assert wrong == 5148  # of 7812


def test_one_layer_is_regular_at_every_rank() -> None:
    for (h_in, h_out), rank in cases(1, 15):
        assert dln([h_in, h_out], rank) == theory.regular(h_in * h_out)


def test_full_rank_is_the_dimension_of_the_rank_variety_with_multiplicity_one() -> None:
    for widths, _ in random_cases(2, 300, 60):
        r = min(widths)
        assert dln(widths, r) == (Fraction(r * (widths[0] + widths[-1] - r), 2), 1)


def test_a_single_input_at_rank_zero_counts_the_narrowest_later_widths() -> None:
    for widths, _ in random_cases(3, 300, 6):
        assert dln((1, *widths), 0) == (Fraction(min(widths), 2), widths.count(min(widths)))


@pytest.mark.parametrize("depth", range(1, 13))
def test_equal_widths_at_rank_zero_reach_the_depth_limit(depth: int) -> None:
    assert dln([1] * (depth + 1), 0) == (Fraction(1, 2), depth)
    for h in range(depth, 5 * depth, depth):
        assert dln([h] * (depth + 1), 0).lam == Fraction(h * h, 4) * (1 + Fraction(1, depth))
    for h in range(1, depth + 1):
        assert dln([h] * (depth + 1), 0).lam == Fraction(h * (h + 1), 4)


def square(d: int, hidden: int, r: int) -> RLCT:
    """The three phases of [d, hidden, d]: linear, transition, saturated."""
    if hidden == r:
        return RLCT(Fraction(2 * d * r - r * r, 2), 1)
    if hidden >= 2 * d - r:
        return RLCT(Fraction(d * d, 2), 1)
    t, odd = hidden + r, (hidden + r) % 2
    return RLCT(Fraction(4 * d * t - t * t + odd, 8), 1 + odd)


def test_a_square_map_passes_through_the_linear_transition_and_saturated_phases() -> None:
    for d, hidden in product(range(1, 13), range(1, 30)):
        for r in range(min(d, hidden) + 1):
            assert dln([d, hidden, d], r) == square(d, hidden, r), (d, hidden, r)


def test_the_four_cases_of_reduced_rank_regression_equal_dln() -> None:
    for (m_in, hidden, n_out), rank in cases(2, 10):
        assert reduced_rank(m_in, hidden, n_out, rank) == dln([m_in, hidden, n_out], rank)


def test_a_network_with_an_empty_layer_has_nothing_to_learn() -> None:
    for widths in product(range(4), repeat=4):
        if min(widths) == 0:
            assert dln(widths, 0) == theory.regular(0), widths


def test_dln_does_not_change_when_widths_are_permuted() -> None:
    for widths, rank in random_cases(4, 60, 12, deepest=4):
        assert len({dln(p, 0) for p in permutations(widths)}) == 1
        assert len({dln((widths[0], *p, widths[-1]), rank) for p in permutations(widths[1:-1])}) == 1
        assert dln(widths, rank) == dln(widths[::-1], rank)


def test_dln_never_falls_when_a_layer_is_widened_and_never_exceeds_half_the_parameters() -> None:
    for widths, rank in random_cases(5, 300, 40, deepest=6):
        lam = dln(widths, rank).lam
        assert lam <= Fraction(sum(x * y for x, y in pairwise(widths)), 2)
        for s in range(len(widths)):
            assert lam <= dln((*widths[:s], widths[s] + 1, *widths[s + 1 :]), rank).lam, (widths, rank, s)


def test_forty_layers_three_thousand_wide_take_no_time() -> None:
    draw = Random(6)
    widths = tuple(draw.randint(500, 3000) for _ in range(41))
    start = perf_counter()
    answers = {rank: dln(widths, rank) for rank in range(0, 501, 5)}
    assert perf_counter() - start < 0.5
    assert all(answers[rank] == literal(widths, rank) for rank in (0, 250, 500))
    assert answers[400] == water_filling(widths, 400)


# widths, rank W_2, rank W_1, rank W_2 W_1, local lambda.
LOCAL = [
    ((8, 8, 8), 8, 4, 4, "32"),
    ((8, 8, 8), 4, 4, 4, "30"),
    ((8, 8, 8), 0, 8, 0, "32"),
    ((8, 8, 8), 0, 0, 0, "24"),
    ((3, 3, 3), 0, 3, 0, "9/2"),
    ((3, 3, 3), 0, 0, 0, "7/2"),
    ((4, 4, 4), 0, 0, 0, "6"),
    ((4, 4, 4), 2, 0, 0, "6"),
    ((4, 4, 4), 3, 0, 0, "13/2"),
    ((4, 4, 4), 4, 0, 0, "8"),
    ((4, 4, 4), 3, 1, 0, "13/2"),
    ((4, 4, 4), 2, 2, 0, "6"),
    ((4, 4, 4), 0, 4, 0, "8"),
    ((6, 5, 4), 4, 0, 0, "12"),
    ((6, 5, 4), 4, 1, 0, "12"),
    ((6, 5, 4), 2, 3, 0, "9"),
]


@pytest.mark.parametrize(("widths", "a", "b", "r", "lam"), LOCAL)
def test_dln_local_gives_every_reference_value(widths: tuple[int, ...], a: int, b: int, r: int, lam: str) -> None:
    assert dln_local(widths, a, b, r).lam == Fraction(lam)


def test_dln_local_is_half_the_codimension_of_the_fibre_and_its_multiplicity_counts_the_components() -> None:
    points = 0
    for widths, r in cases(2, 4):
        strata = [(codimension(orbit, widths, r), ranks(orbit)) for orbit in orbits(widths, r)]
        for _, at in strata:
            a, b = at[1, 2], at[0, 1]
            codimensions = above(at, strata)
            _, tied, c = filled((widths[0] - b, widths[1] - a - b + r, widths[2] - a), 0)
            assert 2 * dln_local(widths, a, b, r).lam == min(codimensions), (widths, at)
            assert codimensions.count(min(codimensions)) == comb(tied, c), (widths, at)
            points += 1
    assert points == len(list(local_points(4))) > 700


def test_dln_local_at_zero_product_is_the_least_codimension_over_the_ranks_of_the_first_layer() -> None:
    for (h0, h1, h2), a, b, r in local_points(6):
        if r == 0:
            least = min((h0 - k) * (h1 - k) + k * h2 for k in range(b, h1 - a + 1) if k <= h0)
            assert 2 * dln_local([h0, h1, h2], a, b, 0).lam == least, (h0, h1, h2, a, b)


def test_dln_local_at_a_balanced_point_is_the_global_value_and_nowhere_smaller() -> None:
    larger = 0
    for widths, a, b, r in local_points(5):
        local, least = dln_local(widths, a, b, r), dln(widths, r)
        assert local == least if a == b == r else local.lam >= least.lam, (widths, a, b, r)
        larger += local.lam > least.lam
    assert larger > 300


def test_dln_local_does_not_change_under_transposition() -> None:
    for widths, a, b, r in local_points(4):
        assert dln_local(widths, a, b, r) == dln_local(widths[::-1], b, a, r)


def test_dln_local_bounds_hold_the_half_codimension_at_every_point_of_small_networks() -> None:
    points, known = 0, 0
    for widths, r in [*cases(1, 4), *cases(2, 4), *cases(3, 3), *cases(4, 2)]:
        depth = len(widths) - 1
        strata = [(codimension(orbit, widths, r), ranks(orbit)) for orbit in orbits(widths, r)]
        for _, at in strata:
            left, right = [at[s, depth] for s in range(1, depth)], [at[0, s] for s in range(1, depth)]
            bounds = dln_local_bounds(widths, left, right, r)
            assert bounds.low <= Fraction(min(above(at, strata)), 2) <= bounds.high, (widths, at)
            points, known = points + 1, known + (bounds.low == bounds.high)
    assert points > 4000
    assert known > points / 3


def test_dln_local_bounds_of_two_layers_hold_the_local_value() -> None:
    for widths, a, b, r in local_points(4):
        low, high = dln_local_bounds(widths, [a], [b], r)
        assert low <= dln_local(widths, a, b, r).lam <= high, (widths, a, b, r)


def test_dln_local_bounds_count_the_rank_of_the_jacobian_of_the_product() -> None:
    draw, decides = torch.Generator().manual_seed(0), 0
    for widths in [(4, 3, 5, 4), (5, 4, 4, 3, 5), (3, 6, 2, 4)] * 25:
        weights = [layer_of_some_rank(o, i, draw) for i, o in pairwise(widths)]
        left = [chain(weights[s:]) for s in range(1, len(weights))]
        right = [chain(weights[:s]) for s in range(1, len(weights))]
        rank = rank_of(chain(weights))
        ends = [torch.eye(h, dtype=torch.float64) for h in (widths[-1], widths[0])]
        sides = zip([*left, ends[0]], [ends[1], *right], strict=True)
        jacobian = rank_of(torch.cat([torch.kron(u, v.T.contiguous()) for u, v in sides], 1))
        bounds = dln_local_bounds(widths, [rank_of(u) for u in left], [rank_of(v) for v in right], rank)
        assert bounds.low == max(dln(widths, rank).lam, Fraction(jacobian, 2)), weights
        decides += Fraction(jacobian, 2) > dln(widths, rank).lam
    assert decides >= 10


def test_regular_models_have_half_their_parameters() -> None:
    assert theory.regular(20) == (Fraction(10), 1)
    assert theory.regular(0) == (Fraction(0), 1)


@pytest.mark.parametrize(
    ("exponents", "lam"), [([2], "1/2"), ([2, 2], "1"), ([4], "1/4"), ([4, 2], "3/4"), ([4, 4, 6], "2/3")]
)
def test_a_sum_of_powers_keeps_its_exact_mean_at_every_temperature(exponents: list[int], lam: str) -> None:
    assert theory.powers(exponents) == (Fraction(lam), 1)
    for nbeta in (10.0, 1e4):
        mean = sum(mean_of_a_power(p, nbeta) for p in exponents)
        assert mean == pytest.approx(float(Fraction(lam)), rel=1e-5)


@pytest.mark.parametrize(
    ("exponents", "lam", "mult"),
    [
        ([2, 2], "1/2", 2),
        ([2, 4], "1/4", 1),
        ([4, 4], "1/4", 2),
        ([2, 2, 2], "1/2", 3),
        ([2, 4, 6], "1/6", 1),
        ([2], "1/2", 1),
    ],
)
def test_a_monomial_is_governed_by_its_largest_power(exponents: list[int], lam: str, mult: int) -> None:
    assert theory.monomial(exponents) == (Fraction(lam), mult)


def test_products_take_the_least_threshold_and_add_the_poles_that_attain_it() -> None:
    half, third = theory.monomial([2]), theory.monomial([3])
    assert theory.product(half, half) == theory.monomial([2, 2])
    assert theory.product(half, third) == theory.monomial([2, 3])
    with pytest.raises(ValueError, match="parts must name"):
        theory.product()


def test_disjoint_sums_add_their_thresholds_and_their_poles() -> None:
    assert theory.disjoint_sum(theory.monomial([2]), theory.monomial([4])) == theory.powers([2, 4])
    assert theory.disjoint_sum(RLCT(Fraction(1, 2), 2), RLCT(Fraction(1, 3), 3)) == (Fraction(5, 6), 4)
    assert theory.disjoint_sum() == theory.regular(0)


@pytest.mark.parametrize(("power", "count"), [(2, 2), (4, 2), (2, 3)])
def test_the_finite_temperature_value_is_near_the_exact_mean_where_lambda_is_not(power: int, count: int) -> None:
    # On the unit cube s = -log K of prod u_i^p is Gamma(count, 1/p): the mean energy is a one-dimensional integral.
    known = theory.monomial([power] * count)
    for nbeta in (1e8, 1e12):
        mean = mean_energy(lambda s: exp(-s), lambda s: s ** (count - 1) * exp(-s / power), 60.0 * power, nbeta)
        assert abs(mean - known.at(nbeta)) < 0.25 * abs(mean - float(known.lam))


def test_the_finite_temperature_value_is_lambda_less_the_poles_over_log_nbeta() -> None:
    assert RLCT(Fraction(7, 2), 2).at(exp(4)) == pytest.approx(3.25)
    assert RLCT(Fraction(33, 2), 3).at(1e5) == pytest.approx(16.5 - 2 / log(1e5))
    assert RLCT(Fraction(10), 1).at(1.5) == 10.0


BOUNDS = "left must not fall and right must not rise from layer to layer, got "
BAD: list[tuple[str, tuple[Any, ...], str]] = [
    ("dln", ([5, -3, 5], 0), "widths must be whole and >= 0, got -3 among [5, -3, 5]; correct"),
    ("dln", ([5, 3.0, 5], 0), "widths must be whole and >= 0, got 3.0 among [5, 3.0, 5]; correct"),
    ("dln", (["5", 3], 0), "widths must be whole and >= 0, got '5' among ['5', 3]; correct"),
    ("dln", ([5], 0), "widths must hold at least an input and an output, got [5]; add"),
    ("dln", ([], 0), "widths must hold at least an input and an output, got []; add"),
    ("dln", ([5, 3, 5], 4), "rank must be <= 3, the narrowest of the widths [5, 3, 5], got 4; lower"),
    ("dln", ([5, 3, 5], -1), "rank must be whole and >= 0, got -1; correct"),
    ("dln", ([5, 3, 5], 1.5), "rank must be whole and >= 0, got 1.5; correct"),
    ("reduced_rank", (5, 3, -5, 0), "m_in, hidden, n_out must be whole and >= 0, got -5 among [5, 3, -5]; correct"),
    ("reduced_rank", (5, 3, 5, 4), "rank must be <= 3, the narrowest of the widths [5, 3, 5], got 4; lower"),
    ("dln_local", ([5, 3], 0, 0, 0), "widths must be [H_0, H_1, H_2], got [5, 3]; for other depths use"),
    ("dln_local", ([5, 3, 4], 4, 0, 0), "rank_w2 must be <= 3, the narrowest of the widths [3, 4], got 4; lower"),
    ("dln_local", ([5, 3, 4], 0, 4, 0), "rank_w1 must be <= 3, the narrowest of the widths [5, 3], got 4; lower"),
    ("dln_local", ([5, 3, 4], 3, 2, 1), "rank_product must be in 2..2 for factors of ranks 3 and 2"),
    ("dln_local", ([5, 3, 4], 1, 2, 2), "rank_product must be in 0..1 for factors of ranks 1 and 2"),
    ("dln_local_bounds", ([3, 3, 3, 3], [1], [1, 1], 1), "left must hold 2 ranks, one a hidden layer, got [1]; add"),
    ("dln_local_bounds", ([3, 3, 3, 3], [1, 1], [], 1), "right must hold 2 ranks, one a hidden layer, got []; add"),
    ("dln_local_bounds", ([3, 3, 2, 3], [3, 2], [1, 1], 1), "left[0] must be <= 2, the narrowest of the widths"),
    ("dln_local_bounds", ([3, 3, 2, 3], [1, 1], [1, 3], 1), "right[1] must be <= 2, the narrowest of the widths"),
    ("dln_local_bounds", ([3, 3, 3, 3], [2, 1], [1, 1], 1), f"{BOUNDS}[2, 1] and [1, 1]: a product has"),
    ("dln_local_bounds", ([3, 3, 3, 3], [1, 1], [1, 2], 1), f"{BOUNDS}[1, 1] and [1, 2]: a product has"),
    ("dln_local_bounds", ([3, 3, 3, 3], [3, 3], [3, 3], 1), "rank must be in 3..3 for factors of ranks 3 and 3"),
    ("regular", (-1,), "parameters must be whole and >= 0, got -1; correct"),
    ("powers", ([2, 0],), "exponents must be whole and >= 1, got 0 among [2, 0]; correct"),
    ("monomial", ([],), "exponents must hold at least one power, got []; give"),
]


@pytest.mark.parametrize(("function", "arguments", "message"), BAD)
def test_impossible_numbers_are_refused_with_field_value_and_cure(
    function: str, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(UNCHECKED, function)(*arguments)


@pytest.mark.parametrize("nbeta", [1.0, 0.5, -3.0, float("nan")])
def test_a_finite_temperature_value_needs_nbeta_above_one(nbeta: float) -> None:
    with pytest.raises(ValueError, match=rf"nbeta must be > 1, got {nbeta}; the expansion"):
        RLCT(Fraction(1), 1).at(nbeta)


def test_numpy_integers_give_the_same_fractions_without_overflow() -> None:
    widths = np.array([3_000_000_000, 2_000_000_000, 3_000_000_000])
    assert UNCHECKED.dln(widths, np.int32(7)) == dln(widths.tolist(), 7)


def test_theory_imports_no_library_of_tensors() -> None:
    tree = ast.parse(Path(theory.__file__).read_text())
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported <= {"operator", "collections.abc", "fractions", "itertools", "math", "typing"}
