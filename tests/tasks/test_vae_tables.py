"""What a study leaves: likelihood and latents of linear VAEs at their optimum, and of trainings that failed."""

from dataclasses import replace
from math import log

import pytest
import torch

from llcx.fit import weights
from llcx.tasks.vae import linear, spectra, tables
from llcx.tasks.vae.built import images_of, machine
from llcx.tasks.vae.comparisons import ABOUT
from llcx.tasks.vae.schema import Grid
from llcx.tasks.vae.trained import left
from llcx.types import Tables
from tests.tasks.linear_studies import NOISE, SETTINGS, D, analysed, covariance, made, optimum


@pytest.fixture(scope="module")
def best() -> Tables:
    return analysed(made())


def test_the_likelihood_is_that_of_probabilistic_pca_in_the_units_of_any_prior(best: Tables) -> None:
    """The encoder is the true posterior there, so that every weight of the importance sampling is the same."""
    arm = next(iter(made().arms.values()))
    found, mean = covariance(arm)
    decoder = linear.optimum(found, D, NOISE).decoder
    law = torch.distributions.MultivariateNormal(mean, decoder @ decoder.mT + NOISE * torch.eye(16).double())
    exact = -law.log_prob(images_of(arm.cfg, arm.streams).test[:20].flatten(1).double())
    for row in best.tables["networks"]:
        assert row["nll"] == pytest.approx(float(exact.mean()), abs=1e-4)
        assert row["nll_se"] == pytest.approx(float(exact.std() / 20**0.5), abs=1e-4)
        assert row["nll_bits"] == pytest.approx(row["nll"] / (16 * log(2)))
        assert (row["nll_samples"], row["nll_rows"], row["nll_ess"]) == (5, 20, pytest.approx(5, abs=1e-3))


def test_active_latents_are_those_that_the_spectrum_predicts(best: Tables) -> None:
    arm = next(iter(made().arms.values()))
    values = spectra.eigenvalues(images_of(arm.cfg, arm.streams).train)
    expected = int((values > NOISE).sum())
    assert 1 < expected < D
    for row in best.tables["networks"]:
        assert (row["active"], row["predicted_active"]) == (expected, expected)
        assert row["noise"] == pytest.approx(NOISE)
    carried = torch.tensor([row["carried"] for row in best.tables["dimensions"][:D]])
    torch.testing.assert_close(carried, (1 - NOISE / values[:D]).clamp(min=0).float(), rtol=0.5, atol=0.05)


def test_the_kl_of_a_latent_is_half_the_log_of_its_eigenvalue_over_the_noise() -> None:
    """On the rows that the optimum is of: here the training rows are tested too."""
    arm = next(iter(made().arms.values()))
    rows = images_of(arm.cfg, arm.streams).train
    vae, _ = machine(arm.cfg, arm.streams)
    optimum(arm, vae)
    trained = left(arm, lambda training, role: weights(vae))
    assert trained is not None
    found = tables.dimensions(trained, trained._replace(test=rows).posterior())
    values = spectra.eigenvalues(rows)[:D]
    expected = (values / NOISE).log().clamp(min=0) / 2
    assert [row["kl"] for row in found] == pytest.approx(expected.tolist(), abs=1e-4)
    assert [row["dimension"] for row in found] == list(range(1, D + 1))


def test_the_columns_are_those_that_the_figures_read(best: Tables) -> None:
    networks = (
        *(*ABOUT, "parameters", "steps", "ended", "initial_loss", "initial_mse", "initial_kl"),
        *("test_loss", "test_mse", "test_kl", "test_nats"),
        *("nll", "nll_se", "nll_bits", "nll_samples", "nll_rows", "nll_ess"),
        *("active", "predicted_active", "noise", "latent_exponent", "prior_exponent"),
        *("participation", "effective_rank"),
    )
    seen = ("what", "training", "gamma", "first", "last", "exponent", "low", "high", "effective_rank", "participation")
    assert {tuple(row) for row in best.tables["networks"]} == {networks}
    assert {tuple(row) for row in best.tables["dimensions"]} == {(*ABOUT, "dimension", "scale", "kl", "carried")}
    assert {tuple(row) for row in best.tables["spectra"]} == {(*seen, "above", "noise")}
    assert set(best.tables) == {"networks", "dimensions", "gammas", "targets", "stability", "spectra"}
    first = best.tables["networks"][0]
    assert (first["initial_loss"], first["test_loss"]) == (1.0, pytest.approx(1 / 21))
    assert (first["steps"], first["ended"], first["parameters"]) == (20, True, 2 * 16 * D + 2 * D + 16)


def test_a_training_that_failed_has_a_row_without_what_it_did_not_leave() -> None:
    study = made()
    failed, _ = study.arms
    found = analysed(study, failed=failed)
    row, other = found.tables["networks"]
    assert (row["ended"], row["steps"], row["test_loss"], row["nll"], row["active"]) == (False, 5, 1.0, None, None)
    assert list(row) == list(other)
    assert other["active"] > 0
    assert {line["training"] for line in found.tables["dimensions"]} == {other["training"]}
    assert not any(key.startswith(failed) for key in found.arrays["pictures"])
    assert f"{failed}/loss" in found.arrays["curves"]
    assert found.tables["stability"][0]["not_finite"] == 1


def test_a_training_that_was_not_run_has_no_row() -> None:
    study = made()
    absent, present = study.arms
    found = analysed(study, absent=absent)
    assert [row["training"] for row in found.tables["networks"]] == [present]
    assert found.tables["targets"][0]["target"] == pytest.approx(1 / 21)
    assert tables.analyse(study, lambda training, role: None) == Tables()


def test_what_settings_switch_off_is_left_out() -> None:
    off = replace(SETTINGS.measures, importance=0, pictures=0)
    found = analysed(made(replace(SETTINGS, measures=off, grid=Grid())))
    assert "pictures" not in found.arrays
    assert {row["nll"] for row in found.tables["networks"]} == {None}
    assert "nll_rows" in found.tables["networks"][0]
