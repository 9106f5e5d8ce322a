"""What a person sees: bars on a terminal, lines elsewhere, a table that keeps its brackets."""

import io
import logging

import pytest
from rich.console import Console

from llcx.terminal import Terminal, figures, plain, table

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


def test_progress_is_bars_on_a_terminal_and_gone_at_the_end() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Terminal(console=console) as say:
        say.point("net=0", 0, 2)
        say("sample", 3, 10, {"llc": 9.481, "se": 0.11})
        assert say.bars is not None
        assert [(task.description, task.completed) for task in say.bars.tasks] == [("points", 0), ("net=0 sample", 3)]
        assert say.bars.tasks[1].fields["shown"] == "lambda 9.481 +- 0.11"
        say.point("net=1", 1, 2)
        assert [task.description for task in say.bars.tasks] == ["points"]
    assert say.bars is None


def test_progress_is_lines_now_and_then_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Terminal(interval=0.0, console=Console(file=io.StringIO())) as say:
        say.point("net=0", 0, 2)
        say("sample", 3, 10, {"llc": 9.481})
    assert [record.getMessage() for record in caplog.records][-1] == "net=0 sample 3/10 lambda 9.481"
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
    assert figures({"llc": 9.0, "se": 0.5, "rhat": 1.02}) == "lambda 9 +- 0.5 rhat 1.02"
    assert figures({"loss": 0.25}) == "loss 0.25"
