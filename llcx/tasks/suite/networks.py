"""Networks of known lambda: points of the tasks dln and lsa, reached through the registry, without their rows.

Where a network is small enough, or its layers are 0, the answer is known at every n*beta and gamma as well:

    chain          one output, all weights 0: exact at any depth (exact.chain)
    reduced_rank   two layers of rank r: the squares of w*, and the zero blocks beside them (wishart.at_zero), coupled
                   weakly where gamma is small beside n*beta
    local          two layers of ranks a and b with product 0, in local mode: the same around this very w*
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from llcx import theory
from llcx.registry import MODELS, TASKS
from llcx.tasks.suite import exact, wishart
from llcx.tasks.suite.exact import Law, Mean
from llcx.tasks.suite.problems import WITHOUT_ROWS, Entry, unsuited
from llcx.tasks.suite.schema import Suite
from llcx.types import Known, Point, Streams

Shape = tuple[tuple[int, ...], int]  # widths, rank
LOCAL = "half the codimension of the fibre at w*, from the ranks of its layers (theory.dln_local)"
POINTS = (  # widths, ranks of W_2 and W_1 at w*
    *(((4, 4, 4), ranks) for ranks in ((0, 0), (0, 2), (0, 3), (0, 4), (1, 3), (2, 2), (4, 0))),
    *(((4, 5, 6), ranks) for ranks in ((0, 4), (1, 4), (3, 2))),
)


def network(widths: Sequence[int], streams: Streams, **model: Any) -> Point:
    """The point of task=dln at w* of these widths, population loss, without its rows."""
    task = TASKS.builder("dln")(TASKS.schema("dln")(model=MODELS.schema("dln")(widths=list(widths), **model)), streams)
    found: Point = task.point(task.points()[0], None)
    return bare(found)


def bare(found: Point) -> Point:
    """The point as a closed form alone, so that minibatch kernels use the exact gradient too."""
    size = sum(tensor.numel() for tensor in found.model.module.parameters())
    return replace(found, data=WITHOUT_ROWS, unsuited=unsuited(size, found.model.blocks))


def dln(cfg: Suite) -> Iterator[Entry]:
    """Deep linear networks at their deepest point; the random ones have 3 to 10 units in 2 to 5 layers."""
    for widths, rank in (((4, 4, 4, 4), 0), ((7, 5, 3, 9), 0)):
        yield _deepest("dln", widths, rank)
    for net in range(cfg.nets):
        yield Entry(f"dln-random{net}", lambda streams: _random(streams.generator("shape"), streams))


def chain(cfg: Suite) -> Iterator[Entry]:
    """Networks with one output and all weights 0, multiplicities 1 to 3."""
    del cfg
    for widths in ((3, 3, 1), (2, 2, 2, 1), (6, 3, 5, 1), (8, 4, 6, 5, 1)):

        def build(streams: Streams, widths: tuple[int, ...] = widths) -> Point:
            return exactly(network(widths, streams, w_star="zero"), exact.chain(widths[1:-1], [1.0] * widths[0]))

        yield Entry(f"chain-{_told(widths)}", build)


def reduced_rank(cfg: Suite) -> Iterator[Entry]:
    """Two layers at their deepest point."""
    del cfg
    for widths, rank in (((3, 3, 3), 0), ((4, 4, 4), 0), ((6, 5, 4), 0), ((5, 3, 4), 1), ((6, 6, 6), 2)):
        yield _deepest("rrr", widths, rank)


def local(cfg: Suite) -> Iterator[Entry]:
    """Two layers with product 0 away from their deepest point, scored against the value at this very w*."""
    for widths, ranks in POINTS:
        yield _local(f"local-{_told(widths)}-a{ranks[0]}b{ranks[1]}", widths, ranks)
    for net in range(cfg.nets):
        yield Entry(f"local-random{net}", _local_random)


def lsa(cfg: Suite) -> Iterator[Entry]:
    """One layer of linear attention, rank(B) - rank(M) = 0, 1, 2: scored against the value of the whole B."""
    shapes = [(3, 3), *[(4, 5), (6, 4)][: cfg.nets]]
    for d, d_l in shapes:
        for alpha in (0, 1, 2):

            def build(streams: Streams, d: int = d, d_l: int = d_l, alpha: int = alpha) -> Point:
                model = MODELS.schema("lsa")(d=d, d_l=d_l, rank=1, alpha=alpha)
                task = TASKS.builder("lsa")(TASKS.schema("lsa")(model=model), streams)
                return bare(task.point(task.points()[0], None))

            yield Entry(f"lsa-{d}-{d_l}-alpha{alpha}", build)


def exactly(found: Point, law: Law) -> Point:
    """The point with the mean of a law as its answer at n*beta and gamma."""
    return replace(found, known=replace(found.known, at=Mean(law)))


def two_layers(widths: Sequence[int], after: int, before: int, rank: int) -> Law:
    """Ranks a of W_2 and b of W_1: a H_0 + (H_2 - a) b squares, a b of them of curvature 2, and the zero blocks."""
    h0, h1, h2 = widths
    squares = [2.0] * (after * before) + [1.0] * (after * (h0 - before) + (h2 - after) * before)
    core = (h0 - before, h1 - after - before + rank, h2 - after)
    return exact.independent(exact.quadratic(squares), wishart.at_zero(core))


def _deepest(kind: str, widths: tuple[int, ...], rank: int) -> Entry:
    def build(streams: Streams) -> Point:
        found = network(widths, streams, rank=rank)
        return exactly(found, two_layers(widths, rank, rank, rank)) if len(widths) == 3 else found

    return Entry(f"{kind}-{_told(widths)}-r{rank}", build)


def _random(generator: Generator, streams: Streams) -> Point:
    widths = [_integer(3, 10, generator) for _ in range(_integer(2, 5, generator) + 1)]
    return network(widths, streams, rank=_integer(0, min(widths), generator))


def _local(name: str, widths: Sequence[int], ranks: tuple[int, int]) -> Entry:
    return Entry(name, lambda streams: _local_point(widths, ranks, streams))


def _local_random(streams: Streams) -> Point:
    """Widths of 3 to 7, and ranks that leave room for a product of 0."""
    generator = streams.generator("shape")
    widths = [_integer(3, 7, generator) for _ in range(3)]
    after = _integer(0, min(widths[1:]), generator)
    before = _integer(0, min(widths[0], widths[1] - after), generator)
    return _local_point(widths, (after, before), streams)


def _local_point(widths: Sequence[int], ranks: tuple[int, int], streams: Streams) -> Point:
    found = network(widths, streams, w_star="zero")
    for parameter, layer in zip(found.model.module.parameters(), _layers(widths, ranks, streams), strict=True):
        parameter.data.copy_(layer)
    here, overall = theory.dln_local(widths, *ranks, 0), theory.dln(widths, 0)
    known = Known(float(overall.lam), here.mult, float(here.lam), Mean(two_layers(widths, *ranks, 0)), LOCAL)
    return replace(found, known=known, wishes={"mode": "local"})


def _layers(widths: Sequence[int], ranks: tuple[int, int], streams: Streams) -> tuple[Tensor, Tensor]:
    """(W_1, W_2) with singular values 1, in general position but for W_2 W_1 = 0."""
    after, before = ranks
    generator = streams.generator("directions")
    ends = [torch.linalg.qr(torch.randn(h, h, generator=generator, dtype=torch.float64))[0] for h in widths]
    w1 = ends[1][:, :before] @ ends[0][:, :before].T
    w2 = ends[2][:, :after] @ ends[1][:, before : before + after].T
    return w1, w2


def _told(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


def _integer(least: int, most: int, generator: Generator) -> int:
    """Uniform on least..most, both ends included."""
    return int(torch.randint(least, most + 1, (), generator=generator))


NETWORKS: Mapping[str, Callable[[Suite], Iterator[Entry]]] = {
    "chain": chain,
    "reduced_rank": reduced_rank,
    "local": local,
    "dln": dln,
    "lsa": lsa,
}
