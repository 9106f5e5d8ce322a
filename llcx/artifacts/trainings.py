"""What a training leaves: its last state (resume), its snapshots (points), its metrics.

After a kill the last saved state is the truth: metrics after it are dropped and come again, snapshots too.
"""

import os
import time
from pathlib import Path

from llcx.artifacts import states
from llcx.artifacts.files import csv_lines, read_csv, replace, slug
from llcx.tensorboard import Board
from llcx.types import Event, State

COLUMNS = ("training", "step", "time", "split", "name", "value")


class TrainingLog:
    """The files of one training in a run folder."""

    def __init__(self, path: Path, name: str, interval: float = 0.0, board: Board | None = None) -> None:
        self.name, self.interval, self._board = name, interval, board
        self._state = path / "states" / f"{slug(name)}.pt"
        self._snapshots = path / "checkpoints" / slug(name)
        self._metrics = path / "metrics.csv"
        self._pending: list[dict[str, object]] = []
        self.step = 0  # of the last event
        self._saved = self._start = time.monotonic()

    @property
    def done(self) -> bool:
        return self._state.exists() and bool(states.read(self._state)["done"])

    def roles(self) -> list[str]:
        """File names of the snapshots that exist."""
        return sorted(path.stem for path in self._snapshots.glob("*.pt"))

    def snapshot(self, role: str) -> State | None:
        path = self._snapshots / f"{slug(role)}.pt"
        return states.load(path) if path.exists() else None

    def resume(self) -> State | None:
        """The last saved state, whose step `step` then is; metrics after it are dropped. None: from the beginning."""
        found = states.read(self._state) if self._state.exists() else None
        step = int(found["step"]) if found else -1
        rows = read_csv(self._metrics)
        kept = [row for row in rows if _whole(row) and (row["training"] != self.name or int(row["step"]) <= step)]
        if len(kept) < len(rows):
            replace(self._metrics, csv_lines(COLUMNS, kept))
        if found is None:
            return None
        self._start, self.step = time.monotonic() - float(found["seconds"]), step
        return dict(found["state"])

    def follow(self, event: Event, now: bool = False) -> None:
        """Keep what an event brings; the state is saved with every snapshot, after `interval` s, or `now`."""
        seconds = time.monotonic() - self._start
        for key, value in event.metrics.items():
            split, _, name = key.rpartition("/")
            row = {"training": self.name, "step": event.step, "time": round(seconds, 3), "name": name}
            self._pending.append({**row, "split": split or "train", "value": float(value)})
        for role, weights in event.snapshots.items():
            states.save(self._snapshots / f"{slug(role)}.pt", weights, role=role)
        self.step = event.step
        if now or event.snapshots or time.monotonic() - self._saved >= self.interval:
            self._save(event.state, event.step, done=False)

    def finish(self) -> None:
        """The training is over: its state, which nothing needs any more, gives way to a mark."""
        self._save({}, self.step, done=True)

    def flush(self) -> None:
        """Append what was measured so far to metrics.csv, and to TensorBoard's files where there are any."""
        if self._pending:
            with open(self._metrics, "ab") as handle:
                handle.write(csv_lines(COLUMNS, self._pending, header=handle.tell() == 0))
                handle.flush()
                os.fsync(handle.fileno())
            if self._board is not None:
                self._board.metrics(slug(self.name), self._pending)
        self._pending = []

    def _save(self, state: State, step: int, done: bool) -> None:
        """Metrics first: what a resumed training will not repeat must be on disk before its state is."""
        self.flush()
        states.save(self._state, state, step=step, done=done, seconds=time.monotonic() - self._start)
        self._saved = time.monotonic()


def _whole(row: dict[str, str]) -> bool:
    """Whether all its cells were written."""
    return all(row.get(key) is not None for key in COLUMNS) and row["step"].isdigit()
