"""Runs of task=custom from the command line, and what a resumed one may import."""

from pathlib import Path

import pytest

from llcx import artifacts
from llcx.main import main
from tests.running import NUMBERS
from tests.tasks.custom_files import NAMED, STEPS, checkpoints, here

__all__ = ["here"]  # a fixture
SHORT = ("estimator.chains=4", "estimator.warmup=4", "estimator.draws=6", "estimator.every=1", "estimator.check=off")
NAMES = [f"task.{key}={text}" for key, text in NAMED.items()]


def start(folder: Path, *words: str) -> int:
    return main(["task=custom", *NAMES, f"hydra.run.dir={folder}", NUMBERS, *SHORT, *words])


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    return line


@pytest.mark.slow
def test_a_folder_of_checkpoints_runs_and_its_changes_are_told(here: Path) -> None:
    checkpoints(here / "kept")
    assert start(here / "run", "task.weights=kept", "task.others.few=net.py:drawn", "sampler=hmc") == 0
    read = artifacts.load(here / "run")
    assert [row["at.step"] for row in read.rows] == [str(step) for step in STEPS]
    assert {row["target"] for row in read.rows} == {"self"}
    assert len({row["gamma"] for row in read.rows}) == 1
    changes = [(line["from"], line["to"]) for line in read.analysis("changes")]
    assert changes == [("custom,step=0", "custom,step=20"), ("custom,step=20", "custom,step=100"),
                       ("custom,step=0", "custom,step=100")]  # fmt: skip


@pytest.fixture
def stopped(here: Path) -> Path:
    """A run that still has everything to measure, in a folder that could come from anywhere."""
    assert start(here / "run", "run.stages=[train]", "sampler=hmc") == 0
    (here / "net.py").write_text((here / "net.py").read_text() + "\nopen('imported', 'w').close()\n")
    return here / "run"


GOES_ON = ("run.stages=[analyse]", "run.verbosity=quiet")


def test_a_resumed_run_imports_what_is_named_again_and_nothing_that_its_folder_alone_names(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = stopped / ".hydra" / "overrides.yaml"  # nor can it hide a name behind another resume
    words.write_text(words.read_text() + "- run.resume=x\n- task.model=net.py:small\n- task.data=net.py:rows\n")
    assert main([f"run.resume={stopped}", *GOES_ON, "task.model=net.py:small"]) == 1
    told = refusal(capsys)
    assert told.endswith("where you trust it, name it again beside run.resume: task.data=net.py:rows")
    assert not Path("imported").exists()
    assert main([f"run.resume={stopped}", *GOES_ON, "task.data=net.py:rows", "task.model=net.py:small"]) == 0
    assert Path("imported").exists()
    assert artifacts.load(stopped).status["state"] == "completed"


def test_several_names_beside_resume_would_be_a_sweep_and_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"run.resume={here}", "task.model=net.py:Own,net.py:small"]) == 1
    assert "run.resume must stand alone" in refusal(capsys)


@pytest.mark.slow
def test_another_name_than_the_run_began_with_is_refused(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"run.resume={stopped}", *GOES_ON, "task.data=net.py:rows", "task.model=net.py:Own"]) == 1
    assert "task.model must be net.py:small" in refusal(capsys)
    assert artifacts.load(stopped).rows == []
