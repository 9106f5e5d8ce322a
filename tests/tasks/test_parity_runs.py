"""Runs of task=parity whose trainings do not reach every moment, or have no point at all."""

from pathlib import Path

import pytest

from llcx import artifacts
from llcx.main import main

TINY = (
    *("+experiment=parity_tiny", "task.fit.stop.max_steps=5", "task.fit.stop.margin=0.5", "estimator.check=off"),
    *("estimator.chains=4", "estimator.draws=10", "estimator.warmup=5", "run.stages=[train,measure,analyse]"),
)


def test_a_moment_that_did_not_come_is_no_point_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*TINY, "task.moments=[init,margin,final]", "task.grid.alpha=[1.0]", f"hydra.run.dir={tmp_path / 'run'}"]
    assert main(asked) == 0
    read = artifacts.load(tmp_path / "run")
    assert [row["at.moment"] for row in read.rows] == ["init", "final"]
    (change,) = read.analysis("changes")
    assert (change["from"], change["to"]) == ("parity,alpha=1,init", "parity,alpha=1,final")
    assert "not asked, training parity ended before margin/alpha=1" in capsys.readouterr().out


def test_trainings_without_points_run_and_are_told_of(tmp_path: Path) -> None:
    assert main([*TINY, "task.moments=[]", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    read = artifacts.load(tmp_path / "run")
    assert read.rows == []
    assert {row["moment"] for row in read.analysis("moments")} == {"init", "final"}
    assert {row["kernel"] for row in read.analysis("kernels")} == {"init", "final"}


@pytest.mark.slow
def test_features_solve_a_parity_that_the_kernel_of_the_start_does_not(tmp_path: Path) -> None:
    asked = ("+experiment=parity_alpha_sweep_k3", "task.grid.alpha=[0.1]", "task.fit.stop.max_steps=2000")
    assert main([*asked, "run.stages=[train,analyse]", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    read = artifacts.load(tmp_path / "run")
    (end,) = [row for row in read.analysis("moments") if row["moment"] == "final"]
    of = {row["kernel"]: row for row in read.analysis("kernels")}
    assert (end["stopped"], float(end["test_err"])) == ("margin", 0)
    assert float(of["init"]["interpolation_train_err"]) == 0
    assert float(of["init"]["interpolation_test_err"]) > 0.4
    assert float(of["final"]["interpolation_test_err"]) < 0.01
