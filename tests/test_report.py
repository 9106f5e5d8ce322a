"""report.html of a run: what stands in the page, and that it is safe to open."""

import ast
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from llcx import artifacts, figures, report
from llcx.artifacts.files import write_json
from llcx.figures import rows
from llcx.report import __main__ as command
from llcx.report import verdict
from llcx.report.captions import CAPTIONS
from llcx.report.pictures import pictures
from llcx.report.verdict import Verdict
from tests.figures.run_folder import Net, study, write


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * width) * height))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


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

    def outside(self) -> list[str]:
        """Whatever would be asked of another place than the page."""
        asked = [
            str(value)
            for _, found in self.tags
            for key, value in found.items()
            if key in ("src", "href", "action", "poster", "srcset")
        ]
        return [address for address in asked if not address.startswith(("data:", "#"))]


def page(path: Path, nets: list[Net]) -> Page:
    return Page(report.render(artifacts.load(write(path, nets))))


def judged(path: Path, nets: list[Net], status: dict[str, Any] | None = None) -> Verdict:
    folder = artifacts.load(write(path, nets))
    return verdict.of_run(rows.read(folder), status or folder.status)


def test_every_row_appears_with_its_state(tmp_path: Path) -> None:
    found = page(tmp_path, study(24))
    states = [found.count("tr", **{"class": state}) for state in ("ok", "flagged", "failed")]
    assert states == [44, 3, 1]
    bars = [str(attributes.get("class", "")).split() for name, attributes in found.tags if name == "span"]
    assert sum("bar" in words for words in bars) == 47  # wherever there are an interval and a known value


FIGURES = Path(figures.__file__).parent


def drawn() -> set[str]:
    """Every picture that code of figures or collect names; those of frames are drawn where a user says."""
    files = [*FIGURES.glob("*.py"), *(FIGURES.parent / "collect").glob("*.py")]
    found = {
        str(node.value)
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and re.fullmatch(r"\w+\.png", str(node.value))
    }
    assert len(found) >= 50
    return found


def test_every_picture_that_is_drawn_has_a_caption_and_every_caption_a_picture() -> None:
    assert drawn() ^ CAPTIONS.keys() == set()
    assert [name for name, said in CAPTIONS.items() if not re.fullmatch(r"[A-Z][^.?!]{25,115}\.", said)] == []


def test_no_picture_is_named_by_parts() -> None:
    """Else the test above would not see it."""
    told = [
        (file.name, ast.unparse(call.args[1]))
        for file in FIGURES.glob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "style.save"
    ]
    assert len(told) >= 10
    assert [name for name, path in told if not re.search(r"/ (name|'\w+\.png')$", path)] == ["frames.py"]


def test_names_are_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> & <b>"
    write(tmp_path, [Net("good", 3.0), Net(nasty, 3.0, failed=nasty)])
    write_json(
        tmp_path / "run_info.json", {"command": nasty, "git": {"commit": nasty}, "stages": {nasty: {"seconds": 1}}}
    )
    write_json(tmp_path / "status.json", {"state": "failed", "error": nasty, "traceback": nasty})
    text = report.render(artifacts.load(tmp_path))
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;") >= 6


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    for name in ("llc_traces.png", "llc_comparison.png", "of_the_task.png"):
        (tmp_path / name).write_bytes(png(30, 20))
    found = page(tmp_path, study(3))
    assert found.count("link") == found.count("iframe") == found.count("base") == 0
    assert found.outside() == []
    assert "http" not in re.sub(r"http-equiv", "", report.render(artifacts.load(tmp_path)))
    assert found.count("img") == 3


def test_what_would_be_asked_of_another_place_is_seen() -> None:
    assert Page('<img src="data:x"><a href="#health">h</a>').outside() == []
    assert Page('<a href="x.html">x</a><img src="https://example.org/a.png">').outside() == [
        "x.html",
        "https://example.org/a.png",
    ]


