"""Microcanonical chains: what the dynamics conserve, what the integrators get wrong, and what the tuning finds."""

from dataclasses import replace
from math import inf

import pytest
import torch
from torch import Tensor

from llcx.rng import ChainNoise
from llcx.samplers.mclmc import MCLMC, MCLMCState, build
from llcx.samplers.microcanonical import INTEGRATORS, Motion, directions, inflation, kicked, moved
from llcx.samplers.pacing import autocorrelation
from tests.samplers.chains import Normal, run
from tests.stats import assert_matches

TWO = torch.tensor([1.0, 1.0, 4.0, 4.0], dtype=torch.float64)
SOFT = torch.full((60,), 0.05, dtype=torch.float64).index_fill(0, torch.tensor([0, 1]), 4.0)  # two stiff among sixty


def errors(step_size: float, integrator: str, time: float = 1.6) -> Tensor:
    """Energy gained over a time, [C]."""
    target, noise = Normal(TWO), ChainNoise(0, 64)
    w = noise.normal(torch.zeros(64, 4, dtype=torch.float64)) / TWO.sqrt()
    logp, grad = target(w, None)
    begin = end = Motion(w, directions(noise, w), logp, grad, torch.zeros_like(logp))
    for _ in range(round(time / step_size)):
        end = moved(target, end, step_size, integrator)
    return end.kinetic - (end.logp - begin.logp)


def test_a_kick_keeps_the_length_and_is_the_formula_of_the_docstring() -> None:
    noise = ChainNoise(1, 5)
    u, grad = directions(noise, TWO.repeat(5, 1)), noise.normal(TWO.repeat(5, 1))
    turned, gained = kicked(u, grad, 0.7)
    norm = grad.norm(dim=1, keepdim=True)
    e, d = grad / norm, 0.7 * 2 / 3 * norm
    along = (e * u).sum(1, keepdim=True)
    scale = d.cosh() + along * d.sinh()
    torch.testing.assert_close(turned, (u + e * (d.sinh() + along * (d.cosh() - 1))) / scale)
    torch.testing.assert_close(gained, 3 * scale.log().squeeze(1))
    strong, _ = kicked(u, 1e6 * grad, 0.7)
    torch.testing.assert_close(strong, e)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_energy_is_conserved_to_second_order_in_the_step(integrator: str) -> None:
    coarse, fine = (float(errors(eps, integrator).square().mean().sqrt()) for eps in (0.2, 0.1))
    assert 3.2 < coarse / fine < 4.8


def test_going_back_retraces_the_way() -> None:
    target, noise = Normal(TWO), ChainNoise(0, 4)
    w = noise.normal(torch.zeros(4, 4, dtype=torch.float64))
    begin = Motion(w, directions(noise, w), *target(w, None), torch.zeros(4, dtype=torch.float64))
    there = moved(target, begin, 0.3, "minimal_norm")
    back = moved(target, there._replace(u=-there.u), 0.3, "minimal_norm")
    torch.testing.assert_close(back.w, begin.w)
    torch.testing.assert_close(-back.u, begin.u)
    torch.testing.assert_close(back.kinetic, torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("integrator", "step_size"), [("leapfrog", 0.5), ("minimal_norm", 1.1)])
def test_the_stiff_directions_among_many_have_the_variance_predicted(integrator: str, step_size: float) -> None:
    record = MCLMC(step_size, length=3.0, integrator=integrator)
    stiff = run(build(record, Normal(SOFT)), 60, lambda w: 2 * w[:, :2].square().sum(1), burn=200, draws=600, chains=64)
    truth = record.inflation(step_size, 4.0, 0.0)[0]
    assert abs(truth - 1) > 0.1
    assert abs(float(stiff.mean()) - truth) < 0.4 * abs(truth - 1)
    assert abs(float(stiff.mean()) - 1) > 0.4 * abs(truth - 1)


