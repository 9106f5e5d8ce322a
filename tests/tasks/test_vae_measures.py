"""Likelihoods, active latents and latent spectra, against models of which they are known."""

from collections.abc import Callable
from math import log

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from llcx import rng
from llcx.tasks.vae import linear, measures, spectra
from llcx.tasks.vae.linear import Linear
from llcx.tasks.vae.measures import Machine, Posterior
from tests.stats import assert_matches

P, D, NOISE = 10, 4, 0.2
LAMBDA = torch.arange(1, P + 1, dtype=torch.float64) ** -1.2
KEY = rng.streams(0).key("importance")
SCALE = torch.arange(1, D + 1, dtype=torch.float64) ** -0.8


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(count: int = 400) -> Tensor:
    """Centred."""
    x = normals(count, P) * LAMBDA.sqrt() @ torch.linalg.qr(normals(P, P, seed=9)).Q
    return x - x.mean(0)


def machine(model: Linear, noise: float = NOISE) -> Machine:
    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return x @ model.encoder.mT, model.logvar.expand(len(x), -1)

    def log_likelihood(x: Tensor, decoded: Tensor) -> Tensor:
        return Normal(decoded, noise**0.5).log_prob(x).sum(1)

    return Machine(encode, lambda z: z @ model.decoder.mT, log_likelihood, torch.ones(len(model.logvar)).double())


def near_the_optimum(x: Tensor) -> Linear:
    """Its encoder and its variances are somewhat off, so that the bound has a gap."""
    best = linear.optimum(spectra.moments([x]).covariance, D, NOISE)
    return best._replace(encoder=best.encoder + 0.1 * normals(D, P, seed=4), logvar=best.logvar + 0.3)


def exact(model: Linear, x: Tensor) -> Tensor:
    """-log p(x) of each row, nats."""
    marginal = model.decoder @ model.decoder.mT + NOISE * torch.eye(P).double()
    return -torch.distributions.MultivariateNormal(torch.zeros(P).double(), marginal).log_prob(x)


def test_the_nll_is_exact_where_the_encoder_is_the_true_posterior() -> None:
    """Every weight is then the same, so that one sample suffices."""
    x = rows(50)
    best = linear.optimum(spectra.moments([x]).covariance, D, NOISE)
    for samples in (1, 7):
        found = measures.importance(machine(best), x, samples=samples, key=KEY)
        torch.testing.assert_close(found.nll, exact(best, x), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.ess, torch.full((50,), float(samples)).double())


def test_the_bound_of_one_sample_is_the_elbo_and_more_samples_close_its_gap() -> None:
    """Per row, against the exact likelihood: never below it in the mean, falling with k, 0 where k is large."""
    x = rows(8000)
    model = near_the_optimum(x)
    gap = float(linear.loss(model, spectra.moments([x]).covariance, NOISE) - exact(model, x).mean())
    found = {k: measures.importance(machine(model), x, samples=k, key=KEY) for k in (1, 4, 64)}
    gaps = {k: (each.nll - exact(model, x)).reshape(80, 100) for k, each in found.items()}
    assert_matches(gaps[1], gap, rel_se=0.05, z=4)
    for fewer, more in ((1, 4), (4, 64)):
        fallen, se = above(gaps[fewer] - gaps[more])
        assert fallen > 4 * se
    assert all(excess > -3 * se for excess, se in map(above, gaps.values()))
    assert gaps[64].mean().abs() < 0.02 * gap
    assert (found[64].ess > 1).all() and (found[64].ess < 64).all()


def above(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / values.numel() ** 0.5)


@pytest.mark.parametrize("wrong", ["prior", "likelihood", "decoder"])
def test_a_density_that_is_wrong_is_seen_in_the_nll(wrong: str) -> None:
    x = rows(100)
    model = near_the_optimum(x)
    true = machine(model)
    other = {
        "prior": true._replace(scale=true.scale / 2),
        "likelihood": true._replace(log_likelihood=machine(model, 2 * NOISE).log_likelihood),
        "decoder": true._replace(decode=lambda z: true.decode(z) + 0.2),
    }
    found = [measures.importance(each, x, samples=256, key=KEY).nll.mean() for each in (true, other[wrong])]
    wanted = float(exact(model, x).mean())
    assert abs(float(found[0]) - wanted) < 0.01
    assert abs(float(found[1]) - wanted) > 0.05


