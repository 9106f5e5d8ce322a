"""Noisy labels: what heats minibatches, and what moves the minimum away from the teacher.

Regressions have the exact posterior mean on their own rows, by Gaussian algebra, the fit of the noise included:

    K(u) = u' S u / 2 - g' u,    S = X'X / n,  g = X'(y - X w*) / n

with g = 0 at the least-squares solution, and at the teacher not: then w* is no minimum, and the estimate is lower.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from llcx import theory
from llcx.likelihoods import Gaussian
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.rows import batches
from llcx.tasks.suite import exact
from llcx.tasks.suite.exact import Mean
from llcx.tasks.suite.problems import Entry, unsuited
from llcx.tasks.suite.schema import Suite
from llcx.types import Chains, Data, Known, PerChain, Point, StatModel, Streams

INPUTS = 10  # of the regressions
CHAIN = (5, 3, 1)  # widths of the network taught by nothing but noise


def label_noise(cfg: Suite) -> Iterator[Entry]:
    """Regressions at their minimum and at the teacher, a chain at 0, and random networks with noisy minibatches."""
    yield Entry("regression", lambda streams: regression(cfg.n, streams, fitted=True))
    yield Entry("regression-teacher", lambda streams: regression(cfg.n, streams, fitted=False))
    yield Entry("noisy-chain", lambda streams: noisy_chain(cfg.n, streams))
    for net in range(cfg.nets):
        yield Entry(f"noisy-dln{net}", noisy_network)


def regression(n: int, streams: Streams, *, fitted: bool) -> Point:
    """y = X w + e, standard deviation 1 of e, inputs of standard deviations 1 to 1/3; w* fitted, or the teacher."""
    generator = streams.generator("rows")
    x = torch.randn(n, INPUTS, generator=generator, dtype=torch.float64) * torch.logspace(
        0, -0.5, INPUTS, dtype=torch.float64
    )
    teacher = torch.randn(INPUTS, 1, generator=generator, dtype=torch.float64)
    y = x @ teacher + torch.randn(n, 1, generator=generator, dtype=torch.float64)
    at = torch.linalg.lstsq(x, y, driver="gelsd").solution if fitted else teacher
    module = nn.Linear(INPUTS, 1, bias=False, dtype=torch.float64)
    module.weight.data = at.T.contiguous()
    second, slope = x.T @ x / n, (x.T @ (y - x @ at) / n).squeeze(1)
    slope = torch.zeros_like(slope) if fitted else slope

    def of_data(w: Chains) -> PerChain:
        u = w - at.T.to(w)
        return of_self(w) - u @ slope.to(u)

    def of_self(w: Chains) -> PerChain:
        u = w - at.T.to(w)
        return 0.5 * ((u @ second.to(u)) * u).sum(1)

    likelihood, blocks = Gaussian(1.0), (torch.arange(INPUTS).unsqueeze(0),)
    model = StatModel(module, likelihood, likelihood.kl, {"data": of_data, "self": of_self}, blocks=blocks)
    rlct = theory.regular(INPUTS)
    at_temperature = Mean(exact.quadratic(*_diagonal(second, slope)))
    known = Known(float(rlct.lam), rlct.mult, float(rlct.lam), at_temperature, "regular; Gaussian algebra on the rows")
    name = "regression" if fitted else "regression-teacher"
    return Point(name, {}, model, Data((x, y), n), known, unsuited=unsuited(INPUTS, blocks))


def noisy_chain(n: int, streams: Streams) -> Point:
    """A network with one output and all weights 0, its labels nothing but noise: exact on its own rows too."""
    found = _network({"widths": list(CHAIN), "w_star": "zero"}, {"mode": "noisy", "n": n}, streams)
    x, y = (torch.cat(parts) for parts in zip(*batches(found.data), strict=True))
    law = exact.chain(CHAIN[1:-1], *_diagonal(x.T @ x / n, (x.T @ y / n).squeeze(1)))
    return replace(found, known=replace(found.known, at=Mean(law)))


def noisy_network(streams: Streams) -> Point:
    """A random network whose loss is exact, but whose minibatches carry label noise of standard deviation 1."""
    generator = streams.generator("shape")
    layers = int(torch.randint(2, 4, (), generator=generator))
    widths = torch.randint(3, 8, (layers + 1,), generator=generator).tolist()
    rank = int(torch.randint(1, min(widths) + 1, (), generator=generator))
    return _network({"widths": widths, "rank": rank}, {}, streams)


def _network(model: Mapping[str, object], data: Mapping[str, object], streams: Streams) -> Point:
    schema = TASKS.schema("dln")
    cfg = schema(model=MODELS.schema("dln")(**model), data=DATA.schema("teacher")(**data))
    task = TASKS.builder("dln")(cfg, streams)
    found: Point = task.point(task.points()[0], None)
    size = sum(tensor.numel() for tensor in found.model.module.parameters())
    return replace(found, unsuited=unsuited(size, found.model.blocks))


def _diagonal(second: Tensor, slope: Tensor) -> tuple[list[float], list[float]]:
    """Eigenvalues of S, and g in its eigenbasis."""
    values, vectors = torch.linalg.eigh(second)
    return values.tolist(), (vectors.T @ slope).tolist()


NOISE: Mapping[str, Callable[[Suite], Iterator[Entry]]] = {"label_noise": label_noise}
