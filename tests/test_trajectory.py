"""Differences along a trajectory: the paired error is that of the difference, not of two estimates."""

from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import trajectory
from llcx.types import Spec

CHAINS, DRAWS = 12, 50


def energies(mean: float, shared: Tensor, own: float, seed: int) -> Tensor:
    """[C, T] whose chains go up and down together by `shared` [C] and by themselves by `own`."""
    generator = torch.Generator().manual_seed(seed)
    alone = own * torch.randn(CHAINS, 1, generator=generator, dtype=torch.float64)
    inner = torch.randn(CHAINS, DRAWS, generator=generator, dtype=torch.float64)
    return mean + shared[:, None] + alone + inner - inner.mean(1, keepdim=True)


def chains(seed: int) -> Tensor:
    return torch.randn(CHAINS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_interval_of_a_paired_difference_holds_it_as_often_as_it_says() -> None:
    held = narrower = 0
    for seed in range(400):
        shared = chains(10_000 + seed)
        found = trajectory.paired(energies(5.0, shared, 0.1, seed), energies(5.3, shared, 0.1, 50_000 + seed))
        held += abs(found.value - 0.3) <= found.half_width
        narrower += found.se < 0.5 * found.se_unpaired
    assert abs(held / 400 - 0.95) < 3 * sqrt(0.95 * 0.05 / 400)
    assert narrower == 400


def test_chains_that_move_by_themselves_gain_nothing() -> None:
    ratios = []
    for seed in range(100):
        found = trajectory.paired(energies(5, chains(seed), 1, seed), energies(5, chains(900 + seed), 1, 900 + seed))
        ratios.append(found.se / found.se_unpaired)
    assert abs(sum(ratios) / 100 - 1) < 0.06


def test_a_single_chain_has_no_error() -> None:
    with pytest.raises(ValueError, match="chains must be >= 2"):
        trajectory.paired(torch.zeros(1, 5), torch.zeros(1, 5))


def row(
    point: str, llc: float | None, *, draws: int = DRAWS, sampler: str = "hmc", gamma: float = 1.0
) -> dict[str, Any]:
    told = {"point": point, "sampler": sampler, "where": "all", "target": "self", "seed": 0, "healthy": "True"}
    at = {"nbeta": "1e4", "gamma": gamma}
    return {**told, **at, "chains": CHAINS, "draws": draws, "llc": "" if llc is None else llc}


def spec(arm: int, step: int, moment: str = "step") -> Spec:
    return Spec(f"a{arm},{step}", {"arm": arm, "step": step}, "t", f"{step}", moment)


def test_successive_moments_of_an_arm_are_compared_and_its_ends() -> None:
    specs = [spec(arm, step) for arm in (0, 1) for step in (0, 10, 20)]
    rows = [row(each.name, float(each.coords["step"])) for each in specs]
    found = trajectory.changes(specs, rows, lambda r: energies(float(r["llc"]), chains(0), 0.01, 0))
    pairs = [(each["from"], each["to"]) for each in found]
    assert pairs == [(f"a{arm},{a}", f"a{arm},{b}") for arm in (0, 1) for a, b in ((0, 10), (10, 20), (0, 20))]
    assert [each["difference"] for each in found] == pytest.approx([10, 10, 20] * 2, abs=0.1)
    assert all(each["significant"] and each["healthy"] for each in found)


def test_what_cannot_be_paired_is_left_out() -> None:
    specs = [spec(0, 0), spec(0, 10), spec(0, 20), spec(1, 0, ""), spec(1, 10, "")]
    rows = [row("a0,0", 1.0), row("a0,10", None), row("a0,20", 1.0, draws=7), row("a1,0", 1.0), row("a1,10", 2.0)]
    assert trajectory.changes(specs, rows, lambda r: torch.zeros(CHAINS, int(r["draws"]))) == []


def test_a_difference_between_two_localisations_is_no_change_of_the_model() -> None:
    rows = [row("a0,0", 1.0), row("a0,10", 2.0, gamma=3.0)]
    (found,) = trajectory.changes(
        [spec(0, 0), spec(0, 10)], rows, lambda r: energies(float(r["llc"]), chains(0), 0.01, 0)
    )
    assert found["low"] > 0.5
    assert (found["alike"], found["significant"]) == (False, False)


def test_samplers_are_not_compared_with_each_other() -> None:
    rows = [row("a0,0", 1.0), row("a0,10", 1.0, sampler="sgld")]
    assert trajectory.changes([spec(0, 0), spec(0, 10)], rows, lambda r: torch.zeros(CHAINS, DRAWS)) == []
