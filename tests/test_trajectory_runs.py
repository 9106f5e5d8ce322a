"""Points of a run that are one trajectory: the step is held from moment to moment, also by a run that was resumed."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llcx import artifacts, trajectory
from llcx.artifacts.files import csv_lines
from llcx.artifacts.files import replace as written
from llcx.registry import TASKS
from llcx.samplers import HMC, SGLD
from llcx.types import Plan, Point, Spec, State, StatModel, Streams
from tests import toys
from tests.running import comparable, resume, start, toys_registered

STIFF = (1.0, 1.2, 400.0, 400.0)  # curvature of the first direction at each moment
BRIEF = (
    *("run.stages=[measure]", "run.verbosity=quiet", "sampler.leapfrog=4"),
    *("estimator.chains=4", "estimator.warmup=30", "estimator.draws=20", "estimator.nbeta=10"),
)


class Moving(toys.ToyTask):
    """Points whose curvature changes from one to the next, as moments of one trajectory."""

    moment = "net"

    def points(self) -> tuple[Spec, ...]:
        return tuple(spec._replace(moment=self.moment) for spec in super().points())

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        found, h = super().point(spec, snapshot), torch.ones(self.cfg.model.width, dtype=torch.float64)
        h[0] = STIFF[int(spec.coords["net"])]
        at = next(found.model.module.parameters()).detach().double()
        closed = {"data": lambda w: 0.5 * ((w - at.to(w)).square() * h.to(w)).sum(1)}
        return replace(found, model=StatModel(found.model.module, found.model.nll, closed=closed))


class Apart(Moving):
    """The same points, each by itself."""

    moment = ""


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def ran(path: Path, task: type[Moving], monkeypatch: pytest.MonkeyPatch, *words: str) -> artifacts.RunFolder:
    def build(cfg: toys.Toy, streams: Streams) -> Any:
        return task(cfg, streams)

    monkeypatch.setattr(TASKS, "_entries", {**TASKS._entries, "toy": (build, toys.Toy)})
    assert start(path, f"task.nets={len(STIFF)}", *BRIEF, *words) == 0
    return artifacts.load(path)


def steps(folder: artifacts.RunFolder) -> list[float]:
    return [float(row["step_size"]) for row in folder.rows]


def test_the_step_of_the_first_moment_is_held_as_long_as_it_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ran(tmp_path, Moving, monkeypatch)
    assert steps(found)[1] == steps(found)[0] > 2 * steps(found)[2]
    told = [found.target_info["points"][f"net={k}"]["plan of hmc"][-1] for k in range(3)]
    assert told[1].endswith("held") and told[2].endswith("adapted, as the one held before would not do here")
    spent = [int(row["gradients"]) for row in found.rows]
    assert spent[2] > 1.5 * spent[0] and spent[3] == spent[0]  # it is tried once


@pytest.mark.slow
def test_points_by_themselves_are_as_they_were_and_a_resumed_run_holds_the_same_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = ran(tmp_path / "apart", Apart, monkeypatch).rows
    found = ran(tmp_path / "found", Moving, monkeypatch)
    rows = found.rows
    assert comparable(rows[:1]) == comparable(apart[:1])
    assert [row["llc"] == alone["llc"] for row, alone in zip(rows, apart, strict=True)] == [True, False, True, True]
    assert int(rows[2]["gradients"]) > 1.5 * int(apart[2]["gradients"])  # the run that was given up counts
    written(found.path / "metrics_summary.csv", csv_lines(rows[0], rows[:1]))
    assert resume(found.path) == 0
    assert comparable(found.rows) == comparable(rows)


@dataclass(frozen=True)
class Found:
    """What trajectory.measured looks at of a measurement."""

    estimate: Any
    spent: dict[str, tuple[float, int]] = field(default_factory=lambda: {"calibrate": (0.5, 3)})


@dataclass(frozen=True)
class Number:
    accept: float
    gradients: int = 100
    seconds: float = 2.0


@pytest.mark.parametrize(("accept", "held"), [(0.9, True), (0.76, True), (0.74, False), (0.97, False), (None, False)])
def test_a_step_is_held_within_limits_of_its_acceptance(accept: float | None, held: bool) -> None:
    asked, kernel, tried = HMC(), HMC(step_size=0.1, leapfrog=4, adapt=0, accept=0.9), list[Any]()

    def by(sampler: Any) -> Found:
        tried.append(sampler)
        if sampler is kernel and accept is None:
            raise FloatingPointError("chain 0 has n*beta*K = inf")
        return Found(Number(accept or 0.9 if sampler is kernel else 0.9))

    found, steady = trajectory.measured(by, asked, kernel)
    assert (steady, len(tried)) == (held, 1 if held else 2)
    twice = not held and accept is not None
    assert (found.estimate.gradients, found.estimate.seconds) == ((200, 4.0) if twice else (100, 2.0))
    assert found.spent["calibrate"] == ((2.5, 103) if twice else (0.5, 3))
    assert trajectory.measured(by, asked, None)[1] is False


def test_only_a_step_that_was_adapted_alone_and_did_well_can_be_held() -> None:
    plan, row = Plan(HMC(step_size=0.3, leapfrog=5, adapt=60), 1.0, 1.0, 4, 60, 120, 1), {
        "step_size": "0.2", "accept": "0.88", "flags": "rhat"}  # fmt: skip
    kernel = HMC(step_size=0.2, leapfrog=5, adapt=0, leave=7)
    assert trajectory.held(plan, row, HMC()) == kernel
    asked_for = SimpleNamespace(step_size=0.3)
    assert trajectory.held(plan, row, asked_for) is None
    for other in (
        replace(plan, subset=20),
        replace(plan, metric="diagonal"),
        replace(plan, sampler=SGLD(step_size=0.1)),
    ):
        assert trajectory.held(other, row, SimpleNamespace(name="auto")) is None
    unsettled = row | {"flags": "rhat;warmup_not_settled"}
    assert trajectory.held(plan, unsettled, HMC()) is None
    assert trajectory.held(replace(plan, sampler=kernel), unsettled, HMC()) == kernel  # it was not adapted there
    for accept in ("0.6", "0.99", "nan"):
        assert trajectory.held(plan, row | {"accept": accept}, HMC()) is None


def test_a_trajectory_is_what_differs_in_its_moment_alone() -> None:
    specs = [Spec(f"{arm} {t}", {"arm": arm, "t": t}, "fit", f"{t}", "t") for arm in (0, 1) for t in (0, 5)]
    assert [trajectory.of(spec) == trajectory.of(specs[0]) for spec in specs] == [True, True, False, False]
    assert trajectory.of(specs[0]._replace(moment="")) is None
