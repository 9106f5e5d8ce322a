"""What a task makes of several runs, in a collected folder: written, drawn and told, or taken away again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llcx.artifacts.files import read_csv, read_json, write_json, write_yaml
from llcx.collect import find, pooled
from llcx.collect.__main__ import main
from llcx.figures import draw
from llcx.registry import TASKS, Finished, Registry
from llcx.types import Tables
from tests.figures import mcl_folder
from tests.figures.mcl_folder import Made
from tests.swept import job, steps, sweep
from tests.test_report import Page


def together(runs: Sequence[Finished]) -> Tables:
    """A row a run, and one of its rows."""
    rows = [{"run": run.name, **line} for run in runs for line in run.left("found")]
    return Tables({"all": rows}, shown={"found": [{"runs": str(len(runs))}]}, documents={"told": {"runs": len(runs)}})


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Path]:
    """A sweep of six jobs, two of them completed, of a task that makes something of several runs."""

    def register(make: Any) -> Path:
        monkeypatch.setattr(TASKS, "_pooled", {"dln": make})
        return tmp_path

    monkeypatch.setattr(draw, "of_task", lambda folder, task: [])
    steps(tmp_path)
    for index in range(4):
        (tmp_path / str(index) / "analysis").mkdir(exist_ok=True)
        (tmp_path / str(index) / "analysis" / "found.csv").write_text(f"value\n{index}\n")
    return register


def test_completed_jobs_are_put_together_and_the_others_named(hooked: Callable[[Any], Path]) -> None:
    path = hooked(together)
    made = pooled.write(find([path]).jobs, path)
    assert read_csv(path / "analysis" / "all.csv") == [{"run": "0", "value": "0"}, {"run": "1", "value": "1"}]
    assert read_json(path / "analysis" / "told.json") == {"runs": 2}
    assert made.shown == {"found": [{"runs": "2"}]}
    assert made.note.startswith("2 of 6 jobs") and "2 (failed), 3 (killed), 4 (missing), 5 (missing)" in made.note


def test_what_cannot_be_made_any_more_is_taken_away(hooked: Callable[[Any], Path]) -> None:
    def refused(runs: Sequence[Finished]) -> Tables:
        raise ValueError("runs must\nbe alike")

    path = hooked(together)
    pooled.write(find([path]).jobs, path)
    (path / "analysis" / "mine.csv").write_text("a\n")
    record = read_json(path / "analysis" / pooled.RECORD)
    write_json(
        path / "analysis" / pooled.RECORD, {**record, "files": [*record["files"], "../0/status.json", "0/run.csv"]}
    )
    made = pooled.write(find([hooked(refused)]).jobs, path)
    assert made == pooled.Made({}, (), "nothing of 2 jobs of task=dln together: runs must be alike")
    assert [each.name for each in (path / "analysis").iterdir()] == ["mine.csv"]
    assert (path / "0" / "status.json").exists()


def test_nothing_is_new_where_a_task_makes_nothing(hooked: Callable[[Any], Path]) -> None:
    path = hooked(lambda runs: Tables())
    assert pooled.write(find([path]).jobs, path) == pooled.Made({}, (), "")
    TASKS._pooled.clear()
    assert pooled.write(find([path]).jobs, path) == pooled.Made({}, (), "")
    assert not (path / "analysis").exists()


def test_only_the_module_of_a_task_is_imported_and_an_unknown_one_makes_nothing() -> None:
    names = Registry("thing", "llcx.tasks")
    assert names.pooled("nowhere") is names.pooled("of/a path") is names.pooled("") is None
    assert not names._entries
    names.register("here", int, pooled=together)(print)
    assert names.pooled("here") is together
    assert TASKS.pooled("mcl") is not None
    assert TASKS.pooled("dln") is None


def seeds(path: Path, *, alphas: Sequence[float] = (0.1,)) -> Path:
    """A sweep of task=mcl over seeds, and weights; its last job has failed."""
    told = [f"task.weights.alpha={alpha}" for alpha in alphas]
    sweep(path, "task=mcl", f"task.weights.alpha={','.join(map(str, alphas))}", "seed=0,1,2")
    for index, (word, seed) in enumerate([(word, seed) for word in told for seed in range(3)]):
        folder = path / str(index)
        made = Made(seeds=1, first=seed, swept=("alpha", (alphas[index // 3],)), still=("b0",))
        mcl_folder.write(folder, made)
        config = {**mcl_folder.config(made), "weights": {"alpha": alphas[index // 3], "beta": 0.1, "gamma": 0.5}}
        write_yaml(folder / "config.yaml", {"seed": seed, "task": config})
        job(folder, "task=mcl", word, f"seed={seed}", state="completed" if index < 3 * len(alphas) - 1 else "failed")
    return path


@pytest.mark.slow
def test_a_sweep_of_mutual_concepts_has_verdicts_figures_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(seeds(tmp_path, alphas=(0.1, 0.2)))])
    told = capsys.readouterr().out
    assert "5 of 6 jobs" in told and "without 5 (failed)" in told
    assert "in several runs, counted once" in told  # b0, of the second weight's jobs
    found = read_json(tmp_path / "analysis" / "hypotheses.json")
    assert found["runs"] == {"b0": 3, "full,alpha=0.1": 3, "full,alpha=0.2": 2}
    assert [each["parts"][0]["seeds"] for each in found["hypotheses"] if each["name"] == "H1"] == [3, 2]
    figures = {file.stem for file in tmp_path.glob("mcl_*.png")}
    names = ("hypotheses", "sweep", "training", "zero_shot", "few_shot", "geometry", "causal", "units", "sheet", "llc")
    assert figures == {f"mcl_{name}" for name in names}
    page = Page((tmp_path / "report.html").read_text())
    assert page.count("h2", id="hypotheses") == 1
    assert "5 of 6 jobs, judged together as one run, without 5 (failed)" in page.text


@pytest.mark.slow
def test_sweeps_in_several_folders_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "of_task", lambda folder, task: [])  # the figures are those of the test above
    for name in ("a", "b"):
        seeds(tmp_path / name)
    main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "all")])
    record = read_json(tmp_path / "all" / "analysis" / "pooled.json")
    assert record["jobs"] == ["a/0", "a/1", "b/0", "b/1"]
    assert read_json(tmp_path / "all" / "analysis" / "hypotheses.json")["runs"] == {"b0": 2, "full": 2}
