"""Memory that steps of chains give back and ask for again, held in between.

glibc hands large pieces back to the system at once, and the system clears each page before it gives it again: a third
of the time of a model with millions of parameters.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

TRIM, PIECES = -1, -4  # what mallopt(3) calls M_TRIM_THRESHOLD and M_MMAP_MAX
HELD = {TRIM: 2**31 - 1, PIECES: 0}
USUAL = {TRIM: 2**27, PIECES: 2**16}
_inside = 0


@contextmanager
def held() -> Iterator[None]:
    """Inside, freed memory stays with the process; at the end it goes back. Nothing changes without glibc."""
    global _inside
    library = _glibc()
    if library is None:
        yield
        return
    _inside += 1
    for what, value in HELD.items():
        library.mallopt(what, value)
    try:
        yield
    finally:
        _inside -= 1
        if not _inside:
            for what, value in USUAL.items():
                library.mallopt(what, value)
            library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if all(hasattr(library, name) for name in ("gnu_get_libc_version", "mallopt")) else None
