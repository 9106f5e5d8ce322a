"""llcx.Online: the learning coefficient in a training loop, which goes on as if it were not there."""

import doctest
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import llcx
from llcx import online
from llcx.likelihoods import Gaussian
from tests.problems import noisy_line

FIXED: dict[str, Any] = {"sampler": llcx.samplers.HMC(step_size=0.05, leapfrog=3), "chains": 4, "draws": 8}


def trained(watch: bool) -> tuple[list[Tensor], Any]:
    """Ten steps with dropout, whose masks come from the global generator."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 1)).train()
    _, (x, y) = noisy_line(50)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    seen = llcx.Online(model, (x, y), Gaussian(0.5), every=5, **FIXED) if watch else None
    for step in range(11):
        (model(x) - y).square().mean().backward()
        found = seen(step) if seen else None  # between the gradient and its use
        assert found is None or (found.target, found.draws.shape) == ("self", (4, 8))
        assert (found is not None) == (watch and step % 5 == 0)
        optimizer.step()
        optimizer.zero_grad()
    assert model.training
    return [p.detach() for p in model.parameters()], seen


def test_a_training_that_is_watched_ends_with_the_bits_of_one_that_is_not() -> None:
    with_it, seen = trained(True)
    without, _ = trained(False)
    assert all(torch.equal(one, other) for one, other in zip(with_it, without, strict=True))
    frame = seen.frame()
    assert frame["step"].tolist() == [0, 5, 10]
    assert frame["gamma"].nunique() == 1
    assert frame["change"].isna().tolist() == [True, False, False]


@pytest.mark.slow
def test_its_example_runs() -> None:
    found = doctest.testmod(online)
    assert (found.failed, found.attempted) == (0, 7)


def test_its_settings_are_checked() -> None:
    model, data = noisy_line(50)
    with pytest.raises(ValueError, match="every must be >= 1 steps, got 0"):
        llcx.Online(model, data, Gaussian(0.5), every=0)
    with pytest.raises(ValueError, match=r"estimator\.chains must be >= 1"):
        llcx.Online(model, data, Gaussian(0.5), chains=0)


def test_chains_that_diverge_are_told_with_the_step() -> None:
    model, data = noisy_line(50)
    hot = llcx.samplers.SGLD(step_size=10.0, batch_size=None)
    with pytest.raises(FloatingPointError, match="step 0: failed: chain 0"):
        llcx.Online(model, data, Gaussian(0.5), sampler=hot)(0)
