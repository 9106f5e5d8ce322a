"""The linear VAE's closed forms, against distributions, against probabilistic PCA, and found by descent."""

from math import inf, log

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from llcx.tasks.vae import linear, spectra
from llcx.tasks.vae.linear import Linear

P, D, NOISE = 12, 6, 0.12
LAMBDA = torch.arange(1, P + 1, dtype=torch.float64) ** -1.5  # 1, .35, .19, .125 | .089 ...: four exceed NOISE


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def basis(seed: int = 0) -> Tensor:
    return torch.linalg.qr(normals(P, P, seed=seed)).Q


def covariance(seed: int = 0) -> Tensor:
    return basis(seed) * LAMBDA @ basis(seed).mT


def anything(seed: int = 1, size: float = 0.3) -> Linear:
    """A linear VAE that is good for nothing."""
    return Linear(
        size * normals(P, D, seed=seed), size * normals(D, P, seed=seed + 1), size * normals(D, seed=seed + 2)
    )


def of_rows(model: Linear, rows: Tensor, noise: float) -> Tensor:
    """The negative ELBO of each row: the squared error of z = mean + std eps is that of the mean plus tr W Var W^T."""
    W, V, logvar = model
    mean, std = rows @ V.mT, (logvar / 2).exp()
    fit = Normal(mean @ W.mT, noise**0.5).log_prob(rows).sum(1) - (W * std).square().sum() / (2 * noise)
    return kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum(1) - fit


def test_the_loss_is_the_elbo_of_rows() -> None:
    rows = normals(50, P) * LAMBDA.sqrt()
    moments = spectra.moments([rows])
    wanted = of_rows(anything(), rows - moments.mean, NOISE).mean()
    torch.testing.assert_close(linear.loss(anything(), moments.covariance, NOISE), wanted, rtol=1e-12, atol=0)


def test_the_nll_is_that_of_the_marginal_gaussian() -> None:
    rows, W = normals(50, P) * LAMBDA.sqrt(), anything().decoder
    moments = spectra.moments([rows])
    marginal = MultivariateNormal(moments.mean, W @ W.mT + NOISE * torch.eye(P).double())
    found = linear.nll(W, moments.covariance, NOISE)
    torch.testing.assert_close(found, -marginal.log_prob(rows).mean(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("noise", [0.05, NOISE, 0.5, 2.0])
@pytest.mark.parametrize("latents", [1, 3, D, P, P + 3])
def test_the_best_elbo_is_the_likelihood_of_probabilistic_pca(noise: float, latents: int) -> None:
    S = covariance()
    best = linear.optimum(S, latents, noise)
    wanted = linear.optimal_loss(LAMBDA, latents, noise)
    assert float(linear.loss(best, S, noise)) == pytest.approx(wanted, abs=1e-10)
    assert float(linear.nll(best.decoder, S, noise)) == pytest.approx(wanted, abs=1e-10)
    carried = best.carried(S)
    assert (carried > 1e-9).sum() == min(latents, int((noise < LAMBDA).sum()))
    shares = (1 - noise / LAMBDA[:latents]).clamp(min=0)
    torch.testing.assert_close(carried[:P], shares, rtol=0, atol=1e-12)


def test_the_optimum_is_one() -> None:
    """No slope there, and nothing near it or far from it is lower."""
    S, best = covariance(), linear.optimum(covariance(), D, NOISE)
    lowest = linear.optimal_loss(LAMBDA, D, NOISE)
    slope = torch.func.grad(lambda model: linear.loss(model, S, NOISE))(best)
    assert max(float(part.abs().max()) for part in slope) < 1e-12
    for seed in range(20):
        for size in (1e-4, 1e-2, 1.0):
            moved = Linear(*(here + there for here, there in zip(best, anything(seed, size), strict=True)))
            assert float(linear.loss(moved, S, NOISE)) > lowest
            assert float(linear.loss(anything(seed, size), S, NOISE)) > lowest


def test_a_rotation_of_the_latents_costs_elbo_and_no_likelihood() -> None:
    S, best = covariance(), linear.optimum(covariance(), D, NOISE)
    turn = torch.linalg.qr(normals(D, D, seed=5)).Q
    W = best.decoder @ turn
    inner = W.mT @ W + NOISE * torch.eye(D).double()
    turned = Linear(W, torch.linalg.solve(inner, W.mT), (NOISE / inner.diagonal()).log())  # the best q for this W
    assert float(linear.nll(W, S, NOISE)) == pytest.approx(linear.optimal_loss(LAMBDA, D, NOISE), abs=1e-10)
    assert float(linear.loss(turned, S, NOISE)) > linear.optimal_loss(LAMBDA, D, NOISE) + 0.1


def test_other_units_of_the_latents_change_nothing_that_is_seen() -> None:
    """Prior N(0, scale^2): the same reconstructions, and the same KL against it."""
    scale = torch.arange(1, D + 1, dtype=torch.float64) ** -0.7
    model, rows = anything(), normals(20, P)
    other = model.in_units(scale)
    torch.testing.assert_close(other.decoder @ other.encoder, model.decoder @ model.encoder)
    kl = [
        kl_divergence(Normal(rows @ one.encoder.mT, (one.logvar / 2).exp()), Normal(0.0, prior))
        for one, prior in ((model, torch.ones(D).double()), (other, scale))
    ]
    torch.testing.assert_close(*kl)


@pytest.mark.parametrize("latents", [1, 4, 8])
def test_the_learned_noise_is_where_the_best_loss_is_least(latents: int) -> None:
    best = linear.learned_noise(LAMBDA, latents)
    assert best == pytest.approx(float(LAMBDA[latents:].mean()))
    losses = [linear.optimal_loss(LAMBDA, latents, best * factor) for factor in (0.5, 0.99, 1, 1.01, 2)]
    assert min(losses) == losses[2]


@pytest.mark.parametrize(("exponent", "predicted"), [(1.0, 7), (1.5, 4)])
def test_descent_finds_the_subspace_of_pca_and_the_latents_that_its_spectrum_predicts(
    exponent: float, predicted: int
) -> None:
    """Rows of a power law in a random basis, as many latents as D allows; the descent is told nothing of it."""
    rows = normals(400, P, seed=7) * torch.arange(1, P + 1) ** (-exponent / 2) @ basis(3).mT
    S, values = spectra.moments([rows]).covariance, spectra.eigenvalues(rows)
    assert spectra.above(values, NOISE) == predicted
    active = min(D, predicted)
    vectors = torch.linalg.eigh(S).eigenvectors.flip(1)
    found = linear.descend(anything(size=0.1), S, NOISE, rate=0.02, steps=1000)
    assert (found.carried(S) > 1e-2).sum() == active
    assert linear.overlap(found.decoder, vectors[:, :active]) > 1 - 1e-6
    assert -1e-12 < float(linear.loss(found, S, NOISE)) - linear.optimal_loss(values, D, NOISE) < 1e-6
    assert linear.overlap(found.decoder, vectors[:, 1 : active + 1]) < 1e-3
    shorter = linear.descend(anything(size=0.1), S, NOISE, rate=0.02, steps=20)
    assert linear.overlap(shorter.decoder, vectors[:, :active]) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "predicted"), [(0.03, 12), (0.1, 5), (0.3, 2)])