def test_figures_stand_in_reading_order_at_their_size(tmp_path: Path) -> None:
    for name in ("a_of_the_task.png", "llc_traces.png", "llc_comparison.png"):
        (tmp_path / name).write_bytes(png(1200, 600))
    found = pictures(tmp_path)
    assert [picture.name for picture in found] == ["llc_comparison.png", "llc_traces.png", "a_of_the_task.png"]
    assert {(picture.width, picture.height) for picture in found} == {(800, 400)}


def test_the_message_of_a_failure_is_in_the_page(tmp_path: Path) -> None:
    assert "net=3 · sgld: NaN in chain 2 at draw 17" in page(tmp_path, study(24)).text


def test_the_verdict_on_one_measurement_judges_its_interval(tmp_path: Path) -> None:
    level, (sentence,) = judged(tmp_path, [Net("dln", 9.48, known=9.5)])
    assert level == "good"
    assert "the known value 9.5 lies inside the interval" in sentence
    assert sentence.endswith("Healthy.")


def test_the_verdict_counts_flags_failures_and_covered_values(tmp_path: Path) -> None:
    level, (sentence,) = judged(tmp_path, study(24))
    every = [row for row in rows.read(artifacts.load(tmp_path)) if not row.failed]
    held = sum(row.low <= row.known <= row.high for row in every)
    assert level == "bad"
    assert "44 of 48 measurements are healthy, 3 flagged, 1 without a number." in sentence
    assert f"{held} of 47 intervals hold the known value" in sentence


@pytest.mark.parametrize(
    ("flags", "level"), [("", "good"), ("rhat", "warn"), ("rhat;second_sampler_disagrees", "bad"), ("negative", "bad")]
)
def test_a_flag_that_makes_the_number_wrong_is_graver_than_one_that_makes_it_less_sure(
    tmp_path: Path, flags: str, level: str
) -> None:
    assert judged(tmp_path, [Net("a", 3.0, flags=flags)])[0] == level


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
    found, sentences = judged(tmp_path, [Net("a", 3.0)], status)
    assert found == level
    assert (f"State of this run: {status['state']}." in sentences[0]) == (level != "good")
    assert str(status.get("error") or "") in sentences[0]


def test_a_folder_without_any_measurement_has_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "status.json", {"state": "failed", "error": "bad input", "traceback": "File run.py, line 7"})
    text = Page(report.render(artifacts.load(tmp_path))).text
    for words in ("There is no measurement yet.", "bad input", "Nothing to judge yet.", "File run.py, line 7"):
        assert words in text


def test_cost_configuration_versions_and_git_state_are_in_the_page(tmp_path: Path) -> None:
    write(tmp_path, study(3))
    info = artifacts.load(tmp_path).run_info
    write_json(tmp_path / "run_info.json", {**info, "measuring": {"warm-up": {"seconds": 4.25, "gradients": 2100}}})
    text = Page(report.render(artifacts.load(tmp_path))).text
    for words in (
        *("measure 12.5 7,300", "warm-up 4.25 2,100", "all 13 7,800", "task.data.n 100000"),
        *("versions.torch 2.13.0", "0123abcd0123abcd", "with uncommitted changes", "commit 0123abcd + changes"),
    ):
        assert words in text


def test_the_plans_of_calibration_are_in_the_page(tmp_path: Path) -> None:
    write(tmp_path, [Net("a", 3.0)])
    write_json(
        tmp_path / "target_info.json", {"task": "dln", "points": {"a": {"n": 5, "plan of auto": ["hmc, 16 chains"]}}}
    )
    assert "a · auto hmc, 16 chains" in Page(report.render(artifacts.load(tmp_path))).text


def test_the_command_writes_the_file_and_refuses_a_wrong_folder_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, [Net("a", 3.0)])
    command.main([str(tmp_path)])
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    for arguments in ([], [str(tmp_path / "nowhere")]):
        with pytest.raises(SystemExit, match=r"^error: [^\n]*$"):
            command.main(arguments)
