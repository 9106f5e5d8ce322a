"""Values of settings that are refused, one line each: the key, what it must be, what it is."""

from math import inf
from typing import Any


def one_of(key: str, value: Any, known: tuple[Any, ...]) -> None:
    """Raise ValueError unless `value` is among `known`."""
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(map(str, known))}, got {value}")


def at_least(group: str, least: float, **values: float) -> None:
    """Raise ValueError unless each of `values`, named as below `group`, is finite and no less than `least`."""
    for key, value in values.items():
        if not least <= value < inf:
            raise ValueError(f"{group}.{key} must be >= {least}, got {value}")


def positive(group: str, **values: float) -> None:
    """Raise ValueError unless each of `values`, named as below `group`, is finite and above 0."""
    for key, value in values.items():
        if not 0 < value < inf:
            raise ValueError(f"{group}.{key} must be > 0, got {value}")


def real(value: Any) -> bool:
    """Whether `value` is a number, numpy's floats among them; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
