"""The doctor's command: the run's own program and words, with the change in the place of what they said."""

from pathlib import Path

import pytest

from llcx import config
from llcx.artifacts import RunFolder
from llcx.artifacts.files import write_json
from llcx.doctor import command, diagnose
from tests.doctor_runs import composed, folder, overrides
from tests.figures.run_folder import Net


def test_a_change_takes_the_place_of_what_the_run_said(tmp_path: Path) -> None:
    net = Net("a", 9.0, flags="rhat")
    words = ["estimator.warmup=60", "estimator.nbeta={mode: n_over_log_n, beta0: 1.0}", "seed=4"]
    found = diagnose(folder(tmp_path, [net], words=words))
    assert overrides(found.command) == ["task=dln", *words[1:], "estimator.warmup=120", "estimator.draws=240"]


def test_few_of_many_points_are_measured_again_alone(tmp_path: Path) -> None:
    nets = [Net(f"net={k}", 9.0, flags="rhat" if k in (2, 5) else "") for k in range(8)]
    read = folder(tmp_path, nets)
    write_json(tmp_path / "target_info.json", {"points": {net.point: {} for net in nets}})
    assert "run.points=[2,5]" in overrides(diagnose(read).command)
    del nets[3]  # of a point without a row nobody knows why
    assert diagnose(folder(tmp_path / "b", nets)).command.endswith("estimator.draws=240")


def test_without_hydras_record_the_command_is_made_of_the_configuration(tmp_path: Path) -> None:
    words = [
        "task.model.widths=[4,3,4]",
        "task/size=small",
        "estimator.nbeta={mode: n_over_log_n, beta0: 1.0}",
        "seed=3",
    ]
    read = folder(tmp_path, [Net("a", 9.0)], "beside", words=words)
    (tmp_path / ".hydra" / "overrides.yaml").unlink()
    again = composed(command.overrides(read))
    assert config.resolved(again) == read.config


@pytest.mark.parametrize(
    ("recorded", "program"),
    [
        ("python train.py task=dln seed=0", ["python", "train.py"]),
        ("/v/bin/python -O /w/train.py -m seed=0,1", ["/v/bin/python", "-O", "/w/train.py"]),
        (
            "/v/bin/python /v/bin/llcx --config-dir mine +experiment=x",
            ["/v/bin/python", "/v/bin/llcx", "--config-dir", "mine"],
        ),
        ("python -m llcx.main --config-dir=mine a=1", ["python", "-m", "llcx.main", "--config-dir=mine"]),
        ("python -m pytest tests", ["python", "train.py"]),
        ("", ["python", "train.py"]),
    ],
)
def test_the_program_is_that_of_the_recorded_command(recorded: str, program: list[str], tmp_path: Path) -> None:
    write_json(tmp_path / "run_info.json", {"command": recorded})
    assert command.program(RunFolder(tmp_path)) == program


def test_where_nothing_was_trained_the_stage_that_was_left_out_is_put_back(tmp_path: Path) -> None:
    net = Net("a", 9.0, failed="training dln left no snapshot final: it left nothing")
    found = diagnose(folder(tmp_path, [net], words=["run.stages=[measure]"]))
    assert overrides(found.command) == ["task=dln", "run.stages=[train,measure]"]
    assert composed(overrides(found.command)).run.stages == ["train", "measure"]


@pytest.mark.parametrize(
    ("adjusted", "change"), [("true", "estimator.warmup=240"), ("false", "sampler.step_size=auto")]
)
def test_a_kernel_that_is_exact_at_any_step_keeps_its_step(adjusted: str, change: str, tmp_path: Path) -> None:
    words = ["sampler=mclmc", f"sampler.adjusted={adjusted}", "sampler.step_size=0.1"]
    net = Net("a", 9.0, "mclmc", flags="second_sampler_disagrees")
    found = diagnose(folder(tmp_path, [net], words=words, more={"llc_second": 1.0}))
    assert change in overrides(found.command)


def test_a_longer_run_is_made_with_the_sampler_that_needs_it_alone(tmp_path: Path) -> None:
    nets = [Net("a", 9.0), Net("a", 9.0, "sgld", flags="rhat")]
    words = ["task/size=small", "samplers.sgld.batch_size=null", "estimator.grid.gamma=[x0.1]"]
    found = overrides(diagnose(folder(tmp_path, nets, "beside", words=words)).command)
    assert not any(word.startswith(("+", "samplers", "estimator.grid")) for word in found)
    again = composed(found)
    assert (again.sampler.name, again.sampler.batch_size, again.samplers) == ("sgld", None, {})
    assert (again.estimator.warmup, again.task.nets) == (120, 24)


def test_a_length_that_was_given_for_all_samplers_is_changed_for_all(tmp_path: Path) -> None:
    nets = [Net("a", 9.0), Net("a", 9.0, "sgld", flags="rhat")]
    words = ["estimator.warmup=60", "estimator.draws=120"]
    found = overrides(diagnose(folder(tmp_path, nets, "beside", words=words)).command)
    assert found[0] == "+experiment=dln_small24_sgld"
