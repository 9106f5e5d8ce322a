"""HMC against densities whose answers do not depend on the step."""

import pytest
import torch

from llcx.rng import ChainNoise
from llcx.samplers import hmc
from llcx.samplers.hmc import HMC, build
from llcx.types import Chains, Index, PerChain
from tests.samplers.chains import Normal, run
from tests.stats import assert_matches

TWO = torch.tensor([1.0, 1.0, 10.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize("step_size", [0.1, 0.4])  # the second is rejected often, and must be as right
def test_both_curvatures_of_a_gaussian_are_exact_at_any_step(step_size: float) -> None:
    kernel = build(HMC(step_size=step_size, leapfrog=6), Normal(TWO))
    for block in (slice(0, 2), slice(2, 4)):
        trace = run(kernel, 4, lambda w, b=block: 0.5 * (TWO * w.square())[:, b].sum(1), draws=400)  # type: ignore[misc]
        assert_matches(trace, 1.0)


def test_equipartition_holds_on_a_quartic() -> None:
    def quartic(w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        return -0.5 * w.pow(4).sum(1), -2 * w.pow(3)

    trace = run(build(HMC(step_size=0.3, leapfrog=6), quartic), 3, lambda w: 0.5 * w.pow(4).sum(1), draws=400)
    assert_matches(trace, 3 / 4)  # 1/4 a coordinate


def test_the_oracle_rejects_leapfrog_without_its_metropolis_step() -> None:
    eps, noise = 0.3, ChainNoise(0, 256)
    w, kept = torch.zeros(256, 4, dtype=torch.float64), []
    for _ in range(400):
        momentum = noise.normal(w) - 0.5 * eps * TWO * w
        for k in range(5):
            w = w + eps * momentum
            momentum = momentum - (eps if k < 4 else 0.5 * eps) * TWO * w
        kept.append(0.5 * (TWO * w.square())[:, 2:].sum(1))
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(torch.stack(kept, 1), 1.0)


class Led(Normal):
    """Trajectories are led by a gradient that is a fifth too flat."""

    def slope(self, w: Chains) -> Chains:
        return -0.8 * self.precision * w


def test_a_gradient_that_leads_the_trajectory_wrongly_costs_acceptance_alone() -> None:
    steps = {kind: build(HMC(step_size=0.3, leapfrog=6), kind(TWO)) for kind in (Normal, Led)}
    for block in (slice(0, 2), slice(2, 4)):
        trace = run(steps[Led], 4, lambda w, b=block: 0.5 * (TWO * w.square())[:, b].sum(1), draws=400)  # type: ignore[misc]
        assert_matches(trace, 1.0)
    accepts = {}
    for kind, kernel in steps.items():
        noise, found = ChainNoise(0, 64), []
        state = kernel.init(torch.zeros(64, 4, dtype=torch.float64), noise)
        for _ in range(30):
            state = kernel.step(state, None, noise)
            found.append(float(state.accept.mean()))
        accepts[kind] = sum(found) / 30
    assert accepts[Led] < accepts[Normal] - 0.05  # it was used


@pytest.mark.parametrize("slack", [hmc.SLACK, 0.0])
def test_chains_leave_the_mode_of_a_wide_density_within_a_short_warm_up(
    slack: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the mode energy errors of 20 000 directions add up: without slack the step shrinks to what passes there."""
    monkeypatch.setattr(hmc, "SLACK", slack)
    wide = torch.ones(20_000, dtype=torch.float64)
    kernel, noise = build(HMC(step_size=0.1, leapfrog=10, adapt=24), Normal(wide)), ChainNoise(0, 4)
    state = kernel.init(torch.zeros(4, len(wide), dtype=torch.float64), noise)
    for _ in range(24):
        state = kernel.step(state, None, noise)
    there = bool((state.w.square().mean(1) - 1).abs().max() < 0.05)
    assert there == (slack > 0)


def test_the_step_adapts_to_the_acceptance_asked_for_and_then_stands_still() -> None:
    kernel = build(HMC(step_size=1e-3, leapfrog=10, adapt=60), Normal(TWO.repeat(10)))
    noise = ChainNoise(0, 16)
    state = kernel.init(torch.zeros(16, 40, dtype=torch.float64), noise)
    accepts, steps = [], []
    for _ in range(200):
        state = kernel.step(state, None, noise)
        accepts.append(float(state.accept.mean()))
        steps.append(state.step_size)
    assert len(set(steps[59:])) == 1 < len(set(steps[:59]))
    assert 0.84 < sum(accepts[60:]) / 140 < 0.96


@pytest.mark.parametrize("spread", [1.0, 3.0, 24.0])
def test_trajectories_take_the_leapfrog_steps_asked_for_on_average_and_spread_as_asked(spread: float) -> None:
    class Counting(Normal):
        calls = 0

        def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
            self.calls += 1
            return super().__call__(w, batch)

    target, noise, lengths = Counting(TWO), ChainNoise(0, 1), []
    kernel = build(HMC(0.1, leapfrog=20, spread=spread), target)
    state = kernel.init(torch.zeros(1, 4, dtype=torch.float64), noise)
    for _ in range(200):
        before = target.calls
        state = kernel.step(state, None, noise)
        lengths.append(target.calls - before)
    assert sum(lengths) / 200 == pytest.approx(20, rel=0.15)
    assert max(lengths) / min(lengths) == pytest.approx(spread, rel=0.2)


def test_a_trajectory_that_overflows_is_rejected_not_returned() -> None:
    def wall(w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        grad = -w.sign() * (400 * w.abs()).exp()
        return -(400 * w.abs()).exp().sum(1), grad

    kernel = build(HMC(step_size=5.0, leapfrog=20), wall)
    noise = ChainNoise(0, 8)
    state = kernel.init(torch.zeros(8, 1, dtype=torch.float64), noise)
    for _ in range(20):
        state = kernel.step(state, None, noise)
    assert bool(state.w.isfinite().all())
    assert float(state.accept.max()) < 1e-6
