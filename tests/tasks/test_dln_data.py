"""Rows as functions of (seed, row)."""

import time
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks import rows as table
from llcx.tasks.dln import data
from llcx.tasks.dln.data import Taught, build_rows
from llcx.tasks.dln.schema import Model, Teacher
from llcx.types import Data, Rows
from tests.tasks.networks import arm, around, excess, point

MAP = torch.arange(12, dtype=torch.float64).reshape(3, 4) / 10


def taught(seed: int = 0, **settings: Any) -> Taught:
    return Taught(Teacher(**{"mode": "noisy", **settings}), MAP, rng.streams(seed))


def same(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(left[0], right[0])
    torch.testing.assert_close(left[1], right[1], rtol=1e-14, atol=1e-14)  # a product's last bit depends on its shape


@pytest.mark.parametrize("mode", ["population", "noise_free", "noisy"])
@pytest.mark.parametrize("inputs", ["gaussian", "uniform"])
def test_a_row_is_the_same_stored_and_on_demand(mode: str, inputs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = taught(mode=mode, inputs=inputs, n=50)
    monkeypatch.setattr(table, "BLOCK", 64)
    x, y = table.stored(rows, 50)
    some = torch.tensor([[7, 3], [49, 7]])
    same(rows(some), (x[some], y[some]))


def test_rows_do_not_depend_on_their_number_nor_inputs_on_the_labels() -> None:
    few, many = table.stored(taught(), 10), table.stored(taught(), 30)
    same(few, (many[0][:10], many[1][:10]))
    clean, loud = table.stored(taught(mode="noise_free"), 10), table.stored(taught(noise_std=2.0), 10)
    assert torch.equal(clean[0], loud[0])
    torch.testing.assert_close(loud[1] - clean[1], 2 * (few[1] - clean[1]))
    assert not torch.equal(few[0], table.stored(taught(seed=1), 10)[0])


@pytest.mark.parametrize("n", [1000, 1001])
def test_the_second_half_of_population_rows_has_opposite_noise(n: int) -> None:
    x, y = table.stored(taught(mode="population", n=n), n)
    noise, half = y - x @ MAP.T, (n + 1) // 2
    assert torch.equal(x[half:], x[: n // 2])
    torch.testing.assert_close(noise[half:], -noise[: n // 2])
    assert noise[:half].std().item() == pytest.approx(1, rel=5 / (6 * half) ** 0.5)
    if n % 2 == 0:
        assert (noise.T @ x).abs().max() < 1e-11


def test_minibatches_of_a_population_loss_average_to_a_loss_that_is_flat_at_w_star() -> None:
    found = point(data=Teacher(n=1000))
    assert isinstance(found.data.train, Rows)
    w = around(found, step=0).requires_grad_()
    mean = excess(found, w, found.data.train.take(torch.arange(1000))).mean(1)
    assert torch.autograd.grad(mean.sum(), w)[0].abs().max() < 1e-13


def test_small_tables_are_stored_and_large_ones_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    small = build_rows(Teacher(mode="noisy", n=50), MAP, rng.streams(0))
    assert isinstance(small.train, tuple)
    assert small.train[0].shape == (50, 4)
    monkeypatch.setattr(table, "STORED_UP_TO", 50 * 7 * 8)
    large = build_rows(Teacher(mode="noisy", n=50), MAP, rng.streams(0))
    assert isinstance(large.train, Rows)
    assert large.train.total == large.n == 50
    same(large.train.take(torch.arange(50)), small.train)


def test_the_sufficient_statistics_of_rows_on_demand_are_those_of_stored_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"data": Teacher(mode="noisy", n=300)}
    w = around(point(**settings))
    from_table = point(**settings).model.closed["data"](w)
    monkeypatch.setattr(table, "STORED_UP_TO", 0)
    monkeypatch.setattr(table, "BLOCK", 700)
    torch.testing.assert_close(point(**settings).model.closed["data"](w), from_table, rtol=1e-12, atol=0)


def test_a_hundred_million_parameters_worth_of_rows_is_never_materialised() -> None:
    widths = [3000, 2, 3000]
    found: Data = build_rows(
        Teacher(mode="noisy", n=10**6), torch.zeros(widths[-1], widths[0], dtype=torch.float64), rng.streams(0)
    )
    assert isinstance(found.train, Rows)
    began = time.process_time()
    x, y = found.train.take(torch.tensor([0, 999_999]))
    assert (x.shape, y.shape) == ((2, 3000), (2, 3000))
    assert time.process_time() - began < 1


def test_rows_on_demand_are_stored_once_as_many_were_asked_for_as_there_are() -> None:
    kept = table.Kept(taught(), 20)
    first = kept(torch.arange(20))
    tables = [kept._table is None]
    again = kept(torch.arange(20).reshape(4, 5))
    assert [*tables, kept._table is None] == [True, False]
    same((again[0].reshape(20, 4), again[1].reshape(20, 3)), first)


@pytest.mark.parametrize("inputs", ["gaussian", "uniform"])
@pytest.mark.parametrize("covariance", [None, [1.0, 2.0, 0.5, 3.0], (2 * torch.eye(4) + 1).tolist()])
def test_inputs_have_the_covariance_asked_for(inputs: str, covariance: Any) -> None:
    cfg = Teacher(n=80_000, inputs=inputs, covariance=covariance)
    x = Taught(cfg, MAP, rng.streams(0))(torch.arange(40_000))[0]
    wanted = table.covariance(covariance, 4)
    wanted = data.raw_variance(cfg) * torch.eye(4, dtype=torch.float64) if wanted is None else wanted
    size = wanted.diagonal().sqrt()
    assert ((x.T @ x / len(x) - wanted) / size / size[:, None]).abs().max() < 5 * (2 / len(x)) ** 0.5
    if inputs == "uniform" and covariance is None:
        assert 9.99 < x.abs().max() <= 10


def test_a_covariance_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive definite"):
        arm(model=Model([2, 2]), data=Teacher(covariance=[[1, 2], [2, 1]]))
