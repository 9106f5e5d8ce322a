"""Coordinates: the maps, what they do to an ill-conditioned Gaussian, and that they leave the density alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llcx import gradients, metric, rng
from llcx.metric import Coordinates, Metric, Renewal
from llcx.posterior import Posterior
from llcx.samplers import HMC
from llcx.samplers.hmc import build
from llcx.types import Kernel, Potential
from tests.stats import assert_matches

P, C, NBETA, GAMMA = 12, 64, 50.0, 0.5
CURVATURES = torch.logspace(0, 5, P, dtype=torch.float64)


def rotation() -> Tensor:
    noise = torch.randn(P, P, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.linalg.qr(noise)[0]


def rows(count: int = P) -> Tensor:
    """R [count, P] with R^T R of the first `count` curvatures."""
    return (CURVATURES[-count:].sqrt().unsqueeze(1)) * rotation()[:count]


def gaussian(at: Tensor | None = None, count: int = P) -> Potential:
    at, hessian = torch.zeros(P, dtype=torch.float64) if at is None else at, rows(count).T @ rows(count)
    return gradients.of_function(lambda w: 0.5 * ((w - at) @ hessian * (w - at)).sum(1), at, n=1000)


def low_rank(at: Tensor, count: int = P) -> Metric:
    return metric.low_rank(at, metric.spectrum(rows(count)), NBETA, GAMMA)


def test_rounded_it_is_about_the_same_map_and_its_own_inverse_still() -> None:
    whole, u = low_rank(AT), torch.randn(C, P, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = whole.rounded()
    assert found.vectors is not None and found.vectors.dtype == torch.float32
    torch.testing.assert_close(found.to(u), whole.to(u), rtol=1e-5, atol=1e-5)
    w = whole.to(u)
    torch.testing.assert_close(found.to(found.back(w)), w, rtol=1e-5, atol=1e-5)
    assert found.to(u).dtype == torch.float64


def diagonal(at: Tensor) -> Metric:
    return Metric(at, torch.linspace(0.1, 3, P, dtype=torch.float64))


AT = torch.linspace(-1, 1, P, dtype=torch.float64)


@pytest.mark.parametrize("found", [low_rank(AT), low_rank(AT, 5), diagonal(AT), metric.identity(AT)])
def test_back_undoes_to_and_push_undoes_pull(found: Metric) -> None:
    u = torch.randn(C, P, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(found.back(found.to(u)), u, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.push(found.pull(u)), u, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.to(torch.zeros_like(u)), AT.expand(C, -1))
    a = found.to(torch.eye(P, dtype=torch.float64)) - AT  # rows are A^T
    torch.testing.assert_close(found.pull(u), u @ a.T)
    sizes = torch.linalg.eigvalsh(a @ a.T)
    torch.testing.assert_close(
        torch.tensor(found.range), torch.tensor((float(sizes[0]), float(sizes[-1]))), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("count", [P, 5])
def test_an_ill_conditioned_gaussian_becomes_isotropic(count: int) -> None:
    target = Coordinates(Posterior(gaussian(AT, count), NBETA, GAMMA), low_rank(AT, count))
    u = torch.randn(C, P, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(target(u, None)[1], -u, rtol=1e-2, atol=1e-2 * float(u.abs().max()))
    torch.testing.assert_close(target.distance(u), (low_rank(AT, count).to(u) - AT).square().sum(1))


def test_the_smaller_gram_gives_the_same_spectrum() -> None:
    few = metric.spectrum(rows(5))
    many = metric.spectrum(torch.cat([rows(5), torch.zeros(P, P, dtype=torch.float64)]))
    torch.testing.assert_close(few.values, CURVATURES[-5:].flip(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(many.values[:5], few.values, rtol=1e-9, atol=0)
    assert few.quadratic(NBETA, GAMMA) == pytest.approx(many.quadratic(NBETA, GAMMA), rel=1e-9)


def test_the_energy_of_the_quadratic_is_that_of_the_gaussian() -> None:
    """E[n*beta w^T G w / 2] under the precision n*beta G + gamma."""
    hessian = NBETA * rows().T @ rows()
    precision = hessian + GAMMA * torch.eye(P, dtype=torch.float64)
    truth = 0.5 * float(torch.linalg.solve(precision, hessian).trace())
    assert metric.spectrum(rows()).quadratic(NBETA, GAMMA) == pytest.approx(truth, rel=1e-9)


def test_the_loss_gradient_in_u_is_the_pulled_one() -> None:
    inner, held = Posterior(gaussian(AT), NBETA, GAMMA), low_rank(AT)
    u = torch.randn(C, P, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    own = held.pull(inner.potential.full(held.to(u))[1])
    target = Coordinates(inner, held)
    torch.testing.assert_close(target.loss_gradient(u, target(u, None)[1]), own, rtol=1e-6, atol=1e-6)


def run(kernel: Kernel, start: Tensor, steps: int = 40) -> Tensor:
    noise = rng.ChainNoise(7, len(start))
    state = kernel.init(start, noise)
    found = []
    for _ in range(steps):
        state = kernel.step(state, None, noise)
        found.append(state.w)
    return torch.stack(found, 1)


def hmc(step_size: float = 0.3, leapfrog: int = 5) -> Callable[[object, float | None], Kernel]:
    def made(target: object, given: float | None) -> Kernel:
        return build(HMC(step_size=given or step_size, leapfrog=leapfrog, adapt=0), target)  # type: ignore[arg-type]

    return made


def test_the_identity_changes_no_bit() -> None:
    target = Posterior(gaussian(), NBETA, GAMMA)
    start = torch.zeros(4, P, dtype=torch.float64)
    own = run(metric.placed(hmc(1e-4), target, metric.identity(start[0])), start, 10)
    assert torch.equal(own, run(build(HMC(step_size=1e-4, leapfrog=5, adapt=0), target), start, 10))


def quartic() -> Potential:
    """K = (w1^2 + a w2^2)^2 / 4 in two dimensions, far from a Gaussian."""
    return gradients.of_function(
        lambda w: 0.25 * (w[:, 0] ** 2 + 9 * w[:, 1] ** 2) ** 2, torch.zeros(2, dtype=torch.float64), n=1000
    )


@pytest.mark.parametrize("bent", [False, True])
def test_a_kernel_in_u_is_exact_in_w(bent: bool) -> None:
    """E[n*beta K] = P / 4 without localiser, whatever the coordinates, also where they change on the way."""
    potential = quartic()
    target = Posterior(potential, 30.0, 0.0)
    if bent:
        turned = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=torch.float64)
        held = Metric(potential.at, torch.tensor(0.4).double(), turned, torch.tensor([-0.5, 0.7]).double())
    else:
        held = Metric(potential.at, torch.tensor([0.6, 0.2]).double())
    later = Metric(potential.at, torch.tensor([0.5, 0.3]).double())
    kernel = metric.placed(hmc(0.3, leapfrog=8), target, held, Renewal(lambda path: later, 10))
    draws = run(kernel, torch.full((2500, 2), 0.1, dtype=torch.float64), 60)[:, 20:]
    assert_matches(target.energy(draws.flatten(0, 1)).view(2500, -1), 0.5)


def test_the_metric_is_renewed_once_with_the_chains_where_they_are() -> None:
    asked = []

    def renew(w: Tensor) -> Metric:
        asked.append(w)
        return low_rank(AT)

    kernel = metric.placed(hmc(), Posterior(gaussian(AT), NBETA, GAMMA), diagonal(AT), Renewal(renew, 3, 2))
    path = run(kernel, AT.repeat(C, 1), 8)
    assert len(asked) == 1
    assert torch.equal(asked[0], path[:, 1:3].transpose(0, 1))


def test_a_diagonal_from_draws_is_their_spread_shrunk_towards_the_middle() -> None:
    spread = torch.logspace(-2, 1, P, dtype=torch.float64)
    draws = AT + spread * torch.randn(400, P, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = metric.diagonal_of(AT, draws)
    torch.testing.assert_close(found.scale[3:], spread[3:], rtol=0.15, atol=0.0)
    assert float(found.scale[0]) > 1.5 * float(spread[0])
    with pytest.raises(ValueError, match="at least 2 draws"):
        metric.diagonal_of(AT, draws[:1])


def test_a_ridge_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="ridge must be > 0"):
        metric.low_rank(AT, metric.spectrum(rows()), NBETA, 0.0)
