"""The closed forms against the plain path, prompt after prompt; rows as functions of (seed, row)."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import gradients, rng
from llcx.params import flatten
from llcx.tasks import rows as shared
from llcx.tasks.lsa.data import Taught
from llcx.tasks.lsa.schema import Loss, Model, PromptData
from llcx.types import Point, Rows
from tests.stats import assert_matches
from tests.tasks.lsa_problems import SHAPES, arm, around, excess, point

FULL = [[2.0, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 0.3]]
SEEN = list(product(["matrix", "scalar"], ["mean", "sum"]))


def built(output: str = "matrix", reduction: str = "mean", *, model: Any = (3, 3, 1, 1), **data: Any) -> Point:
    settings = {"n": 300, "context": 7, **data}
    return point(model=replace(Model(*model), output=output), loss=Loss(reduction), data=PromptData(**settings))


def gradient(k: Tensor, w: Tensor) -> Tensor:
    return torch.autograd.grad(k.sum(), w)[0]


@pytest.mark.parametrize("target", ["data", "self"])
@pytest.mark.parametrize("mode", ["noise_free", "noisy"])
@pytest.mark.parametrize(("output", "reduction"), SEEN)
def test_the_closed_form_is_the_mean_over_prompts(output: str, reduction: str, mode: str, target: str) -> None:
    found = built(output, reduction, mode=mode, noise_std=0.7, covariance=FULL)
    w = around(found).requires_grad_()
    closed = found.model.closed[target](w)
    plain = excess(found, w, found.data.train, target).mean(1)
    torch.testing.assert_close(closed, plain, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient(closed, w), gradient(plain, w), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("context", [1, 3, 4, 50])
@pytest.mark.parametrize("model", SHAPES, ids=str)
def test_the_closed_form_is_the_mean_over_prompts_of_every_shape(model: Model, context: int) -> None:
    found = point(model=model, data=PromptData("noisy", 60, context))
    w = around(found)
    plain = excess(found, w, found.data.train).mean(1)
    torch.testing.assert_close(found.model.closed["data"](w), plain, rtol=1e-9, atol=1e-12)


def monte_carlo(found: Point, w: Tensor, output: str = "matrix") -> Tensor:
    """The loss on 2e5 fresh prompts of covariance FULL, as 20 independent chains [20, 1e4]."""
    cfg = arm(model=Model(3, 3, 1, 1, output=output), data=PromptData("noise_free", 300, 7, covariance=FULL)).cfg
    X, _ = Taught(cfg, torch.zeros(4, 4, dtype=torch.float64), rng.streams(9))(torch.arange(200_000))
    Y = found.model.module(X).detach().reshape(len(X), X.shape[1] if output == "matrix" else 1, -1)
    return excess(found, w, (X, Y.squeeze(-1) if output == "scalar" else Y)).reshape(20, 10_000)


@pytest.mark.parametrize(("output", "reduction"), SEEN)
def test_the_population_loss_is_the_expectation_over_fresh_prompts(output: str, reduction: str) -> None:
    found = built(output, reduction, mode="population", covariance=FULL, noise_std=0.5)
    w = around(found, chains=1, step=0.5)
    assert_matches(monte_carlo(found, w, output), found.model.closed["data"](w).item())


def test_the_expectation_over_prompts_of_another_covariance_is_another() -> None:
    found = built(mode="population", covariance=[2.0, 1.0, 0.32])
    w = around(found, chains=1, step=0.5)
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(monte_carlo(found, w), found.model.closed["data"](w).item())


def test_a_sum_over_entries_is_their_mean_times_their_number() -> None:
    mean, total = (built(reduction=reduction, mode="noise_free") for reduction in ("mean", "sum"))
    w = around(mean)
    torch.testing.assert_close(total.model.closed["data"](w), 8**2 * mean.model.closed["data"](w))


@pytest.mark.parametrize("mode", ["population", "noise_free"])
@pytest.mark.parametrize("output", ["matrix", "scalar"])
def test_w_star_is_a_minimum_where_labels_have_no_noise(output: str, mode: str) -> None:
    found = built(output, mode=mode)
    w = around(found, step=0).requires_grad_()
    k = found.model.closed["data"](w)
    assert k.abs().max() < 1e-25
    assert gradient(k, w).abs().max() < 1e-13
    assert (found.model.closed["data"](around(found)) > 1e-5).all()


def test_w_star_is_no_minimum_of_noisy_rows_but_of_their_own_target_self() -> None:
    found = built(mode="noisy")
    w = around(found, step=0).requires_grad_()
    assert gradient(found.model.closed["data"](w), w).norm() > 1e-4
    assert gradient(found.model.closed["self"](w), w).norm() < 1e-13


@pytest.mark.parametrize("mode", ["population", "noise_free", "noisy"])
@pytest.mark.parametrize("output", ["matrix", "scalar"])
def test_minibatches_of_all_rows_have_the_closed_form_s_loss(output: str, mode: str) -> None:
    found = built(output, mode=mode, n=64)
    potential, backend, _ = gradients.of_model(found.model, found.data, dtype=torch.float64)
    assert (backend, potential.rows, potential.population) == ("closed", 64, mode == "population")
    assert potential.mini is not None
    w = around(found)
    k, grad = potential.mini(w, torch.arange(64).repeat(3, 1))
    of_rows = built(output, mode="noise_free", n=64) if mode == "population" else found  # whose rows have no noise
    torch.testing.assert_close(k, of_rows.model.closed["data"](w))
    assert grad.shape == w.shape


def test_each_factor_is_a_block() -> None:
    found = built(model=(3, 2, 1, 1))
    assert [block.tolist() for block in found.model.blocks] == [[list(range(8))], [list(range(8, 16))]]
    assert [name for name, _ in found.model.module.named_parameters()] == ["W_Q", "W_K"]


@pytest.mark.parametrize("output", ["matrix", "scalar"])
def test_a_row_is_the_same_stored_kept_and_on_demand(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"mode": "noisy", "n": 50}
    stored = built(output, **settings)
    assert isinstance(stored.data.train, tuple)
    w, some = around(stored), torch.tensor([[7, 3], [49, 7]])
    for limit, kept in ((50 * 4 * 4 * 8 + 1, True), (0, False))[output == "scalar" :]:
        monkeypatch.setattr(shared, "STORED_UP_TO", limit)
        other = built(output, **settings)
        assert isinstance(other.data.train, Rows)
        assert isinstance(other.data.train.take.prompts, shared.Kept) == kept  # type: ignore[attr-defined]
        for left, right in zip(other.data.train.take(some), stored.data.train, strict=True):
            torch.testing.assert_close(left, right[some], rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(other.model.closed["data"](w), stored.model.closed["data"](w))


def test_the_pass_behind_the_closed_form_keeps_no_table_of_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "STORED_UP_TO", 50 * 4 * 4 * 8 + 1)
    found = built(mode="noise_free", n=50)
    assert isinstance(found.data.train, Rows)
    assert found.model.closed["data"](around(found)).min() > 0
    assert found.data.train.take.prompts._table is None  # type: ignore[attr-defined]


def rows_of(found: Point) -> tuple[Tensor, Tensor]:
    assert isinstance(found.data.train, tuple)
    return found.data.train


def test_noise_is_white_and_does_not_change_the_prompts() -> None:
    clean, loud = (rows_of(built(mode=mode, noise_std=2.0, n=4000)) for mode in ("noise_free", "noisy"))
    assert torch.equal(clean[0], loud[0])
    noise = (loud[1] - clean[1]).flatten(1)
    expected = 4 * torch.eye(16, dtype=torch.float64)
    assert (noise.T @ noise / len(noise) - expected).abs().max() < 5 * 4 * (2 / len(noise)) ** 0.5


def test_a_large_problem_takes_megabytes_and_moments() -> None:
    found = point(model=Model(35, 35, 10, 2), data=PromptData("noise_free", 2000, 100))
    w = flatten(found.model.module)[None] + 0.01
    assert found.model.closed["data"](w).item() > 0
    assert found.model.closed["data"].moments().second.shape == (36**2, 36**2)  # type: ignore[attr-defined]
