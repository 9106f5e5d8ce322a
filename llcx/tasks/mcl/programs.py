"""Compositions, which are ordered tuples of primitive types, and programs, which are compositions with parameters.

The first type of a composition is applied first. Its code, its group and its name are the same in every split:

    code   sum over places s of (type_s + 1) 7^s        a composition's identity
    group  multi_hot: sum over its types of 2^type      ordered: the code
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llcx.tasks.mcl.primitives import NAMES, Grids, Rules

TYPES = len(NAMES)
ABSENT = -1  # type and parameter of a step that a program has not got

Composition = tuple[int, ...]
Steps = Int[Tensor, "B L"]


class Program(NamedTuple):
    """One a row, padded with ABSENT to a common length."""

    types: Int[Tensor, "B L"]
    params: Int[Tensor, "B L"]


def every(length: int, *, repeats: bool = True) -> tuple[Composition, ...]:
    """All compositions of so many steps, in order; without `repeats`, those of different types alone."""
    found = product(range(TYPES), repeat=length)
    return tuple(each for each in found if repeats or len(set(each)) == length)


def name(composition: Sequence[int]) -> str:
    """`shift+flip`: first shift, then flip."""
    return "+".join(NAMES[kind] for kind in composition)


def code(composition: Sequence[int]) -> int:
    return sum((kind + 1) * (TYPES + 1) ** place for place, kind in enumerate(composition))


def decoded(code: int) -> Composition:
    """The composition of a code."""
    found = []
    while code:
        code, kind = divmod(code, TYPES + 1)
        found.append(kind - 1)
    return tuple(found)


def group(composition: Sequence[int], group_by: str) -> int:
    """Raises ValueError for a grouping that there is not."""
    return int(groups(padded([composition], len(composition)), group_by))


def padded(compositions: Sequence[Sequence[int]], longest: int) -> Int[Tensor, "M L"]:
    """Types of each composition."""
    return torch.tensor([[*each, *[ABSENT] * (longest - len(each))] for each in compositions]).view(-1, longest)


def codes(types: Steps) -> Int[Tensor, " B"]:
    """`code` of each row."""
    return ((types + 1) * (TYPES + 1) ** torch.arange(types.shape[1], device=types.device)).sum(1)


def multi_hot(types: Steps) -> Float[Tensor, "B 6"]:
    """1 where a row has that type at all."""
    return (types.unsqueeze(2) == torch.arange(TYPES, device=types.device)).any(1).float()


def groups(types: Steps, group_by: str) -> Int[Tensor, " B"]:
    """`group` of each row. Raises ValueError for a grouping that there is not."""
    if group_by == "multi_hot":
        return (multi_hot(types).long() << torch.arange(TYPES, device=types.device)).sum(1)
    if group_by == "ordered":
        return codes(types)
    raise ValueError(f"task.data.group_by must be multi_hot or ordered, got {group_by}")


def execute(rules: Rules, grids: Grids, program: Program) -> Grids:
    """What each program makes of its grid."""
    for types, params in zip(program.types.unbind(1), program.params.unbind(1), strict=True):
        grids = rules.step(grids, types, params)
    return grids


def idle(rules: Rules, grids: Grids, program: Program) -> Bool[Tensor, "B L"]:
    """Which steps of each program leave its grid as it was; steps that it has not got are none of them."""
    found = []
    for types, params in zip(program.types.unbind(1), program.params.unbind(1), strict=True):
        after = rules.step(grids, types, params)
        found.append((after == grids).flatten(1).all(1) & (types != ABSENT))
        grids = after
    return torch.stack(found, 1)


def idle_rates(rules: Rules, grids: Grids, program: Program) -> dict[str, float]:
    """Shares: of steps that change nothing, of rows with such a step, of rows whose result is the grid itself."""
    idle_steps, steps = idle(rules, grids, program), program.types != ABSENT
    same = (execute(rules, grids, program) == grids).flatten(1).all(1)
    return {
        "steps": float(idle_steps.sum() / steps.sum()),
        "rows": float(idle_steps.any(1).double().mean()),
        "results": float(same.double().mean()),
    }
