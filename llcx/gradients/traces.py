"""Backend `fx`: a gradient for all chains that is recorded once for each shape, and then run as a list of operations.

    (w [C, P], batch, reference) -> (K [C], grad [C, P])

A recording costs about as much as a few hundred of its calls save, so that it is made where as many are announced, and
where operations are so small that what is between them counts, or products are faster elsewhere (products.py). Both are
counted, never timed: the same run takes the same way wherever and whenever it goes on. The first result of a recording
is held against vmap's.
"""

import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from llcx.gradients import captured, products
from llcx.gradients.announced import announced, ran
from llcx.gradients.compiled import Compiled
from llcx.gradients.graph import recorded
from llcx.gradients.quicker import Found, Quicker, off
from llcx.types import Chains

log = logging.getLogger(__name__)
PAYS = 100  # calls that save what a recording costs
HEAVY = 5e6  # floating-point operations of one tensor operation, beside which its call is nothing
NARROW = 1e3  # and of one row in it, below which turning rows (graph.py) counts however many they are
KEPT = 16  # recordings, the longest unused of which makes place for the next

Recording = GraphModule | Quicker
Gradient = Callable[[Chains, Any, int | None, float], Found]


class Traces:
    """Recordings of `gradient(w [C, P], given, axis, scale) -> (K [C], grad [C, P])` by shape and by what is constant.

    `axis`: of chains in `given`.
    """

    def __init__(self, gradient: Gradient, weight: float, backend: str = "auto", tells: bool = True) -> None:
        """`weight`: floating-point operations of one row in one tensor operation.

        `backend`: auto records where it pays, fx always, and compile compiles what is announced as repeated besides.
        On a GPU the others capture that as a CUDA graph.
        `tells`: what announced the calls learns on which backend they ran.
        """
        self._gradient, self._weight, self._backend, self._tells = gradient, weight, backend, tells
        self._kept: OrderedDict[Any, Recording | None] = OrderedDict()

    def __call__(self, w: Chains, given: Any, axis: int | None, scale: float) -> Found:
        """K and its gradient on `given`, a tree of tensors, times `scale`."""
        leaves, _ = tree_flatten(given)
        run = self.of(w, tuple(leaf.shape for leaf in leaves), lambda: given, axis, scale)
        return self._gradient(w, given, axis, scale) if run is None else run.forward(w.detach(), *leaves)

    def of(
        self, w: Chains, shape: tuple[Any, ...], given: Callable[[], Any], axis: int | None, scale: float
    ) -> Recording | None:
        """The recording for w and `given` of this `shape`, of (w, *leaves); None where vmap does it."""
        rows = len(w) * (1 if not shape else shape[0][0] if axis is None else shape[0][1])
        found = None
        often = announced() >= PAYS
        if self._backend != "auto" or (often and self._pays(rows)):
            quicker = self._quicker(w) if often else None
            key = (quicker, w.shape, axis, scale, *shape)  # of one source, whose types stay the same
            if key in self._kept:
                self._kept.move_to_end(key)
            else:
                self._kept[key] = self._record(w, *tree_flatten(given()), axis, scale, quicker)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            found = self._kept[key]
        if self._tells and not isinstance(found, Quicker):  # which tells it when it has run
            ran("vmap" if found is None else "fx")
        return found

    def _pays(self, rows: int) -> bool:
        return self._weight < NARROW or rows * self._weight < HEAVY or products.wanted()

    def _quicker(self, w: Chains) -> type[Quicker] | None:
        """What is made of a recording that is called often."""
        if self._backend == "compile":
            return Compiled
        return captured.Captured if captured.possible(w) else None

    def _record(
        self,
        w: Chains,
        leaves: Sequence[Tensor],
        spec: TreeSpec,
        axis: int | None,
        scale: float,
        quicker: type[Quicker] | None,
    ) -> Recording | None:
        """None, saying why, where the gradient cannot be recorded, or what was recorded gives another one."""

        def plain(w: Chains, *leaves: Tensor) -> Found:
            return self._gradient(w, tree_unflatten(leaves, spec), axis, scale)

        first = off(w.detach())
        axes = (0,) if axis is None else (0, 1)
        other: list[Tensor] = [off(first), *(leaf.roll((1,) * len(axes), axes) for leaf in leaves)]  # other numbers
        try:
            with torch.no_grad(), quiet():
                module = recorded(plain, (first, *leaves))
                found = module.forward(*other)
        except Exception as error:  # whatever may be wrong with recording a module that is not ours
            log.info("backend vmap: the gradient cannot be recorded (%s)", str(error).partition("\n")[0])
            return None
        if found[1].untyped_storage().data_ptr() in {
            each.untyped_storage().data_ptr() for each in (*other, *module.buffers())
        }:
            log.info("backend vmap: the gradient is a constant")  # and whoever gets it writes into it
            return None
        rows = 1 if not leaves else leaves[0].shape[0 if axis is None else 1]
        near = partial(_close, rows=scale * rows)
        if not near(found, plain(*other)):
            log.warning("backend vmap: what was recorded of this loss gives other gradients")
            return None
        return module if quicker is None else quicker(module, near)


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


def _close(found: Found, truth: Found, rows: float) -> bool:
    """Within the square root of the precision, and 1e-4; of losses, a row's, `rows` of which make up K."""
    limit = min(1e-4, torch.finfo(truth[1].dtype).eps ** 0.5)
    near = (found[1] - truth[1]).double().norm() <= limit * truth[1].double().norm()
    return bool(near) and bool(((found[0] - truth[0]).abs() <= limit * (truth[0].abs() + rows)).all())
