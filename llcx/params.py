"""Module <-> flat vector, and masks by parameter-name globs.

The order is that of `module.named_parameters()`, each tensor row-major. Frozen parameters (requires_grad=False) and
buffers are constants of the model, not coordinates of w.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

import torch
from torch import Tensor, nn

from llcx.types import Flat


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the trainable parameters, in the order in which they lie in the flat vector."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @property
    def size(self) -> int:
        """P."""
        return sum(map(prod, self.shapes))

    def unflatten(self, w: Tensor) -> dict[str, Tensor]:
        """[..., P] -> name -> [..., *shape], as views."""
        parts = w.split([prod(shape) for shape in self.shapes], dim=-1)
        pairs = zip(self.names, parts, self.shapes, strict=True)
        return {name: part.reshape(w.shape[:-1] + shape) for name, part, shape in pairs}

    def matching(self, globs: Sequence[str]) -> frozenset[str]:
        """Names that match one of `globs`. A glob that matches nothing is refused."""
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in self.names):
                raise ValueError(f"where={glob!r} matches no parameter; names: {', '.join(self.names)}")
        return frozenset(name for name in self.names if any(fnmatchcase(name, glob) for glob in globs))

    def select(self, globs: Sequence[str]) -> Tensor:
        """Positions [P'] of the parameters whose names match one of `globs`."""
        chosen = self.matching(globs)
        masks = [torch.full((prod(s),), name in chosen) for name, s in zip(self.names, self.shapes, strict=True)]
        return torch.cat(masks).nonzero().squeeze(1)


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def layout(module: nn.Module) -> Layout:
    """Raises ValueError for a module without trainable parameters."""
    found = _trainable(module)
    if not found:
        raise ValueError("model must have trainable parameters, got none; set requires_grad=True on those to sample")
    return Layout(tuple(found), tuple(p.shape for p in found.values()))


def with_weights(module: nn.Module, w: Flat) -> nn.Module:
    """A copy of the module whose trainable parameters are w [P]."""
    moved = copy.deepcopy(module)
    for name, value in layout(module).unflatten(w).items():
        moved.get_parameter(name).data = value.to(moved.get_parameter(name)).clone()
    return moved


def flatten(module: nn.Module) -> Flat:
    """A copy of the trainable parameters as one vector [P]."""
    return torch.cat([p.detach().reshape(-1) for p in _trainable(module).values()])
