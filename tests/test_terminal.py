"""What a person sees: bars on a terminal, lines elsewhere, a table that keeps its brackets."""

import io
import logging

import pytest
from rich.console import Console

from llcx import terminal
from llcx.terminal import Terminal, figures, listing, plain, table

ROW = {"point": "net=0", "sampler": "hmc", "llc": "9.4812", "low": "9.1", "high": "9.9", "known_llc": "9.5",
       "rel_error": "-0.00198", "healthy": "True", "flags": ""}  # fmt: skip
FAILED = {
    **dict.fromkeys(ROW, ""),
    "point": "net=1",
    "sampler": "hmc",
    "healthy": "False",
    "flags": "failed: no [luck]",
}


def test_the_table_shows_estimate_interval_known_value_and_flags() -> None:
    told = plain(table([ROW, FAILED]))
    assert all(
        part in told for part in ("net=0", "9.481", "[9.1, 9.9]", "9.5", "-0.2%", "healthy", "failed: no [luck]")
    )
    assert "sampler" not in told
    assert "sampler" in plain(table([ROW, {**ROW, "sampler": "sgld"}]))
    assert "0.weight[0:2]" in plain(table([ROW, {**ROW, "where": "0.weight[0:2]"}]))


def test_progress_is_bars_on_a_terminal_and_gone_at_the_end() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Terminal(console=console) as say:
        say.point("net=0", 0, 2)
        say("sample", 3, 10, {"llc": 9.481, "se": 0.11})
        assert say.bars is not None
        assert [(task.description, task.completed) for task in say.bars.tasks] == [("points", 0), ("sample", 3)]
        assert [task.fields["shown"] for task in say.bars.tasks] == ["net=0", "lambda 9.481 +- 0.11"]
        say.point("net=1", 1, 2)
        assert [task.description for task in say.bars.tasks] == ["points"]
    assert say.bars is None


def test_progress_is_lines_now_and_then_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Terminal(interval=0.0, console=Console(file=io.StringIO())) as say:
        say.point("net=0", 0, 2)
        say("sample", 3, 10, {"llc": 9.481})
    assert [record.getMessage() for record in caplog.records][-1] == "net=0 sample 3/10, lambda 9.481"
    caplog.clear()
    with Terminal(interval=1e9, console=Console(file=io.StringIO())) as say:
        say("sample", 3, 10, {})
    assert not caplog.records


def test_quiet_shows_nothing() -> None:
    out = io.StringIO()
    with Terminal("quiet", console=Console(file=out, force_terminal=True)) as say:
        say("sample", 3, 10, {})
        say.print(table([ROW]))
    assert out.getvalue() == ""


def test_numbers_beside_the_estimate_are_named() -> None:
    assert figures({"llc": 9.0, "se": 0.5, "chains": 16}) == "lambda 9 +- 0.5, 16 chains"
    assert figures({"loss": 0.25, "norm": 2.0}) == "loss 0.25 norm 2"
    assert figures({}) == ""


def test_a_line_tells_the_time_that_is_left(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, *(100.0 + 2 * k for k in range(9))])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO)
    with Terminal(interval=0.0, console=Console(file=io.StringIO())) as say:
        for done in (1, 2, 3):
            say("sample", done, 33, {"chains": 16})
        say("sample", 1, 33, {})  # again
    assert [record.getMessage() for record in caplog.records] == [
        "sample 1/33, 16 chains",
        "sample 2/33, 0:01:02 left, 16 chains",
        "sample 3/33, 0:01:00 left, 16 chains",
        "sample 1/33",
    ]


def test_jobs_that_share_a_terminal_draw_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "parent_process", object)
    with Terminal(console=Console(file=io.StringIO(), force_terminal=True)) as say:
        assert say.bars is None


def test_a_listing_that_is_too_wide_is_turned() -> None:
    rows = [{"sampler": name, **{f"column {k}": str(k) for k in range(12)}} for name in ("hmc", "sgld")]
    assert len(plain(listing("of all", rows, 160)).splitlines()) == 4
    turned = plain(listing("of all", rows, 100), width=100).splitlines()
    assert turned[1].split() == ["sampler", "hmc", "sgld"]
    assert turned[-1].split() == ["column", "11", "11", "11"]
    same = [{**row, "sampler": "hmc"} for row in rows]
    assert plain(listing("of all", same, 100)).splitlines()[2].startswith("hmc")  # two lines, and none is lost
