"""Problems that are nothing but a function K of displacements from w*: how they are put together and become a point."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llcx import theory
from llcx.tasks.suite import exact
from llcx.tasks.suite.exact import Law, Mean
from llcx.theory import RLCT
from llcx.types import Chains, Data, Known, PerChain, Point, StatModel, Streams

WITHOUT_ROWS = Data(None, 100_000, "population")
CONDITIONALS = "K is no quadratic in each block of its parameters"
PATIENCE = 12  # parameters up to which a sampler that runs chain after chain is asked
DENSE = 60  # parameters of one block up to which conditionals are drawn


class Entry(NamedTuple):
    """A problem of the suite by its name, before it is built."""

    name: str
    build: Callable[[Streams], Point]  # the coordinates are the suite's


Family = Callable[[Any, Streams], Iterator[Entry]]


@dataclass(frozen=True)
class Problem:
    """K of displacements u [C, P]; its lambda, and the law of its exact value."""

    value: Callable[[Chains], PerChain]
    parameters: int
    rlct: RLCT
    law: Law
    blocks: tuple[Tensor, ...] = ()  # as StatModel.blocks
    reference: str = "Watanabe (2009), Algebraic Geometry and Statistical Learning Theory"


class Free(nn.Module):
    """Parameters and nothing else; the output is a single row of them."""

    def __init__(self, at: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(at.clone())

    def forward(self, rows: Tensor) -> Tensor:
        return self.w.expand(len(rows), -1)


def point(name: str, problem: Problem, streams: Streams) -> Point:
    """The problem around a w* of standard normal numbers, which K and the localiser do not see."""
    at = torch.randn(problem.parameters, generator=streams.generator("w*"), dtype=torch.float64)

    def value(w: Chains) -> PerChain:
        return problem.value(w - at.to(w))

    model = StatModel(
        Free(at), lambda output, batch: value(output), closed={"data": value, "self": value}, blocks=problem.blocks
    )
    lam = float(problem.rlct.lam)
    known = Known(lam, problem.rlct.mult, lam, Mean(problem.law), problem.reference)
    return Point(name, {}, model, WITHOUT_ROWS, known, unsuited=unsuited(problem.parameters, problem.blocks))


def unsuited(parameters: int, blocks: Sequence[Tensor]) -> dict[str, str]:
    """Kernels that cannot do a problem of so many parameters and such blocks, and why."""
    found = {} if blocks else {"gibbs": CONDITIONALS}
    if parameters > PATIENCE:
        found["nuts"] = (
            f"chain after chain, too slow for more than {PATIENCE} parameters, of which there are {parameters}"
        )
    return found


def quadratic(curvatures: Sequence[float], rotation: Tensor | None = None) -> Problem:
    """K = sum h_i u_i^2 / 2, u turned by `rotation` [P, P] before; lambda is half the number of h_i > 0."""
    h = torch.tensor(curvatures, dtype=torch.float64)

    def value(u: Chains) -> PerChain:
        turned = u if rotation is None else u @ rotation.to(u)
        return 0.5 * (h.to(u) * turned.square()).sum(1)

    rank = sum(curvature > 0 for curvature in curvatures)
    blocks: tuple[Tensor, ...] = (torch.arange(len(h)).reshape((-1, 1) if rotation is None else (1, -1)),)
    if blocks[0].shape[1] > DENSE:
        blocks = ()
    return Problem(value, len(h), theory.regular(rank), exact.quadratic(curvatures), blocks)


def powers(exponents: Sequence[int]) -> Problem:
    """K = sum |u_i|^p_i / 2: lambda = sum 1 / p_i at every n*beta but for gamma."""
    p = torch.tensor(exponents)
    one = {each: exact.product([1], [each]) for each in set(exponents)}

    def value(u: Chains) -> PerChain:
        return 0.5 * u.abs().pow(p).sum(1)

    def law(t: complex, gamma: float) -> complex:
        return sum((exponents.count(each) * of_one(t, gamma) for each, of_one in one.items()), 0j)

    return Problem(value, len(p), theory.powers(exponents), law)


def product(dims: Sequence[int], exponents: Sequence[int]) -> Problem:
    """K = prod_i |v_i|^p_i / 2, v_i in R^d_i: lambda = min d_i / p_i, m the number of ties."""

    def value(u: Chains) -> PerChain:
        found = 0.5 * u.new_ones(len(u))
        for part, p in zip(u.split(list(dims), 1), exponents, strict=True):
            found = found * part.square().sum(1).pow(p / 2)
        return found

    ends = list(accumulate(dims))
    squares = all(p == 2 for p in exponents)
    blocks = [torch.arange(end - d, end).unsqueeze(1) for d, end in zip(dims, ends, strict=True)] if squares else []
    rlct = theory.product(*(theory.powers([p] * d) for d, p in zip(dims, exponents, strict=True)))
    return Problem(value, ends[-1], rlct, exact.product(dims, exponents), tuple(blocks))


def together(*parts: Problem) -> Problem:
    """K = K_1(u_1) + K_2(u_2) + ..., no shared variable."""
    sizes = [part.parameters for part in parts]
    starts = [0, *accumulate(sizes)]

    def value(u: Chains) -> PerChain:
        return torch.stack([part.value(own) for part, own in zip(parts, u.split(sizes, 1), strict=True)]).sum(0)

    blocks = [block + start for part, start in zip(parts, starts, strict=False) for block in part.blocks]
    rlct, law = theory.disjoint_sum(*(part.rlct for part in parts)), exact.independent(*(part.law for part in parts))
    return Problem(value, starts[-1], rlct, law, tuple(blocks) if all(part.blocks for part in parts) else ())
