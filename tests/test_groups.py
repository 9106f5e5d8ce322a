"""Chains in groups: the bits of a run in one go, also after a stop; and who is left together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llcx import gradients, groups
from llcx.config import Hardware
from llcx.estimators.llc import LLC
from llcx.measure import measure
from llcx.registry import SAMPLERS
from llcx.types import Plan, Potential
from tests.test_journal import differences, network, run

FIVE = LLC(chains=5, warmup=8, draws=10, every=2)
KERNELS: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("sgld", "rmsprop_sgld", "adam_sgld", "sghmc", "sgnht")},
    "sgld control variate": {"control_variate": True},
    "sgld paired": {"baseline": "paired"},
}


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five chains of `network` in three groups."""
    parameters = sum(p.numel() for p in network().model.module.parameters())
    monkeypatch.setattr(groups, "VECTORS", 2**30 // (10 * parameters))


@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=() if each == "sgld" else pytest.mark.slow) for each in KERNELS]
)
def test_groups_of_chains_leave_the_draws_of_all_at_once(case: str, request: pytest.FixtureRequest) -> None:
    kernel = SAMPLERS.schema(case.split()[0])(**KERNELS[case], batch_size=8)
    whole = measure(network(), kernel, FIVE, Hardware(), 0)
    request.getfixturevalue("two_at_once")
    apart = measure(network(), kernel, FIVE, Hardware(), 0)
    assert set(differences(whole, apart)) <= {"settling"}
    for name, mean in whole.draws.settling.items():  # a mean over chains that was rounded in each group
        torch.testing.assert_close(apart.draws.settling[name], mean)
    assert {"nu", "waic"} <= set(whole.estimate.beside), "rows are followed along all groups"


def test_a_run_in_groups_goes_on_where_it_stopped(tmp_path: Path, two_at_once: None) -> None:
    kernel = SAMPLERS.schema("sgld")(batch_size=8)
    whole, rests = run(tmp_path / "whole", kernel, FIVE, [], network())
    third = max(2, rests // 4)
    again, last = run(tmp_path / "stopped", kernel, FIVE, [third, third, third], network())
    assert differences(whole, again) == []
    assert last < rests, "what was done is not done again"


def test_progress_runs_over_all_groups(two_at_once: None) -> None:
    told: list[tuple[str, int, int]] = []
    kernel = SAMPLERS.schema("sgld")(batch_size=8)
    measure(
        *(network(), kernel, replace(FIVE, check="off"), Hardware(), 0),
        progress=lambda stage, done, total, shown: told.append((stage, done, total)),
    )
    draws = [(done, total) for stage, done, total in told if stage == "sample"]
    assert draws == [(k, 30) for k in range(1, 31)]


def _plan(kernel: str, **more: Any) -> Plan:
    return Plan(SAMPLERS.schema(kernel)(step_size=0.1), 100.0, 1.0, 8, 10, 10, 1, **more)


def _potential(parameters: int, memory: int) -> Potential:
    at = torch.zeros(1).expand(parameters)  # nothing is computed with it
    found = gradients.of_function(lambda w: w.square().sum(1), torch.zeros(1), n=10)
    return replace(found, at=at, memory=memory)


@pytest.mark.parametrize(("gib", "sizes"), [(8, [8]), (4, [4, 4]), (2, [2, 3, 3]), (1, [1] * 8), (0.1, [1] * 8)])
def test_ten_million_parameters_in_groups_that_fit(gib: float, sizes: list[int]) -> None:
    found = groups.of(_potential(10_000_000, int(gib * 2**30)), _plan("sgld"), None)
    assert [some.stop - some.start for some in found] == sizes
    assert [some.start for some in found][1:] == [some.stop for some in found][:-1]


@pytest.mark.parametrize(
    ("plan", "budget"),
    [
        (_plan("hmc"), None),  # its step is that of all chains
        (_plan("sgld", metric="ggn"), None),  # so is the metric
        (_plan("sgld", target_se=0.5), None),
        (_plan("sgld"), 60.0),
    ],
)
def test_chains_that_share_something_stay_together(plan: Plan, budget: float | None) -> None:
    assert groups.of(_potential(10_000_000, 2**30), plan, budget) == [slice(0, 8)]