def test_no_chunk_and_no_row_beside_it_changes_a_row() -> None:
    x = rows(20)
    model = machine(near_the_optimum(x))
    whole = measures.importance(model, x, samples=30, key=KEY)
    for chunk in (1, 7, 64, 10**6):
        for one, other in zip(whole, measures.importance(model, x, samples=30, key=KEY, chunk=chunk), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(measures.importance(model, x[:3], samples=30, key=KEY).nll, whole.nll[:3])
    assert not torch.allclose(measures.importance(model, x, samples=30, key=KEY + 1).nll, whole.nll)


def test_units_of_the_latents_change_no_measure() -> None:
    """A model and its copy with the prior N(0, scale^2), to 1e-10."""
    x = rows(50)
    model = near_the_optimum(x)
    one, other = machine(model), machine(model.in_units(SCALE))._replace(scale=SCALE)
    for here, there in zip(measures.posterior(one, x), measures.posterior(other, x, chunk=7), strict=True):
        torch.testing.assert_close(here, there, rtol=0, atol=1e-10)
    nll = [measures.importance(each, x, samples=8, key=KEY).nll for each in (one, other)]
    torch.testing.assert_close(*nll, rtol=0, atol=1e-10)


def test_a_model_of_black_and_white_images_is_a_machine_too() -> None:
    """float32, an image's shape, two latents: against a sum over a fine grid of z."""
    W = normals(2, 12, seed=1).float()
    x = (normals(6, 1, 3, 4) > 0).float()

    def log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
        return Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1)

    def decode(z: Tensor) -> Tensor:
        return (z @ W).reshape(-1, 1, 3, 4)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.1 * x.flatten(1) @ W.mT, torch.full((len(x), 2), -0.5)

    found = measures.importance(
        Machine(encode, decode, log_likelihood, torch.ones(2)), x, samples=20000, key=KEY, chunk=4096
    )
    axis = torch.linspace(-6, 6, 121)
    grid = torch.cartesian_prod(axis, axis)
    prior = Normal(0.0, 1.0).log_prob(grid).sum(1) + 2 * log(0.1)
    fit = log_likelihood(x.repeat_interleave(len(grid), 0), decode(grid.repeat(len(x), 1))).reshape(len(x), -1)
    torch.testing.assert_close(found.nll, -(fit + prior).double().logsumexp(1), rtol=0, atol=0.03)


