"""Signals: a run ends between two steps with its state kept, and whoever handled the signal before is called."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llcx import artifacts
from llcx.signals import ASKING, Signals, Stopped
from tests.running import comparable, resume, start, toys_registered


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


@pytest.fixture
def handler() -> Iterator[list[int]]:
    """A scheduler's handlers of SIGUSR2 and SIGTERM, which note what they are called with."""
    seen: list[int] = []
    before = {n: signal.signal(n, lambda number, frame: seen.append(number)) for n in (signal.SIGUSR2, signal.SIGTERM)}
    yield seen
    for number, old in before.items():
        signal.signal(number, old)


@pytest.mark.parametrize("number", ASKING)
def test_a_signal_is_noted_and_acted_on_at_rest(number: int) -> None:
    before = [signal.getsignal(each) for each in ASKING]
    with Signals() as signals:
        signals.rest()
        os.kill(os.getpid(), number)
        assert signals.asked
        with pytest.raises(Stopped, match=signal.Signals(number).name):
            signals.rest()
    assert [signal.getsignal(each) for each in ASKING] == before


def test_a_second_interrupt_ends_at_once() -> None:
    with Signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_scheduler_is_told_after_the_state_is_kept(handler: list[int]) -> None:
    signals = Signals()
    with signals:
        os.kill(os.getpid(), signal.SIGUSR2)
        with pytest.raises(Stopped) as stopped:
            signals.rest()
    assert handler == []
    signals.hand_on(stopped.value)
    assert handler == [signal.SIGUSR2]


def test_a_sigterm_that_the_scheduler_handles_itself_keeps_the_state_and_goes_on(handler: list[int]) -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.asked
        signals.rest()
        assert not signals.asked


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "task.nets=3"), (signal.SIGUSR2, "task.trainings=2")])
def test_a_run_that_is_asked_to_end_ends_between_steps_and_goes_on_later(
    number: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes in the middle of the first training, or of the first measurement."""
    asking = ("llcx.run.Terminal.__call__", 2) if "trainings" in word else ("llcx.survey.Terminal.__call__", 5)
    calls = []

    def counted(self: Any, *rest: Any) -> None:
        calls.append(rest)
        if len(calls) == asking[1]:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(asking[0], counted)
        assert start(tmp_path / "stopped", word) == 128 + number
    told = capsys.readouterr().err
    assert f"error: stopped by {signal.Signals(number).name}" in told
    assert "run.resume" in told
    half = artifacts.load(tmp_path / "stopped")
    assert half.status["state"] == "preempted"
    assert list((tmp_path / "stopped" / "states").rglob("*.pt"))
    assert not half.rows
    assert resume(tmp_path / "stopped") == 0
    assert start(tmp_path / "whole", word) == 0
    whole, again = artifacts.load(tmp_path / "whole"), artifacts.load(tmp_path / "stopped")
    assert comparable(again.rows) == comparable(whole.rows)
    assert not list((tmp_path / "stopped" / "states").glob("net*/*.pt")), "a state whose row is written goes"
