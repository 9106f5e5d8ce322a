"""Prior scales: each law against numbers worked out by hand, each variant against its definition, and refusals."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx.config import built, thaw
from llcx.tasks.vae.priors import scale, variance_exponent
from llcx.tasks.vae.schema import VAE, VARIANTS, Images, Loss, Model, Prior, applied

DIM = 120
INDEX = torch.arange(1, DIM + 1, dtype=torch.float64)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_each_law_gives_the_numbers_of_its_definition() -> None:
    laws = [
        (Prior("ones"), numbers(1, 1, 1)),
        (Prior("power", gamma=2), numbers(1, 1 / 4, 1 / 9)),
        (Prior("power", gamma=2, min_scale=0.2), numbers(1, 1 / 4, 0.2)),
        (Prior("power", gamma=2, exponent_of="var"), numbers(1, 1 / 2, 1 / 3)),
        (Prior("power", gamma=2, exponent_of="var", min_scale=0.4), numbers(1, 1 / 2, 0.4)),
        (Prior("power_clip", gamma=1, clip_dim=2), numbers(1, 1 / 2, 1 / 2)),
        (Prior("exp", rate=0.5), numbers(1, exp(-0.5), exp(-1))),
        (Prior("exp", rate=2, min_scale=0.1), numbers(1, exp(-2), 0.1)),
        (Prior("linear", rate=0.6), numbers(1, 0.7, 0.4)),
        (Prior("linear", rate=1.5, min_scale=0.01), numbers(1, 0.25, 0.01)),
        (Prior("custom", values=[3, 2, 0.5]), numbers(3, 2, 0.5)),
    ]
    for cfg, expected in laws:
        torch.testing.assert_close(scale(cfg, 3), expected, rtol=1e-14, atol=0, msg=str(cfg))


def test_the_datas_own_scales_are_roots_of_its_eigenvalues() -> None:
    eigenvalues = numbers(9, 4, 0.25, 1e-9)
    torch.testing.assert_close(scale(Prior("data_pca"), 2, eigenvalues), numbers(3, 2))
    torch.testing.assert_close(scale(Prior("data_pca", min_scale=0.1), 5, eigenvalues), numbers(3, 2, 0.5, 0.1, 0.1))


@pytest.mark.parametrize("kind", ["power", "power_clip", "data_pca"])
def test_a_normalisation_fixes_the_size_and_not_the_shape(kind: str) -> None:
    plain = Prior(kind, gamma=0.0 if kind == "data_pca" else 0.7, clip_dim=5)
    eigenvalues = INDEX**-1.3
    law = scale(plain, DIM, eigenvalues)
    trace, geomean = (scale(replace(plain, normalise=how), DIM, eigenvalues) for how in ("trace", "geomean"))
    assert float(trace.square().mean()) == pytest.approx(1, abs=1e-13)
    assert float(geomean.log().sum()) == pytest.approx(0, abs=1e-11)
    assert float(law.square().mean()) < 0.5
    for normalised in (trace, geomean):
        torch.testing.assert_close(normalised / normalised[0], law)


def test_the_exponent_of_the_variances_is_twice_that_of_the_scales() -> None:
    for cfg, exponent in [(Prior(gamma=0.5), 1.0), (Prior(gamma=0.5, exponent_of="var"), 0.5)]:
        assert variance_exponent(cfg) == exponent
        torch.testing.assert_close(scale(cfg, DIM).square(), INDEX**-exponent)


def test_each_variant_is_what_it_was_published_as() -> None:
    """Scales, whether q has them, and the penalty; gamma 1.6, clip_dim 40, 120 latents, a floor of 1e-3."""
    g, clip = 1.6, INDEX.clamp(max=40)
    power = (INDEX**-g).clamp(min=1e-3)
    published: dict[str, tuple[Tensor, bool, str]] = {
        "vae": (torch.ones_like(INDEX), True, "kl"),
        "scalefree": (INDEX**-g, True, "kl"),
        "scalefree_clamp": (power, True, "kl"),
        "scalefree_clipdim": (clip**-g, True, "kl"),
        "not_decay_fc": (power, False, "kl"),
        "w2": (power, True, "w2_diag"),
        "exp": ((-0.2 * (INDEX - 1)).exp().clamp(min=1e-3), True, "kl"),
        "linear": (torch.linspace(1, 0.8, DIM, dtype=torch.float64), True, "kl"),
        "stl_inverse": ((clip / DIM) ** -g, True, "kl"),
    }
    assert published.keys() == VARIANTS.keys()
    for name, (d, scaled, divergence) in published.items():
        cfg = applied(VAE(prior=Prior(gamma=g, clip_dim=40, rate=0.2), variant=name))
        torch.testing.assert_close(scale(cfg.prior, DIM), d, rtol=1e-13, atol=0, msg=name)
        assert (cfg.model.scaled, cfg.loss.divergence, cfg.model.min_std) == (scaled, divergence, 1e-6 * (name == "w2"))
    assert len({(str(d.tolist()), s, v) for d, s, v in published.values()}) == len(published)


def test_the_inverse_variant_has_a_prior_wider_than_one() -> None:
    d = scale(applied(VAE(prior=Prior(gamma=0.5), variant="stl_inverse")).prior, DIM)
    assert float(d[0]) == pytest.approx(DIM**0.5) and float(d.min()) > 1


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_composes_and_can_be_followed_by_another(name: str) -> None:
    cfg = built(thaw(VAE), {"variant": name, "prior": {"gamma": 0.5}, "model": {"parametrisation": "whitened"}}, "task")
    found = applied(cfg)
    assert found.variant is None and found.prior.gamma == 0.5 and found.model.parametrisation == "whitened"
    assert applied(replace(found, variant=None)) == found
    follower = replace(cfg, variant="vae")
    assert applied(follower).prior == Prior("ones", gamma=0.5)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Prior("exp"), "task.prior.rate must be a number with kind=exp"),
        (lambda: Prior("custom"), "task.prior.values must be given with kind=custom alone"),
        (lambda: Prior("power", values=[1.0]), "task.prior.values must be given with kind=custom alone"),
        (lambda: Prior("power_clip", min_scale=1e-3), "task.prior.min_scale must be 0 with kind=power_clip"),
        (lambda: Prior("exp", rate=1.0, normalise="last"), "task.prior.normalise must not be last"),
        (lambda: Prior("cubic"), "task.prior.kind must be one of ones, power"),
        (lambda: Prior(gamma=-1), "task.prior.gamma must be >= 0"),
        (lambda: VAE(variant="wae"), "task.variant must be one of vae, scalefree"),
        (lambda: VAE(variant="w2", prior=Prior("exp", rate=1.0)), "task.prior.kind must be left out with task.variant"),
        (lambda: VAE(variant="vae", model=Model(scaled=False)), "task.model.scaled must be left out"),
        (lambda: VAE(model=Model(noise_std=0.1)), "task.model.noise_std must be null with task.loss.reduction=seed"),
        (lambda: VAE(loss=Loss("mmd")), "task.moments must be empty with task.loss.divergence=mmd"),
        (lambda: Model(likelihood="bernoulli", noise_std=1.0), "task.model.noise_std must be null with likelihood"),
        (lambda: Images(source="powerlaw", binarise="static"), "task.data.binarise must be none"),
        (lambda: Images(source="imagenet"), "task.data.source must be one of digits"),
        (lambda: scale(Prior("linear", rate=1.5), 3), "positive scales, got -0.5 in dimension 3 of 3"),
        (lambda: scale(Prior(gamma=400), 9), "positive scales, got 0 in dimension 7 of 9"),
        (lambda: scale(Prior("data_pca"), 3, numbers(2, 1)), "positive scales, got 0 in dimension 3"),
        (lambda: scale(Prior("data_pca"), 3), "the data's eigenvalues must be given"),
        (lambda: scale(Prior("custom", values=[1.0, 2.0]), 3), "must hold task.model.latent_dim=3 numbers, got 2"),
    ],
)
def test_what_nothing_can_have_is_refused(made: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made()
