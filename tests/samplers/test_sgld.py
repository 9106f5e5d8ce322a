"""SGLD against the Gaussian, whose discretised law is known exactly."""

import pytest
import torch

from llcx.samplers.sgld import SGLD, build
from llcx.types import Chains, Index, PerChain, Trace
from tests.samplers.chains import C, Normal, run
from tests.stats import assert_matches

P = 4


def nbeta_loss(eps: float, nbeta: float, gamma: float, heat: float = 1.0) -> Trace:
    """nbeta * L along the chains, L = |w|^2 / 2; `heat` != 1 is a deliberately wrong sampler."""
    target = Normal(torch.full((P,), (nbeta + gamma) / heat, dtype=torch.float64))
    return run(build(SGLD(eps), target), P, lambda w: 0.5 * nbeta * w.square().sum(1))


def exact(eps: float, nbeta: float, gamma: float) -> float:
    """P/2, shrunk by the localisation, inflated by the step: no tolerance to tune."""
    h = nbeta + gamma
    return P / 2 * (nbeta / h) / (1 - eps * h / 4)


@pytest.mark.parametrize("eps", [0.05, 0.2])
@pytest.mark.parametrize("gamma", [0.0, 5.0])
def test_the_llc_of_a_quadratic_is_exact_at_a_finite_step(eps: float, gamma: float) -> None:
    assert_matches(nbeta_loss(eps, 5.0, gamma), exact(eps, 5.0, gamma))


def test_the_oracle_rejects_a_sampler_five_percent_too_hot() -> None:
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(nbeta_loss(0.05, 5.0, 0.0, heat=1.05), exact(0.05, 5.0, 0.0))


def test_minibatch_noise_heats_by_the_law_in_the_docstring() -> None:
    eps, h, spread = 0.1, 4.0, 6.0
    shaker = torch.Generator().manual_seed(3)

    def noisy(w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        logp, grad = Normal(torch.full((P,), h, dtype=torch.float64))(w, batch)
        return logp, grad + spread * torch.randn(C, P, generator=shaker, dtype=torch.float64)

    truth = P * (1 + eps * spread**2 / 4) / (h * (1 - eps * h / 4))
    assert_matches(run(build(SGLD(eps), noisy), P, lambda w: w.square().sum(1)), truth)


def test_without_noise_it_is_gradient_descent_with_half_the_step() -> None:
    from llcx.rng import ChainNoise

    class Silent(ChainNoise):
        def normal(self, like: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(like)

    kernel = build(SGLD(0.1), Normal(torch.tensor([1.0, 3.0], dtype=torch.float64)))
    start = torch.ones(2, 2, dtype=torch.float64)
    noise = Silent(0, 2)
    stepped = kernel.step(kernel.init(start, noise), None, noise).w
    assert torch.equal(stepped, start - 0.05 * torch.tensor([1.0, 3.0], dtype=torch.float64) * start)


@pytest.mark.parametrize("bad", [0, -1e-3, float("inf"), "automatic", True])
def test_a_step_that_is_no_positive_number_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"sampler\.step_size"):
        SGLD(step_size=bad)
