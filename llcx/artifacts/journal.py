"""What one measurement has so far, in a folder of its own under states/ until its row is written.

    plan.pt     what calibration decided
    0.pt, ...   a file for each run of chains, in the order in which the measurement makes them: state, then result

A measurement that is shorter than the interval between two saves leaves nothing, and is repeated.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from llcx.artifacts import states
from llcx.artifacts.files import slug
from llcx.types import State

SHARE = 50  # of the time that keeping a state takes passes before the next is kept


@runtime_checkable
class Pause(Protocol):
    """Who knows whether the run was asked to end (signals.Signals)."""

    @property
    def asked(self) -> bool: ...

    def rest(self) -> None: ...


class Journal:
    """The files of one measurement, a row's; at least `interval` s lie between two saves."""

    def __init__(self, folder: Path, row: Mapping[str, Any], interval: float, pause: Pause) -> None:
        name = "--".join(slug(str(row[key])) for key in ("point", "sampler", "where"))
        self.path, self.interval, self._pause = folder / "states" / name, interval, pause
        self._next = time.monotonic() + interval
        self._runs = 0
        self._pending: dict[Path, State] = {}

    def once(self, name: str, make: Callable[[], State]) -> State:
        """What `make` gave the first time."""
        path = self.path / f"{name}.pt"
        if path.exists():
            return states.load(path)
        self._pending[path] = state = make()
        if self._pause.asked:
            self._flush()
            self._pause.rest()
        return state

    def keeper(self) -> "Keeper":
        """That of the next run."""
        self._runs += 1
        return Keeper(self, self.path / f"{self._runs - 1}.pt")

    def offer(self, path: Path, state: Callable[[], State]) -> None:
        """Save what is not on the disk yet, where it is time or the run was asked to end; then that ends it."""
        begun = time.monotonic()
        if not self._pause.asked and begun < self._next:
            return
        self._pending[path] = state()
        self._flush()
        self._next = time.monotonic() + max(self.interval, SHARE * (time.monotonic() - begun))
        self._pause.rest()

    def clear(self) -> None:
        """The row is written."""
        self._pending.clear()
        shutil.rmtree(self.path, ignore_errors=True)

    def _flush(self) -> None:
        for path, state in self._pending.items():
            states.save(path, state)
        self._pending.clear()


class Keeper:
    """The file of one run of chains."""

    def __init__(self, journal: Journal, path: Path) -> None:
        self.journal, self.path = journal, path

    def found(self) -> State | None:
        return states.load(self.path) if self.path.exists() else None

    def offer(self, state: Callable[[], State]) -> None:
        """Raises signals.Stopped, with the state kept, where the run was asked to end."""
        self.journal.offer(self.path, state)

    def finish(self, result: State) -> None:
        self.journal.offer(self.path, lambda: result)
