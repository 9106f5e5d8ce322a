"""The model: z and q of every variant, the rescaling that undoes a prior's scales, and gamma=0 bit for bit."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Normal

from llcx.tasks.vae import model, priors
from llcx.tasks.vae.model import VAE
from llcx.tasks.vae.networks import Shape
from llcx.tasks.vae.objective import Criterion
from llcx.tasks.vae.schema import VAE as Settings
from llcx.tasks.vae.schema import VARIANTS, Loss, Model, Prior, applied

SHAPE, DIM = Shape(1, 8, 8), 6
FORMS = list(product(("raw", "whitened"), (True, False)))
LAW = Prior(gamma=0.7)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normals(rows: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, DIM, generator=seeded(seed), dtype=dtype)


def images(rows: int, seed: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand((rows, *SHAPE), generator=seeded(seed), dtype=dtype)


def built(prior: Prior = LAW, dtype: torch.dtype = torch.float64, **settings: Any) -> VAE:
    cfg = Model(**{"arch": "mlp", "latent_dim": DIM, "width": 20, "norm": "group", **settings})
    vae = model.build(cfg, SHAPE, priors.scale(prior, DIM), seeded(), dtype=dtype)
    with torch.no_grad():  # away from the start, where means and log variances are small
        vae.mean.weight.mul_(3)
        vae.logvar.bias.add_(-1)
    return vae


def criterion(vae: VAE, **loss: Any) -> Criterion:
    return Criterion(vae.cfg, Loss(**loss), vae.shape, vae.scale)


@pytest.mark.parametrize(("parametrisation", "scaled"), FORMS)
def test_z_and_q_are_those_of_the_definition(parametrisation: str, scaled: bool) -> None:
    vae, x, eps = built(parametrisation=parametrisation, scaled=scaled), images(4), normals(4)
    out, d = vae(x, eps), priors.scale(LAW, DIM)
    features = vae.body(x)
    mu = vae.mean(features) * (1 if parametrisation == "raw" else d)
    std = (vae.logvar(features) / 2).exp() * (d if scaled else 1)
    torch.testing.assert_close(out.z, mu + std * eps)
    torch.testing.assert_close(out.reconstruction, vae.decode(out.z))
    torch.testing.assert_close(vae.encode(x), (mu, 2 * std.log()))
    torch.testing.assert_close(vae.encode_whitened(x), (mu / d, 2 * (std / d).log()))
    torch.testing.assert_close((out.mean, out.logvar), vae.encode_whitened(x))


def test_the_prior_is_sampled_with_its_own_scales() -> None:
    vae, u = built(), normals(5)
    torch.testing.assert_close(vae.decode_whitened(u), vae.decode(priors.scale(LAW, DIM) * u))
    assert not torch.allclose(vae.decode_whitened(u), vae.decode(u))
    logits = built(likelihood="bernoulli")
    assert torch.equal(logits.images(u), u.sigmoid()) and torch.equal(vae.images(u), u)


@torch.no_grad()
def test_the_log_variance_is_clamped_only_where_it_is_asked_for() -> None:
    free, clamped = built(min_std=0.0), built(min_std=0.05)
    for vae in (free, clamped):
        vae.logvar.bias.add_(torch.linspace(-60, 0, DIM))
    x, d = images(3), priors.scale(LAW, DIM)
    assert float(free.encode_whitened(x)[1].min()) < -50
    std = (clamped.encode(x)[1] / 2).exp() / d
    assert float(std.min()) == pytest.approx(0.05) and float(std.max()) > 0.2


def told(vae: VAE, x: Tensor, eps: Tensor, **loss: Any) -> dict[str, Tensor]:
    """What no rescaling may change."""
    out, cost = vae(x, eps), criterion(vae, **loss)
    return {
        "loss": cost(out, x),
        "nats": cost.nats(out, x),
        "reconstruction": out.reconstruction,
        "penalty": cost.penalties(out),
    }


def cases() -> Iterator[Any]:
    for arch, (parametrisation, scaled) in product(("mlp", "conv", "resnet18", "linear"), FORMS):
        yield pytest.param(arch, parametrisation, scaled, id=f"{arch}-{parametrisation}-{scaled}")


@pytest.mark.parametrize(("arch", "parametrisation", "scaled"), list(cases()))
def test_a_rescaled_network_is_a_standard_one_with_the_same_loss(arch: str, parametrisation: str, scaled: bool) -> None:
    width = 20 if arch == "mlp" else 4
    vae = built(arch=arch, width=width, parametrisation=parametrisation, scaled=scaled, likelihood="bernoulli")
    plain, x, eps = model.standardised(vae), images(4), normals(4)
    assert torch.equal(plain.scale, torch.ones(DIM, dtype=torch.float64)) and not plain.log_scale.any()
    assert not torch.equal(plain.decoder.first.weight, vae.decoder.first.weight)
    for settings in ({"reduction": "seed"}, {"reduction": "elbo", "beta": 0.7}):
        mine, other = told(vae, x, eps, **settings), told(plain, x, eps, **settings)
        for name in mine:
            torch.testing.assert_close(mine[name], other[name], rtol=1e-10, atol=1e-10, msg=name)


def test_a_raw_network_and_its_whitened_heads_are_the_same_model() -> None:
    """Of the same networks, W_mu over d makes one of the other; without that they differ."""
    raw, whitened = built(parametrisation="raw"), built(parametrisation="whitened")
    x, eps = images(4), normals(4)
    before = told(raw, x, eps), told(whitened, x, eps)
    assert not torch.allclose(before[0]["loss"], before[1]["loss"], rtol=1e-3)
    with torch.no_grad():
        whitened.mean.weight.div_(raw.scale.unsqueeze(1))
        whitened.mean.bias.div_(raw.scale)
    after = told(whitened, x, eps)
    for name, value in before[0].items():
        torch.testing.assert_close(after[name], value, rtol=1e-10, atol=1e-10)


def test_the_wasserstein_penalty_notices_the_rescaling() -> None:
    vae, x, eps = built(), images(4), normals(4)
    plain = model.standardised(vae)
    mine, other = (told(each, x, eps, divergence="w2_diag") for each in (vae, plain))
    torch.testing.assert_close(mine["reconstruction"], other["reconstruction"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mine["penalty"], other["penalty"] * vae.scale.square())
    assert float(other["loss"].detach()) > 1.1 * float(mine["loss"].detach())


def test_a_clamp_that_is_not_rescaled_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task.model.min_std must be 0 with scaled=false, got 0.1"):
        model.standardised(built(min_std=0.1, scaled=False))


def trained(
    variant: str | None, gamma: float, parametrisation: str, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Losses of a few steps, and the weights where they lead."""
    cfg = applied(Settings(prior=Prior(gamma=gamma, rate=0.0), variant=variant))
    vae = built(cfg.prior, dtype, parametrisation=parametrisation, scaled=cfg.model.scaled)
    cost, optimizer = Criterion(vae.cfg, cfg.loss, SHAPE, vae.scale), torch.optim.Adam(vae.parameters(), 1e-2)
    losses = []
    for step in range(6):
        optimizer.zero_grad()
        x = images(8, 10 + step, dtype)
        losses.append(cost(vae(x, normals(8, 30 + step, dtype)), x))
        losses[-1].backward()
        optimizer.step()
    return [torch.stack(losses).detach(), *(p.detach() for p in vae.parameters())]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("variant", sorted({*VARIANTS} - {"vae", "w2"}))
