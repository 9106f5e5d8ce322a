"""A run folder as run.py writes it. Every method leaves it whole: a killed run has lost nothing that was done."""

import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from llcx.artifacts import lock
from llcx.artifacts.files import (
    Row,
    csv_lines,
    read_csv,
    read_yaml,
    replace,
    slug,
    write_arrays,
    write_json,
    write_tables,
    write_yaml,
)
from llcx.artifacts.folder import RunFolder, draws_path
from llcx.artifacts.lock import BEAT, Lock
from llcx.artifacts.manifest import peak_memory
from llcx.artifacts.rows import KEY, columns, texts
from llcx.tensorboard import Board
from llcx.types import Tables

FREE = (("run", "resume"), ("run", "verbosity"), ("run", "stages"))  # keys that a resumed run may change


class Writer(RunFolder):
    """The one writer of a run folder, as a context; what happens inside decides what status.json says at the end."""

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        manifest: Mapping[str, Any],
        resume: bool = False,
        tensorboard: bool = False,
    ) -> None:
        super().__init__(path)
        self.board = Board(path / "tensorboard") if tensorboard else None
        self._config, self._manifest, self._resume = dict(config), dict(manifest), resume
        self._lock, self._writing, self._over = Lock(path), threading.Lock(), threading.Event()
        self._status: Row = {}
        self._kept: list[dict[str, str]] = []
        self._lost: RuntimeError | None = None

    def __enter__(self) -> "Writer":
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock.take()
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._heart.join()
        if self._lost is None:
            told = None if error is None else " ".join(str(error).split()) or type(error).__name__
            state = "completed" if error is None else "failed" if isinstance(error, Exception) else "preempted"
            stack = None if error is None else "".join(traceback.format_exception(error))
            self._note(state=state, error=told, traceback=stack, ended=_now())
            self._lock.release()
        if self.board is not None:
            self.board.close()

    def add(self, row: Row, arrays: Mapping[str, Any] | None = None) -> None:
        """Write a measurement, its draws first: a row that can be read has them. A row of the same key gives way."""
        self._guard()
        if arrays is not None:
            write_arrays(self.path / draws_path(row), arrays)
            if self.board is not None:
                self.board.measurement(draws_path(row).stem, row, arrays)
        line = texts(row)
        same = [i for i, old in enumerate(self._kept) if _key(old) == _key(line)]
        if same:
            self._kept[same[0]] = line
        else:
            self._kept.append(line)
        names = columns(self._kept)
        replace(self.path / "metrics_summary.csv", csv_lines(names, self._kept))

    def has(self, point: str, sampler: str, where: str) -> bool:
        """Whether that measurement has a number already; what failed is tried again."""
        found = [row for row in self._kept if (row["point"], row["sampler"], row["where"]) == (point, sampler, where)]
        return bool(found) and all(row.get("llc") for row in found)

    def describe(self, task: str, point: str, info: Mapping[str, Any]) -> None:
        """target_info.json: the first point's facts at the top, every point's under `points`."""
        self._guard()
        found = self.target_info or {"schema": 1, "task": task, **info}
        points = found.setdefault("points", {})
        points[point] = points.get(point, {}) | {key: value for key, value in info.items() if key != "shapes"}
        write_json(self.path / "target_info.json", found)

    def tables(self, found: Tables) -> None:
        """analysis/<stem>.csv, analysis/<stem>.npz and analysis/<stem>.json."""
        self._guard()
        write_tables(self.path / "analysis", found)

    def table(self, stem: str) -> list[dict[str, str]]:
        """Rows of analysis/<stem>.csv; none where there is no such file."""
        return read_csv(self.path / "analysis" / f"{slug(stem)}.csv")

    def text(self, name: str, content: str) -> None:
        self._guard()
        replace(self.path / name, content.encode())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """status.json says `name` inside; its seconds are added up in run_info.json."""
        self._note(stage=name, done=0, total=0)
        start = time.monotonic()
        try:
            yield
        finally:
            self.spend(name, seconds=time.monotonic() - start)

    def spend(self, stage: str, **amounts: int | float) -> None:
        """Add seconds and gradient evaluations to a stage's account."""
        self.charge({"stages": {stage: amounts}})

    def charge(self, accounts: Mapping[str, Mapping[str, Mapping[str, int | float]]]) -> None:
        """Add to run_info.json: group (stages, or measuring: the parts of that one) -> name -> seconds, gradients.

        With it the most memory that this process, or one before it, has held.
        """
        self._guard()
        info = self.run_info
        for group, parts in accounts.items():
            for name, amounts in parts.items():
                account = info.setdefault(group, {}).setdefault(name, {"seconds": 0.0, "gradients": 0})
                for key, amount in amounts.items():
                    account[key] += amount
        if (most := peak_memory()) is not None:
            info["peak_memory_gib"] = max(most, info.get("peak_memory_gib", 0.0))
        write_json(self.path / "run_info.json", info)

    def at(self, done: int, total: int) -> None:
        """How far the stage is; on disk with the next heartbeat."""
        self._status |= {"done": done, "total": total}

    def _open(self) -> None:
        if not self._resume:
            refuse_used(self.path)
        if _begun(self.path):
            refuse_differences(self._config, read_yaml(self.path / "config.yaml"), self.path)
            self._kept = self.rows
        else:
            write_yaml(self.path / "config.yaml", self._config)
        sessions = [*self.run_info.get("sessions", []), {"start": _now(), "command": self._manifest.get("command")}]
        info = {**self._manifest, **self.run_info, "sessions": sessions}
        write_json(self.path / "run_info.json", info)
        who = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
        self._note(state="running", stage="start", started=_now(), error=None, **who)

    def _note(self, **changes: Any) -> None:
        with self._writing:
            self._status |= changes | {"heartbeat": _now()}
            write_json(self.path / "status.json", self._status)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            try:
                self._lock.beat()
                self._note()
            except RuntimeError as error:
                self._lost = error
                return
            except OSError:
                continue  # a full or absent disk for one beat; the next write of the run itself will say so

    def _guard(self) -> None:
        if self._lost is not None:
            raise self._lost


