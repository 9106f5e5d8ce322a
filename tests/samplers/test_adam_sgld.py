"""Adam-SGLD at a metric that is constant or comes to rest, where its law on a Gaussian is known exactly."""

import pytest
import torch

from llcx.samplers.adam_sgld import AdamSGLD, build
from llcx.samplers.sgld import SGLD
from tests.samplers.chains import Normal, Quiet, run
from tests.stats import assert_matches

H = torch.full((4,), 4.0, dtype=torch.float64)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
@pytest.mark.parametrize("spread", [0.0, 12.0])
def test_the_averaged_drift_heats_by_the_law_in_the_docstring(momentum: float, spread: float) -> None:
    eps, h = 0.005, 4.0
    record = AdamSGLD(eps, momentum=momentum, alpha=0.9, memory="steady")
    gain = float(record.preconditioner(torch.zeros(1)))
    left, right = record.inflation(eps, gain * h, gain * spread**2)
    assert (right > 1.5) == (spread > 0)
    target = Normal(H, nbeta=1e9, spread=spread)
    trace = run(build(record, target), 4, lambda w: w.square().sum(1), draws=2500)
    assert_matches(trace, 4 * (left + right - 1) / h)


@pytest.mark.parametrize("memory", ["growing", "steady"])
def test_a_metric_at_rest_leaves_the_target_and_one_that_follows_does_not(memory: str) -> None:
    """w^2 under N(0, 1), whose loss gradient w is as large as e: the metric at rest is 1 / (e + 1)."""
    record, one = AdamSGLD(0.3, momentum=0.3, alpha=0.9, eps=0.5, memory=memory), torch.ones(1, dtype=torch.float64)
    trace = run(build(record, Normal(one)), 1, lambda w: w.square().sum(1), draws=3000)
    left, right = record.inflation(0.3, 1 / (0.5 + 1), 0.0)
    if memory == "growing":
        assert_matches(trace, left * right)
    else:
        assert float(trace.mean()) > 1.15 * left


def test_at_nine_tenths_it_is_nineteen_times_as_hot_as_sgld_and_without_momentum_as_hot() -> None:
    excess = [AdamSGLD(momentum=b).inflation(1e-4, 1.0, 1.0)[0] - 1 for b in (0.0, 0.9)]
    sgld = SGLD().inflation(1e-4, 1.0, 1.0)[0] - 1
    assert excess == pytest.approx([sgld, 19 * sgld], rel=1e-3)
    assert AdamSGLD(momentum=0.9).inflation(100.0, 1.0, 1.0) == (float("inf"), float("inf"))


def test_without_noise_it_descends_along_the_average_of_the_gradients() -> None:
    kernel, noise = build(AdamSGLD(0.1, momentum=0.5, alpha=0.9, eps=0.5), Normal(H)), Quiet(0, 2)
    start = torch.ones(2, 4, dtype=torch.float64)
    state, w, m, v = kernel.init(start, noise), start, torch.zeros_like(start), torch.ones_like(start)
    for _ in range(3):
        state = kernel.step(state, None, noise)
        grad = -4 * w
        m = 0.5 * m + 0.5 * grad
        w, v = w + 0.05 * m / (0.5 + v.sqrt()), 0.9 * v + 0.1 * grad.square()
        torch.testing.assert_close(state.w, w)
