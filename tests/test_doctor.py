"""llcx.doctor: flags become causes, causes one command, and every command composes."""

import logging
from pathlib import Path
from typing import Any

import pytest

from llcx import artifacts, config
from llcx.artifacts.rows import columns
from llcx.doctor import causes, diagnose
from llcx.doctor.__main__ import main
from llcx.figures import flags
from tests.doctor_runs import STARTS, composed, folder, label, overrides, state
from tests.figures.run_folder import Net, table, write


@pytest.mark.parametrize("start", STARTS)
def test_every_flag_has_a_cause_whose_command_composes(start: str, tmp_path: Path) -> None:
    read, told = folder(tmp_path, [Net("a", 9.0, label(start))], start), list[list[str]]()
    for flag in [name for name in flags.FLAGS if name != "failed"]:
        rows = [{**read.rows[0], "healthy": "False", "flags": flag}]
        table(tmp_path / "metrics_summary.csv", columns(rows), rows)
        found = diagnose(read)
        assert len(found.found) == 1, flag
        assert flag in found.found[0]
        words = overrides(found.command)
        assert words != STARTS[start], "something is changed"
        if words not in told:
            assert isinstance(config.records(composed(words)), config.Config), flag
            told.append(words)
    assert len(told) > 9


@pytest.mark.parametrize(
    ("start", "raised", "columns_of", "name", "changes"),
    [
        ("sgld", "discretisation;second_sampler_disagrees;fluctuation_high", {}, "the step is too large",
         ["sampler.step_size=auto"]),
        ("beside", "minibatch_noise;above_half_parameters", {}, "minibatch noise heats the chains",
         ["estimator.nbeta=1000", "samplers.sgld.step_size=auto"]),
        ("auto", "below_baseline;not_a_minimum;negative;drift", {}, "w* is no minimum", ["estimator.target=self"]),
        ("auto", "below_baseline", {"target": "self"}, "rounding", ["hardware.dtype=float64"]),
        ("auto", "rhat;drift", {}, "the chains have not arrived", ["estimator.warmup=120", "estimator.draws=240"]),
        ("auto", "moved_with_budget", {"llc_longer": 99.0}, "the chains have not arrived",
         ["estimator.warmup=240", "estimator.draws=480"]),
        ("sgld", "second_sampler_disagrees", {"llc_second": 1.0}, "the chains are too hot", ["sampler.step_size=auto"]),
        ("sgld", "second_sampler_disagrees", {"llc_second": 99.0}, "the chains have not arrived",
         ["estimator.warmup=240", "estimator.draws=480", "sampler.step_size=auto"]),
        ("auto", "too_few_draws", {"ess": 20.0, "chains": 2}, "too few draws",
         ["estimator.draws=360", "estimator.chains=4"]),
        ("auto", "leaving_basin", {}, "the chains leave w*", ["estimator.mode=local"]),
        ("auto", "gamma_decides", {}, "the localiser decides", ["estimator.grid.gamma=[x0.1,x10]"]),
        ("auto", "noise_fit;no_plateau", {}, "n*beta is above n/2",
         ["estimator.nbeta={mode: n_over_log_n, beta0: 1.0}"]),
    ],
)  # fmt: skip
def test_symptoms_become_a_cause_and_a_change_with_numbers(
    start: str, raised: str, columns_of: dict[str, Any], name: str, changes: list[str], tmp_path: Path
) -> None:
    net = Net("a", 9.0, label(start), flags=raised)
    found = diagnose(folder(tmp_path, [net], start, more=columns_of))
    assert len(found.found) == 1
    assert found.found[0].startswith(f"1. {name}: a \u00b7 ")
    assert [word for word in overrides(found.command) if word in changes] == changes


def test_of_several_causes_the_commonest_has_the_command_and_the_others_are_told(tmp_path: Path) -> None:
    nets = [Net("a", 9.0, flags="not_a_minimum"), Net("b", 9.0, flags="rhat"), Net("c", 9.0, flags="rhat;drift")]
    found = diagnose(folder(tmp_path, nets))
    assert [part[:12] for part in found.found] == ["1. the chain", "2. w* is no "]
    assert "estimator.warmup=120" in found.command
    assert "not_a_minimum: w* is not a minimum of the loss" in str(found)
    assert all(line in str(found) for line in ("Seen", "What it comes from", "next:"))


def test_a_healthy_run_says_what_its_numbers_mean_and_what_could_be_checked(tmp_path: Path) -> None:
    found = diagnose(folder(tmp_path, [Net("a", 9.0)], more={"gamma_slope": -0.9}))
    assert not found.found
    told = " ".join(str(found).split())
    assert "1 of 1 measurements healthy." in told
    assert "of the basin around w* (mode=basin) of target=data" in told
    assert "n*beta = 10000, gamma = 1" in told
    assert "Twice the gamma would move them by" in told
    assert overrides(found.command) == ["task=dln", "estimator.check=full"]


