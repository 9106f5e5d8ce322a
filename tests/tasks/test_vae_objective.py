"""Losses of a VAE: against torch.distributions, in both reductions, of a batch and of frozen examples."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.func import grad, jacrev

from llcx import gradients
from llcx.params import flatten, with_weights
from llcx.tasks.vae import model, objective, priors
from llcx.tasks.vae.model import VAE, Outputs
from llcx.tasks.vae.networks import Shape
from llcx.tasks.vae.objective import Criterion, Frozen
from llcx.tasks.vae.schema import LIKELIHOODS, Loss, Model, Prior
from llcx.types import Data, StatModel

SHAPE, DIM = Shape(1, 4, 5), 3
LAW = Prior(gamma=0.9)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normals(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def images(rows: int, seed: int = 2) -> Tensor:
    return torch.rand((rows, *SHAPE), generator=seeded(seed), dtype=torch.float64)


def built(prior: Prior = LAW, **settings: Any) -> VAE:
    cfg = Model(**{"arch": "mlp", "latent_dim": DIM, "width": 6, **settings})
    vae = model.build(cfg, SHAPE, priors.scale(prior, DIM), seeded(), dtype=torch.float64)
    with torch.no_grad():  # away from the start, where means and log variances are small
        vae.mean.weight.mul_(4)
        vae.logvar.bias.sub_(0.5)
    return vae


def criterion(vae: VAE, **loss: Any) -> Criterion:
    return Criterion(vae.cfg, Loss(**loss), vae.shape, vae.scale)


def laws(vae: VAE, x: Tensor) -> tuple[Normal, Normal]:
    """q(z | x) and p(z), in the decoder's units."""
    mean, logvar = vae.encode(x)
    return Normal(mean, (logvar / 2).exp()), Normal(torch.zeros_like(vae.scale), vae.scale)


@pytest.mark.parametrize(
    ("kind", "parametrisation", "scaled"), list(product(("ones", "power"), ("raw", "whitened"), (True, False)))
)
def test_the_divergence_of_every_form_is_that_of_its_distributions(
    kind: str, parametrisation: str, scaled: bool
) -> None:
    vae = built(Prior(kind, gamma=0.9), parametrisation=parametrisation, scaled=scaled)
    x = images(6)
    expected = kl_divergence(*laws(vae, x))
    found = criterion(vae).penalties(vae(x, normals(6, DIM)))
    assert found.shape == (6, DIM) and float(found.detach().min()) > 0
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)


def test_published_forms_of_the_divergence() -> None:
    """Scaled: (s^2 + mu^2 / d^2 - 1 - lv) / 2; not scaled: log d - lv / 2 + (s^2 + mu^2) / (2 d^2) - 1/2."""
    x, d = images(4), priors.scale(LAW, DIM)
    for scaled in (True, False):
        vae = built(scaled=scaled)
        mu, lv = vae.mean(vae.body(x)), vae.logvar(vae.body(x))
        if scaled:
            expected = (lv.exp() + mu.square() / d.square() - 1) / 2 - lv / 2
        else:
            expected = d.log() - lv / 2 + (lv.exp() + mu.square()) / (2 * d.square()) - 0.5
        torch.testing.assert_close(criterion(vae).penalties(vae(x, normals(4, DIM))), expected)


@pytest.mark.parametrize(("parametrisation", "scaled"), list(product(("raw", "whitened"), (True, False))))
def test_w2_is_the_squared_distance_of_diagonal_gaussians(parametrisation: str, scaled: bool) -> None:
    vae = built(parametrisation=parametrisation, scaled=scaled)
    q, p = laws(vae, images(5))
    cost = criterion(vae, divergence="w2_diag", kl_coeff=0.3)
    out = vae(images(5), normals(5, DIM))
    expected = q.mean.square() + (p.stddev - q.stddev).square()
    torch.testing.assert_close(cost.penalties(out), expected)
    total = (out.reconstruction - images(5)).square().mean() + 0.3 * (
        q.mean.square().mean() + (p.stddev - q.stddev).square().mean()
    )
    torch.testing.assert_close(cost(out, images(5)), total)


def test_a_divergence_near_zero_keeps_its_digits_in_single_precision() -> None:
    mean, logvar = torch.tensor([0.0, 1e-4]), torch.tensor([2e-4, 0.0])
    torch.testing.assert_close(objective.kl(mean, logvar), torch.tensor([1e-8, 5e-9]), rtol=1e-2, atol=0)


def densities(vae: VAE, out: Outputs, variance: float) -> Any:
    if vae.cfg.likelihood == "bernoulli":
        return Bernoulli(logits=out.reconstruction)
    std = torch.tensor(variance).sqrt() if vae.cfg.likelihood == "mse" else vae.log_sigma.exp()
    return Normal(out.reconstruction, std)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("reduction", ["seed", "elbo"])