def refuse_used(path: Path) -> None:
    """ValueError where a new run is sent into the folder of another, unless the scheduler started that job again."""
    status = RunFolder(path).status if _begun(path) else {}
    if status and not lock.started_again(status.get("job")):
        raise ValueError(f"hydra.run.dir must be a folder without a run, got {path}; run.resume={path} goes on with it")


def note_failure(path: Path, error: Exception) -> None:
    """status.json of a run that failed before it began: what was asked for could not be."""
    if path.is_dir() and not _begun(path):
        told, stack = " ".join(str(error).split()), "".join(traceback.format_exception(error))
        state = {"state": "failed", "stage": "start", "error": told, "traceback": stack, "ended": _now()}
        write_json(path / "status.json", state)


def _begun(path: Path) -> bool:
    """Whether a run has written its configuration there, the first that one does."""
    return (path / "config.yaml").exists()


def refuse_differences(here: Mapping[str, Any], there: Mapping[str, Any], path: Path) -> None:
    """ValueError names the first key in which a resumed run's configuration differs from the one it began with."""
    ours, theirs = flat(here), flat(there)
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        if key not in FREE and ours.get(key, "absent") != theirs.get(key, "absent"):
            raise ValueError(
                f"{'.'.join(key)} must be {theirs.get(key, 'absent')} as in {path}/config.yaml, got "
                f"{ours.get(key, 'absent')}; leave run.resume out for a new run"
            )


def flat(node: Any, key: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """A nested mapping as full key -> value; lists and empty mappings are values, and so is what `run.stages` lists."""
    if not isinstance(node, Mapping) or not node:
        return {key: node}
    return {found: value for name, part in node.items() for found, value in flat(part, (*key, str(name))).items()}


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    """(point, sampler, where): one run measures each with one target, which a failed row may not know."""
    return tuple(row.get(name, "") for name in KEY[:3])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
