"""A loss that is not one of single rows is told from one that is."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llcx import rowwise
from llcx.likelihoods import Gaussian
from llcx.types import StatModel

X = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
ROWS = (X, X[:, :2])


class Noisy(nn.Linear):
    """Dropout that eval() does not turn off."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.5))


class Centred(nn.Linear):
    """Each row less the mean of all of them."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


ALONE = {
    "linear": nn.Linear(3, 2),
    "normalised": nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)),
    "dropped": nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2)),
    "half": nn.Linear(3, 2).bfloat16(),
}
TOGETHER = {
    "noise": Noisy(3, 2),
    "mean": Centred(3, 2),
    "batch": nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 2)),
}


@pytest.mark.parametrize("name", ALONE)
def test_rows_that_keep_to_themselves_pass_and_the_mode_stays(name: str) -> None:
    model = ALONE[name].train()
    rowwise.check(StatModel(model, Gaussian()), ROWS)
    assert model.training


@pytest.mark.parametrize("name", TOGETHER)
def test_rows_that_see_each_other_or_a_die_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="model must give a row one loss whatever rows are beside it"):
        rowwise.check(StatModel(TOGETHER[name], Gaussian()), ROWS)


def test_a_forward_of_ones_own_is_looked_at_too() -> None:
    model = StatModel(nn.Linear(3, 2), Gaussian(), forward=lambda module, batch: module(batch[0] - batch[0].mean(0)))
    with pytest.raises(ValueError, match="whatever rows are beside it"):
        rowwise.check(model, ROWS)


def test_few_rows_and_losses_of_another_shape_are_left_to_others() -> None:
    rowwise.check(StatModel(Centred(3, 2), Gaussian()), (X[:3], X[:3, :2]))
    rowwise.check(StatModel(Noisy(3, 2), lambda output, batch: output.square().mean()), ROWS)
