"""Frozen subsets: what they bracket, and that the weight finds the answer of all rows."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from llcx import chains, gradients, rng, subsets
from llcx.likelihoods import Gaussian
from llcx.samplers import HMC
from llcx.types import Data, Draws, Plan, Potential, StatModel

P, N, COUNT, NBETA, GAMMA = 30, 1500, 60, 500.0, 1000.0


def regression() -> Potential:
    """A linear model whose inputs have very different sizes; the self target is an exact quadratic."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, P, generator=generator, dtype=torch.float64) * torch.logspace(-1.5, 0.5, P, dtype=torch.float64)
    module = torch.nn.Linear(P, 1, bias=False).double()
    torch.nn.init.ones_(module.weight)
    stat = StatModel(module, Gaussian(), Gaussian().kl)
    return gradients.of_model(stat, Data((x, x.sum(1, keepdim=True)), N), target="self", dtype=torch.float64)[0]


def answer(potential: Potential) -> float:
    """E[n*beta K] of the quadratic on all rows: sum 1/2 n*beta e / (n*beta e + gamma)."""
    eye = torch.eye(P, dtype=torch.float64)
    stiff = NBETA * torch.linalg.eigvalsh(potential.full(potential.at + eye)[1])
    return 0.5 * float((stiff / (stiff + GAMMA)).sum())


@pytest.fixture(scope="module")
def found() -> tuple[Draws, float]:
    potential = regression()
    sampler = HMC(step_size=0.5, leapfrog=3, adapt=20, accept=0.8)
    plan = Plan(sampler, NBETA, GAMMA, 600, 16, 12, 1, metric="ggn", subset=COUNT)
    return chains.run(potential, plan, seed=0), answer(potential)


def mean(trace: Tensor) -> float:
    return float(trace.mean())


def test_the_two_ends_lie_on_both_sides_of_the_answer(found: tuple[Draws, float]) -> None:
    draws, truth = found
    low, high = mean(draws.observed["subset"]), mean(draws.observed["full"])
    assert low < 0.97 * truth
    assert high > 1.03 * truth
    assert high - low == pytest.approx(2 * truth**2 / COUNT * (1 - COUNT / N), rel=0.25)


def test_the_weight_of_the_fluctuations_finds_the_answer(found: tuple[Draws, float]) -> None:
    draws, truth = found
    assert mean(draws.energy) == pytest.approx(truth, rel=0.025)
    ends = mean(draws.observed["subset"]), mean(draws.observed["full"])
    for end in ends:  # the negative control
        assert abs(end - truth) > 0.03 * truth


def test_a_share_of_the_gap_widens_the_interval(found: tuple[Draws, float]) -> None:
    draws, _ = found
    width = mean(draws.observed["full"]) - mean(draws.observed["subset"])
    assert draws.allowance == pytest.approx(subsets.UNSURE * width)
    assert subsets.gap(draws) == pytest.approx(width / mean(draws.energy))


def test_more_rows_go_on_with_the_same_ones_and_chains_have_their_own() -> None:
    streams = rng.streams(3)
    few, many = (subsets.rows_of(N, count, 3, streams) for count in (50, 100))
    assert torch.equal(few, many[:, :50])
    assert all(len(set(row.tolist())) == 100 for row in many)
    assert set(many[0].tolist()) != set(many[1].tolist())


@pytest.mark.parametrize(
    ("estimate", "rows", "expected"), [(5.0, 4000, 500), (100.0, 4000, 2000), (200.0, 4000, 0), (1.0, 600, 0)]
)
def test_as_many_rows_as_the_estimate_asks_for_and_all_where_that_is_most(
    estimate: float, rows: int, expected: int
) -> None:
    assert subsets.size(estimate, rows) == expected


def test_chains_that_stay_put_get_the_middle_of_their_bracket() -> None:
    nothing = torch.zeros(4, 5, dtype=torch.float64)
    assert subsets.weight(nothing) == 0.5
    assert subsets.weight(nothing + torch.tensor([0.0, 9, 0, 9, 0])) == 0.0  # a variance above the mean


def test_a_subset_of_all_rows_leaves_no_gap() -> None:
    potential = regression()
    plan = Plan(HMC(step_size=0.02, leapfrog=2, adapt=0), NBETA, GAMMA, 2, 1, 4, 1, subset=N)
    assert abs(subsets.gap(chains.run(potential, plan, seed=0))) < 1e-9
    assert subsets.gap(chains.run(potential, replace(plan, subset=0), seed=0)) == 0
