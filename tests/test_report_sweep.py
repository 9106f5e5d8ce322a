"""report.html of a collected sweep."""

from pathlib import Path

import pytest

from llcx import report
from llcx.artifacts.files import cell, replace, write_yaml
from llcx.figures import rows
from llcx.report import __main__ as command
from llcx.report import verdict
from llcx.report.sweep import render, short
from tests.collected import WRONG, collected
from tests.figures.run_folder import Net, row
from tests.test_report import Page, png

LARGEST = 1_000_000  # bytes of a page of a thousand measurements


def test_jobs_that_are_not_completed_are_told_first_and_linked_where_they_have_a_page(tmp_path: Path) -> None:
    page = Page(report.write_sweep(collected(tmp_path, 40, missing=2)).read_text())
    assert "37 of 40 jobs completed, 2 missing, 1 failed." in page.text
    assert WRONG in page.text
    assert page.outside().count("19/report.html") == 3  # among the failed jobs, and at both of its measurements
    assert not any(address.startswith(("38/", "39/")) for address in page.outside())
    assert page.text.index("19 failed") < page.text.index("38 missing")


def test_swept_values_stand_before_what_was_measured(tmp_path: Path) -> None:
    page = Page(render(collected(tmp_path, 4)))
    assert page.text.index("job seed step_size point sampler") > 0
    assert page.count("tr", **{"class": "ok"}) == 4


def test_a_head_is_the_last_part_of_a_key_where_that_is_unique() -> None:
    assert short(["sweep.seed", "sweep.a.step", "sweep.b.step", "sweep.task.sampler"]) == {
        "sweep.seed": "seed",
        "sweep.a.step": "a.step",
        "sweep.b.step": "b.step",
        "sweep.task.sampler": "task.sampler",  # a measurement has a column of that name
    }


def test_the_figure_the_overrides_and_the_versions_of_a_sweep_are_in_its_page(tmp_path: Path) -> None:
    collected(tmp_path, 3)
    replace(tmp_path / "collected.png", png(30, 20))
    write_yaml(tmp_path / "multirun.yaml", {"hydra": {"overrides": {"task": ["task=dln", "seed=0,1"]}}})
    (tmp_path / "1" / "run_info.json").write_text('{"versions": {"llcx": "0.2.0"}}')
    (tmp_path / "2" / "run_info.json").write_text("{")  # a job that is being written, or was damaged
    page = Page(render(tmp_path))
    assert page.count("img") == 1
    assert "task=dln seed=0,1" in page.text
    assert "versions.llcx 0.1.0 (1 jobs); 0.2.0 (1 jobs)" in page.text


@pytest.mark.parametrize(
    ("states", "level"),
    [
        (["completed"] * 2, "good"),
        (["completed", "running"], "warn"),
        (["completed", "missing"], "warn"),
        (["completed", "failed"], "bad"),
        (["completed", "killed"], "bad"),
        (["completed", "unreadable"], "bad"),
    ],
)
def test_the_verdict_on_a_sweep_is_that_of_its_jobs(states: list[str], level: str) -> None:
    healthy = rows.parse({key: cell(value) for key, value in row(0, Net("a", 3.0), "dln").items()})
    assert verdict.of_sweep([healthy], states)[0] == level


def test_a_sweep_that_was_not_collected_is_refused_with_the_command_to_do_it(tmp_path: Path) -> None:
    write_yaml(tmp_path / "multirun.yaml", {})
    with pytest.raises(SystemExit, match=r"^error: a sweep must be collected first.*python -m llcx\.collect"):
        command.main([str(tmp_path)])


def test_the_command_takes_a_sweep(tmp_path: Path) -> None:
    command.main([str(collected(tmp_path, 3))])
    assert "sweep ·" in (tmp_path / "report.html").read_text()


def test_a_sweep_that_has_measured_nothing_yet_has_a_page(tmp_path: Path) -> None:
    page = Page(render(collected(tmp_path, 2, missing=2)))
    assert "0 of 2 jobs completed, 2 missing." in page.text
    assert "There is no measurement yet." in page.text


def test_the_page_of_500_jobs_is_small(tmp_path: Path) -> None:
    path = report.write_sweep(collected(tmp_path, 500, pages=False))
    assert Page(path.read_text()).count("tr", **{"class": "flagged"}) == 475
    assert path.stat().st_size < LARGEST
