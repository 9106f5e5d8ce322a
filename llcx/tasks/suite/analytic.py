"""The families of analytic problems: squares, flat directions, powers, monomials, their sums, and three curves."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from llcx import theory
from llcx.tasks.suite import exact
from llcx.tasks.suite.problems import Entry, Problem, point, powers, product, quadratic, together
from llcx.tasks.suite.schema import Suite
from llcx.types import Chains, PerChain, Point, Streams

INPUTS = (-1.5, -0.5, 0.5, 1.5)  # of the hidden unit


def regular(cfg: Suite) -> Iterator[Entry]:
    """Quadratics of 1 to 1000 parameters, curvatures up to six decades apart."""
    del cfg
    yield _fixed("line", quadratic([1.0]))
    yield _fixed("sphere5", quadratic([1.0] * 5))
    yield _fixed("decades6", quadratic(_decades(20, 6)))
    yield _turned("turned30", _decades(30, 2))
    yield _fixed("gaussian1000", quadratic([1.0] * 500 + [10.0] * 500))


def flat(cfg: Suite) -> Iterator[Entry]:
    """|X u|^2 / 2 of deficient rank: directions that only the localiser holds."""
    del cfg
    for parameters, rank in ((10, 1), (50, 20), (200, 50)):
        yield _turned(f"flat{parameters}-{rank}", [*_decades(rank, 1), *[0.0] * (parameters - rank)])


def equipartition(cfg: Suite) -> Iterator[Entry]:
    """Sums of even powers: E[n*beta K] = lambda at every n*beta but for gamma."""
    del cfg
    cases = {"w4": [4], "w4w2": [4, 2], "w2w4w6": [2, 4, 6], "w6x10": [6] * 10, "w4x100": [4] * 100}
    yield from (_fixed(name, powers(exponents)) for name, exponents in cases.items())


def monomial(cfg: Suite) -> Iterator[Entry]:
    """Products of powers, of coordinates or of norms: multiplicities 1 to 3."""
    del cfg
    coordinates = {"x2y2": [2, 2], "x2y4": [2, 4], "x4y4": [4, 4], "x2y2z2": [2, 2, 2], "x2y4z6": [2, 4, 6]}
    yield from (_fixed(name, product([1] * len(p), p)) for name, p in coordinates.items())
    norms = {"norms3-3": [3, 3], "norms4-2": [4, 2], "norms5-5-5": [5, 5, 5], "norms20-12": [20, 12]}
    yield from (_fixed(name, product(dims, [2] * len(dims))) for name, dims in norms.items())


def sums(cfg: Suite) -> Iterator[Entry]:
    """Disjoint sums: lambda adds, and so does m - 1."""
    del cfg
    pair = product([1, 1], [2, 2])
    yield _fixed("x2y2+sphere9", together(pair, quadratic([1.0] * 9)))
    yield _fixed("x2y2+z2u2", together(pair, pair))
    yield _fixed("norms3-3+w4x4", together(product([3, 3], [2, 2]), powers([4] * 4)))
    yield _fixed("x2y4+sphere3", together(product([1, 1], [2, 4]), quadratic([1.0] * 3)))
    yield _fixed("norms8-8+norms6-6", together(product([8, 8], [2, 2]), product([6, 6], [2, 2])))


def curve(cfg: Suite) -> Iterator[Entry]:
    """Three axes and a cusp, as steep as the powers of their weights, and a hidden unit, the product of two squares."""
    del cfg
    square = theory.powers([2])
    yield _fixed("triangle", Problem(_triangle, 3, theory.powers([4, 4, 4]), exact.triangle))
    yield _fixed("cusp", Problem(_cusp, 2, theory.powers([4, 6]), exact.cusp))
    yield _fixed("tanh-unit", Problem(_unit, 2, theory.product(square, square), exact.unit(INPUTS)))


def _fixed(name: str, problem: Problem) -> Entry:
    return Entry(name, partial(point, name, problem))


def _turned(name: str, curvatures: list[float]) -> Entry:
    """The quadratic in coordinates turned at random, so that no diagonal metric fits it."""

    def build(streams: Streams) -> Point:
        normal = torch.randn(
            len(curvatures), len(curvatures), generator=streams.generator("rotation"), dtype=torch.float64
        )
        return point(name, quadratic(curvatures, torch.linalg.qr(normal)[0]), streams)

    return Entry(name, build)


def _decades(count: int, decades: int) -> list[float]:
    """`count` curvatures from 1 down to 10^-decades, evenly on a logarithmic scale."""
    return [10 ** (-decades * i / max(1, count - 1)) for i in range(count)]


def _triangle(u: Chains) -> PerChain:
    x, y, z = u.square().unbind(1)
    return x * y + y * z + z * x


def _cusp(u: Chains) -> PerChain:
    return (u[:, 0].square() - u[:, 1].pow(3)).square()


def _unit(u: Chains) -> PerChain:
    x: Tensor = u.new_tensor(INPUTS)
    return 0.5 * u[:, 0].square() * (u[:, 1:] * x).tanh().square().mean(1)


ANALYTIC: Mapping[str, Callable[[Suite], Iterator[Entry]]] = {
    "regular": regular,
    "flat": flat,
    "equipartition": equipartition,
    "monomial": monomial,
    "sum": sums,
    "curve": curve,
}
