"""estimator.grid: every point at every combination, factors of the calibrated choice, and what a grid may not be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llcx import artifacts, run
from llcx.config import Config
from llcx.estimators.grid import Cell, Grid, cells, factor, settled
from llcx.estimators.llc import LLC
from llcx.samplers import HMC, SGLD, Gibbs
from llcx.types import Spec
from tests.running import resume, start, toys_registered

A, B = Spec("a", {"net": 0}), Spec("b", {"net": 1})


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def test_without_axes_a_point_is_measured_once_under_its_own_name() -> None:
    assert cells(Grid(), [A, B]) == [Cell(A, A, {}), Cell(B, B, {})]


def test_every_point_is_measured_at_every_combination_and_says_at_which() -> None:
    found = cells(Grid(nbeta=[100, 1e4], step_size=[5e-7]), [A, B])
    assert [cell.spec.name for cell in found] == [
        "a,nbeta=100,step_size=5e-07", "a,nbeta=10000,step_size=5e-07",
        "b,nbeta=100,step_size=5e-07", "b,nbeta=10000,step_size=5e-07"]  # fmt: skip
    assert found[1].spec.coords == {"net": 0, "nbeta": 1e4, "step_size": 5e-7}
    assert [cell.of for cell in found] == [A, A, B, B]


def test_a_factor_makes_the_calibrated_choice_the_first_of_all() -> None:
    found = cells(Grid(gamma=[0, "x0.1"]), [A])
    assert [cell.spec.name for cell in found] == ["a", "a,gamma=0", "a,gamma=x0.1"]


@pytest.mark.parametrize(("text", "value"), [("x0.3", 0.3), ("x3", 3.0), ("x1e-2", 0.01), ("x.5", 0.5)])
def test_a_factor_is_written_with_an_x(text: str, value: float) -> None:
    assert factor(text) == value


@pytest.mark.parametrize("value", ["0.3", "x", "x0", "x-1", "y3", 0.3, None])
def test_what_is_no_factor(value: object) -> None:
    assert factor(value) is None


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"nbeta": [0]}, "estimator.grid.nbeta must hold numbers > 0, or factors"),
        ({"gamma": [-1.0]}, "estimator.grid.gamma"),
        ({"step_size": ["auto"]}, "like x0.3, got auto"),
        ({"step_size": [True]}, "got True"),
        ({"nbeta": [10, 10]}, "different values"),
    ],
)
def test_a_value_that_an_axis_cannot_have_is_refused(axes: dict[str, list[object]], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Grid(**axes)


def test_an_axis_that_the_points_have_already_is_refused() -> None:
    with pytest.raises(ValueError, match=r"estimator\.grid\.gamma must be empty, got \[1\.0\]; gamma is an axis"):
        cells(Grid(gamma=[1.0]), [Spec("a", {"gamma": 0.5})])


def test_a_kernel_without_a_step_has_no_axis_of_steps() -> None:
    estimator = LLC(grid=Grid(step_size=[0.1]))
    with pytest.raises(ValueError, match="must be empty with sampler=gibbs"):
        run.combinations([A], Config(sampler=HMC(), samplers={"exact": Gibbs()}, estimator=estimator))
    assert len(run.combinations([A], Config(sampler=HMC(), samplers={"textbook": SGLD()}, estimator=estimator))) == 1


def test_numbers_and_factors_become_settings_and_a_step_is_not_adapted_away() -> None:
    cell = Cell(A, A, {"nbeta": "x0.1", "gamma": 3.0, "step_size": "x2"})
    kernel, estimator = settled(cell, HMC(), LLC(), {"nbeta": 1e4, "gamma": 1.0, "step_size": 0.01})
    assert (estimator.nbeta, estimator.gamma) == (pytest.approx(1e3), 3.0)
    assert (kernel.step_size, kernel.adapt) == (0.02, 0)


def test_a_factor_of_what_failed_says_so() -> None:
    cell = Cell(A, A._replace(name="a,nbeta=x0.1"), {"nbeta": "x0.1"})
    with pytest.raises(LookupError, match=r"nbeta=x0\.1 is a factor of the calibrated choice, and a has no number"):
        settled(cell, HMC(), LLC(), None)


def test_a_run_has_a_row_a_combination_each_at_its_own_numbers(tmp_path: Path) -> None:
    words = ("task.nets=2", "run.points=1", "estimator.grid.nbeta=[x0.1,500]", "estimator.grid.step_size=[x0.5]")
    assert start(tmp_path, *words) == 0
    rows = artifacts.load(tmp_path).rows
    assert [row["point"] for row in rows] == [
        "net=1",
        "net=1,nbeta=x0.1,step_size=x0.5",
        "net=1,nbeta=500,step_size=x0.5",
    ]
    assert [(row["at.nbeta"], row["at.step_size"]) for row in rows] == [("", ""), ("x0.1", "x0.5"), ("500", "x0.5")]
    numbers = [(float(row["nbeta"]), float(row["step_size"])) for row in rows]
    assert numbers[1] == pytest.approx((0.1 * numbers[0][0], 0.5 * numbers[0][1]))
    assert numbers[2] == pytest.approx((500, 0.5 * numbers[0][1]))
    assert len({row["llc"] for row in rows}) == 3
    assert resume(tmp_path) == 0
    assert artifacts.load(tmp_path).rows == rows


def test_a_combination_out_of_reach_is_a_flagged_row_of_a_run_that_succeeds(tmp_path: Path) -> None:
    words = ("sampler=sgld", "estimator.warmup=50", "sampler.step_size=1e-5")
    assert start(tmp_path / "some", *words, "estimator.grid.step_size=[1e6,1e-4]") == 0
    assert [bool(row["llc"]) for row in artifacts.load(tmp_path / "some").rows] == [False, True]
    assert start(tmp_path / "none", *words, "estimator.grid.step_size=[1e6]") == 1


def test_a_dry_run_counts_combinations_and_builds_each_point_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(tmp_path / "run", "run.dry=true", "task.nets=2", "estimator.grid.nbeta=[10,100]") == 0
    told = capsys.readouterr().out
    assert "4 points x 1 samplers" in told
    assert all(name in told for name in ("net=0,nbeta=10", "net=1,nbeta=100"))
