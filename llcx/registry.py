"""Names -> builder and schema, stored together. A task or a sampler is one file; importing its folder registers it."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from llcx.types import Left, Tables

Builder = TypeVar("Builder", bound=Callable[..., Any])


class Finished(NamedTuple):
    """A run that has come to its end, as what is made of several runs sees it."""

    name: str  # of the job
    settings: Mapping[str, Any]  # the task's part of its configuration
    left: Left


Pooled = Callable[[Sequence[Finished]], Tables]  # what a task makes of several runs; ValueError: of these nothing


class Registry:
    """One group of builders; importing `places` (modules, and every module of a package) registers them."""

    def __init__(self, group: str, *places: str) -> None:
        self.group, self.places = group, places
        self._entries: dict[str, tuple[Callable[..., Any], type]] = {}
        self._pooled: dict[str, Pooled] = {}

    def register(self, name: str, schema: type, pooled: Pooled | None = None) -> Callable[[Builder], Builder]:
        """Decorator: store the builder under `name` with `schema`, the frozen dataclass of its settings.

        `pooled`: what is made of several finished runs together, if anything. Raises ValueError where the name is
        taken, saying by whom.
        """

        def add(builder: Builder) -> Builder:
            if name in self._entries:
                raise ValueError(f"{self.group} {name!r} is already registered in {self._entries[name][0].__module__}")
            self._entries[name] = (builder, schema)
            if pooled is not None:
                self._pooled[name] = pooled
            return builder

        return add

    def names(self) -> list[str]:
        """All registered names, sorted, after importing the group's places."""
        self._discover()
        return sorted(self._entries)

    def schema(self, name: str) -> type:
        return self._entry(name)[1]

    def builder(self, name: str) -> Callable[..., Any]:
        return self._entry(name)[0]

    def pooled(self, name: str) -> Pooled | None:
        """None where nothing is made of several runs. Only the module of that name is imported, if there is one."""
        for place in self.places if name.isidentifier() and name not in self._entries else ():
            if importlib.util.find_spec(f"{place}.{name}") is not None:
                importlib.import_module(f"{place}.{name}")
        return self._pooled.get(name)

    def _entry(self, name: str) -> tuple[Callable[..., Any], type]:
        if name not in self._entries:
            self._discover()
        if name not in self._entries:
            raise ValueError(f"{self.group}={name} is unknown; known: {', '.join(sorted(self._entries))}")
        return self._entries[name]

    def _discover(self) -> None:
        for place in map(importlib.import_module, self.places):
            for module in pkgutil.iter_modules(getattr(place, "__path__", ()), f"{place.__name__}."):
                importlib.import_module(module.name)


TASKS = Registry("task", "llcx.tasks")
MODELS = Registry("model", "llcx.tasks")
DATA = Registry("data", "llcx.tasks")
SAMPLERS = Registry("sampler", "llcx.samplers", "llcx.calibrate")
ESTIMATORS = Registry("estimator", "llcx.estimators")
