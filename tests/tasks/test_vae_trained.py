"""Whose row it is, which noise its decoder has, and its pictures."""

from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch

from llcx import rng
from llcx.fit import weights
from llcx.tasks.vae import built, pictures, tables
from llcx.tasks.vae.built import Drawn, images_of, machine
from llcx.tasks.vae.measures import latent_spectra
from llcx.tasks.vae.schema import Grid, Images, Measures, Prior
from llcx.tasks.vae.spectra_table import Inputs
from llcx.tasks.vae.trained import about, left
from tests.tasks.linear_studies import NOISE, SETTINGS, D, analysed, made, optimum


@pytest.mark.parametrize(
    ("variant", "kind", "gamma"),
    [
        *((None, "power", 0.4), ("vae", "ones", 0.0), ("scalefree_clipdim", "power_clip", 0.4)),
        *(("exp", "exp", ""), ("linear", "linear", "")),
    ],
)
def test_a_row_says_whose_it_is(variant: str | None, kind: str, gamma: Any) -> None:
    cfg = replace(SETTINGS, prior=Prior(gamma=0.4), grid=Grid(), variant=variant)
    (arm,) = made(cfg).arms.values()
    assert about(arm) == {
        **{"training": "vae", "seed": 0, "variant": variant or "", "kind": kind, "gamma": gamma},
        **{"parametrisation": "raw", "latent_dim": D, "learning_rate": 0.01},
    }


@pytest.mark.parametrize(
    ("likelihood", "noise"), [("mse", 4 * NOISE), ("gaussian_learned_sigma", 4 * 0.09), ("bernoulli", None)]
)
def test_the_noise_is_the_variance_of_a_pixel_times_beta(
    likelihood: str, noise: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = Drawn(images_of(SETTINGS, rng.streams(0)))
    monkeypatch.setattr(built, "_drawn", lambda data, streams: images)
    std = SETTINGS.model.noise_std if likelihood == "mse" else None
    model = replace(SETTINGS.model, likelihood=likelihood, noise_std=std)
    loss = replace(SETTINGS.loss, beta=4.0)
    (arm,) = made(replace(SETTINGS, model=model, loss=loss, data=Images(), grid=Grid())).arms.values()
    vae, _ = machine(arm.cfg, arm.streams)
    state = weights(vae) | ({"log_sigma": torch.tensor(log(0.3))} if likelihood == "gaussian_learned_sigma" else {})
    trained = left(arm, lambda training, role: state)
    assert trained is not None
    assert trained.noise == (None if noise is None else pytest.approx(noise))
    assert not trained.vae.training
    row = tables.likelihood(trained, Measures(importance=2, rows=4))
    assert row["nll_rows"] == 4
    found, unknown = trained.posterior(), Inputs(images.images.train, SETTINGS.measures, arm.streams)
    latent = tables.latents(trained, found, latent_spectra(found, trained.vae.scale), unknown)
    assert (latent["predicted_active"] is None) == (noise is None)


def test_pictures_do_not_depend_on_the_units_of_the_prior() -> None:
    """The best VAE is the same function of x and of u under any prior; samples are drawn from that prior."""
    drawn = analysed(made()).arrays["pictures"]
    arm = next(iter(made().arms.values()))
    flat, falling = made().arms
    torch.testing.assert_close(drawn["x"], images_of(arm.cfg, arm.streams).test[:3])
    for what in ("reconstruction", "samples"):
        assert drawn[f"{flat}/{what}"].shape == (3, 1, 4, 4)
        torch.testing.assert_close(drawn[f"{flat}/{what}"], drawn[f"{falling}/{what}"], rtol=1e-4, atol=1e-5)
    assert (drawn["x"] - drawn[f"{flat}/reconstruction"]).square().mean() < drawn["x"].var()
    vae, _ = machine(made().arms[falling].cfg, arm.streams)
    optimum(made().arms[falling], vae)
    normals = torch.randn(3, D, generator=arm.streams.generator("pictures"))
    assert not torch.allclose(drawn[f"{falling}/samples"], vae.decode(normals), atol=1e-3)


def test_a_few_arms_of_the_first_seed_are_pictured() -> None:
    gammas = [i / 10 for i in range(20)]
    arms = list(made(replace(SETTINGS, grid=Grid(gamma=gammas), seeds=2)).arms.values())
    names = pictures.chosen(arms)
    assert len(set(names)) == pictures.ARMS
    assert (names[0], names[-1]) == (arms[0].name, arms[19].name)
    assert pictures.chosen(arms[20:22]) == [arm.name for arm in arms[20:22]]
