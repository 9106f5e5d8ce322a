"""The configuration: its root schema, and the one place where Hydra's DictConfig becomes frozen records.

`install` puts every registered schema into Hydra's ConfigStore as `schema/<group>/<name>`; each YAML names its own
first. `records` dispatches by `name`, so a YAML without its schema is checked all the same. Hydra and OmegaConf are
imported inside functions: the library needs `Hardware` and nothing else from here.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from llcx.registry import DATA, ESTIMATORS, MODELS, SAMPLERS, TASKS, Registry
from llcx.settings import one_of

PHRASES = {  # what OmegaConf says of a wrong value, and how we say it
    r"Value '(?P<got>.*)' of type '\w+' could not be converted to (?P<want>\w+)": "must be of type {want}, got {got}",
    r"Value (?P<got>.*) \(\w+\) is incompatible with type hint '(?P<want>.*)'": "must be of type {want}, got {got}",
    r"Invalid value assigned: (?P<got>\w+) is not a ListConfig, list or tuple\.": "must be a list, got {got}",
    r"Invalid type assigned: \w+ is not a subclass of \w+\. value: (?P<got>.*)": "must be a group of keys, got {got}",
    r"Cannot merge DictConfig with ListConfig": "must be a list, got a group of keys",
    r"Cannot assign (?P<got>\w+) to Dict.*": "must be a group of keys, got {got}",
    r"Cannot convert '\w+' to string: '(?P<got>.*)'": "must be text, got {got}",
    r"Value '(?P<got>.*)' is not a valid bool.*": "must be true or false, got {got}",
    r"field '.*' is not Optional": "must have a value, got null",
    r"invalid literal for int\(\) with base 10: (?P<got>.*)": "an index of a list must be an integer, got {got}",
}
WRAPPING = r"^\w+ raised while resolving interpolation: |^Could not create instance of `\w+`: "
STAGES = ("train", "measure", "studies", "analyse", "figures", "report")  # studies: all that the task has


@dataclass(frozen=True)
class Hardware:
    """Where the work is done. Nothing here changes what is computed beyond rounding."""

    device: str = "cpu"  # cpu | cuda | cuda:1
    dtype: str = "auto"  # auto | float32 | float64
    threads: int = 1  # of one process
    workers: int = 1  # processes a measurement is spread over
    backend: str = "auto"  # auto | fx | compile | vmap | seq
    noise: str = "torch"  # torch | native: normals by compiled C, on the CPU
    memory: float | None = None  # GiB that the buffers of one chunk may take; null: 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"hardware.device must be cpu, cuda or cuda:1, got {self.device}")
        one_of("hardware.dtype", self.dtype, ("auto", "float32", "float64"))
        one_of("hardware.backend", self.backend, ("auto", "fx", "compile", "vmap", "seq"))
        one_of("hardware.noise", self.noise, ("torch", "native"))
        if self.threads < 1:
            raise ValueError(f"hardware.threads must be at least 1, got {self.threads}")
        if self.workers != 1:
            raise ValueError(f"hardware.workers must be 1, got {self.workers}; --multirun hydra/launcher=joblib")
        if self.memory is not None and not self.memory > 0:
            raise ValueError(f"hardware.memory must be above 0 GiB, got {self.memory}; null: 1")


@dataclass(frozen=True)
class Run:
    """What of the run is done, and how it speaks."""

    resume: str | None = None  # run folder or sweep to go on with; stands alone on the command line
    stages: list[str] = field(default_factory=lambda: list(STAGES))  # and names of the task's studies
    points: Any = None  # 4, 3-7 (both ends), [0,3-7]; null: all
    dry: bool = False  # say what would be done and what it costs, then stop
    strict: bool = False  # exit 1 when a point is flagged, not only when it has no number
    profile: bool = False  # torch.profiler's trace of the first measurement: profile.json
    objective: str | None = None  # column of metrics_summary.csv whose mean size a sweeper minimises: rel_error_at
    verbosity: str = "normal"  # quiet | normal | debug

    def __post_init__(self) -> None:
        one_of("run.verbosity", self.verbosity, ("quiet", "normal", "debug"))
        if self.points is not None:
            ranges(self.points)


@dataclass(frozen=True)
class Log:
    """How often something is written while a stage is under way."""

    interval: float = 10.0  # s between progress lines where there is no terminal
    checkpoint: float = 60.0  # s between saves of a training's or a chain's state
    tensorboard: bool = False  # event files too, below the run folder's tensorboard/; needs the extra

    def __post_init__(self) -> None:
        if not self.interval > 0:
            raise ValueError(f"log.interval must be above 0 s, got {self.interval}")
        if not self.checkpoint >= 0:
            raise ValueError(f"log.checkpoint must be at least 0 s, got {self.checkpoint}; 0: at every event")


@dataclass(frozen=True)
class Config:
    """A run's whole configuration, and the schema of config.yaml; task, samplers, estimator: registered records."""

    seed: int = 0
    task: Any = None
    sampler: Any = None
    samplers: dict[str, Any] = field(default_factory=dict)  # label -> further kernels at every point
    estimator: Any = None
    hardware: Hardware = Hardware()
    run: Run = Run()
    log: Log = Log()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63-1, got {self.seed}")
        for stage in self.run.stages:
            one_of("run.stages", stage, (*STAGES, *getattr(self.task, "STAGES", ())))
        label = getattr(self.sampler, "name", None)
        if label in self.samplers:
            raise ValueError(f"samplers.{label} must have another label, got sampler's; +sampler@samplers.B={label}")


