"""What a sweep set out to do, as its multirun.yaml tells: every job, whether it has begun or not.

Optuna leaves no such file: its trials are chosen as it goes.
"""

from pathlib import Path
from typing import NamedTuple

import yaml  # type: ignore[import-untyped]
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


class Plan(NamedTuple):
    """The keys that take several values, and the overrides of job 0, 1, ...; none where nothing can tell them."""

    swept: tuple[str, ...]
    jobs: tuple[tuple[str, ...], ...]


def read(sweep: Path) -> Plan:
    """The plan of a sweep; an empty one where multirun.yaml is not whole."""
    try:
        hydra = yaml.safe_load((sweep / "multirun.yaml").read_text())["hydra"]
        words = [f"{key}={value}" for key, value in (hydra["sweeper"].get("params") or {}).items()]
        words += without_resume(map(str, hydra["overrides"]["task"]))
        overrides = OverridesParser.create().parse_overrides(words)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError, HydraException):
        return Plan((), ())
    swept = tuple(key_of(found.get_key_element()) for found in overrides if found.is_sweep_override())
    try:
        (jobs,) = BasicSweeper.split_arguments(overrides, None)
    except (AssertionError, HydraException):  # `glob(*)` asks for names that the sweep alone knew
        return Plan(swept, ())
    return Plan(swept, tuple(map(tuple, jobs)))


def overrides(folder: Path) -> tuple[str, ...]:
    """What the run in `folder` was told on its command line; empty where Hydra left no record."""
    try:
        found = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())
    except (OSError, yaml.YAMLError):
        return ()
    return without_resume(map(str, found)) if isinstance(found, list) else ()


def without_resume(words: "map[str]") -> tuple[str, ...]:
    """Overrides but for the one that a resumed run or sweep has besides."""
    return tuple(word for word in words if key_of(word) != "run.resume")


def key_of(word: str) -> str:
    """`+sampler@samplers.B=sgld` -> `sampler@samplers.B`."""
    return word.partition("=")[0].lstrip("+~")
