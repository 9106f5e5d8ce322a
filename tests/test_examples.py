"""The excess loss of single rows, on every path."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from llcx import gradients
from llcx.likelihoods import Gaussian
from llcx.types import Data, Potential, Rows, StatModel

N, C = 30, 4
X = torch.randn(N, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.randn(N, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def model() -> StatModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    return StatModel(net, Gaussian(0.5), Gaussian(0.5).kl)


def potential(target: str = "data", stat: StatModel | None = None, **settings: float | str) -> Potential:
    return gradients.of_model(stat or model(), Data((X, Y), N), target=target, dtype=torch.float64, **settings)[0]  # type: ignore[arg-type]


def near(found: Potential) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return found.at + 0.1 * torch.randn(C, len(found.at), generator=generator, dtype=torch.float64)


def of_rows(found: Potential, w: Tensor, idx: Tensor) -> Tensor:
    assert found.examples is not None
    return found.examples(w, idx)


@pytest.mark.parametrize("backend", ["vmap", "seq"])
@pytest.mark.parametrize("target", ["data", "self"])
def test_the_mean_over_rows_is_the_value(backend: str, target: str) -> None:
    found = potential(target, backend=backend)
    single = of_rows(found, near(found), torch.arange(N))
    assert single.shape == (C, N) and single.dtype is torch.float64 and not single.requires_grad
    torch.testing.assert_close(single.mean(1), found.value(near(found)), rtol=1e-12, atol=1e-14)


def test_rows_come_in_the_order_asked_for_and_w_star_has_no_excess() -> None:
    found = potential()
    every, some = of_rows(found, near(found), torch.arange(N)), torch.tensor([7, 2, 7])
    torch.testing.assert_close(of_rows(found, near(found), some), every[:, some], rtol=1e-12, atol=1e-14)
    assert float(of_rows(found, found.at.unsqueeze(0), torch.arange(N)).abs().max()) == 0


def test_little_memory_changes_no_row() -> None:
    found, tight = potential(), potential(memory=1e-6)
    rows = torch.arange(N)
    torch.testing.assert_close(of_rows(tight, near(found), rows), of_rows(found, near(found), rows), rtol=1e-12, atol=0)


def test_rows_made_on_demand_are_those_stored() -> None:
    found = potential()
    made = gradients.of_model(model(), Data(Rows(lambda idx: (X[idx], Y[idx]), N), N), dtype=torch.float64)[0]
    rows = torch.arange(0, N, 3)
    torch.testing.assert_close(of_rows(made, near(found), rows), of_rows(found, near(found), rows), rtol=1e-12, atol=0)


def test_frozen_parameters_stay_at_w_star() -> None:
    found, positions = potential(), torch.tensor([1, 4, 5])
    part, rows = gradients.restrict(found, positions), torch.arange(N)
    w = near(found)
    whole = found.at.expand(C, -1).index_copy(1, positions, w[:, positions])
    torch.testing.assert_close(of_rows(part, w[:, positions], rows), of_rows(found, whole, rows), rtol=0, atol=0)


def test_a_closed_form_gets_single_rows_from_its_module_and_without_rows_there_are_none() -> None:
    stat = replace(model(), closed={"data": lambda w: w.square().sum(1)})
    closed = potential(stat=stat)
    assert closed.exact
    rows = torch.arange(N)
    torch.testing.assert_close(of_rows(closed, near(closed), rows), of_rows(potential(), near(closed), rows))
    assert gradients.of_model(stat, Data(None, N, "population"))[0].examples is None
    assert gradients.of_scalar(lambda w: w.square().sum(), torch.zeros(2), n=10).examples is None
