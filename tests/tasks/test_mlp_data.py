"""Rows of task=mlp: every law of inputs and of noise has the moments it is named for."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.mlp import task
from llcx.tasks.mlp.data import Inputs, Taught, teacher
from llcx.tasks.mlp.schema import INPUTS, MLP, NOISES, Labelled, Model, Teacher

N, D = 20_000, 4
STREAMS = rng.streams(0)


def inputs(**settings: Any) -> Tensor:
    return Inputs(Labelled(**settings), D, STREAMS)(torch.arange(N))


def residuals(**settings: Any) -> tuple[Tensor, Tensor]:
    """Inputs, and noise in units of noise_std."""
    clean = MLP(model=Model(target_params=40), data=Labelled(mode="noise_free", noise_std=0.3, **settings))
    noisy = replace(clean, data=replace(clean.data, mode="noisy"))
    (x, y), (_, z) = (Taught(cfg, STREAMS)(torch.arange(N)) for cfg in (clean, noisy))
    return x, (z - y) / 0.3


def variances(x: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(torch.cov(x.T))


def test_an_isotropic_gauss_is_white() -> None:
    assert torch.allclose(torch.cov(inputs().T), torch.eye(D, dtype=torch.float64), atol=0.04)


def test_an_anisotropic_gauss_has_the_condition_asked_for_and_unit_mean_variance() -> None:
    found = variances(inputs(x_dist="gauss_aniso", condition=64.0))
    assert torch.allclose(found[1:] / found[:-1], torch.full((3,), 4.0, dtype=torch.float64), rtol=0.1)
    assert float(found.mean()) == pytest.approx(1, rel=0.05)


def test_a_mixture_has_its_centres() -> None:
    law = Inputs(Labelled(x_dist="mixture", components=3, separation=20.0), D, STREAMS)
    x = law(torch.arange(N))
    nearest = torch.cdist(x, law.centres).argmin(1)
    assert torch.allclose(law.centres.norm(dim=1), torch.tensor(20.0, dtype=torch.float64))
    for k in range(3):
        assert float((nearest == k).double().mean()) == pytest.approx(1 / 3, abs=0.02)
        assert torch.allclose(x[nearest == k].mean(0), law.centres[k], atol=0.08)


def test_a_manifold_has_its_dimension() -> None:
    found = variances(inputs(x_dist="lowdim_manifold", manifold_dim=2))
    assert torch.allclose(found, torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64), atol=0.05)


def test_heavy_tails_share_a_scale_in_each_row_and_are_heavier_than_a_gauss() -> None:
    x = inputs(x_dist="heavy_tail", tail_df=5)
    assert float(x.var()) == pytest.approx(5 / 3, rel=0.05)
    squares = x.square()
    assert float(torch.corrcoef(squares[:, :2].T)[0, 1]) > 0.2
    assert float(squares.square().mean() / squares.mean() ** 2) > 4  # 3 of a gauss, 9 of this law


def test_noise_of_each_kind() -> None:
    _, z = residuals()
    assert float(z.var()) == pytest.approx(1, rel=0.05)
    x, z = residuals(noise_model="hetero", hetero=2.0)
    scale = 1 + 2.0 * x.norm(dim=1, keepdim=True) / D**0.5
    assert float((z / scale).var()) == pytest.approx(1, rel=0.05)
    _, z = residuals(noise_model="student_t", noise_df=5)
    assert float(z.var()) == pytest.approx(5 / 3, rel=0.1)
    _, z = residuals(noise_model="outliers", outlier_share=0.1, outlier_scale=20.0)
    assert float(z.var()) == pytest.approx(0.9 + 0.1 * 400, rel=0.1)
    assert float((z.abs() > 5).double().mean()) == pytest.approx(0.1 * 0.8, abs=0.01)


@pytest.mark.parametrize("x_dist", INPUTS)
def test_the_teacher_has_unit_variance_over_its_inputs(x_dist: str) -> None:
    cfg = MLP(data=Labelled(x_dist=x_dist, mode="noise_free", tail_df=6))
    y = Taught(cfg, STREAMS)(torch.arange(4000))[1]
    assert float(y.std()) == pytest.approx(1, rel=0.15)


def test_dropout_zeroes_its_share_of_the_teachers_outputs_and_keeps_their_mean() -> None:
    kept = MLP(data=Labelled(mode="noise_free"))
    dropped = replace(kept, data=replace(kept.data, teacher=Teacher(dropout=0.25)))
    y, z = (Taught(cfg, STREAMS)(torch.arange(N))[1] for cfg in (kept, dropped))
    assert float((z == 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert torch.allclose(z[z != 0], y[z != 0] / 0.75)


@pytest.mark.parametrize("noise_model", NOISES)
def test_a_row_is_a_function_of_its_number(noise_model: str) -> None:
    taught = Taught(MLP(data=Labelled(noise_model=noise_model, x_dist="mixture")), STREAMS)
    (x, y), (some_x, some_y) = taught(torch.arange(50)), taught(torch.tensor([[7, 3], [49, 0]]))
    assert torch.equal(some_x, x[[7, 3, 49, 0]].reshape(2, 2, D))
    assert torch.allclose(some_y, y[[7, 3, 49, 0]].reshape(2, 2, 1), rtol=1e-12)


def test_arms_are_paired_and_unseen_rows_are_other_rows() -> None:
    cfg = MLP(data=Labelled(n=30, n_test=20, noise_std=0.5), model=Model(w_star="teacher"))
    point = task.build(cfg, STREAMS).point(task.build(cfg, STREAMS).points()[0], None)
    short = task.build_data(replace(cfg, data=replace(cfg.data, n=10)), STREAMS)
    train, test = point.data.train, point.others["test"].train
    assert isinstance(train, tuple) and isinstance(test, tuple) and isinstance(short.train, tuple)
    assert torch.equal(train[0][:10], short.train[0])
    assert torch.allclose(train[1][:10], short.train[1], rtol=1e-12)
    whole = Taught(cfg, STREAMS)(torch.arange(50))
    assert torch.equal(test[0], whole[0][30:])
    assert len(test[0]) == 20


def test_a_teacher_of_another_shape_labels_the_rows() -> None:
    cfg = MLP(data=Labelled(teacher=Teacher(widths=[3], activation="sigmoid")))
    assert [type(layer).__name__ for layer in teacher(cfg, STREAMS)] == ["Linear", "Sigmoid", "Linear"]
