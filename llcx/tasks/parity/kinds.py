"""The kernels that a study takes along a training, each from the weights at named moments.

init         at the start
final        at the end
headless     final, without the weights of the first layer
features     final, with the weights of the last layer alone
running=F    when the loss first fell below F of what it was at the start
delta        final - init: the change of a kernel, and none itself
stretch      init, of inputs whose irrelevant coordinates are compressed as the first layer had learned to do by
             the moment `fitted`: what feature learning would be, were it this alone (Paccolat et al. 2021,
             arXiv:2007.11471)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.settings import one_of
from llcx.tasks.parity.data import Strings
from llcx.tasks.parity.ensemble import Probe
from llcx.tasks.parity.kernels import Blocks, Source, blocks

PART_AT_END = {"final": "all", "headless": "headless", "features": "features"}
KINDS = ("init", *PART_AT_END, "running", "delta", "stretch")


def roles(kind: str) -> tuple[str, ...]:
    """The moments whose weights a kind needs: init, final, fitted or loss=F.

    Raises ValueError for an unknown kind and for a fraction outside (0, 1).
    """
    name, _, fraction = kind.partition("=")
    one_of("task.kernel.kinds", name, KINDS)
    if name == "running":
        return (f"loss={_share(kind, fraction):g}",)
    if fraction:
        raise ValueError(f"task.kernel.kinds must hold {name}, got {kind}; only running=F has a fraction")
    return {"init": ("init",), "delta": ("init", "final"), "stretch": ("init", "fitted")}.get(name, ("final",))


def _share(kind: str, fraction: str) -> float:
    try:
        share = float(fraction)
    except ValueError:
        share = nan
    if not 0 < share < 1:
        raise ValueError(f"task.kernel.kinds must hold running=F with F in (0, 1), a share of the loss, got {kind}")
    return share


def trainable(kind: str) -> bool:
    """Whether a kernel machine can be trained with it: a difference of kernels is none."""
    return kind != "delta"


@dataclass(frozen=True)
class Study:
    """What kernels are taken of: a network's gradients, and strings that members share or have each for itself."""

    source: Source
    strings: Strings
    bits: int  # inputs that are bits; what follows them (a constant) is left as it is
    probe: Probe  # (w, w, support [M, k]) -> `relevant` and `irrelevant`: rms of the first layer's weights from bits

    def kernel(self, kind: str, weights: Mapping[str, Float[Tensor, "M P"]], *, tete: bool = True) -> Blocks:
        """Of M members, from their weights at `roles(kind)`. Raises ValueError for a moment that is missing."""
        at = []
        for role in roles(kind):
            if role not in weights:
                raise ValueError(f"weights must hold {role!r} for kernel {kind}, got {', '.join(weights) or 'none'}")
            at.append(weights[role])
        train, test = self.strings.x_train, self.strings.x_test
        if kind == "delta":
            first, last = (blocks(self.source, w, train, test, tete=tete) for w in at)
            return last.minus(first)
        if kind == "stretch":
            train, test = (self.stretched(x, self.ratio(at[1])) for x in (train, test))
        return blocks(self.source, at[0], train, test, PART_AT_END.get(kind, "all"), tete=tete)

    def ratio(self, w: Float[Tensor, "M P"]) -> Float[Tensor, " M"]:
        """First-layer weights from relevant bits over those from irrelevant ones."""
        support = self.strings.support
        found = self.probe(w, w, support.expand(len(w), support.shape[-1]))
        return found["relevant"] / found["irrelevant"]

    def stretched(self, x: Float[Tensor, "*M1 N d"], ratio: Float[Tensor, " M"]) -> Float[Tensor, "M N d"]:
        """Irrelevant bits divided by each member's ratio."""
        support, d = self.strings.support, x.shape[-1]
        relevant = torch.zeros(*support.shape[:-1], d, dtype=torch.bool, device=x.device).scatter(-1, support, True)
        irrelevant = ~relevant & (torch.arange(d, device=x.device) < self.bits)
        return torch.where(irrelevant.unsqueeze(-2), x / ratio[:, None, None], x)
