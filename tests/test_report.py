"""report.html."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from llcx import artifacts, report
from llcx.artifacts.files import write_json
from llcx.figures import flags
from tests.figures.run_folder import Net, study, write

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x04\xb0\x00\x00\x04\xb0"  # a head is all that the report reads


class Page(HTMLParser):
    """Tags in order with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def count(self, tag: str, **attributes: str) -> int:
        return sum(name == tag and attributes.items() <= found.items() for name, found in self.tags)


def page(path: Path, nets: list[Net]) -> Page:
    return Page(report.render(artifacts.load(write(path, nets))))


def test_every_row_appears_with_its_state(tmp_path: Path) -> None:
    found = page(tmp_path, study(24))
    states = [found.count("tr", **{"class": state}) for state in ("ok", "flagged", "failed")]
    assert states == [44, 3, 1]
    assert found.count("svg") == 47  # an interval against the known value wherever there are both


def test_names_are_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> & <b>"
    write(tmp_path, [Net("good", 3.0), Net(nasty, 3.0, failed=nasty)])
    write_json(
        tmp_path / "run_info.json", {"command": nasty, "git": {"commit": nasty}, "stages": {nasty: {"seconds": 1}}}
    )
    text = report.render(artifacts.load(tmp_path))
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;") >= 5


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    for name in ("llc_traces.png", "llc_comparison.png", "of_the_task.png"):
        (tmp_path / name).write_bytes(PNG)
    found = page(tmp_path, study(3))
    assert found.count("link") == found.count("iframe") == 0
    for _, attributes in found.tags:
        assert not {"src", "href", "action", "poster", "srcset"} & attributes.keys() or str(
            attributes["src"]
        ).startswith("data:")
    assert "http" not in re.sub(r"http-equiv", "", report.render(artifacts.load(tmp_path)))
    assert found.count("img") == 3


def test_figures_stand_in_reading_order_at_their_size(tmp_path: Path) -> None:
    for name in ("a_of_the_task.png", "llc_traces.png", "llc_comparison.png"):
        (tmp_path / name).write_bytes(PNG)
    found = report.pictures(tmp_path)
    assert [picture["name"] for picture in found] == ["llc_comparison.png", "llc_traces.png", "a_of_the_task.png"]
    assert {picture["width"] for picture in found} == {800}


def test_a_flag_is_explained_with_its_cure_and_its_rows(tmp_path: Path) -> None:
    found = page(tmp_path, [Net("a", 3.0, flags="rhat;strange_flag"), Net("b", 3.0)])
    assert flags.FLAGS["rhat"].sentence in found.text
    assert flags.FLAGS["rhat"].cure in found.text
    assert "strange_flag" in found.text
    assert found.count("div", **{"class": "flag"}) == 2
    assert "a · auto" in found.text


def test_the_message_of_a_failure_is_in_the_page(tmp_path: Path) -> None:
    assert "net=3 · sgld: NaN in chain 2 at draw 17" in page(tmp_path, study(24)).text


def test_the_verdict_on_one_measurement_judges_its_interval(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("dln", 9.48, known=9.5)]))
    level, (sentence,) = report.verdict(report.rows.read(folder), folder.status)
    assert level == "good"
    assert "the known value 9.5 lies inside the interval" in sentence
    assert sentence.endswith("Healthy.")


def test_the_verdict_counts_flags_failures_and_covered_values(tmp_path: Path) -> None:
    every = report.rows.read(artifacts.load(write(tmp_path, study(24))))
    held = sum(row.low <= row.known <= row.high for row in every if not row.failed)
    level, (sentence,) = report.verdict(every, {"state": "completed"})
    assert level == "bad"
    assert "44 of 48 measurements are healthy, 3 flagged, 1 without a number." in sentence
    assert f"{held} of 47 intervals hold the known value" in sentence


@pytest.mark.parametrize(
    ("status", "level"),
    [
        ({"state": "failed", "error": "out of memory"}, "bad"),
        ({"state": "killed", "error": None}, "warn"),
        ({"state": "running", "stage": "measure"}, "warn"),
        ({"state": "running", "stage": "report"}, "good"),  # the run writes this very page
    ],
)
def test_a_run_that_did_not_end_is_never_called_good(tmp_path: Path, status: dict[str, str], level: str) -> None:
    every = report.rows.read(artifacts.load(write(tmp_path, [Net("a", 3.0)])))
    found, sentences = report.verdict(every, status)
    assert found == level
    assert (f"State of this run: {status['state']}." in sentences[0]) == (level != "good")
    assert str(status.get("error") or "") in sentences[0]


def test_a_folder_without_any_measurement_has_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "status.json", {"state": "failed", "error": "bad input"})
    text = Page(report.render(artifacts.load(tmp_path))).text
    assert "There is no measurement yet." in text
    assert "bad input" in text


def test_rows_without_known_values_have_no_pictures_of_intervals(tmp_path: Path) -> None:
    found = page(tmp_path, [Net("a", 3.0), Net("b", 5.0)])
    assert found.count("svg") == 0
    assert found.count("tr", **{"class": "ok"}) == 2


def test_columns_that_differ_between_rows_are_shown_and_the_others_are_not(tmp_path: Path) -> None:
    heads = report.table(
        report.rows.read(artifacts.load(write(tmp_path, [Net("a", 3.0), Net("b", 5.0, target="self")])))
    )["heads"]
    assert "target" in heads
    assert "nβ" not in heads


def test_an_interval_beyond_the_edge_is_cut_and_marked(tmp_path: Path) -> None:
    row = report.rows.read(artifacts.load(write(tmp_path, [Net("a", 20.0, known=10.0)])))[0]
    bar = report.bar(row, 0.1)
    assert bar is not None
    assert (bar.high, bar.outside) == (100.0, "right")


def test_cost_configuration_versions_and_git_state_are_in_the_page(tmp_path: Path) -> None:
    text = page(tmp_path, study(3)).text
    for words in ("measure 12.5 7,300", "task.data.n 100000", "versions.torch 2.13.0", "with uncommitted changes"):
        assert words in text


def test_the_plans_of_calibration_are_in_the_page(tmp_path: Path) -> None:
    write(tmp_path, [Net("a", 3.0)])
    write_json(
        tmp_path / "target_info.json", {"task": "dln", "points": {"a": {"n": 5, "plan of auto": ["hmc, 16 chains"]}}}
    )
    assert "a · auto hmc, 16 chains" in Page(report.render(artifacts.load(tmp_path))).text


def test_the_command_writes_the_file_and_refuses_a_wrong_folder_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, [Net("a", 3.0)])
    report.main([str(tmp_path)])
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    for arguments in ([], [str(tmp_path / "nowhere")]):
        with pytest.raises(SystemExit, match=r"^error: [^\n]*$"):
            report.main(arguments)