def planted(scale: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Latents whose means have, over rows of unit variance, the whitened variances 0.5, 0.011, 0.009 and 0."""
    sizes = torch.tensor([0.5, 0.011, 0.009, 0.0]).double().sqrt()

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return (3 + x[:, :4] * sizes) * scale, (0.1 * x[:, :4]) + 2 * scale.log()

    return encode


@pytest.mark.parametrize("scale", [torch.ones(D).double(), SCALE, 30 * SCALE])
def test_active_latents_of_a_planted_encoder(scale: Tensor) -> None:
    x = normals(1000, 4)
    x = (x - x.mean(0)) / x.std(0, correction=0)
    model = machine(near_the_optimum(rows()))._replace(encode=planted(scale), scale=scale)
    found = measures.posterior(model, x, chunk=300)
    torch.testing.assert_close(found.carried, torch.tensor([0.5, 0.011, 0.009, 0]).double(), rtol=0, atol=1e-12)
    assert [found.active(), found.active(0.1), found.active(0.005)] == [2, 1, 3]
    mean, logvar = model.encode(x)
    wanted = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, scale))
    torch.testing.assert_close(found.kl, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.5, 0.995, 2.0])
def test_the_spectrum_predicts_the_active_latents_of_the_best_linear_model(noise: float) -> None:
    """Where an eigenvalue is within a hundredth of the noise, its latent carries something, and less than counts."""
    x = rows()
    values = spectra.eigenvalues(x)
    x = x / values[0].sqrt()
    values = values / values[0]
    best = linear.optimum(spectra.moments([x]).covariance, D, noise)
    found = measures.posterior(machine(best, noise), x)
    assert found.active() == measures.predicted_active(values, noise, D, threshold=measures.ACTIVE)
    assert found.active(1e-9) == measures.predicted_active(values, noise, D)
    assert measures.predicted_active(values, noise, P) == (values > noise).sum()
    few = torch.tensor([1.0, 0.35, 0.1]).double()
    assert [measures.predicted_active(few, 0.2, 3, threshold=share) for share in (0.0, 0.4, 0.5)] == [2, 2, 1]


def test_the_implied_noise_is_that_of_the_loss_of_means() -> None:
    """mean squared error + kl_coeff mean KL has no slope at the optimum of that noise, and at no other."""
    S, kl_coeff = LAMBDA.diag(), 0.15
    noise = measures.implied_noise(kl_coeff, P, D)
    assert 0.1 < noise < 0.5

    def of_means(model: Linear) -> Tensor:
        """Without its constant the loss is squares + KL at noise 1/2, and squares / 2 + KL at noise 1."""
        constant = P / 2 * log(torch.pi)
        twice, once = (linear.loss(model, S, s2) - P / 2 * log(2 * s2) - constant for s2 in (0.5, 1.0))
        squares = 2 * (twice - once)
        return squares / P + kl_coeff * (twice - squares) / D

    def slope(noise: float) -> float:
        found = torch.func.grad(of_means)(linear.optimum(S, D, noise))
        return max(float(part.abs().max()) for part in found)

    assert slope(noise) < 1e-12
    assert min(slope(noise * 1.05), slope(noise / 1.05)) > 1e-4
    assert measures.implied_noise(0.1, 3072, 256) == pytest.approx(0.6)


def test_latent_spectra_are_those_of_draws() -> None:
    x = rows(4000)
    model = machine(near_the_optimum(x).in_units(SCALE))._replace(scale=SCALE)
    found = measures.latent_spectra(measures.posterior(model, x), SCALE)
    mean, logvar = model.encode(x)
    drawn = mean.repeat(50, 1) + (logvar / 2).exp().repeat(50, 1) * normals(200_000, D, seed=8)
    torch.testing.assert_close(found.means, spectra.eigenvalues(mean), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.aggregated, spectra.eigenvalues(drawn), rtol=0.02, atol=0)
    assert (found.aggregated > found.means).all()


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_the_exponent_of_collapsed_latents_is_that_of_the_prior(gamma: float) -> None:
    scale = torch.arange(1, 41, dtype=torch.float64) ** -gamma
    collapsed = Posterior(torch.zeros(30, 40).double(), torch.zeros(30, 40).double())
    assert measures.latent_exponent(collapsed, scale) == pytest.approx(2 * gamma, abs=1e-10)
    carrying = collapsed._replace(mean=3 * normals(30, 1) * torch.eye(40)[:1])
    assert measures.latent_exponent(carrying, scale) > 2 * gamma + 0.1
    assert measures.latent_exponent(carrying, scale, spectra.Window(2, 40)) == pytest.approx(2 * gamma, abs=1e-10)


def test_bits_of_a_dimension() -> None:
    assert measures.bits_per_dimension(784 * log(2), 784) == pytest.approx(1)
    assert measures.bits_per_dimension(0.0, 64, levels=256) == pytest.approx(8)  # the uniform density, in 256 steps
    assert measures.bits_per_dimension(-64 * log(16), 64, levels=17) == pytest.approx(log(17 / 16) / log(2))


def test_a_likelihood_of_no_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="samples must be >= 1, got 0"):
        measures.importance(machine(near_the_optimum(rows(20))), rows(20), samples=0, key=KEY)
