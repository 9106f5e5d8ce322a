"""The experiment log: a line a run, the same after a second call, and what a person wrote in it is kept."""

import shutil
from pathlib import Path

import pytest

from llcx.artifacts.files import csv_lines, read_csv, read_json, replace, write_json
from llcx.collect.__main__ import main
from llcx.collect.experiments import COLUMNS, ranges
from tests.figures.run_folder import Net, study
from tests.swept import WRONG, job


def outputs(path: Path) -> Path:
    """Three runs: one measurement, many, and a failure in a sweep."""
    job(path / "day" / "one", "task=dln", "seed=0", nets=[Net("dln", 9.48, known=9.5)])
    job(path / "day" / "many", "task=dln", "task.nets=24", nets=study(24))
    failed = job(path / "night" / "3", "seed=3", nets=[Net("a", 1.0, failed=WRONG)], state="failed", error=WRONG)
    info = read_json(failed / "run_info.json")
    write_json(failed / "run_info.json", {**info, "command": "/opt/bin/python3 -u -m submitit.core._submit x"})
    (path / "day" / "one" / "report.html").write_text("<!doctype html>")
    return path


def lines(path: Path) -> dict[str, dict[str, str]]:
    main([str(path), "--log"])
    return {line["folder"]: line for line in read_csv(path / "experiments.csv")}


def test_a_line_says_what_was_run_and_what_came_out(tmp_path: Path) -> None:
    found = lines(outputs(tmp_path))
    assert list(found) == ["day/many", "day/one", "night/3"]
    one, many, failed = found["day/one"], found["day/many"], found["night/3"]
    assert tuple(one) == COLUMNS
    assert one["command"] == "python train.py task=dln seed=0"
    assert (one["commit"], one["device"], one["seeds"], one["state"]) == ("0123abcd01-dirty", "cpu", "0", "completed")
    assert one["numbers"].startswith("\u03bb\u0302 9.") and "known 9.5" in one["numbers"]
    assert one["verdict"] == "healthy"
    assert "47 numbers, median |error|" in many["numbers"]
    assert many["verdict"].startswith("1 without a number; 3 flagged (")
    assert failed["verdict"] == f"failed: {WRONG}"
    assert failed["command"] == "python train.py seed=3", "of its own, not of the launcher's worker"


def test_a_second_call_changes_nothing_and_a_new_run_is_added(tmp_path: Path) -> None:
    lines(outputs(tmp_path))
    before = [(tmp_path / name).read_bytes() for name in ("experiments.csv", "experiments.md")]
    assert len(lines(tmp_path)) == 3
    assert [(tmp_path / name).read_bytes() for name in ("experiments.csv", "experiments.md")] == before
    judged = {"hypotheses": [{"name": "H1", "verdict": "REJECTED"}]}
    write_json(job(tmp_path / "later", nets=[Net("a", 3.0)]) / "analysis" / "hypotheses.json", judged)
    write_json(job(tmp_path / "last") / "analysis" / "hypotheses.json", judged)
    found = lines(tmp_path)
    assert len(found) == 5
    assert [found[name]["verdict"] for name in ("later", "last")] == ["healthy; H1 REJECTED", "H1 REJECTED"]


def test_a_note_is_kept_and_so_is_the_line_of_a_run_that_is_gone(tmp_path: Path) -> None:
    lines(outputs(tmp_path))
    kept = [{**line, "note": "to be | quoted"} for line in read_csv(tmp_path / "experiments.csv")]
    replace(tmp_path / "experiments.csv", csv_lines(COLUMNS, kept))
    shutil.rmtree(tmp_path / "day" / "many")
    found = lines(tmp_path)
    assert {line["note"] for line in found.values()} == {"to be | quoted"}
    assert found["day/many"]["numbers"].startswith("47 numbers")
    page = (tmp_path / "experiments.md").read_text()
    assert "(gone)" in page and "to be \\| quoted" in page
    assert "](<day/one/report.html>)" in page and "](<night/3>)" in page


def test_a_column_of_your_own_is_kept_and_a_foreign_table_is_refused(tmp_path: Path) -> None:
    lines(outputs(tmp_path))
    kept = [{**line, "mood": "good"} for line in read_csv(tmp_path / "experiments.csv")]
    replace(tmp_path / "experiments.csv", csv_lines((*COLUMNS, "mood"), kept))
    job(tmp_path / "later", nets=[Net("a", 3.0)])
    assert [line["mood"] for line in lines(tmp_path).values()].count("good") == 3
    (tmp_path / "experiments.csv").write_text("a;b\n1;2\n")
    with pytest.raises(SystemExit, match=r"experiments.csv must have the columns"):
        lines(tmp_path)


def test_the_log_can_stand_elsewhere_and_be_of_several_folders(tmp_path: Path) -> None:
    outputs(tmp_path / "outputs")
    job(tmp_path / "multirun" / "0", nets=[Net("a", 3.0)])
    main([str(tmp_path / "outputs"), str(tmp_path / "multirun"), "--log", "--out", str(tmp_path / "notes")])
    found = {line["folder"] for line in read_csv(tmp_path / "notes" / "experiments.csv")}
    assert found == {f"../{name}" for name in ("outputs/day/one", "outputs/day/many", "outputs/night/3", "multirun/0")}


@pytest.mark.parametrize(
    ("seeds", "told"), [(set(), ""), ({4}, "4"), ({0, 1, 2}, "0-2"), ({0, 1, 5, 7, 8}, "0-1, 5, 7-8")]
)
def test_seeds_are_ranges(seeds: set[int], told: str) -> None:
    assert ranges(seeds) == told
