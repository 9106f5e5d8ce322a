"""What must not change the answer: the order of data, chains and parameters, and the symmetries of w*."""

import pytest
import torch

from llcx import gradients, measure, theory
from llcx.calibrate import Auto
from llcx.estimators.llc import LLC
from llcx.likelihoods import Gaussian
from llcx.rng import ChainNoise
from llcx.samplers.sgld import SGLD, build
from llcx.tasks.dln.loss import Quadratic, of_law
from llcx.types import Data, Potential, StatModel, Trace
from tests.problems import noisy_line, quadratic
from tests.samplers.chains import Normal

WIDTHS = [4, 3, 4]


def linear(first: torch.Tensor, second: torch.Tensor) -> Potential:
    """The population loss of a two-layer linear network at w* = (first, second)."""
    loss = Quadratic(WIDTHS, second @ first, 1.0, lambda: of_law(1.0))
    return gradients.of_function(loss, torch.cat([first.flatten(), second.flatten()]), n=10_000)


def deepest() -> tuple[torch.Tensor, torch.Tensor]:
    """A balanced w* of rank 2: lambda is that of theory.dln."""
    first, second = torch.zeros(3, 4, dtype=torch.float64), torch.zeros(4, 3, dtype=torch.float64)
    first[range(2), range(2)] = second[range(2), range(2)] = 1.0
    return first, second


def draws(potential: Potential, seed: int = 0) -> Trace:
    return measure.of_potential(potential, Auto(), LLC(chains=96, warmup=40, draws=40, check="off"), seed)[0].draws


def test_the_order_of_the_data_changes_nothing() -> None:
    model, (x, y) = noisy_line(100)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    stat = StatModel(model, Gaussian(0.5))
    one, other = (
        gradients.of_model(stat, Data(rows, 100), dtype=torch.float64)[0] for rows in ((x, y), (x[order], y[order]))
    )
    w = one.at + 0.1 * torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(one.full(w), other.full(w), rtol=1e-12, atol=1e-13)


def test_the_order_of_the_parameters_changes_nothing_within_error() -> None:
    h = torch.logspace(-2, 2, 20, dtype=torch.float64)
    agree(draws(quadratic(h)), draws(quadratic(h.flip(0)), seed=1))


def test_a_chain_is_what_it_is_wherever_it_starts_in_the_buffer() -> None:
    kernel = build(SGLD(0.1), Normal(torch.ones(3, dtype=torch.float64)))
    start = torch.arange(12, dtype=torch.float64).reshape(4, 3)

    class Swapped(ChainNoise):
        def normal(self, like: torch.Tensor) -> torch.Tensor:
            return super().normal(like).flip(0)

    forwards = kernel.step(kernel.init(start, ChainNoise(0, 4)), None, ChainNoise(0, 4)).w
    backwards = kernel.step(kernel.init(start.flip(0), ChainNoise(0, 4)), None, Swapped(0, 4)).w
    assert torch.equal(forwards, backwards.flip(0))


def test_rotating_the_hidden_layer_of_w_star_changes_nothing_within_error() -> None:
    first, second = deepest()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    straight, turned = draws(linear(first, second)), draws(linear(turn @ first, second @ turn.T), seed=1)
    agree(straight, turned)
    assert float(straight.mean()) == pytest.approx(float(theory.dln(WIDTHS, 2).lam), rel=0.05)


def test_leaving_the_deepest_point_does_change_the_answer() -> None:
    first, second = deepest()
    with pytest.raises(AssertionError, match="differ"):
        agree(draws(linear(first, second)), draws(linear(0 * first, 0 * second), seed=1))


def agree(one: Trace, other: Trace, z: float = 5.0) -> None:
    """Two independent runs have one mean, and were precise enough to have told."""
    means = one.mean(1), other.mean(1)
    errors = [float(m.std()) / len(m) ** 0.5 for m in means]
    values = [float(m.mean()) for m in means]
    assert max(errors) < 0.03 * max(values), f"too noisy to judge: {errors} of {values}"
    assert abs(values[0] - values[1]) < z * (errors[0] ** 2 + errors[1] ** 2) ** 0.5, f"{values} differ"