def test_reconstruction_is_the_density_of_its_distribution(likelihood: str, reduction: str) -> None:
    noise = 0.3 if likelihood == "gaussian_learned_sigma" or (likelihood, reduction) == ("mse", "elbo") else None
    vae = built(likelihood=likelihood, noise_std=noise)
    x, out = images(4).round(), vae(images(4).round(), normals(4, DIM))
    cost = criterion(vae, reduction=reduction)
    variance = 0.1 * 20 / (2 * DIM) if reduction == "seed" else 0.09
    expected = -densities(vae, out, variance).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(cost.reconstruction(out, x), expected, rtol=1e-6, atol=1e-9)
    single = cost.log_density(x[:1], out.reconstruction[:1], None if likelihood != LIKELIHOODS[1] else out.sigma[0])
    torch.testing.assert_close(single, -expected[:1], rtol=1e-6, atol=1e-9)


def test_a_learned_sigma_is_learned() -> None:
    """The gradient vanishes where sigma^2 is the mean squared error, and nowhere near it."""
    vae, x, eps = built(likelihood="gaussian_learned_sigma"), images(8), normals(8, DIM)
    cost = criterion(vae, reduction="elbo")
    error = (vae(x, eps).reconstruction - x).square().mean().detach()
    for factor, sign in ((1.0, 0), (1.2, 1), (0.8, -1)):
        with torch.no_grad():
            vae.log_sigma.copy_((error * factor).log() / 2)
        (slope,) = torch.autograd.grad(cost(vae(x, eps), x), [vae.log_sigma])
        assert float(slope) == pytest.approx(0, abs=1e-12) if sign == 0 else float(slope) * sign > 1


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_both_reductions_are_the_same_nats_in_other_units(likelihood: str) -> None:
    """The mean over pixels and latents is unit * nats - constant, so that its gradient is that of the nats."""
    vae, x = built(likelihood=likelihood), images(5).round()
    out, pixels = vae(x, normals(5, DIM)), 20
    cost = criterion(vae, reduction="seed", kl_coeff=0.4)
    nats = cost.nats(out, x).mean()
    if likelihood == "mse":
        constant = pixels / 2 * torch.tensor(2 * torch.pi * 0.4 * pixels / (2 * DIM)).double().log()
        torch.testing.assert_close(cost(out, x), 0.4 / DIM * (nats - constant), rtol=1e-6, atol=0)
    else:
        torch.testing.assert_close(cost(out, x), nats / pixels)
        assert cost.beta == pytest.approx(0.4 * pixels / DIM)
    elbo = criterion(vae, reduction="elbo", beta=cost.beta)
    if likelihood != "mse":
        torch.testing.assert_close(elbo(out, x), nats)


def test_an_elbo_weighs_its_divergence_by_beta() -> None:
    vae, x = built(noise_std=0.5), images(5)
    out = vae(x, normals(5, DIM))
    one, three = (criterion(vae, reduction="elbo", beta=beta) for beta in (1.0, 3.0))
    divergence = one.penalties(out).sum(1)
    torch.testing.assert_close(one(out, x), (one.reconstruction(out, x) + divergence).mean())
    torch.testing.assert_close(three.nats(out, x) - one.nats(out, x), 2 * divergence)


def test_mmd_is_the_mean_over_pairs_of_different_rows() -> None:
    u, v = normals(5, 2), normals(4, 2, seed=3) + 1

    def kernel(a: Tensor, b: Tensor) -> float:
        return sum(float(c / (c + (a - b).square().sum())) for c in (4 * s for s in objective.BANDWIDTHS))

    def within(w: Tensor) -> float:
        return sum(kernel(w[i], w[j]) for i in range(len(w)) for j in range(len(w)) if i != j) / len(w) / (len(w) - 1)

    beside = sum(kernel(a, b) for a in u for b in v) / 20
    assert float(objective.mmd(u, v)) == pytest.approx(within(u) + within(v) - 2 * beside, rel=1e-12)


def test_mmd_is_zero_on_average_for_equal_laws_alone() -> None:
    def average(shift: float, factor: float) -> tuple[float, float]:
        found = torch.stack(
            [
                objective.mmd(normals(40, 3, seed=2 * i), factor * normals(40, 3, seed=2 * i + 1) + shift)
                for i in range(60)
            ]
        )
        return float(found.mean()), float(found.std() / 60**0.5)

    mean, error = average(0, 1)
    assert error < 0.01 and abs(mean) < 4 * error
    for shift, factor in ((0.5, 1.0), (0.0, 0.5)):
        mean, error = average(shift, factor)
        assert mean > 10 * error


