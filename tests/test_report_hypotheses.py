"""The verdicts on hypotheses in a run's report: their table, and that it stands where there are any."""

from pathlib import Path
from typing import Any

from llcx import artifacts, report
from llcx.artifacts.files import write_json
from llcx.report import hypotheses
from tests.figures.run_folder import Net, write
from tests.test_report import Page

PART = {"name": "iou on <len3>", "role": "primary", "treated": "full", "control": "b0", "sesoi": 0.02, "seeds": 2}
NUMBERS = {"mean": -0.1234, "low": -0.2, "high": -0.05}


def document(*parts: dict[str, Any], verdict: str = "NOT TESTED", **more: Any) -> dict[str, Any]:
    return {"hypotheses": [{"name": "H1", "claim": "composes", "verdict": verdict, "parts": list(parts), **more}]}


def part(**more: Any) -> dict[str, Any]:
    return {**PART, **NUMBERS, "verdict": "NOT TESTED", "note": "", **more}


def told(path: Path, content: dict[str, Any]) -> list[hypotheses.Line]:
    write_json(path / "analysis" / "hypotheses.json", content)
    return hypotheses.lines(path)


def test_what_decides_stands_below_its_hypothesis(tmp_path: Path) -> None:
    lines = told(tmp_path, document(part(verdict="REVERSED"), part(role="secondary"), verdict="REVERSED", notes=[]))
    assert [line.title for line in lines] == ["H1 composes", ""]
    assert lines[1].cells == ["iou on <len3>", "full against b0", "\u22120.123 [\u22120.200, \u22120.050]", "0.02", "2"]
    assert [line.state for line in lines] == ["failed", "failed"]


def test_a_reason_that_all_share_is_told_once(tmp_path: Path) -> None:
    notes = ["undertrained", "undertrained; b1: no runs", "a: NOT TESTED"]
    lines = told(tmp_path, document(part(note=notes[0]), part(note=notes[1]), notes=notes, variant="k=8"))
    assert [line.note for line in lines] == ["a: NOT TESTED; undertrained", "", "b1: no runs"]
    assert lines[0].title == "H1 [k=8] composes"
    assert {line.state for line in lines} == {""}


def test_one_seed_has_no_interval_and_no_pair_no_number(tmp_path: Path) -> None:
    lines = told(tmp_path, document(part(low=None, high=None), part(mean=None, low=None, high=None), notes=[]))
    assert [line.cells[2] for line in lines[1:]] == ["\u22120.123", "\u2013"]


def test_the_page_has_the_table_where_there_are_hypotheses(tmp_path: Path) -> None:
    write(tmp_path, [Net("good", 3.0)])
    assert "Hypotheses" not in Page(report.render(artifacts.load(tmp_path))).text
    told(tmp_path, document(part(verdict="SUPPORTED"), verdict="SUPPORTED", notes=[]))
    html = report.render(artifacts.load(tmp_path))
    page = Page(html)
    assert page.count("a", href="#hypotheses") == page.count("h2", id="hypotheses") == 1
    assert "iou on &lt;len3&gt;" in html
    assert page.count("tr", **{"class": "ok"}) == 1 + 2  # the measurement too


def test_of_several_jobs_it_is_said_which(tmp_path: Path) -> None:
    assert hypotheses.of_jobs(tmp_path) == ""
    record = {"jobs": ["0", "1"], "without": [f"{k} (failed)" for k in range(2, 12)]}
    write_json(tmp_path / "analysis" / "pooled.json", record)
    told = hypotheses.of_jobs(tmp_path)
    assert told.startswith("2 of 12 jobs, judged together as one run, without 2 (failed), 3 (failed)")
    assert told.endswith("9 (failed), \u2026.")
    write_json(tmp_path / "analysis" / "pooled.json", {"jobs": ["0"], "without": []})
    assert hypotheses.of_jobs(tmp_path) == "1 of 1 jobs, judged together as one run."


def test_in_a_line_several_variants_are_counted(tmp_path: Path) -> None:
    assert hypotheses.briefly(tmp_path) == ""
    one, other = (document(verdict=verdict)["hypotheses"][0] for verdict in ("SUPPORTED", "REJECTED"))
    write_json(tmp_path / "analysis" / "hypotheses.json", {"hypotheses": [one, {**other, "name": "H2"}]})
    assert hypotheses.briefly(tmp_path) == "H1 SUPPORTED, H2 REJECTED"
    write_json(tmp_path / "analysis" / "hypotheses.json", {"hypotheses": [one, other, one]})
    assert hypotheses.briefly(tmp_path) == "H1 2 SUPPORTED + 1 REJECTED"
    (tmp_path / "analysis" / "hypotheses.json").write_text("[1")
    assert hypotheses.briefly(tmp_path) == ""