def test_the_leapfrog_factor_is_that_of_hmc_without_its_metropolis_step() -> None:
    assert inflation("leapfrog", 0.5, 4.0) == pytest.approx(1 / (1 - 0.25))
    assert inflation("leapfrog", 1.01, 4.0) == inf
    assert abs(inflation("minimal_norm", 0.5, 4.0) - 1) < 0.1 * abs(inflation("leapfrog", 0.5, 4.0) - 1)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_adjusted_trajectories_are_exact_at_a_step_where_many_are_refused(integrator: str) -> None:
    record = MCLMC(0.5, length=1.5, adjusted=True, integrator=integrator)
    assert record.unbiased
    halves = run(build(record, Normal(TWO)), 4, lambda w: 0.5 * (TWO * w.square()).reshape(-1, 2, 2).sum(2), draws=300)
    for half in range(2):
        assert_matches(halves[..., half], 1.0, rel_se=0.015)


def test_the_oracle_rejects_the_same_trajectories_without_their_metropolis_step() -> None:
    stiff = run(build(MCLMC(0.5, length=1.5), Normal(TWO)), 4, lambda w: 2 * w[:, 2:].square().sum(1), draws=600)
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(stiff, 1.0, rel_se=0.015)


def settled(record: MCLMC, steps: int, curvatures: Tensor = SOFT) -> MCLMCState:
    start = record.first_step(float(curvatures.max()), 0.0)
    kernel, noise = build(replace(record, step_size=start, adapt=steps), Normal(curvatures)), ChainNoise(0, 8)
    state = kernel.init(torch.zeros(8, len(curvatures), dtype=torch.float64), noise)
    for _ in range(steps):
        state = kernel.step(state, None, noise)
    fixed = (state.step_size, state.length)
    for _ in range(100):
        state = kernel.step(state, None, noise)
    assert (state.step_size, state.length) == fixed
    return state


@pytest.mark.parametrize("desired", [5e-4, 5e-6])
def test_the_step_is_tuned_to_the_energy_variance_asked_for_and_what_was_reached_is_told(desired: float) -> None:
    state = settled(MCLMC(desired_energy_var=desired), 600)
    assert 0.3 < state.energy_var / desired < 3
    assert 0.05 < state.step_size < 0.8


def test_the_length_is_a_share_of_the_time_in_which_log_p_forgets_itself() -> None:
    soft, stiff = (settled(MCLMC(), 1200, scale * SOFT).length for scale in (1.0, 100.0))
    assert soft / stiff == pytest.approx(10.0, rel=0.4)  # times go as the lengths of the distribution
    assert settled(MCLMC(length=2.0), 50).length == 2.0


def test_autocorrelation_is_that_of_a_first_order_process_and_one_for_independent_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(64, 2500, generator=generator, dtype=torch.float64)
    red, kept = white[:, 0], []
    for t in range(2500):
        red = 0.8 * red + white[:, t]
        kept.append(red)
    assert autocorrelation(white) == pytest.approx(1.0, rel=0.1)
    assert autocorrelation(torch.stack(kept, 1)) == pytest.approx((1 + 0.8) / (1 - 0.8), rel=0.15)
    assert autocorrelation(torch.zeros(3, 50)) == 1.0


def test_an_adjusted_step_adapts_to_its_acceptance() -> None:
    state = settled(MCLMC(adjusted=True, accept=0.8), 150, TWO.repeat(4))
    assert state.accept is not None
    assert 0.6 < float(state.accept.mean()) < 0.95


def test_a_single_parameter_is_refused() -> None:
    kernel = build(MCLMC(0.1), Normal(torch.ones(1, dtype=torch.float64)))
    with pytest.raises(ValueError, match="sampler must be another than mclmc"):
        kernel.init(torch.zeros(2, 1, dtype=torch.float64), ChainNoise(0, 2))


def test_a_step_that_breaks_while_tuning_is_taken_back_and_the_next_are_shorter() -> None:
    kernel, noise = build(MCLMC(1e3, adapt=50), Normal(TWO * 1e150)), ChainNoise(0, 4)
    state = kernel.init(torch.full((4, 4), 1e10, dtype=torch.float64), noise)
    for _ in range(20):
        state = kernel.step(state, None, noise)
    assert bool(state.w.isfinite().all())
    assert state.step_size < 1.0
