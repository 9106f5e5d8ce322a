"""Signals that ask a run to end. It ends between two steps, when what it has is on the disk.

A scheduler's own handler, as submitit's for SIGUSR2, is called afterwards, so that it can queue the job again; where
the scheduler handles SIGTERM itself, that signal only makes the run keep its state, since another will follow.
"""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

log = logging.getLogger(__name__)
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class Stopped(BaseException):
    """The run was asked to end, and has left everything that it needs to go on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"


class Signals:
    """Handlers of ASKING as a context: they note the signal, and `rest` acts on it. Without the context none is seen.

    Outside the main thread, where Python allows no handlers, signals do what they would without llcx.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._asked: int | None = None

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in ASKING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether the state shall be kept now."""
        return self._asked is not None

    def rest(self) -> None:
        """Raise Stopped where the run was asked to end; call it between two steps, with the state kept."""
        number, self._asked = self._asked, None
        if number is not None and self._ends(number):
            raise Stopped(number)

    def hand_on(self, stopped: Stopped) -> None:
        """Call the handler that the signal had before: a scheduler's queues the job again, and may not return."""
        before = self._before.get(stopped.number)
        if callable(before) and stopped.number != signal.SIGINT:
            before(stopped.number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._asked == number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = number
        what = "ending after this step" if self._ends(number) else "keeping the state after this step"
        again = "; once more to end at once" if number == signal.SIGINT else ""
        log.warning("%s: %s%s", signal.Signals(number).name, what, again)

    def _ends(self, number: int) -> bool:
        """Whether the signal ends the run; a SIGTERM that the scheduler handles itself does not."""
        return not (number == signal.SIGTERM and callable(self._before.get(number)))
