"""The pipeline on toy tasks: the task protocol in its four cases, and what a run folder holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from llcx import artifacts, run, survey
from llcx.artifacts.files import read_json
from llcx.config import Config
from llcx.types import Spec
from tests.running import resume, start, toys_registered

FILES = ("config.yaml", "target_info.json", "run_info.json", "status.json", "metrics_summary.csv", "summary.txt")
PICTURES = ("report.html", "llc_traces.png", "llc_comparison.png")


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def test_one_point_leaves_every_file_of_the_contract(tmp_path: Path) -> None:
    assert start(tmp_path, "run.stages=[train,measure,analyse,figures,report]", "seed=4") == 0
    folder = artifacts.load(tmp_path)
    (row,) = folder.rows
    assert all((tmp_path / name).stat().st_size for name in (*FILES, *PICTURES, ".hydra/config.yaml"))
    assert (row["point"], row["sampler"], row["where"], row["target"], row["seed"]) == (
        "net=0",
        "hmc",
        "all",
        "data",
        "4",
    )
    assert folder.draws(row)["energy"].shape == (2, 8)
    assert folder.target_info["parameters"] == 3
    assert folder.target_info["known"]["global"] == 1.5
    assert folder.run_info["schema"] == 1
    assert folder.run_info["stages"]["measure"]["gradients"] == int(row["gradients"])
    assert folder.status["state"] == "completed"
    summary = (tmp_path / "summary.txt").read_text()
    assert "net=0" in summary
    assert f"peak memory {folder.run_info['peak_memory_gib']:.2g} GiB" in summary
    assert not (tmp_path / ".lock").exists()


def test_of_several_points_one_that_fails_is_a_flagged_row_and_the_next_runs(tmp_path: Path) -> None:
    assert start(tmp_path, "task.nets=3", "task.fails=[1]") == 1
    folder = artifacts.load(tmp_path)
    assert [bool(row["llc"]) for row in folder.rows] == [True, False, True]
    assert folder.rows[1]["flags"] == "failed: ArithmeticError: net 1 cannot be built, it was told not to"
    assert folder.rows[1]["healthy"] == "False"
    assert folder.status["state"] == "failed"
    assert folder.analysis("points")[2] == {"point": "net=2", "llc": folder.rows[2]["llc"]}


def test_checkpoints_of_a_training_are_points_and_its_metrics_are_kept(tmp_path: Path) -> None:
    assert start(tmp_path, "task.trainings=1", "task.steps=3") == 0
    folder = artifacts.load(tmp_path)
    assert [row["point"] for row in folder.rows] == ["training=0,member=0,init", "training=0,member=0,final"]
    metrics = folder.metrics()
    assert list(metrics["step"]) == [1, 1, 2, 2, 3, 3]
    assert set(metrics["split"] + "/" + metrics["name"]) == {"train/loss", "train/norm"}
    assert folder.run_info["stages"]["train"]["gradients"] == 3


def test_trainings_run_as_one_batch_name_several_points(tmp_path: Path) -> None:
    assert start(tmp_path, "task.trainings=1", "task.members=3") == 0
    folder = artifacts.load(tmp_path)
    assert len(folder.rows) == 6
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert len(list((tmp_path / "states").iterdir())) == 1
    assert {row["at.member"] for row in folder.rows} == {"0", "1", "2"}


def test_a_training_that_fails_flags_its_points_but_those_it_left_weights_for(tmp_path: Path) -> None:
    assert start(tmp_path, "task.trainings=2", "task.breaks=[0]") == 1
    rows = {row["point"]: row for row in artifacts.load(tmp_path).rows}
    assert [bool(row["llc"]) for row in rows.values()] == [True, False, True, True]
    flags = rows["training=0,member=0,final"]["flags"]
    assert flags.startswith("failed: training training=0 left no snapshot final/0: training 0 diverged at step 1")


def test_a_training_that_fails_is_exit_code_1_where_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(tmp_path, "task.trainings=2", "task.breaks=[1]", "run.stages=[train]") == 1
    assert "training=1: training 1 diverged at step 1" in capsys.readouterr().err


def test_a_measurement_that_is_not_finite_is_a_flagged_row(tmp_path: Path) -> None:
    assert start(tmp_path, "sampler=sgld", "sampler.step_size=1e6", "estimator.warmup=50") == 1
    (row,) = artifacts.load(tmp_path).rows
    assert row["llc"] == ""
    assert "chain" in row["flags"]


def test_further_samplers_measure_every_point(tmp_path: Path) -> None:
    assert start(tmp_path, "task.nets=2", "+sampler@samplers.short=hmc", "samplers.short.leapfrog=4") == 0
    rows = artifacts.load(tmp_path).rows
    assert [(row["point"], row["sampler"]) for row in rows] == [
        ("net=0", "hmc"), ("net=0", "short"), ("net=1", "hmc"), ("net=1", "short")]  # fmt: skip
    assert int(rows[1]["gradients_main"]) < int(rows[0]["gradients_main"])


def test_a_part_of_the_points_gives_the_same_rows_as_all_of_them(tmp_path: Path) -> None:
    assert start(tmp_path / "all", "task.nets=5") == 0
    assert start(tmp_path / "part", "task.nets=5", "run.points=[0,2-3]") == 0
    wanted = [artifacts.load(tmp_path / "all").rows[k] for k in (0, 2, 3)]
    assert [row["llc"] for row in artifacts.load(tmp_path / "part").rows] == [row["llc"] for row in wanted]


def test_strict_turns_a_flag_into_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path / "lenient") == 0
    assert start(tmp_path / "strict", "run.strict=true") == 1
    assert "healthy" in capsys.readouterr().err


def test_the_profile_of_the_first_measurement_is_written(tmp_path: Path) -> None:
    assert start(tmp_path, "run.profile=true", "estimator.draws=4", "sampler.leapfrog=2") == 0
    assert "traceEvents" in (tmp_path / "profile.json").read_text()


def test_the_environment_is_read_but_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLCX_WIDTH", "5")
    assert start(tmp_path, "task.model.width=${oc.env:LLCX_WIDTH}") == 0
    folder = artifacts.load(tmp_path)
    assert folder.config["task"]["model"]["width"] == "${oc.env:LLCX_WIDTH}"
    assert folder.target_info["parameters"] == 5


def test_an_axis_of_seeds_gives_the_row_of_that_seed() -> None:
    assert survey.seed_of(Spec("a", {"seed": 7}), Config(seed=3)) == 7
    assert survey.seed_of(Spec("a", {}), Config(seed=3)) == 3


def test_two_points_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="different names, got a twice"):
        run.selected([Spec("a", {}), Spec("b", {}), Spec("a", {})], None)


def test_the_device_is_checked_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    run.require("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    run.require("cuda:1")
    with pytest.raises(ValueError, match="must be one of cpu, cuda:0, cuda:1, got cuda:2"):
        run.require("cuda:2")


def test_the_objective_is_the_mean_size_of_a_column_and_needs_a_number_in_every_row() -> None:
    rows = [{"point": "a", "rel_error": "-0.2", "se": "1"}, {"point": "b", "rel_error": "0.4", "se": ""}]
    assert run.objective(rows, None) is None
    assert run.objective(rows, "rel_error") == pytest.approx(0.3)
    for column, where in (("se", "none at b"), ("nope", "none at a")):
        with pytest.raises(ValueError, match=rf"run\.objective must be a column.*{column}, {where}"):
            run.objective(rows, column)
    with pytest.raises(ValueError, match="no measurement"):
        run.objective([], "se")


def test_studies_are_stages_whose_parts_put_one_table_together(tmp_path: Path) -> None:
    assert start(tmp_path / "all", "task.trainings=1", "run.stages=[train,measure,studies,analyse]") == 0
    found = artifacts.load(tmp_path / "all")
    assert found.analysis("first") == [
        {"part": "a", "trained": "True", "before": "0"},
        {"part": "b", "trained": "True", "before": "1"},
    ]
    assert found.analysis("counts") == [{"rows": "2"}]
    assert set(found.analysis("parts")) == {"a", "b"}
    assert read_json(tmp_path / "all" / "analysis" / "parts.json") == {
        "a": {"held": [1, None]},
        "b": {"held": [1, None]},
    }
    assert list(found.run_info["stages"]) == ["train", "measure", "first", "second", "analyse"]


def test_studies_alone_are_of_what_an_earlier_run_has_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(tmp_path / "fresh", "task.trainings=1", "run.stages=[first,second]") == 1
    told = capsys.readouterr().err
    assert (
        "run.stages must have train before first where nothing has been trained, got first, second; run.resume" in told
    )
    assert start(tmp_path / "run", "task.trainings=2", "task.breaks=[1]", "run.stages=[train]") == 1
    assert resume(tmp_path / "run", "run.stages=[first]") == 0
    assert [row["trained"] for row in artifacts.load(tmp_path / "run").analysis("first")] == ["True", "True"]
    assert (
        "first: 1 of 2 trainings did not come to an end; first training=1"
        in (tmp_path / "run" / "llcx.log").read_text()
    )


def test_a_study_is_asked_for_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path / "one", "run.stages=[measure,second]") == 0
    assert list(artifacts.load(tmp_path / "one").run_info["stages"]) == ["measure", "second"]
    assert artifacts.load(tmp_path / "one").analysis("counts") == [{"rows": "0"}]
    assert start(tmp_path / "none", "run.stages=[third]") == 1
    told = capsys.readouterr().err
    assert "run.stages must be one of train, measure, studies, analyse, figures, report, first, second" in told
