"""What of a measurement is kept outside of it, so that it goes on after a kill: flat states, and back.

A measurement is a plan and several runs of chains, all functions of the seed. The plan is recorded once and reused, so
that a machine with other rounding goes on with the same steps; of a run its state is kept now and then, and at its end
its draws. Nested tuples become keys with dots; what is None is left out.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from llcx.flat import part, within
from llcx.registry import SAMPLERS
from llcx.types import Draws, Plan, State


@runtime_checkable
class Keeper(Protocol):
    """Where one run of chains leaves what it has."""

    def found(self) -> State | None:
        """What an earlier process left."""

    def offer(self, state: Callable[[], State]) -> None:
        """Between two steps: `state()` is kept if it is time to. Raises signals.Stopped where the run shall end."""

    def finish(self, result: State) -> None:
        """Keep the result in the place of the state."""


@runtime_checkable
class Journal(Protocol):
    """Where one measurement leaves what it has."""

    def once(self, name: str, make: Callable[[], State]) -> State:
        """What `make` gave the first time."""

    def keeper(self) -> Keeper:
        """That of the next run, in the order in which the measurement makes them."""


@runtime_checkable
class Resumable(Protocol):
    """What has a state of its own that a run needs."""

    def state(self) -> State: ...

    def load(self, state: State) -> None: ...


def resumable(things: Mapping[str, Any]) -> dict[str, Resumable]:
    """Those that have a state."""
    return {name: each for name, each in things.items() if isinstance(each, Resumable)}


def packed(name: str, value: Any) -> State:
    """A nested record as `name.field.field`: named tuples by field, tuples of equal tensors stacked."""
    if value is None:
        return {}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = zip(value._fields, value, strict=True)
        return {key: leaf for field, part in parts for key, leaf in packed(f"{name}.{field}", part).items()}
    if isinstance(value, tuple):
        return {name: torch.stack(value)} if value else {}
    return {name: value}


def unpacked(name: str, like: Any, found: Mapping[str, Any], device: torch.device) -> Any:
    """The record that `packed` took apart; `like` is one of the same type."""
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        parts = zip(like._fields, like, strict=True)
        return type(like)(*(unpacked(f"{name}.{field}", part, found, device) for field, part in parts))
    value = found.get(name)
    value = value.to(device) if isinstance(value, Tensor) else value
    if isinstance(like, tuple):
        return () if value is None else value.unbind()
    return value


def of_draws(draws: Draws) -> State:
    """Draws as a state; what they hold by name under the field's name."""
    found: State = {}
    for field in fields(draws):
        value = getattr(draws, field.name)
        found |= within(field.name, value) if isinstance(value, Mapping) else packed(field.name, value)
    return found


def to_draws(found: State, device: torch.device) -> Draws:
    """What `of_draws` made of them."""
    here = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in found.items()}
    named = ("observed", "settling", "norms")
    plain = {field.name: here.get(field.name) for field in fields(Draws) if field.name not in named}
    return Draws(**plain, **{name: part(name, here) for name in named})  # type: ignore[arg-type]


def of_plan(plan: Plan) -> State:
    """A plan as text that holds values alone."""
    return {"plan": json.dumps(asdict(plan))}


def to_plan(found: State) -> Plan:
    """The plan; its kernel is looked up by name among the registered ones, and checks its settings."""
    content = json.loads(str(found["plan"]))
    kernel = content.pop("sampler")
    notes = tuple(content.pop("notes"))
    return Plan(sampler=SAMPLERS.schema(kernel["name"])(**kernel), notes=notes, **content)
