"""Names -> builder and schema, stored together. A task or a sampler is one file; importing its folder registers it."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

Builder = TypeVar("Builder", bound=Callable[..., Any])


class Registry:
    """One group of builders; importing `places` (modules, and every module of a package) registers them."""

    def __init__(self, group: str, *places: str) -> None:
        self.group, self.places = group, places
        self._entries: dict[str, tuple[Callable[..., Any], type]] = {}

    def register(self, name: str, schema: type) -> Callable[[Builder], Builder]:
        """Decorator: store the builder under `name` with `schema`, the frozen dataclass of its settings.

        Raises ValueError where the name is taken, saying by whom.
        """

        def add(builder: Builder) -> Builder:
            if name in self._entries:
                raise ValueError(f"{self.group} {name!r} is already registered in {self._entries[name][0].__module__}")
            self._entries[name] = (builder, schema)
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
