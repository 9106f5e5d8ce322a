"""Module <-> flat vector, and masks by parameter-name globs with a slice behind them where one wants part of a tensor.

The order is that of `module.named_parameters()`, each tensor row-major. Frozen parameters (requires_grad=False) and
buffers are constants of the model, not coordinates of w.

    "*.attn.*"                          every parameter whose name fits
    "blocks.0.attn.q.weight[0:16]"      its first 16 rows: a head
    "*.qkv.weight[:, -32:]"             the last 32 columns of each that fits

A slice is Python's: integers, start:stop:step with a step above 0, negative numbers from the end; an axis without one
is taken whole. Bounds must lie in the tensor. Digits alone in brackets at the end of a name are a set of characters, as
in any glob, where that fits a name.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

import torch
from torch import Tensor, nn

from llcx.types import Flat

Index = tuple[int | slice, ...]  # of a tensor; axes that are left out are taken whole


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
        """Names of which one of `globs` chooses something. ValueError for one that chooses nothing."""
        return frozenset(name for glob in globs for name, _ in self._parts(glob))

    def partial(self, globs: Sequence[str]) -> frozenset[str]:
        """Those names of `matching` of which `globs` choose some entries only."""
        chosen = torch.zeros(self.size, dtype=torch.bool)
        chosen[self.select(globs)] = True
        return frozenset(name for name in self.matching(globs) if not self.unflatten(chosen)[name].all())

    def select(self, globs: Sequence[str]) -> Tensor:
        """Positions [P'] of what `globs` choose, in their order in w; each once.

        Raises ValueError for a glob that matches no parameter, or whose slice does not fit one that it matches.
        """
        mask = torch.zeros(self.size, dtype=torch.bool)
        tensors = self.unflatten(mask)
        for name, index in (part for glob in globs for part in self._parts(glob)):
            tensors[name][index] = True
        return mask.nonzero().squeeze(1)

    def groups(self) -> dict[str, list[str]]:
        """The model's modules as globs by name: the outermost level at which there are several.

        A parameter that lies at that level itself is a group of its own.
        """
        paths, depth = [name.split(".") for name in self.names], 1
        while len({tuple(path[:depth]) for path in paths}) == 1 and depth < max(map(len, paths)):
            depth += 1
        found: dict[str, list[str]] = {}
        for name, path in zip(self.names, paths, strict=True):
            found.setdefault(".".join(path[:depth]), []).append(name)
        return {name: [name] if names == [name] else [f"{name}.*"] for name, names in found.items()}

    def _parts(self, glob: str) -> Iterator[tuple[str, Index]]:
        """Each name that a glob fits, and what it chooses of that parameter."""
        stem, suffix = _split(glob)
        found = [name for name in self.names if fnmatchcase(name, stem)] if suffix else []
        plain = [name for name in self.names if fnmatchcase(name, glob)] if ":" not in suffix else []
        if found and plain:
            raise ValueError(f"where={glob!r} fits {plain[0]} and a place in {found[0]}; write {stem}[i:i+1] for that")
        if not found and not plain:
            raise ValueError(f"where={glob!r} matches no parameter; names: {', '.join(self.names)}")
        shapes = dict(zip(self.names, self.shapes, strict=True))
        yield from ((name, ()) for name in plain)
        yield from ((name, _index(glob, suffix, name, tuple(shapes[name]))) for name in found)


def _split(glob: str) -> tuple[str, str]:
    """A glob without its slice, and what stands in the slice's brackets: nothing where there is none."""
    axis = r"\s*(?:-?\d+)?\s*(?::\s*(?:-?\d+)?\s*){0,2}"
    match = re.fullmatch(rf"(.+)\[({axis}(?:,{axis})*)\]", glob)
    return (match[1], match[2].strip()) if match else (glob, "")


def _index(glob: str, suffix: str, name: str, shape: tuple[int, ...]) -> Index:
    """The slice of a glob for a tensor of `shape`; ValueError, naming the shape, where it does not fit."""
    told = f"where={glob!r} must fit {name}, whose shape is {list(shape)}"
    axes = suffix.split(",")
    if len(axes) > len(shape):
        raise ValueError(f"{told}, got {len(axes)} axes; leave out those that are not there")
    found = []
    for text, size in zip(axes, shape, strict=False):
        numbers = [int(part) if part.strip() else None for part in text.split(":")]
        outside = [at for at in numbers[:2] if at is not None and not -size <= at <= size - (len(numbers) == 1)]
        if outside or numbers == [None]:
            raise ValueError(
                f"{told}, got {text.strip() or 'nothing'} on an axis of {size}; write start:stop within it"
            )
        if len(numbers) == 3 and numbers[2] is not None and numbers[2] < 1:
            raise ValueError(f"{told}, got {text.strip()}; the step must be above 0")
        one = numbers[0] if len(numbers) == 1 else slice(*numbers)
        if isinstance(one, slice) and not range(size)[one]:
            raise ValueError(f"{told}, got {text.strip()}, which chooses nothing of {size}")
        assert one is not None
        found.append(one)
    return tuple(found)


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