def test_mmd_compares_what_the_scales_are_divided_out_of() -> None:
    """So, unlike w2, it does not change when the scales move into the weights."""
    vae, x, eps, prior = built(), images(12), normals(12, DIM), normals(12, DIM, seed=9)
    plain = model.standardised(vae)
    costs = [criterion(each, divergence="mmd")(each(x, eps), x, prior) for each in (vae, plain)]
    torch.testing.assert_close(costs[0], costs[1], rtol=1e-10, atol=0)
    out = vae(x, eps)
    elbo = criterion(vae, divergence="mmd", reduction="elbo", beta=7.0)
    expected = elbo.reconstruction(out, x).mean() + 7 * objective.mmd(out.z / vae.scale, prior)
    torch.testing.assert_close(elbo(out, x, prior), expected)


def test_a_loss_that_has_not_what_it_needs_is_refused() -> None:
    vae = built()
    out, cost = vae(images(2), normals(2, DIM)), criterion(vae, divergence="mmd")
    with pytest.raises(ValueError, match=r"prior must be standard normals \[B, D\]"):
        cost(out, images(2))
    with pytest.raises(ValueError, match=r"must be kl or w2_diag for a loss of one example, got mmd"):
        cost.nats(out, images(2))
    with pytest.raises(ValueError, match="mmd must have two rows or more"):
        objective.mmd(normals(1, DIM), normals(2, DIM))
    learned = criterion(built(likelihood="gaussian_learned_sigma"))
    with pytest.raises(ValueError, match="sigma must be given"):
        learned.log_density(images(2), out.reconstruction)


def frozen(likelihood: str, rows: int = 6, **loss: Any) -> tuple[VAE, Frozen, tuple[Tensor, Tensor]]:
    vae = built(likelihood=likelihood, scaled=False)
    return vae, Frozen(criterion(vae, **loss)), (images(rows).round(), normals(rows, DIM))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("divergence", ["kl", "w2_diag"])
def test_a_frozen_example_costs_the_nats_of_its_outputs(likelihood: str, divergence: str) -> None:
    vae, loss, batch = frozen(likelihood, divergence=divergence)
    found = loss(loss.forward(vae, batch), batch)
    torch.testing.assert_close(found, loss.criterion.nats(vae(*batch), batch[0]))
    assert found.shape == (6,)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_divergence_of_two_outputs_is_that_of_their_laws(likelihood: str) -> None:
    vae, loss, batch = frozen(likelihood)
    at = loss.forward(vae, batch).detach()
    output = at + 0.3 * normals(*at.shape, seed=8)

    def named(packed: Tensor) -> list[Any]:
        out = loss.outputs(packed)
        sigma = out.sigma.reshape(-1, 1, 1, 1) * (loss.criterion.variance**0.5 if likelihood == "mse" else 1)
        pixels = Bernoulli(logits=out.reconstruction) if likelihood == "bernoulli" else None
        return [Normal(out.mean, (out.logvar / 2).exp()), pixels or Normal(out.reconstruction, sigma)]

    parts = [kl_divergence(p, q).flatten(1).sum(1) for p, q in zip(named(at), named(output), strict=True)]
    torch.testing.assert_close(loss.kl(at, output), sum(parts), rtol=1e-9, atol=1e-11)
    assert not loss.kl(at, at).any()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_root_is_that_of_the_divergences_curvature(likelihood: str) -> None:
    vae, loss, batch = frozen(likelihood, rows=1)
    at = loss.forward(vae, batch).detach()

    def divergence(row: Tensor) -> Tensor:
        return loss.kl(at, row.unsqueeze(0)).squeeze(0)

    hessian = jacrev(grad(divergence))(at[0])
    size = at.shape[1]
    root = torch.stack([loss.root(at, unit.unsqueeze(0))[0] for unit in torch.eye(size, dtype=at.dtype)], 1)
    torch.testing.assert_close(root @ root.T, hessian, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("target", ["data", "self"])
def test_a_frozen_model_runs_for_many_weights_at_once(target: str) -> None:
    """The learning coefficient's own potential: vmap and one by one agree, and K = 0 at w*."""
    vae, loss, batch = frozen("bernoulli")
    stat = StatModel(vae, loss, loss.kl, forward=loss.forward, root=loss.root)
    at = flatten(vae)
    w = torch.stack([at, at + 0.1 * normals(len(at), seed=4)])
    found = {
        backend: gradients.of_model(stat, Data(batch, 6), target=target, dtype=torch.float64, backend=backend)[0].full(
            w
        )
        for backend in ("vmap", "seq")
    }
    for one, other in zip(found["vmap"], found["seq"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    k, _ = found["vmap"]
    before, after = (loss.forward(moved, batch).detach() for moved in (vae, with_weights(vae, w[1])))
    expected = loss.kl(before, after) if target == "self" else loss(after, batch) - loss(before, batch)
    assert float(k[0]) == pytest.approx(0, abs=1e-12)
    assert float(k[1]) == pytest.approx(float(expected.mean()), rel=1e-9) and float(k[1].abs()) > 1e-3