def ranges(points: Any) -> list[range]:
    """`3`, `"3-7"` (both ends), `"0,3-7"` or a list of these, as ranges of indices; ValueError names what is not."""
    parts = points if isinstance(points, (list, tuple)) else str(points).split(",")
    found = []
    for part in parts:
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", str(part))
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise ValueError(f"run.points must be indices like 4, 3-7 or [0,3-7], got {part}")
        found.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not found:
        raise ValueError("run.points must name at least one point, got none; null: all")
    return found


def thaw(schema: type) -> Any:
    """A frozen schema, open at every level to Hydra's overrides; `OmegaConf.to_object` freezes it again.

    Free dictionaries (`task.grid`, `samplers`) also take new keys without a plus sign.
    """
    from omegaconf import OmegaConf

    return _opened(OmegaConf.structured(schema))


def _opened(node: Any) -> Any:
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, None)
    if not is_dataclass(OmegaConf.get_type(node)):
        OmegaConf.set_struct(node, False)
    for key in node:
        if isinstance(child := node._get_node(key), DictConfig):
            _opened(child)
    return node


def install() -> None:
    """Put the schemas of all registries into Hydra's ConfigStore; calling it again picks up new names."""
    _install("schema", "root", Config)
    _install("schema/hardware", "hardware", Hardware)
    for registry in (TASKS, MODELS, DATA, SAMPLERS, ESTIMATORS):
        for name in registry.names():
            _install(f"schema/{registry.group}", name, registry.schema(name))


@cache
def _install(group: str, name: str, schema: type) -> None:
    """Once: all of them take a tenth of a second."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group=group, name=name, node=thaw(schema))


def records(cfg: Any) -> Config:
    """The frozen records of a composed configuration; a fault is a ValueError of one line that names its full key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        raw: dict[str, Any] = dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise ValueError(fault(error)) from error
    for key in raw:
        one_of("the configuration's keys", key, tuple(Config.__dataclass_fields__))
    return Config(
        seed=raw["seed"],
        task=record(TASKS, raw["task"], "task"),
        sampler=record(SAMPLERS, raw["sampler"], "sampler"),
        samplers={str(k): record(SAMPLERS, part, f"samplers.{k}") for k, part in raw["samplers"].items()},
        estimator=record(ESTIMATORS, raw["estimator"], "estimator"),
        hardware=built(thaw(Hardware), raw["hardware"], "hardware"),
        run=built(thaw(Run), raw["run"], "run"),
        log=built(thaw(Log), raw["log"], "log"),
    )


def record(registry: Registry, content: Any, key: str) -> Any:
    """The record of `content`, whose `name` says which schema of the registry it is of."""
    from omegaconf import OmegaConf

    node = named(registry, content, key)
    for part in (MODELS, DATA):
        within = content.get(part.group)
        name = getattr(OmegaConf.get_type(node, part.group), "name", None) if part.group in node else None
        if isinstance(within, Mapping) and within.get("name", name) != name:
            node[part.group] = named(part, within, f"{key}.{part.group}")
    return built(node, content, key)