def test_what_a_number_depends_on_is_told_though_it_is_no_fault(tmp_path: Path) -> None:
    nets = [Net("a", 9.0), Net("b", 9.0)]
    on_data = {"backend": "vmap", "n": 1000, "llc_fluct": 2.0, "nbeta": 600.0, "gamma_slope": -0.5}
    told = " ".join(str(diagnose(folder(tmp_path, nets, more=on_data))).split())
    assert "2 of 2 measurements healthy" in told
    for name in ("noise_fit", "no_plateau", "gamma_decides"):
        assert f"2 of 2: {flags.FLAGS[name].sentence}" in told
    exact = " ".join(str(diagnose(folder(tmp_path / "exact", nets, more={**on_data, "backend": "closed"}))).split())
    assert "noise" not in exact


def test_where_every_check_was_made_another_seed_is_left(tmp_path: Path) -> None:
    words = ["estimator.check=full", "seed=4", "task.seeds=3"]
    found = diagnose(folder(tmp_path, [Net("a", 9.0)], words=words, more={"stopped_by": "target_se"}))
    assert "seed=7" in overrides(found.command)
    assert "estimator.target_se" in found.advice


@pytest.mark.parametrize(
    ("message", "name", "change"),
    [
        ("chain 2 has n*beta*K = nan at draw 17", "a chain diverged", "sampler.step_size=auto"),
        ("training net=0 left no snapshot final: diverged at step 3", "a training did not come to its end",
         "task.fit.learning_rate"),
        ("OutOfMemoryError: CUDA out of memory", "memory ran out", "hardware.memory=0.5"),
        ("task.data.n must be >= 1, got 0", "a setting was refused", "task=dln"),
        ("KeyError: 'x'", "something else went wrong", "run.verbosity=debug"),
    ],
)  # fmt: skip
def test_a_row_without_a_number_is_told_by_its_message(message: str, name: str, change: str, tmp_path: Path) -> None:
    nets = [Net("a", 9.0, "sgld"), Net("b", 9.0, "sgld", failed=message)]
    read = folder(tmp_path, nets, "sgld")
    state(tmp_path, state="failed", error="every measurement must have a number, got 1 of 2 without")
    found = diagnose(read)
    assert found.found[0].startswith(f"1. {name}: b \u00b7 sgld. {message}.")
    assert any(word.startswith(change) for word in overrides(found.command))
    assert isinstance(config.records(composed(overrides(found.command))), config.Config)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"state": "preempted"}, "The run was preempted in stage measure"),
        ({"state": "running"}, "The run was killed in stage measure"),  # without a living writer
        (
            {"state": "failed", "error": "ZeroDivisionError: by nothing"},
            "stage measure: ZeroDivisionError: by nothing.",
        ),
    ],
)
def test_a_run_that_did_not_come_to_its_end_is_resumed(status: dict[str, Any], told: str, tmp_path: Path) -> None:
    read = folder(tmp_path, [Net("a", 9.0, flags="rhat")])
    state(tmp_path, **status)
    found = diagnose(read)
    assert told in found.advice
    assert overrides(found.command) == [f"run.resume={tmp_path}"]


def test_a_run_that_is_at_work_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = folder(tmp_path, [])
    state(tmp_path, state="running")
    monkeypatch.setattr("llcx.artifacts.lock.alive", lambda lock: True)
    found = diagnose(read)
    assert "still at work, in stage measure (3 of 24)" in found.advice
    assert found.command == f"python -m llcx.doctor {tmp_path}"


def test_a_run_that_measured_nothing_says_why(tmp_path: Path) -> None:
    trained = diagnose(folder(tmp_path / "a", [], words=["run.stages=[train]"]))
    assert overrides(trained.command)[-1] == "run.stages=[measure,analyse,figures,report]"
    assert overrides(diagnose(folder(tmp_path / "b", [])).command) == ["task=dln", "run.dry=true"]


def test_combinations_of_a_grid_are_not_judged_beside_the_point_itself(tmp_path: Path) -> None:
    nets = [Net("a", 9.0), Net("a,step_size=x10", 99.0, flags="discretisation")]
    read = folder(tmp_path, nets, "sgld", words=["estimator.grid.step_size=[x10]"])
    rows = [{**cells, "at.step_size": step} for cells, step in zip(read.rows, ("", "x10"), strict=True)]
    table(tmp_path / "metrics_summary.csv", columns(rows), rows)
    assert "1 of 1 measurements healthy" in diagnose(read).head


def test_every_flag_is_a_sign_of_some_cause() -> None:
    signs = set().union(*(cause.signs for cause in causes.CAUSES))
    assert signs == set(flags.FLAGS) - {"failed"}
    assert set().union(*(cause.explains for cause in causes.CAUSES)) <= set(flags.FLAGS)


def test_an_unknown_flag_is_told_as_it_stands(tmp_path: Path) -> None:
    found = diagnose(artifacts.load(write(tmp_path, [Net("a", 9.0, flags="strange_flag")])))
    assert "strange_flag: A flag that has no words here" in str(found)


def test_the_command_reads_a_folder_and_exits_0(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "llcx.doctor")
    main([str(write(tmp_path, [Net("a", 9.0)]))])
    assert "1 of 1 measurements healthy" in caplog.text


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["/nowhere/at/all"]])
def test_a_wrong_call_ends_in_one_line(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert str(stop.value).startswith("error: ")
    assert "\n" not in str(stop.value)