def test_without_decay_every_variant_is_the_vanilla_one_bit_for_bit(variant: str) -> None:
    vanilla = trained("vae", 0.0, "raw")
    assert equal(trained(variant, 0.0, "raw"), vanilla)
    assert equal(trained(variant, 0.0, "whitened"), vanilla)
    if variant not in ("exp", "linear"):
        assert not equal(trained(variant, 0.1, "raw"), vanilla)


def test_the_vanilla_one_is_a_vae_written_down_without_any_of_this() -> None:
    vae, x, eps = built(Prior("ones")), images(5), normals(5)
    features = vae.body(x)
    q = Normal(vae.mean(features), (vae.logvar(features) / 2).exp())
    divergence = torch.distributions.kl_divergence(q, Normal(0.0, 1.0))
    output = vae.decoder(q.loc + q.scale * eps)
    expected = (output - x).square().mean() + 0.1 * divergence.mean()
    torch.testing.assert_close(criterion(vae)(vae(x, eps), x), expected, rtol=1e-13, atol=0)


def slope(vae: VAE) -> float:
    """Of the penalty, in the weights of the mean head."""
    x = images(16)
    cost = criterion(vae).penalties(vae(x, normals(16))).mean()
    (grad,) = torch.autograd.grad(cost, vae.mean.weight)
    return float(grad.norm())


def test_whitened_heads_start_alike_at_every_gamma_and_raw_ones_do_not() -> None:
    """Raw means cost mu^2 / d^2; with gamma 3 and six latents that is up to 6^6 times as much."""
    plain = slope(built(Prior("ones")))
    assert slope(built(Prior(gamma=3.0), parametrisation="whitened")) == pytest.approx(plain, rel=1e-12)
    assert slope(built(Prior(gamma=3.0), parametrisation="raw")) > 1000 * plain


@pytest.mark.parametrize("gamma", [0.0, 1.9])
def test_single_precision_holds_many_latents(gamma: float) -> None:
    """Whitened, 256 latents, gamma as large as any study's: no number overflows, without a floor on the scales."""
    cfg = Model(latent_dim=256, width=20, parametrisation="whitened")
    vae = model.build(cfg, SHAPE, priors.scale(Prior(gamma=gamma), 256), seeded())
    out = vae(images(3, dtype=torch.float32), torch.randn(3, 256, generator=seeded()))
    loss = criterion(vae)(out, images(3, dtype=torch.float32))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in vae.parameters())
    assert float(loss.detach()) < 1


def test_the_same_stream_gives_the_same_weights_whatever_the_prior() -> None:
    one, other = built(Prior(gamma=0.0)), built(Prior(gamma=1.0))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_scales_of_another_number_of_latents_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scale must hold task.model.latent_dim=6 numbers, got 5"):
        model.build(replace(built().cfg), SHAPE, priors.scale(LAW, 5), seeded())
