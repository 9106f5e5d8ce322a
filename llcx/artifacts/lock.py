"""One writer a run folder: a lock file whose time is renewed while its writer lives.

A writer on this host that no longer exists, or any whose heartbeat stopped for STALE seconds, has lost the folder; so
has the earlier start of a job that its scheduler started again.
"""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

BEAT = 10.0  # s between heartbeats
STALE = 60.0  # s without a heartbeat after which a writer counts as dead
NAME = ".lock"


def alive(lock: Path) -> bool:
    """Whether the writer that `lock` names still writes."""
    try:
        age, who = time.time() - lock.stat().st_mtime, holder(lock)
    except FileNotFoundError:
        return False
    dead = who.get("host") == socket.gethostname() and not _exists(int(who.get("pid", 0)))
    return age < STALE and not dead and not started_again(who.get("job"), who.get("start", 0))


def started_again(job: str | None, start: int = 0) -> bool:
    """Whether this process belongs to a later start of the scheduler's `job` than that one."""
    return job is not None and job == os.environ.get("SLURM_JOB_ID") and starts() > start


def starts() -> int:
    """How often the scheduler has started this job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def holder(lock: Path) -> dict[str, Any]:
    """host, pid and token of the writer; empty while the file is being made."""
    try:
        return dict(json.loads(lock.read_text()))
    except json.JSONDecodeError:
        return {}


class Lock:
    """The right to write a folder; `take` it before the first write, `beat` while writing, `release` it at the end."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.token = uuid4().hex

    def take(self) -> None:
        """ValueError names the other writer where there is one."""
        while True:
            try:
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._clear()
                continue
            with os.fdopen(handle, "w") as file:
                who = {"host": socket.gethostname(), "pid": os.getpid(), "token": self.token}
                json.dump({**who, "job": os.environ.get("SLURM_JOB_ID"), "start": starts()}, file)
            return

    def beat(self) -> None:
        """RuntimeError where another writer has taken the folder, this one having slept for too long."""
        if holder(self.path).get("token") != self.token:
            raise RuntimeError(f"another process took over {self.path.parent} while this one stood still")
        os.utime(self.path)

    def release(self) -> None:
        try:
            if holder(self.path).get("token") == self.token:
                self.path.unlink()
        except FileNotFoundError:
            pass

    def _clear(self) -> None:
        """Take a dead writer's lock away; renamed first, so that of two who see it dead only one goes on."""
        aside = self.path.with_name(f"{NAME}.{self.token}")
        try:
            if not alive(self.path):
                os.rename(self.path, aside)
        except FileNotFoundError:
            return
        if not aside.exists() or alive(aside):
            if aside.exists():
                os.rename(aside, self.path)
            who = holder(self.path) if self.path.exists() else {}
            raise ValueError(
                f"the run folder must have one writer, got a second for {self.path.parent}; "
                f"wait for process {who.get('pid')} on {who.get('host')}, or stop it"
            )
        aside.unlink()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid > 0
