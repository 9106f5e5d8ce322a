"""The entry: exit codes, the one line of an error, folders that nobody shares, sweeps that go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llcx import artifacts
from llcx.artifacts import unused
from llcx.main import main
from tests.running import CONF, ROOT, process, resume, start, toys_registered


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def refusal(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """What stderr says: one line, and exit code 1."""
    told = capsys.readouterr().err
    assert code == 1
    assert told.startswith("error: ")
    assert told.count("\n") == 1, told
    return told


REFUSED = {
    "unknown key": (["sampler.leapfrg=3"], ["sampler.leapfrg", "did you mean leapfrog?"]),
    "added unknown key": (["+nope=1"], ["nope", "must be one of"]),
    "wrong type": (["task.nets=many"], ["task.nets", "Integer", "many"]),
    "out of range": (["task.model.width=0"], ["task.model.width", ">= 1", "got 0"]),
    "unknown option of a group": (["sampler=nope"], ["sampler", "adam_sgld, auto, gibbs, hmc", "got nope"]),
    "unknown preset": (["task/size=nope"], ["task/size", "wide", "got nope"]),
    "another task's preset": (["task=dln", "task/size=medium"], ["task/size", "task=dln", "got medium", "of lsa"]),
    "a sweep without --multirun": (["seed=1,2"], ["seed", "--multirun"]),
    "grammar": (["seed=[1"], ["[1"]),
    "no such device": (["hardware.device=cuda:99"], ["hardware.device", "cpu", "got cuda:99"]),
    "no such point": (["run.points=7"], ["run.points", "got 7"]),
    "an unset variable": (["task.scale=${oc.env:LLCX_NOT_SET}"], ["task.scale", "LLCX_NOT_SET"]),
    "hydra's pickles": (["--experimental-rerun", "x"], ["pickle"]),
}


def test_q_is_short_for_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path, "-q") == 0
    assert artifacts.load(tmp_path).config["run"]["verbosity"] == "quiet"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_that_names_field_value_and_cure(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, parts = REFUSED[case]
    told = refusal(capsys, start(tmp_path / "run", *words))
    assert all(part in told for part in parts), told


def test_a_run_that_cannot_begin_says_why_in_its_folder_and_the_folder_stays_free(tmp_path: Path) -> None:
    assert start(tmp_path / "run", "run.points=7") == 1
    status = artifacts.load(tmp_path / "run").status
    assert (status["state"], status["stage"]) == ("failed", "start")
    assert "run.points must be in 0-0" in status["error"]
    assert "selected" in status["traceback"]
    assert start(tmp_path / "run") == 0
    assert artifacts.load(tmp_path / "run").status["state"] == "completed"


def test_an_unknown_flag_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nope"]) == 1
    assert "--nope" in capsys.readouterr().err


def test_the_users_own_full_error_shows_the_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match=r"task\.nets must be >= 1, got 0"):
        start(tmp_path / "run", "task.nets=0")


def test_full_error_is_not_left_in_the_environment(tmp_path: Path) -> None:
    start(tmp_path / "run", "task.nets=0")
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_a_crash_says_where_its_stack_is_and_leaves_it_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("llcx.run.conclude", broken)
    told = refusal(capsys, start(tmp_path / "run"))
    assert "ZeroDivisionError: by nothing" in told
    assert "in broken" in (tmp_path / "run" / "llcx.log").read_text()
    status = artifacts.load(tmp_path / "run").status
    assert (status["state"], status["stage"]) == ("failed", "analyse")
    assert "in broken" in status["traceback"]


def test_an_interrupted_run_says_so_and_can_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("llcx.run.conclude", interrupted)
        assert start(tmp_path / "run") == 130
    assert "run.resume" in capsys.readouterr().err
    assert artifacts.load(tmp_path / "run").status["state"] == "preempted"
    assert resume(tmp_path / "run") == 0


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    told = refusal(capsys, start(tmp_path / "file" / "run"))
    assert str(tmp_path / "file") in told
    assert "hydra.run.dir" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert str(tmp_path) in refusal(capsys, start(tmp_path / "run"))


def test_a_working_folder_where_nothing_can_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("outputs").write_text("in the way")
    assert "outputs" in refusal(capsys, start(None))


def test_a_run_without_a_folder_of_its_own_goes_to_outputs_by_date_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert start(None) == 0
    (found,) = tmp_path.glob("outputs/????-??-??/??-??-??")
    assert artifacts.load(found).status["state"] == "completed"


def test_showing_the_configuration_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert start(None, "--cfg", "all", "--resolve") == 0
    assert "width: 3" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_names_claimed_at_once_are_all_different(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(lambda _: unused(str(tmp_path / "day" / "second")), range(64)))
    assert len(set(names)) == 64
    assert names.count(str(tmp_path / "day" / "second")) == 1


def test_processes_of_the_same_second_never_share_a_folder(tmp_path: Path) -> None:
    noon = "${unused:outputs/noon}"  # what config.yaml says, with the clock standing still
    both = [process(noon, f"seed={seed}", cwd=tmp_path) for seed in (1, 2)]
    for each in both:
        each.join(120)
    assert [each.exitcode for each in both] == [0, 0]
    found = sorted(path.name for path in (tmp_path / "outputs").iterdir())
    assert found == ["noon", "noon-2"]
    assert {artifacts.load(tmp_path / "outputs" / name).config["seed"] for name in found} == {1, 2}


def test_a_new_run_into_a_used_folder_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(tmp_path / "run") == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    told = refusal(capsys, start(tmp_path / "run", "seed=5"))
    assert f"run.resume={tmp_path / 'run'}" in told
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_sweep_goes_on_after_a_failing_job_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("task.nets=2", "--multirun", f"hydra.sweep.dir={tmp_path}", "task.fails=[0],[]")  # flags stand anywhere
    told = refusal(capsys, start(None, *words))
    assert "net=0" in told
    folders = [artifacts.load(tmp_path / str(k)) for k in range(2)]
    assert [folder.status["state"] for folder in folders] == ["failed", "completed"]
    assert [len(folder.rows) for folder in folders] == [2, 2]
    assert f"run.resume={tmp_path}" in refusal(capsys, start(None, *words)), "a second sweep into the same folder"


def test_a_dry_run_tells_and_leaves_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path / "run", "run.dry=true", "task.nets=3", "+sampler@samplers.slow=sgld") == 0
    told = capsys.readouterr().out
    assert all(part in told for part in ("net=0", "net=2", "slow", "parameters", "memory", "seconds"))
    assert not (tmp_path / "run" / "status.json").exists()


def test_a_quiet_run_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path / "run", "run.verbosity=quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_train_py_works_from_another_folder_without_installation(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--config-dir", CONF, "--cfg", "job", "sampler=hmc", "task=dln"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "leapfrog" in done.stdout
