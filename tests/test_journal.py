"""Going on in the middle of a measurement: the same bits as an undisturbed one, for every kernel and every route."""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from llcx import artifacts, calibrate, journal, likelihoods, rng, routes
from llcx.artifacts import states
from llcx.config import Hardware
from llcx.estimators.llc import LLC
from llcx.measure import Measurement, measure
from llcx.registry import SAMPLERS
from llcx.types import Data, Plan, Point, StatModel

ROW = {"point": "p", "sampler": "s", "where": "all"}
SHORT = LLC(chains=2, warmup=8, draws=10, every=2)


class End(BaseException):
    """What a signal raises."""


class Pause:
    """Asked to end at the `at`-th rest, or never."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.rests = at, 0

    @property
    def asked(self) -> bool:
        self.rests += 1
        return self.rests == self.at

    def rest(self) -> None:
        if self.rests == self.at:
            raise End


def network(rows: int = 60) -> Point:
    """A small trained-looking network on rows of data."""
    make = rng.streams(3).generator("network")
    with rng.seeded(make):
        module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x = torch.randn(rows, 3, generator=make)
    y = module(x).detach() + 0.1 * torch.randn(rows, 1, generator=make)
    gauss = likelihoods.Gaussian(0.5)
    return Point("p", {}, StatModel(module, gauss, gauss.kl, root=gauss.root), Data((x, y), rows))


def run(folder: Path, sampler: Any, cfg: LLC, ends: list[int], point: Point) -> tuple[Measurement, int]:
    """A measurement by as many processes as `ends` asks for and one more; and the rests of the last one."""
    for at in [*ends, 0]:
        pause = Pause(at)
        kept = artifacts.Journal(folder, ROW, 1e9, pause)
        try:
            return measure(point, sampler, cfg, Hardware(), 0, journal=kept), pause.rests
        except End:
            assert list(kept.path.glob("*.pt"))
    raise AssertionError("the last one was told to end")


@cache
def undisturbed() -> Measurement:
    """HMC, in one go and without a journal."""
    return measure(network(), SAMPLERS.schema("hmc")(), SHORT, Hardware(), 0)


def differences(one: Measurement, other: Measurement) -> list[str]:
    """What is not the same bit for bit, but for seconds."""

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, Mapping):
            return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
        return torch.equal(a, b) if isinstance(a, torch.Tensor) else repr(a) == repr(b)

    pairs = [(f.name, getattr(one.draws, f.name), getattr(other.draws, f.name)) for f in fields(one.draws)]
    names = [f.name for f in fields(one.estimate) if f.name not in ("observed", "draws")]
    pairs += [(name, getattr(one.estimate, name), getattr(other.estimate, name)) for name in names]
    return [name for name, a, b in pairs if "seconds" not in name and not same(a, b)]


KERNELS: dict[str, Any] = {
    **{name: {} for name in ("hmc", "mala", "mclmc", "sgld", "rmsprop_sgld", "adam_sgld", "sghmc", "sgnht", "nuts")},
    "hmc diagonal": {"metric": "diagonal"},
    "hmc identity": {"metric": "identity"},
    "mclmc adjusted": {"adjusted": True},
    "sgld control variate": {"control_variate": True},
    "sgld paired": {"baseline": "paired"},
    "sgld ggn": {"metric": "ggn"},
}
USUAL = ("hmc diagonal", "mclmc", "sgld control variate")  # the others are slow tests


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in USUAL else pytest.mark.slow) for case in KERNELS]
)
def test_a_measurement_stopped_three_times_is_that_of_an_undisturbed_one(case: str, tmp_path: Path) -> None:
    kernel = SAMPLERS.schema(case.split()[0])(**KERNELS[case])
    if hasattr(kernel, "batch_size"):
        kernel = replace(kernel, batch_size=8)
    whole, rests = run(tmp_path / "whole", kernel, SHORT, [], network())
    third = max(2, rests // 4)
    again, last = run(tmp_path / "stopped", kernel, SHORT, [third, third, third], network())
    assert differences(whole, again) == []
    assert last < rests, "what was done is not done again"


@pytest.mark.slow
@pytest.mark.parametrize(("affordable", "rows"), [(0.9, 500), (0.1, 0)])
def test_so_is_each_route_that_auto_takes(affordable: float, rows: int, tmp_path: Path) -> None:
    point, cfg = network(rows=800), replace(SHORT, check="full")
    with patch.object(calibrate, "AFFORDABLE", affordable), patch.object(routes, "cost", lambda flops: 1.0):
        whole, rests = run(tmp_path / "whole", calibrate.Auto(), cfg, [], point)
        again, _ = run(tmp_path / "stopped", calibrate.Auto(), cfg, [rests // 5] * 4, point)
    assert whole.estimate.beside.get("subset_rows", 0) == rows
    assert differences(whole, again) == []


def test_another_seed_is_another_measurement() -> None:
    """The comparison sees a difference where there is one."""
    other = measure(network(), SAMPLERS.schema("hmc")(), SHORT, Hardware(), 1)
    assert {"energy", "last", "llc"} <= set(differences(undisturbed(), other))


def test_a_measurement_keeps_to_the_plan_that_it_began_with(tmp_path: Path) -> None:
    kernel = SAMPLERS.schema("hmc")()
    kept = artifacts.Journal(tmp_path / "stopped", ROW, 1e9, Pause(10))
    with pytest.raises(End):
        measure(network(), kernel, SHORT, Hardware(), 0, journal=kept)
    with patch.object(calibrate, "plan", side_effect=AssertionError("calibrated again")):
        again, _ = run(tmp_path / "stopped", kernel, SHORT, [], network())
    assert differences(undisturbed(), again) == []


def test_a_plan_survives_the_disk() -> None:
    plan = Plan(SAMPLERS.schema("sgld")(step_size=0.1 + 0.2, metric="ggn"), 1e4 / 3, 1.0, 3, 20, 24, 2, ("a", "b"))
    assert repr(journal.to_plan(journal.of_plan(plan))) == repr(plan)


def test_a_short_measurement_leaves_the_disk_alone_and_a_finished_one_cleans_up(tmp_path: Path) -> None:
    kept = artifacts.Journal(tmp_path, ROW, 1e9, Pause())
    measure(network(), SAMPLERS.schema("hmc")(), SHORT, Hardware(), 0, journal=kept)
    assert not (tmp_path / "states").exists()
    kept = artifacts.Journal(tmp_path, ROW, 0.0, Pause())
    measure(network(), SAMPLERS.schema("hmc")(), SHORT, Hardware(), 0, journal=kept)
    assert {path.name for path in kept.path.iterdir()} >= {"plan.pt", "0.pt"}
    kept.clear()
    assert not kept.path.exists()


def test_states_keep_the_layout_of_their_tensors(tmp_path: Path) -> None:
    """Products of a transposed matrix are other bits than those of its copy."""
    matrix = torch.arange(12.0).view(3, 4).T
    states.save(tmp_path / "x.pt", {"m": matrix, "v": torch.arange(10.0)[2:5]})
    found = states.load(tmp_path / "x.pt")
    assert torch.as_tensor(found["m"]).stride() == matrix.stride()
    assert (tmp_path / "x.pt").stat().st_size < 4000
