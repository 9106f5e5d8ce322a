"""The command that a run was started with, and the same with something changed."""

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from llcx.artifacts import RunFolder
from llcx.artifacts.writer import flat
from llcx.registry import ESTIMATORS, SAMPLERS, TASKS, Registry

PLAIN = ["python", "train.py"]
FLAGS = (
    "--config-dir",
    "-cd",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
)  # of Hydra, that a run cannot do without
Leaf = tuple[tuple[str, ...], Any]
GROUPS: dict[str, Registry] = {"task": TASKS, "sampler": SAMPLERS, "estimator": ESTIMATORS}


def again(folder: RunFolder, changes: Mapping[str, str]) -> str:
    """The run's own command with `changes` (key -> value as Hydra reads it), which take the place of what it said."""
    return changed(folder, overrides(folder), changes)


def alone(folder: RunFolder, sampler: str, changes: Mapping[str, str]) -> str:
    """The same points with one of the run's samplers and no grid, since lengths are the estimator's."""
    config = folder.config
    kernel = (config.get("samplers") or {}).get(sampler) or config.get("sampler")
    estimator = {key: value for key, value in (config.get("estimator") or {}).items() if key != "grid"}
    words = from_config({**config, "sampler": kernel, "samplers": {}, "estimator": estimator})
    own = f"samplers.{sampler}."
    moved = {key.replace(own, "sampler.", 1) if key.startswith(own) else key: value for key, value in changes.items()}
    return changed(folder, words, moved)


def changed(folder: RunFolder, words: Sequence[str], changes: Mapping[str, str]) -> str:
    kept = [word for word in words if not any(_within(key_of(word), key) for key in changes)]
    return shlex.join([*program(folder), *kept, *(f"{key}={value}" for key, value in changes.items())])


def resume(folder: RunFolder, *words: str) -> str:
    """The command that goes on with the run."""
    return shlex.join([*program(folder), f"run.resume={text(str(folder.path))}", *words])


def look(folder: RunFolder) -> str:
    """The doctor's own command."""
    return shlex.join(
        [program(folder)[0] if "python" in program(folder)[0] else "python", "-m", "llcx.doctor", str(folder.path)]
    )


def program(folder: RunFolder) -> list[str]:
    """What stands before the overrides, Hydra's folders of further YAML files included."""
    words = shlex.split(folder.run_info.get("command", ""))
    ends = [i for i, word in enumerate(words) if _starts(words[:i], word)]
    if not ends:
        return PLAIN
    head, rest = words[: ends[0] + 1], words[ends[0] + 1 :]
    for index, word in enumerate(rest):
        flag, _, value = word.partition("=")
        if flag in FLAGS:
            head += [word] if value else rest[index : index + 2]
    return head


def _starts(before: Sequence[str], word: str) -> bool:
    """Whether `word` is the script or module that runs llcx."""
    if before and before[-1] == "-m":
        return word.split(".")[0] == "llcx" or word.endswith(".toys")
    return Path(word).name in ("train.py", "llcx")


def overrides(folder: RunFolder) -> list[str]:
    """What the run was told on its command line; without Hydra's record of it, what config.yaml has beyond defaults."""
    path = folder.path / ".hydra" / "overrides.yaml"
    if not path.exists():
        return from_config(folder.config)
    words = [str(word) for word in yaml.safe_load(path.read_text()) or []]
    return [word for word in words if key_of(word) not in ("run.resume", "run.dry")]


def from_config(config: Mapping[str, Any]) -> list[str]:
    """Overrides that compose to `config`: the names of its groups, and what differs from their schemas."""
    words = [f"seed={config['seed']}"] if config.get("seed") else []
    for group, registry in GROUPS.items():
        content = config.get(group) or {}
        words += [f"{group}={content['name']}"] if "name" in content else []
        words += _differences(group, content, registry)
    for label, content in (config.get("samplers") or {}).items():
        words += [f"+sampler@samplers.{label}={content['name']}", *_differences(f"samplers.{label}", content, SAMPLERS)]
    device = (config.get("hardware") or {}).get("device", "cpu")
    return words if device == "cpu" else [*words, f"hardware.device={device}"]


def _differences(key: str, content: Mapping[str, Any], registry: Registry) -> list[str]:
    if content.get("name") not in registry.names():
        return []
    usual = flat(dataclasses.asdict(registry.schema(content["name"])()))
    found = {path: value for path, value in _leaves(content, usual) if path[-1] != "name"}
    return [
        f"{'.'.join((key, *path))}={text(value)}"
        for path, value in found.items()
        if (value != usual[path] if path in usual else value not in (None, {}, []))
    ]


def _leaves(
    node: Mapping[str, Any], usual: Mapping[tuple[str, ...], Any], path: tuple[str, ...] = ()
) -> Iterator[Leaf]:
    """Full key and value of all that the schema holds as one value: a free mapping is one."""
    for name, value in node.items():
        here = (*path, str(name))
        if isinstance(value, Mapping) and value and here not in usual:
            yield from _leaves(value, usual, here)
        else:
            yield here, value


def text(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(text, value)) + "]"
    if isinstance(value, str) and not re.fullmatch(r"[\w./+-]+", value):
        return "'" + value.replace("'", "\\'") + "'"
    return str(value)


def key_of(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _within(key: str, changed: str) -> bool:
    """Whether an override of `key` is one of `changed` or of a part of it."""
    return key == changed or key.startswith(f"{changed}.")