def test_the_number_of_active_latents_follows_the_noise(noise: float, predicted: int) -> None:
    S = torch.arange(1, 65, dtype=torch.float64).pow(-1.4).diag()
    start = Linear(0.02 * normals(64, 24), 0.02 * normals(24, 64, seed=1), torch.zeros(24).double())
    found = linear.descend(start, S, noise, rate=0.2 * noise, steps=5000, momentum=0.99)
    assert (found.carried(S) > 1e-2).sum() == predicted
    assert linear.overlap(found.decoder, torch.eye(64).double()[:, :predicted]) > 1 - 1e-6
    lowest = linear.optimal_loss(S.diagonal(), 24, noise)
    assert float(linear.loss(found, S, noise)) == pytest.approx(lowest, abs=2e-3)


def test_a_descent_that_diverges_is_refused() -> None:
    with pytest.raises(FloatingPointError, match=r"rate must be lower, got 5\.0"):
        linear.descend(anything(), covariance(), NOISE, rate=5.0, steps=200)


@pytest.mark.parametrize(
    ("latents", "noise", "said"), [(0, 0.1, "latent_dim must be >= 1"), (2, 0.0, "noise must be > 0")]
)
def test_a_model_that_cannot_be_is_refused(latents: int, noise: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        linear.optimum(covariance(), latents, noise)
    with pytest.raises(ValueError, match=said):
        linear.optimal_loss(LAMBDA, latents, noise)


def test_a_learned_noise_needs_a_direction_that_no_latent_has() -> None:
    with pytest.raises(ValueError, match=r"in 1\.\.11 for a learned noise, got 12"):
        linear.learned_noise(LAMBDA, P)
    falling = [linear.optimal_loss(LAMBDA, P, noise) for noise in (1e-1, 1e-2, 1e-3)]
    assert inf > falling[0] > falling[1] == pytest.approx(falling[2]) == pytest.approx(full())


def full() -> float:
    """Negative log likelihood of the Gaussian that has the rows' own covariance."""
    return float((LAMBDA.log().sum() + P + P * log(2 * torch.pi)) / 2)
