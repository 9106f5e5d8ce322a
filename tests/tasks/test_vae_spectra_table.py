"""Spectra of images and latents as a table, where eigenvalues are known."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from llcx import rng
from llcx.fit import weights
from llcx.tasks.vae import tables
from llcx.tasks.vae.built import images_of, machine
from llcx.tasks.vae.measures import latent_spectra
from llcx.tasks.vae.schema import Grid
from llcx.tasks.vae.spectra_table import Inputs, latent_rows
from llcx.tasks.vae.trained import left
from tests.tasks.linear_studies import NOISE, SETTINGS, D, analysed, collapsed, made, narrower, optimum


def test_the_spectrum_of_the_images_is_known_and_its_interval_holds_the_exponent() -> None:
    best = analysed(made())
    row = best.tables["spectra"][0]
    assert (row["what"], row["noise"]) == ("input", pytest.approx(NOISE))
    assert row["low"] < 1.0 < row["high"]
    assert row["low"] < row["exponent"] < row["high"]
    arrays = best.arrays["eigenvalues"]
    assert row["above"] == int((arrays["input"] > NOISE).sum())
    assert (arrays["resampled low"] < arrays["resampled high"]).all()
    name = best.tables["networks"][1]["training"]
    torch.testing.assert_close(arrays[f"{name}/scale"].double(), torch.arange(1.0, D + 1).double() ** -0.7)
    assert [line["what"] for line in best.tables["spectra"][1:]] == ["means", "aggregated"] * 2


def test_colour_counts_in_what_a_decoder_is_compared_with() -> None:
    """Channels are alike here: in grey the same image, whole three times its variance."""
    cfg = replace(SETTINGS, data=replace(SETTINGS.data, channels=3), grid=Grid())
    x = images_of(cfg, rng.streams(0)).train
    inputs = Inputs(x, SETTINGS.measures, rng.streams(0))
    torch.testing.assert_close(inputs.whole[:16], 3 * inputs.grey, rtol=1e-5, atol=1e-9)
    assert len(inputs.whole) == 48
    (arm,) = made(cfg).arms.values()
    trained = left(arm, lambda training, role: weights(machine(arm.cfg, arm.streams)[0]))
    assert trained is not None
    found = trained.posterior()
    row = tables.latents(trained, found, latent_spectra(found, trained.vae.scale), inputs)
    assert (inputs.grey > NOISE).sum() < row["predicted_active"] == D


def test_a_window_that_is_asked_for_ends_where_eigenvalues_do() -> None:
    def row(first: int, last: int) -> dict[str, Any]:
        return Inputs(x, replace(SETTINGS.measures, window=[first, last]), rng.streams(0)).row(None)

    x = images_of(SETTINGS, rng.streams(0)).train
    assert (row(2, 9)["first"], row(2, 9)["last"]) == (2, 9)
    assert row(2, 40)["last"] == 16
    assert (row(20, 40)["exponent"], row(20, 40)["low"]) == (None, None)
    few = Inputs(x[:3], SETTINGS.measures, rng.streams(0)).row(None)
    assert (few["first"], few["last"]) == (1, 2)  # two eigenvalues of three rows


def test_at_the_optimum_too_all_of_z_has_the_spectrum_of_the_prior() -> None:
    """Averaged over the rows that it is of; their means alone have not."""
    arm = list(made().arms.values())[1]
    vae, _ = machine(arm.cfg, arm.streams)
    optimum(arm, vae)
    trained = left(arm, lambda training, role: weights(vae))
    assert trained is not None
    found = trained._replace(test=images_of(arm.cfg, arm.streams).train).posterior()
    means, aggregated = latent_rows(trained.about, latent_spectra(found, vae.scale))
    assert aggregated["exponent"] == pytest.approx(1.4, abs=1e-3)
    assert abs(means["exponent"] - 1.4) > 0.3


def test_where_nothing_is_learned_the_latents_have_the_exponent_of_the_prior() -> None:
    found = analysed(made(), collapsed)
    for row, gamma in zip(found.tables["networks"], (0.0, 0.7), strict=True):
        assert (row["active"], row["prior_exponent"]) == (0, pytest.approx(2 * gamma, abs=1e-6))
        assert row["latent_exponent"] == pytest.approx(2 * gamma, abs=1e-4)
        assert row["predicted_active"] > 0
    assert max(row["kl"] for row in found.tables["dimensions"]) < 1e-6
    uneven = analysed(made(), narrower)
    assert uneven.tables["networks"][0]["latent_exponent"] > 1
