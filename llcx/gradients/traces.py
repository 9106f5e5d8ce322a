"""Backend `fx`: a gradient for all chains that is recorded once for each shape, and then run as a list of operations.

    (w [C, P], batch, reference) -> (K [C], grad [C, P])

A recording costs about as much as a few hundred of its calls save, so that it is made where `repeated` announces as
many, and where operations are so small that what is between them counts. Both are counted, never timed: the same run
takes the same way wherever and whenever it goes on. The first result of a recording is held against vmap's.
"""

import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from llcx.gradients.graph import recorded
from llcx.types import Chains, PerChain

log = logging.getLogger(__name__)
PAYS = 100  # calls that save what a recording costs
HEAVY = 5e6  # floating-point operations of one tensor operation, beside which its call is nothing
NARROW = 1e3  # and of one row in it, below which turning rows (graph.py) counts however many they are
KEPT = 16  # recordings, the longest unused of which makes place for the next

Found = tuple[PerChain, Chains]
Recording = Callable[..., Found]
Gradient = Callable[[Chains, Any, int | None], Found]
_calls: ContextVar[int] = ContextVar("calls", default=1)


@contextmanager
def repeated(calls: int) -> Iterator[None]:
    """Announces that gradients inside will be asked for so many times, in a few shapes."""
    token = _calls.set(calls)
    try:
        yield
    finally:
        _calls.reset(token)


class Traces:
    """Recordings of `gradient(w [C, P], given, axis) -> (K [C], grad [C, P])` by shape; axis: of chains in `given`."""

    def __init__(self, gradient: Gradient, weight: float, always: bool = False) -> None:
        """`weight`: floating-point operations of one row in one tensor operation; `always`: repeated or not."""
        self._gradient, self._weight, self._always = gradient, weight, always
        self._kept: OrderedDict[Any, Recording | None] = OrderedDict()

    def __call__(self, w: Chains, given: Any, axis: int | None) -> Found:
        """K and its gradient on `given`, a tree of tensors."""
        leaves, spec = tree_flatten(given)
        rows = len(w) * leaves[0].shape[0 if axis is None else 1]
        if not (self._always or (_calls.get() >= PAYS and self._pays(rows))):
            return self._gradient(w, given, axis)
        key = (w.shape, axis, *(leaf.shape for leaf in leaves))  # of one source, whose types stay the same
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = self._record(w, leaves, spec, axis)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        run = self._kept[key]
        return self._gradient(w, given, axis) if run is None else run(w.detach(), *leaves)

    def _pays(self, rows: int) -> bool:
        return self._weight < NARROW or rows * self._weight < HEAVY

    def _record(self, w: Chains, leaves: Sequence[Tensor], spec: TreeSpec, axis: int | None) -> Recording | None:
        """None, saying why, where the gradient cannot be recorded, or what was recorded gives another one."""

        def plain(w: Chains, *leaves: Tensor) -> Found:
            return self._gradient(w, tree_unflatten(leaves, spec), axis)

        first = off(w.detach())
        axes = (0,) if axis is None else (0, 1)
        other = (off(first), *(leaf.roll((1,) * len(axes), axes) for leaf in leaves))  # other numbers everywhere
        try:
            with torch.no_grad(), quiet():
                run: Recording = recorded(plain, (first, *leaves)).forward
                found = run(*other)
        except Exception as error:  # whatever may be wrong with recording a module that is not ours
            log.info("backend vmap: the gradient cannot be recorded (%s)", str(error).partition("\n")[0])
            return None
        if not _close(found, plain(*other), rows=leaves[0].shape[0 if axis is None else 1]):
            log.warning("backend vmap: what was recorded of this module gives other gradients")
            return None
        return run


def off(w: Chains) -> Chains:
    """Not where a gradient vanishes: at w* that of the self target has no digits to compare."""
    return w + 0.3 * w.abs().mean().clamp(min=1e-3)


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Inside, vmap's warnings of operations that it does chain by chain are kept instead: their names."""
    names: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield names
    for each in caught:
        text = str(each.message)
        if "performance drop" in text:
            names.append(text.partition("batching rule for ")[2].split(".")[0].split(" ")[0])
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


@contextmanager
def unheard() -> Iterator[None]:
    """Inside, those warnings are dropped."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


def _close(found: Found, truth: Found, rows: int) -> bool:
    """Within the square root of the precision; of losses, a row."""
    limit = torch.finfo(truth[1].dtype).eps ** 0.5
    near = (found[1] - truth[1]).double().norm() <= limit * truth[1].double().norm()
    return bool(near) and bool(((found[0] - truth[0]).abs() <= limit * (truth[0].abs() + rows)).all())
