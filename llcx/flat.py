"""Flat states of parts in one flat state: keys with a slash before them."""

from collections.abc import Mapping
from typing import Any

from llcx.types import State


def within(name: str, state: Mapping[str, Any]) -> State:
    """A part's state under the part's name."""
    return {f"{name}/{key}": value for key, value in state.items()}


def part(name: str, state: Mapping[str, Any]) -> State:
    """The state of the part `name`."""
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}
