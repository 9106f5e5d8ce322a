"""Student's t as a likelihood: its density, its divergence against closed form and integral, its Fisher information."""

import pytest
import torch
from torch import Tensor
from torch.distributions import StudentT as Law
from torch.func import grad, jacrev, vmap

from llcx.tasks.mlp.losses import StudentT

GAPS = torch.tensor([0.0, 1e-4, 0.1, 1.0, 3.0, 10.0, 100.0], dtype=torch.float64).unsqueeze(1)


def from_zero(loss: StudentT) -> Tensor:
    return loss.kl(torch.zeros_like(GAPS), GAPS)


def test_the_loss_is_the_negative_logarithm_of_the_density_up_to_a_constant() -> None:
    y, output = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    law = Law(3.5, output, 0.7)
    gap = StudentT(3.5, 0.7)(output, (None, y)) + law.log_prob(y).sum(1)
    assert float(gap.std()) < 1e-12


def test_between_cauchy_laws_the_divergence_has_its_closed_form() -> None:
    found, exact = from_zero(StudentT(1.0, 0.5)), (GAPS.squeeze(1) / 0.5).square().div(4).log1p()
    assert torch.allclose(found[:-2], exact[:-2], rtol=1e-5)
    assert torch.allclose(found, exact, rtol=3e-3)  # beyond 20 scales the peak is narrow


@pytest.mark.parametrize("df", [2.0, 4.0, 7.5, 30.0])
def test_the_divergence_is_its_integral(df: float) -> None:
    nu = torch.tensor(df, dtype=torch.float64)
    u = torch.linspace(-14, 14, 40_001, dtype=torch.float64)
    z, density = u.sinh(), Law(nu).log_prob(u.sinh()).exp() * u.cosh()
    for gap in (0.3, 2.0):
        summed = float(torch.trapezoid(density * (Law(nu).log_prob(z) - Law(nu, gap).log_prob(z)), u))
        found = StudentT(df).kl(torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), gap, dtype=torch.float64))
        assert float(found) == pytest.approx(summed, rel=1e-6)


@pytest.mark.parametrize("df", [1.0, 4.0, 12.0])
def test_the_divergence_is_zero_at_no_distance_and_curves_as_the_fisher_information(df: float) -> None:
    loss, zero = StudentT(df, 0.5), torch.zeros(1, 1, dtype=torch.float64)
    assert float(loss.kl(zero, zero)) == 0

    def away(output: Tensor) -> Tensor:
        return loss.kl(zero, output).sum()

    curvature = jacrev(grad(away))(zero)
    assert isinstance(curvature, Tensor)
    assert float(curvature) == pytest.approx((df + 1) / (df + 3) / 0.25, rel=1e-9)
    assert float(loss.root(zero, torch.ones_like(zero)).square()) == pytest.approx(float(curvature), rel=1e-9)


def test_it_runs_for_all_chains_at_once() -> None:
    outputs = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    at = torch.zeros(5, 2, dtype=torch.float64)
    assert torch.allclose(
        vmap(lambda output: StudentT().kl(at, output))(outputs),
        torch.stack([StudentT().kl(at, output) for output in outputs]),
    )


def test_many_degrees_of_freedom_are_a_gauss() -> None:
    assert torch.allclose(from_zero(StudentT(1e6))[:4], GAPS[:4].squeeze(1).square() / 2, rtol=1e-4)
