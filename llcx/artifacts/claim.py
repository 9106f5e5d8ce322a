"""Folders that nobody shares: made by the one who takes them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from llcx.artifacts.lock import Lock


def unused(path: str) -> str:
    """Make the folder `path`, or the first free one of path-2, path-3, ...; no two processes get the same.

    Raises ValueError where none can be made.
    """
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return next(name for name in _names(path) if _made(name))
    except OSError as error:
        raise not_writable(error) from error


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The right to run a sweep in `folder`; ValueError names the process that has it.

    No heartbeat renews it: by the time it is stale, the jobs have folders and locks of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder)
    lock.take()
    try:
        yield
    finally:
        lock.release()


def not_writable(error: OSError) -> ValueError:
    """What a user reads of an OSError: which file, why, and the way out."""
    return ValueError(f"{error.filename} must be writable, got: {error.strerror}; hydra.run.dir=DIR is another folder")


def _names(path: str) -> Iterator[str]:
    yield path
    yield from (f"{path}-{attempt}" for attempt in count(2))


def _made(path: str) -> bool:
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    return True
