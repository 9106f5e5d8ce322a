"""Gibbs sampling against Gaussians and bilinear models whose answers do not depend on the sampler."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import calibrate, gradients, rng
from llcx.estimators.llc import LLC
from llcx.measure import of_potential
from llcx.posterior import Posterior
from llcx.samplers import HMC, Gibbs
from llcx.samplers.gibbs import build
from llcx.types import Chains, PerChain, Potential
from tests.problems import powers
from tests.samplers.chains import run
from tests.stats import assert_matches

HALVES = (torch.tensor([[0, 1]]), torch.tensor([[2, 3]]))


def correlated() -> Potential:
    """K = w' A w / 2 with a full A: lambda = P/2 whatever A, in two blocks."""
    root = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    curvature = root @ root.T + torch.eye(4, dtype=torch.float64)
    zero = torch.zeros(4, dtype=torch.float64)
    return gradients.of_function(lambda w: 0.5 * ((w @ curvature) * w).sum(1), zero, n=100, blocks=HALVES)


def product() -> Potential:
    """K = (u v)^2 / 2 of two numbers at 0: lambda = 1/2, m = 2."""

    def value(w: Chains) -> PerChain:
        return 0.5 * (w[:, 0] * w[:, 1]).square()

    blocks = (torch.tensor([[0]]), torch.tensor([[1]]))
    return gradients.of_function(value, torch.zeros(2, dtype=torch.float64), n=100, blocks=blocks)


def energies(potential: Potential, nbeta: float, gamma: float, **times: Any) -> Tensor:
    target = Posterior(potential, nbeta, gamma)
    return run(build(Gibbs(), target), len(potential.at), target.energy, **times)


def exact_product(nbeta: float, gamma: float) -> float:
    """E[n*beta K] of `product` by quadrature: v given u is Gaussian, and integrates out."""
    u = torch.linspace(-12, 12, 2_000_001, dtype=torch.float64)
    weight = (-gamma * u.square() / 2).exp() / (nbeta * u.square() + gamma).sqrt()
    energy = 0.5 * nbeta * u.square() / (nbeta * u.square() + gamma)
    return float((weight * energy).sum() / weight.sum())


def test_a_correlated_gaussian_has_half_a_nat_a_parameter() -> None:
    assert_matches(energies(correlated(), 100.0, 1e-9, burn=20, draws=300), 2.0)


def test_a_product_has_the_energy_of_the_quadrature_at_its_finite_temperature() -> None:
    exact = exact_product(100.0, 1.0)
    assert 0.25 < exact < 0.35  # 1/2 - 1/log(n*beta) to leading order
    assert_matches(energies(product(), 100.0, 1.0, burn=100, draws=1200), exact, rel_se=0.015)


def test_the_oracle_rejects_a_sampler_that_updates_both_blocks_at_once() -> None:
    """From the same old state: each conditional is right, and the law is not."""
    target = Posterior(correlated(), 100.0, 1e-9)

    class AtOnce:
        blocks = target.blocks
        old: Tensor

        def conditional(self, w: Chains, block: Tensor) -> tuple[Tensor, Tensor]:
            if block is self.blocks[0]:
                self.old = w.clone()
            return target.conditional(self.old, block)

    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(run(build(Gibbs(), AtOnce()), 4, target.energy, burn=20, draws=300), 2.0)


def test_conditionals_are_those_of_the_quadratic_and_groups_are_probed_together() -> None:
    curvatures = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    at = torch.ones(4, dtype=torch.float64)
    groups = (torch.tensor([[0, 1], [2, 3]]),)
    potential = gradients.of_function(lambda w: 0.5 * (curvatures * (w - 1).square()).sum(1), at, n=9, blocks=groups)
    target = Posterior(potential, 10.0, 2.0)
    precision, linear = target.conditional(torch.rand(3, 4, dtype=torch.float64), groups[0])
    assert precision.shape == (3, 2, 2, 2)
    torch.testing.assert_close(precision[0, 1], torch.diag(10 * curvatures[2:] + 2))
    torch.testing.assert_close(linear[2], (10 * curvatures + 2).reshape(2, 2))
    assert target.gradients == 3


def test_gibbs_and_hmc_agree_through_calibration_and_gibbs_raises_no_flag() -> None:
    cfg = LLC(nbeta=100.0, gamma=1.0)
    (gibbs, plan, _), (hmc, _, _) = (of_potential(correlated(), sampler, cfg, 0) for sampler in (Gibbs(), HMC()))
    assert gibbs.healthy
    assert gibbs.accept != gibbs.accept  # nothing is rejected
    assert plan.sampler == Gibbs()
    assert abs(gibbs.llc - hmc.llc) < 4 * (gibbs.se**2 + hmc.se**2) ** 0.5
    assert gibbs.se < 0.02 * gibbs.llc


@pytest.mark.parametrize(
    ("potential", "gamma", "told"),
    [(powers(4, 4), 1.0, "sampler must be one that needs gradients"), (product(), 0.0, r"gamma must be > 0")],
)
def test_what_gibbs_cannot_do_is_refused_in_one_line(potential: Potential, gamma: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        calibrate.plan(potential, Gibbs(), LLC(gamma=gamma), rng.streams(0).generator("probes"))


def test_frozen_factors_leave_their_block_out() -> None:
    """A restricted potential keeps the blocks that are sampled whole."""
    only = gradients.restrict(correlated(), torch.tensor([2, 3]))
    assert [block.tolist() for block in only.blocks] == [[[0, 1]]]
    partly = gradients.restrict(correlated(), torch.tensor([1, 2, 3]))
    assert [block.tolist() for block in partly.blocks] == [[[1, 2]]]
    assert_matches(energies(only, 100.0, 1e-9, burn=5, draws=200), 1.0)
