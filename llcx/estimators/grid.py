"""Axes of a measurement: each point at every combination of n*beta, gamma and step size.

A value is a number, or a factor like `x0.3` of what is chosen without the axes. Factors need that choice: it is then
measured first, as the point itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

from llcx.settings import real
from llcx.types import Spec

AXES = ("nbeta", "gamma", "step_size")
Values = Mapping[str, float | str]  # axis -> number or factor


@dataclass(frozen=True)
class Grid:
    """Axes of a measurement; an empty list is no axis. Numbers, or factors of the calibrated choice such as x0.3."""

    nbeta: list[Any] = field(default_factory=list)
    gamma: list[Any] = field(default_factory=list)
    step_size: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        for axis in AXES:
            values = list(getattr(self, axis))
            if len(set(map(str, values))) < len(values):
                raise ValueError(f"estimator.grid.{axis} must hold different values, got {values}")
            for value in values:
                check(axis, value)

    def combinations(self) -> list[Values]:
        """Every choice of one value an axis; before them the calibrated choice where one of them is a factor."""
        axes = {axis: list(getattr(self, axis)) for axis in AXES if getattr(self, axis)}
        found: list[Values] = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        relative = any(factor(value) is not None for values in axes.values() for value in values)
        return [{}, *found] if relative else found


class Cell(NamedTuple):
    """A point at one combination."""

    of: Spec  # the point as its task knows it
    spec: Spec  # as its rows name it
    values: Values


def check(axis: str, value: Any) -> None:
    """Raise ValueError unless `value` is a number that the axis can have, or a factor."""
    if factor(value) is not None:
        return
    number = real(value) and 0 <= value < float("inf")
    if not number or (value == 0 and axis != "gamma"):
        raise ValueError(
            f"estimator.grid.{axis} must hold numbers > 0, or factors of the calibrated choice like x0.3, got {value}"
        )


def factor(value: Any) -> float | None:
    """`x0.3` -> 0.3; None for what is no factor."""
    match = re.fullmatch(r"x(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)", value) if isinstance(value, str) else None
    return float(match[1]) if match and float(match[1]) > 0 else None


def cells(grid: Grid, specs: Sequence[Spec]) -> list[Cell]:
    """Every point at every combination, those of a point together. ValueError where a point has such an axis itself."""
    found = []
    for spec in specs:
        for values in grid.combinations():
            if twice := [axis for axis in values if axis in spec.coords]:
                raise ValueError(
                    f"estimator.grid.{twice[0]} must be empty, got {getattr(grid, twice[0])}; "
                    f"{twice[0]} is an axis of the task's own points"
                )
            name = ",".join([spec.name, *(f"{axis}={shown(value)}" for axis, value in values.items())])
            found.append(Cell(spec, spec._replace(name=name, coords={**spec.coords, **values}), values))
    return found


def shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def settled(cell: Cell, kernel: Any, estimator: Any, chosen: Mapping[str, float] | None) -> tuple[Any, Any]:
    """The kernel and the estimator of a combination; `chosen` is what was measured without the axes, None: no number.

    Raises LookupError where a factor has nothing to refer to.
    """
    numbers = {axis: _number(cell, axis, chosen) for axis in cell.values}
    step = numbers.pop("step_size", None)
    if step is not None:
        fixed = {"adapt": 0} if hasattr(kernel, "adapt") else {}
        kernel = replace(kernel, step_size=step, **fixed)
    return kernel, replace(estimator, **numbers)


def _number(cell: Cell, axis: str, chosen: Mapping[str, float] | None) -> float:
    value = cell.values[axis]
    times = factor(value)
    if times is None:
        return float(value)
    if chosen is None:
        raise LookupError(
            f"{axis}={value} is a factor of the calibrated choice, and {cell.of.name} has no number at it"
        )
    return times * chosen[axis]