def named(registry: Registry, content: Any, key: str) -> Any:
    name = content.get("name") if isinstance(content, Mapping) else None
    if name is None:
        raise ValueError(f"{key}.name must be one of {', '.join(registry.names())}, got nothing; {key}=NAME sets it")
    one_of(f"{key}.name", name, tuple(registry.names()))
    return thaw(registry.schema(name))


def built(schema: Any, content: Any, key: str) -> Any:
    """The frozen record; what its own checks say is passed on, with the key it really stands under."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, content))
    except OmegaConfBaseException as error:
        raise ValueError(fault(error, key)) from error
    except (ValueError, TypeError, ArithmeticError) as error:
        told = f"{error}" if isinstance(error, ValueError) else f"{key}: {error}"
        group = key.split(".")[0]
        raise ValueError(re.sub(rf"^{group.removesuffix('s')}\.", f"{key}.", told) if group != key else told) from error


def fault(error: BaseException, within: str = "") -> str:
    """One line for the user out of what OmegaConf or Hydra raised: the full key, what was found there, and the cure."""
    cause = error.__cause__ if error.__cause__ is not None and not isinstance(error, ValueError) else error
    key = ".".join(filter(None, (within, getattr(cause, "full_key", None) or "")))
    told = re.sub(WRAPPING, "", f"{cause}".split("\n    full_key")[0])
    if match := re.match(r"Ambiguous value for argument '(.*?)=(.*)'\n", told):
        return f"{match[1]} must be one value, got {match[2]}; --multirun runs each, [{match[2]}] is a list"
    node = getattr(cause, "parent_node", None)
    if isinstance(cause, (KeyError, AttributeError)) and node is not None:
        return unknown(key, str(cause.key), [str(k) for k in node])  # type: ignore[union-attr]
    if hasattr(error, "options"):  # of a group
        group, _, name = str(error.missing_cfg_file).removesuffix(".yaml").rpartition("/")  # type: ignore[attr-defined]
        if group.startswith("preset/"):
            key, _, preset = group.removeprefix("preset/").partition("/")
            return f"task/{key} must be a preset of task={name}, got {preset}, one of {', '.join(error.options)}"
        return f"{group or name} must be one of {', '.join(error.options or ['nothing'])}, got {name}"
    given = re.match(r"Error merging override \+*([\w.@/]+)=(.*)", f"{error}", re.DOTALL)
    for pattern, phrase in PHRASES.items():
        if match := re.fullmatch(pattern, told, re.DOTALL):
            found = match.groupdict() | ({"got": given[2]} if given else {})
            told = phrase.format(**found)
    return " ".join(f"{given[1] if given else key} {told}".split())


def unknown(key: str, name: str, known: list[str]) -> str:
    if not known:
        return f"{key} must be left out; {key.removesuffix(name).strip('.')} holds a value, not keys"
    close = get_close_matches(name, known, 1)
    cure = f"; did you mean {close[0]}?" if close else ""
    return f"{key} must be one of {', '.join(known)}, got {name}{cure}"


def resolved(cfg: Any) -> Any:
    """Plain containers, interpolations resolved but for those that read the environment: secrets stay out of files."""
    from omegaconf import DictConfig, ListConfig, OmegaConf

    raw: Any = OmegaConf.to_container(cfg) if OmegaConf.is_config(cfg) else cfg
    if isinstance(cfg, DictConfig):
        return {key: _value(cfg, key, raw[key]) for key in raw}
    return [_value(cfg, index, text) for index, text in enumerate(raw)] if isinstance(cfg, ListConfig) else raw


def _value(node: Any, key: Any, raw: Any) -> Any:
    from omegaconf import OmegaConf

    if OmegaConf.is_missing(node, key):
        return raw
    if not OmegaConf.is_interpolation(node, key):
        return resolved(node[key])
    with environment_reads() as reads:
        found = node[key]
    return raw if reads else resolved(found)


@contextmanager
def environment_reads() -> Iterator[list[str]]:
    """The names that `oc.env` is asked for inside the block, however deep the interpolation that asks."""
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    names: list[str] = []

    def env(key: str, *default: Any) -> Any:
        names.append(key)
        return oc.env(key, *default)

    OmegaConf.register_new_resolver("oc.env", env, replace=True)
    try:
        yield names
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
