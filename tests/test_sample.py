"""The driver: what is kept, what is refused."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from llcx.diagnostics import standard_error
from llcx.posterior import Posterior
from llcx.rng import ChainNoise
from llcx.sample import sample
from llcx.samplers.hmc import HMC
from llcx.samplers.hmc import build as build_hmc
from llcx.samplers.sgld import SGLD, build
from llcx.types import Chains, Draws, PerChain, Plan
from tests.problems import quadratic

PLAN = Plan(SGLD(step_size=0.05, batch_size=None), nbeta=4.0, gamma=0.0, chains=3, warmup=10, draws=6, every=2)


def run(plan: Plan = PLAN, **more: object) -> Draws:
    target = Posterior(quadratic(torch.ones(2, dtype=torch.float64)), plan.nbeta, plan.gamma)
    settings = {
        "energy": target.energy,
        "distance": target.distance,
        "minibatch": lambda: None,
        "tally": target,
        **more,
    }
    start = target.potential.at.repeat(plan.chains, 1)
    return sample(build(plan.sampler, target), start, ChainNoise(0, plan.chains), plan, **settings)  # type: ignore[arg-type]


def test_it_keeps_every_other_step_after_the_warm_up() -> None:
    dense = run(replace(PLAN, draws=12, every=1))
    assert torch.equal(run().energy, dense.energy[:, 1::2])
    assert run().energy.shape == (3, 6)
    assert run().gradients == 22


def test_draw_zero_is_not_w_star() -> None:
    assert bool((run(replace(PLAN, warmup=0, every=1)).energy > 0).all())


def test_the_warm_up_is_recorded_from_its_start() -> None:
    warmup = run().warmup
    assert warmup.shape == (3, 11)
    assert bool((warmup[:, 0] == 0).all())
    assert bool((warmup[:, 1:] > 0).all())


def test_the_last_positions_are_those_of_the_last_draw() -> None:
    found = run()
    assert torch.allclose(4 * 0.5 * found.last.square().sum(1), found.energy[:, -1])


def test_a_dead_chain_is_named_and_nothing_is_averaged() -> None:
    def dies(w: Chains) -> PerChain:
        energy = w.square().sum(1)
        return torch.where(torch.arange(3) == 1, torch.nan, energy)

    with pytest.raises(
        FloatingPointError, match=r"chain 1 has n\*beta\*K = nan at the start; lower sampler\.step_size"
    ):
        run(energy=dies)


def test_a_spent_budget_stops_at_a_draw_and_says_so() -> None:
    found = run(replace(PLAN, draws=100_000), budget=0.05)
    assert found.stopped_by == "budget"
    assert 4 <= found.energy.shape[1] < 100_000


def test_observed_functions_are_seen_at_kept_draws() -> None:
    found = run(observe={"first": lambda w: w[:, 0]})
    assert found.observed["first"].shape == (3, 6)
    assert torch.equal(found.observed["first"][:, -1], found.last[:, 0])


def test_progress_ends_at_the_total_of_each_stage() -> None:
    seen: list[tuple[str, int, int]] = []

    def note(stage: str, done: int, total: int, shown: Mapping[str, float]) -> None:
        seen.append((stage, done, total))

    run(progress=note)
    assert ("warm-up", 10, 10) in seen
    assert seen[-1] == ("sample", 6, 6)


def test_a_standard_error_that_is_small_enough_ends_the_run_and_says_so() -> None:
    found = run(replace(PLAN, draws=100_000, target_se=0.2))
    assert found.stopped_by == "target_se"
    assert standard_error(found.energy) <= 0.2
    assert 20 <= found.energy.shape[1] < run(replace(PLAN, draws=100_000, target_se=0.05)).energy.shape[1]
    assert run(replace(PLAN, target_se=1e-6)).stopped_by == "draws"


def test_what_adapts_is_recorded_along_the_warm_up() -> None:
    target = Posterior(quadratic(torch.ones(2, dtype=torch.float64)), 4.0, 0.0)
    plan = replace(PLAN, sampler=HMC(step_size=0.1, leapfrog=4, adapt=10))
    noise = ChainNoise(0, 3)
    found = sample(
        build_hmc(plan.sampler, target),
        target.potential.at.repeat(3, 1),
        noise,
        plan,
        energy=target.energy,
        distance=target.distance,
        minibatch=lambda: None,
        tally=target,
    )
    assert set(found.settling) == {"step_size", "accept"}
    assert found.settling["step_size"].shape == (11,)
    assert float(found.settling["step_size"][-1]) == pytest.approx(found.step_size)
    assert found.norms["grad"].shape == (3, 6)


def test_the_vectors_of_a_langevin_step_are_recorded_as_norms() -> None:
    norms = run().norms
    assert set(norms) == {"grad", "drift", "noise"}
    torch.testing.assert_close(norms["drift"], 0.5 * 0.05 * norms["grad"])
