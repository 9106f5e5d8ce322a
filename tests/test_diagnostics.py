"""Each flag is raised by its fault and by nothing else."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Gamma

from llcx import diagnostics
from llcx.diagnostics import standard_error
from llcx.types import Draws, Trace

C, T = 16, 120


def healthy(lam: float = 10.0, seed: int = 0) -> Trace:
    """Independent draws of n*beta*K as a regular model has them: Gamma(lambda, 1)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Gamma(torch.tensor(lam, dtype=torch.float64), 1.0).sample((C, T))


def draws(energy: Trace, **changes: object) -> Draws:
    found = Draws(
        energy=energy,
        distance=torch.ones_like(energy),
        warmup=energy[:, :4],
        last=torch.zeros(C, 50, dtype=torch.float64),
        accept=torch.full((C,), 0.8, dtype=torch.float64),
        step_size=0.1,
        gradients=1,
        examples=0,
        seconds=1.0,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def flags(found: Draws, exact: bool = True, parameters: int = 50) -> tuple[str, ...]:
    return diagnostics.checks(found, exact=exact, parameters=parameters)


@pytest.mark.parametrize("lam", [0.5, 3.0, 40.0])
def test_independent_gamma_draws_raise_nothing(lam: float) -> None:
    assert flags(draws(healthy(lam)), parameters=100) == ()


RAMP = torch.linspace(-1, 1, T, dtype=torch.float64)
FAULTS = {
    "below_baseline": draws(healthy() - 12),
    "rhat": draws(healthy() + torch.arange(C, dtype=torch.float64).unsqueeze(1)),
    "too_few_draws": draws(healthy()[:, :1].expand(C, T) + 0.01 * healthy(seed=1)),
    "imprecise": draws(healthy() * torch.arange(C, dtype=torch.float64).unsqueeze(1)),
    "drift": draws(healthy() + 2 * RAMP),
    "leaving_basin": draws(healthy() + 0.3 * RAMP, distance=torch.exp(2 * RAMP).expand(C, T)),
    "fluctuation_high": draws(2 * healthy()),
    "fluctuation_low": draws(10 + 0.5 * (healthy() - 10)),
    "acceptance": draws(healthy(), accept=torch.full((C,), 0.3, dtype=torch.float64)),
    "above_half_parameters": draws(healthy(40.0)),
    "warmup_not_settled": draws(healthy(), warmup=healthy()[:, :40] * torch.linspace(0, 0.6, 40)),
    "budget": draws(healthy(), stopped_by="budget"),
}


@pytest.mark.parametrize("flag", FAULTS)
def test_the_fault_raises_its_flag(flag: str) -> None:
    assert flag in flags(FAULTS[flag])


def test_every_flag_has_a_fault_that_raises_it() -> None:
    raised = {flag for found in FAULTS.values() for flag in flags(found)}
    assert raised == set(FAULTS)


def test_a_low_fluctuation_is_no_fault_on_data() -> None:
    assert "fluctuation_low" not in flags(FAULTS["fluctuation_low"], exact=False)


def test_the_standard_error_of_independent_draws_is_sd_over_root_n() -> None:
    trace = healthy()
    plain = float(trace.std()) / trace.numel() ** 0.5
    assert plain * 0.8 < diagnostics.standard_error(trace) < plain * 2


def test_correlated_draws_have_fewer_effective_ones_and_a_larger_error() -> None:
    fresh, mixed = healthy() - 10, torch.zeros(C, T, dtype=torch.float64)
    for t in range(T):
        mixed[:, t] = 0.9 * mixed[:, t - 1] + (1 - 0.81) ** 0.5 * fresh[:, t]
    assert diagnostics.ess(10 + mixed) < 0.25 * diagnostics.ess(healthy())
    assert diagnostics.standard_error(10 + mixed) > 2 * diagnostics.standard_error(healthy())


def test_ess_is_never_more_than_the_draws() -> None:
    trace = healthy() - 10
    trace[:, 1::2] = -trace[:, ::2]  # antithetic
    assert diagnostics.ess(trace + 10) == trace.numel()


def test_moving_with_temperature_needs_more_than_noise_and_a_slow_plateau() -> None:
    assert not diagnostics.moved_with_temperature(healthy(), healthy(9.8, seed=1))
    assert diagnostics.moved_with_temperature(healthy(), healthy(8.0, seed=1))
    assert diagnostics.moved_with_temperature(healthy() + 4, healthy(seed=1) + 1)  # a baseline 4 nats wrong at n*beta


def test_two_samplers_disagree_beyond_ten_percent() -> None:
    assert not diagnostics.disagree(healthy(), healthy(10.5, seed=1))
    assert diagnostics.disagree(healthy(), healthy(13.0, seed=1))


def test_bursts_do_not_excuse_themselves() -> None:
    burst = healthy(13.0)
    burst[0] = burst[0] + 300.0
    assert standard_error(burst) > 15.0
    assert diagnostics.disagree(burst, healthy(seed=1))


def test_a_run_that_goes_on_may_move_by_its_noise_and_no_more() -> None:
    assert not diagnostics.moved_with_budget(healthy(), healthy(10.2, seed=1))
    assert diagnostics.moved_with_budget(healthy(), healthy(12.0, seed=1))


def test_a_step_or_an_energy_still_on_its_way_is_not_settled() -> None:
    steps = torch.full((40,), 0.1)
    sound = replace(draws(healthy()), warmup=healthy()[:, :40], settling={"step_size": steps})
    assert "warmup_not_settled" not in flags(sound)
    falling = replace(sound, settling={"step_size": 0.1 * torch.linspace(0, -6, 40).exp()})
    assert "warmup_not_settled" in flags(falling)
    rising = replace(sound, warmup=healthy()[:, :40] * torch.linspace(0, 0.6, 40))
    assert "warmup_not_settled" in flags(rising)


def test_an_acceptance_is_judged_by_the_kernels_own_aim() -> None:
    half = draws(healthy(), accept=torch.full((C,), 0.5, dtype=torch.float64))
    assert "acceptance" in diagnostics.checks(half, exact=True, parameters=50, aim=0.9)
    assert "acceptance" not in diagnostics.checks(half, exact=True, parameters=50, aim=0.57)


def test_a_fluctuation_is_judged_by_its_own_noise() -> None:
    ratio, noise = diagnostics.fluctuation(healthy(3.0))
    assert abs(ratio - 1) < 4 * noise
    assert noise == pytest.approx((4 / (C * T)) ** 0.5, rel=0.2)
    few = healthy(1.2)[:4, :40]
    assert diagnostics.fluctuation(few)[1] > 0.15


def test_flat_directions_may_still_diffuse_while_the_energy_stands_still() -> None:
    still = healthy().sort(1).values  # the halves of each chain are made alike
    even = torch.cat([still[:, ::2], still[:, 1::2].flip(1)], 1)
    even = even - torch.cat([even[:, : T // 2].mean(1, keepdim=True).expand(-1, T // 2),
                             even[:, T // 2 :].mean(1, keepdim=True).expand(-1, T // 2)], 1) + 10  # fmt: skip
    assert "leaving_basin" not in flags(draws(even, distance=torch.exp(2 * RAMP).expand(C, T)))
