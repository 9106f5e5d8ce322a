"""How often gradients will be asked for, and on which backends they came about.

Whoever runs chains announces their calls; recordings (traces.py) are made where they pay.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Repeated:
    """How often gradients are asked for, and on which backends they came about."""

    calls: int
    backends: set[str] = field(default_factory=set)

    @property
    def backend(self) -> str:
        """compile | cuda_graph | fx | vmap | seq, the quickest that ran; "": no module's loss was differentiated."""
        return next((name for name in ("compile", "cuda_graph", "fx", "vmap", "seq") if name in self.backends), "")


_repeated: ContextVar[Repeated | None] = ContextVar("repeated", default=None)


@contextmanager
def repeated(calls: int) -> Iterator[Repeated]:
    """Announces that gradients inside will be asked for so many times, in a few shapes; what it gives is told how."""
    found = Repeated(calls)
    token = _repeated.set(found)
    try:
        yield found
    finally:
        _repeated.reset(token)


def ran(backend: str) -> None:
    """Tells whoever announced it on which backend a gradient came about."""
    if (found := _repeated.get()) is not None:
        found.backends.add(backend)


def announced() -> int:
    """Calls."""
    return 1 if (found := _repeated.get()) is None else found.calls
