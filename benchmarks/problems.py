"""Problems whose answer is known at a finite temperature: E[n*beta K] under exp(-n*beta K - gamma/2 |w - w*|^2).

`python -m benchmarks.problems` measures the answers that no formula gives with long runs and prints them.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from llcx import gradients, rng
from llcx.estimators.llc import LLC
from llcx.measure import of_potential
from llcx.samplers import HMC
from llcx.tasks import dln, lsa
from llcx.tasks.dln.schema import DLN, Teacher
from llcx.tasks.dln.schema import Model as Network
from llcx.tasks.lsa.schema import LSA
from llcx.tasks.lsa.schema import Model as Attention
from llcx.types import Chains, Index, PerChain, Point, Potential

ROWS = 300
NBETA = ROWS / float(np.log(ROWS))
Forward = Callable[[Chains, Float[Tensor, "C B D"]], Float[Tensor, "C B E"]]  # x of one chain or of each
Build = Callable[[torch.dtype, float], Potential]  # (dtype, sd of label noise that w* does not know of)


@dataclass(frozen=True)
class Problem:
    """A potential and the value that a measurement of it should give."""

    build: Build
    nbeta: float
    gamma: float
    answer: float  # E[n*beta K] at this n*beta and gamma
    rows: bool = False  # a loss over rows, whose labels can be spoiled; otherwise a closed form


def quadratic(curvatures: Tensor, nbeta: float, gamma: float) -> Problem:
    """K = sum h w^2 / 2: the answer is sum 1/2 n*beta h / (n*beta h + gamma)."""
    stiff = nbeta * curvatures
    answer = float((0.5 * stiff / (stiff + gamma)).sum())
    return Problem(
        _closed(lambda w: 0.5 * (curvatures.to(w) * w.square()).sum(1), len(curvatures)), nbeta, gamma, answer
    )


def powers(exponents: Sequence[int], nbeta: float, gamma: float) -> Problem:
    """K = sum |w_i|^p_i / 2, by quadrature: the directions are independent."""

    def value(w: Chains) -> PerChain:
        return 0.5 * torch.stack([w[:, i].abs().pow(p) for i, p in enumerate(exponents)], 1).sum(1)

    grid = np.geomspace(1e-6, 12, 20_001)
    answer = 0.0
    for p in exponents:
        energy = 0.5 * nbeta * grid**p
        answer += _mean(energy, np.exp(-energy - 0.5 * gamma * grid**2) * grid)  # dw = w dlog w
    return Problem(_closed(value, len(exponents)), nbeta, gamma, answer)


def valley(first: int, second: int, nbeta: float, gamma: float) -> Problem:
    """K = |a|^2 |b|^2 / 2 at a = 0, b = 0 of these many parameters, by quadrature over the two radii."""

    def value(w: Chains) -> PerChain:
        return 0.5 * w[:, :first].square().sum(1) * w[:, first:].square().sum(1)

    radius = np.geomspace(1e-5, 12, 1001)
    a, b = np.meshgrid(radius, radius, indexing="ij")
    energy = 0.5 * nbeta * (a * b) ** 2
    weight = np.exp(-energy - 0.5 * gamma * (a**2 + b**2)) * a**first * b**second
    return Problem(_closed(value, first + second), nbeta, gamma, _mean(energy, weight))


def task(point: Point, nbeta: float, answer: float) -> Problem:
    """The closed form of a task's point, gamma = 1."""

    def build(dtype: torch.dtype, noise: float) -> Potential:
        assert noise == 0, "a closed form has no labels"
        return gradients.of_model(point.model, point.data, dtype=dtype)[0]

    return Problem(build, nbeta, 1.0, answer)


def regression(nbeta: float, gamma: float) -> Problem:
    """Linear regression of noisy labels at its least-squares solution: a quadratic."""
    x = _normals(6)
    y = x @ torch.arange(12.0, dtype=torch.float64).reshape(6, 2) / 6 + _normals(2, "labels")
    at = torch.linalg.lstsq(x, y).solution.flatten()
    stiff = nbeta * torch.linalg.eigvalsh(x.T @ x / ROWS)
    return Problem(_on_rows(layers(6, 2), at, x, y), nbeta, gamma, float((stiff / (stiff + gamma)).sum()), rows=True)


def taught(forward: Forward, at: Tensor, inputs: int, gamma: float, answer: float) -> Problem:
    """A network that labels its own rows without noise."""
    x = _normals(inputs)
    y = forward(at.unsqueeze(0), x.unsqueeze(0))[0]
    return Problem(_on_rows(forward, at, x, y), NBETA, gamma, answer, rows=True)


def layers(*widths: int, between: Callable[[Tensor], Tensor] = lambda h: h) -> Forward:
    """A network without biases: weights of every layer [into, out] one after the other in w."""
    shapes = list(pairwise(widths))

    def forward(w: Chains, x: Float[Tensor, "C B D"]) -> Float[Tensor, "C B E"]:
        h = x.expand(len(w), -1, -1)
        parts = w.split([into * out for into, out in shapes], 1)
        for place, (part, shape) in enumerate(zip(parts, shapes, strict=True)):
            h = torch.bmm(between(h) if place else h, part.unflatten(1, shape))
        return h

    return forward


def _closed(value: Callable[[Chains], PerChain], parameters: int) -> Build:
    def build(dtype: torch.dtype, noise: float) -> Potential:
        assert noise == 0, "a closed form has no labels"
        return gradients.of_function(value, torch.zeros(parameters, dtype=dtype), n=10_000)

    return build


def _on_rows(forward: Forward, at: Tensor, x: Tensor, y: Tensor) -> Build:
    """Squared error / 2 over rows x [N, D], y [N, E], batched by hand: small networks need no general engine."""

    def build(dtype: torch.dtype, noise: float) -> Potential:
        inputs, w = x.to(dtype), at.to(dtype)
        labels = (y + noise * _normals(y.shape[1], "noise")).to(dtype)
        least = 0.5 * (forward(w[None], inputs[None])[0] - labels).double().square().sum(1)  # [N]

        def excess(w: Chains, rows: Index | None) -> PerChain:
            x, y, zero = (
                (inputs[None], labels[None], least[None]) if rows is None else (inputs[rows], labels[rows], least[rows])
            )
            squares = (forward(w, x) - y).double().square().sum(2)
            return (0.5 * squares - zero).mean(1)

        def differentiated(w: Chains, rows: Index | None) -> tuple[PerChain, Chains]:
            w = w.detach().requires_grad_()
            k = excess(w, rows)
            return k.detach(), torch.autograd.grad(k.sum(), w)[0]

        def value(w: Chains) -> PerChain:
            with torch.no_grad():
                return excess(w, None)

        flops = 6.0 * ROWS * len(at)
        full = partial(differentiated, rows=None)
        return Potential(w, full, value, differentiated, ROWS, ROWS, False, False, "data", flops)

    return build


def _normals(columns: int, role: str = "inputs") -> Tensor:
    return torch.randn(ROWS, columns, generator=_generator(role), dtype=torch.float64)


def _generator(role: str) -> torch.Generator:
    return rng.streams(0).generator(role)


def _mean(energy: np.ndarray, weight: np.ndarray) -> float:
    return float((energy * weight).sum() / weight.sum())


def _first(built: object) -> Point:
    return built.point(built.points()[0], None)  # type: ignore[attr-defined]


def _network(widths: list[int], rank: int) -> Point:
    return _first(dln.build(DLN(model=Network(widths, rank), data=Teacher(n=ROWS)), rng.streams(0)))


def _attention(d: int, d_l: int, rank: int, alpha: int) -> Point:
    return _first(lsa.build(LSA(model=Attention(d, d_l, rank, alpha)), rng.streams(0)))


FIRST, ALONG, ACROSS = torch.eye(3)[0], torch.tensor([1.0, -1.0, 1.0, 1.0]) / 2, torch.tensor([1.0, 1.0, 1.0, -1.0]) / 2
RANK_ONE = torch.cat([ALONG.outer(FIRST).flatten(), FIRST.outer(ACROSS).flatten()]).double()  # of widths 4, 3, 4
PROBLEMS: dict[str, Problem] = {
    "quadratic": quadratic(torch.logspace(0, -3, 12, dtype=torch.float64), 1e4, 1.0),
    "powers": powers([2, 4, 4, 6], 1e4, 1.0),
    "valley": valley(4, 3, 1e4, 1.0),
    "dln_shallow": task(_network([5, 3, 5], 2), 1e4, 9.41),
    "dln_deep": task(_network([4, 5, 3, 4], 1), 1e4, 5.91),
    "attention": task(_attention(3, 5, 2, 0), 8686.0, 7.87),  # tests/test_accuracy.py: of another sampler
    "regression": regression(NBETA, 1.0),
    "linear_rows": taught(layers(4, 3, 4), RANK_ONE, 4, 1.0, 5.60),
    "tanh_rows": taught(layers(3, 5, 2, between=torch.tanh), _normals(25)[0], 3, 5.0, 6.36),
}


def main(names: Sequence[str]) -> None:
    """Print the answer of the problems (all, where none is named) and what a long run of HMC gives."""
    torch.set_num_threads(1)
    console = Console()
    for name in names or PROBLEMS:
        problem = PROBLEMS[name]
        exact = not problem.rows
        cfg = LLC(nbeta=problem.nbeta, gamma=problem.gamma, chains=32, warmup=150, draws=400, check="off")
        sampler = HMC(leapfrog=48 if exact else 24)
        found, _, _ = of_potential(problem.build(torch.float64, 0.0), sampler, cfg, seed=1)
        console.print(f"{name:12} {problem.answer:8.4f}  measured {found.llc:8.4f} +- {found.se:.4f}  {found.flags}")


if __name__ == "__main__":
    main(sys.argv[1:])
