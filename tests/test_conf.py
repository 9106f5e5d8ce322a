"""The YAML files: each composes for real and begins with its schema; each group refuses a typo and a wrong type."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from llcx import config
from llcx.config import fault
from llcx.registry import ESTIMATORS, SAMPLERS, TASKS
from tests.running import CONF, ROOT, toys_registered

FILES = sorted(path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml"))
GROUPS = ("task", "sampler", "estimator", "hardware")  # conf/<group>/<name>.yaml; folders below hold presets
OPTIONS = [path for path in FILES if path.parent.name in GROUPS and len(path.parts) == 2]
PRESETS = [path for path in FILES if path.parts[0] == "task" and len(path.parts) == 3]
BUDGETS = {"fast": "llc", "base": "llc"}  # conf/estimator/<budget>.yaml: settings of an estimator, by its name
EXPERIMENTS = [path for path in FILES if path.parts[0] == "experiment"]
CLUSTERS = [path for path in FILES if path.parts[0] == "cluster"]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


@cache
def composed(*words: str) -> Any:
    """The configuration of these overrides, for many tests: to be copied before it is changed."""
    config.install()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", list(words))


def overridden(cfg: Any, word: str) -> Any:
    """`cfg` with an override of a value applied as Hydra does, without reading the files again."""
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides([word]), cfg)
    return cfg


def chosen(path: Path) -> str:
    """The override that picks a file."""
    plus = "+" if path in [*EXPERIMENTS, *CLUSTERS] else ""
    return f"{plus}{path.parent.as_posix()}={path.stem}"


def test_every_file_is_of_a_kind_that_is_tested() -> None:
    below = [path for path in FILES if path.parts[0] == "preset"]  # what conf/task/<preset>/ refers to, task by task
    assert len(FILES) == 1 + len(OPTIONS) + len(PRESETS) + len(EXPERIMENTS) + len(CLUSTERS) + len(below)
    assert len(OPTIONS) >= 7


@pytest.mark.parametrize("path", [*OPTIONS, *PRESETS, *EXPERIMENTS, *CLUSTERS], ids=str)
def test_every_file_composes_to_records(path: Path) -> None:
    if path in EXPERIMENTS and "hydra/sweeper: optuna" in (ROOT / "conf" / path).read_text():
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs pip install 'llcx[optuna]'")
    words = [chosen(path)]
    if path in PRESETS:  # of the first task that has them; one that is for another task says so
        words = [f"task={_task_of(path)}", *words]
    assert isinstance(config.records(composed(*words)), config.Config)


def _task_of(preset: Path) -> str:
    ours = sorted((ROOT / "conf" / "preset").joinpath(*preset.with_suffix("").parts[1:]).glob("*.yaml"))
    if ours:
        return ours[0].stem
    for option in OPTIONS:
        if option.parts[0] != "task":
            continue
        entries = yaml.safe_load((ROOT / "conf" / option).read_text())["defaults"]
        if any(preset.parts[1] in entry for entry in entries if isinstance(entry, dict)):
            return option.stem
    raise AssertionError(f"no task has the presets {preset.parts[1]}")


@pytest.mark.parametrize("path", OPTIONS, ids=str)
def test_every_option_begins_with_its_schema(path: Path) -> None:
    (first,) = yaml.safe_load((ROOT / "conf" / path).read_text())["defaults"][0].items()
    name = "hardware" if path.parts[0] == "hardware" else schema_of(path)
    assert first == (f"/schema/{path.parts[0]}@_here_", name)


def schema_of(path: Path) -> str:
    return BUDGETS.get(path.stem, path.stem) if path.parts[0] == "estimator" else path.stem


def test_config_yaml_begins_with_the_root_schema() -> None:
    assert yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())["defaults"][0] == "schema/root@_global_"


@pytest.mark.parametrize("path", CLUSTERS, ids=str)
def test_a_cluster_makes_a_sweep_of_its_launcher(path: Path) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        hydra = compose("config", [chosen(path)], return_hydra_config=True).hydra
    assert hydra.mode.name == "MULTIRUN"
    assert hydra.runtime.choices["hydra/launcher"] == f"submitit_{path.stem}"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=str)
def test_an_experiment_says_its_command_and_is_deltas_only(path: Path) -> None:
    lines = (ROOT / "conf" / path).read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert f"+experiment={path.stem}" in next(line for line in lines if line.startswith("# python train.py"))


@pytest.mark.parametrize("path", OPTIONS, ids=str)
def test_a_typo_and_a_wrong_type_are_refused_in_every_option(path: Path) -> None:
    group, cfg = path.parts[0], composed(chosen(path))
    for key, value in (("nonsense", "1"), _strict(cfg[group])):
        with pytest.raises(HydraException) as refused:
            overridden(cfg.copy(), f"{group}.{key}={value}")
        assert f"{group}.{key} must be" in fault(refused.value)


def _strict(node: Any) -> tuple[str, str]:
    """A key that is an integer, a number or a truth value, and a value that is none of these."""
    for key in node:
        if node._get_node(key)._metadata.ref_type in (int, float, bool):
            return str(key), "[1]"
    return "name", "[1]"  # text


def test_a_file_with_a_wrong_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler" / "mine.yaml").write_text("defaults: [/schema/sampler@_here_: hmc, _self_]\nleapfrog: many\n")
    with pytest.raises(HydraException, match="could not be converted to Integer"):
        composed(f"hydra.searchpath=[file://{tmp_path}]", "sampler=mine")


def test_presets_of_a_task_need_no_plus() -> None:
    words = [f"hydra.searchpath=[file://{CONF}]", "task=toy"]
    assert composed(*words).task.model.width == 3
    assert composed(*words, "task/size=wide").task.model.width == 9


def test_the_default_is_dln_with_auto_on_the_cpu() -> None:
    cfg = config.records(composed())
    assert (cfg.task.name, cfg.sampler.name, cfg.estimator.name, cfg.hardware.device) == ("dln", "auto", "llc", "cpu")


def test_every_registered_name_has_its_file() -> None:
    for registry in (TASKS, SAMPLERS, ESTIMATORS):
        files = {schema_of(path) for path in OPTIONS if path.parts[0] == registry.group}
        assert files == set(registry.names()) - {"toy"}


OVERRIDES = {  # the keys of the contract, each with a value that is not its default
    "seed": "5",
    "task.model.widths": "[4,3,4]",
    "task.model.rank": "1",
    "task.data.n": "77",
    "task.data.noise_std": "0.5",
    "task.data.mode": "noisy",
    "task.fit.optimizer": "sgd",
    "task.fit.learning_rate": "0.5",
    "task.fit.steps": "7",
    "task.grid.noise_std": "[0.5,1.0]",
    "task.seeds": "2",
    "task.nets": "3",
    "task/model": "small",
    "task/data": "small",
    "task/size": "1k",
    "sampler.step_size": "0.25",
    "sampler.batch_size": "32",
    "estimator.nbeta": "{mode: n_over_log_n, beta0: 1.0}",
    "estimator.gamma": "3.5",
    "estimator.target": "self",
    "estimator.chains": "3",
    "estimator.draws": "11",
    "estimator.warmup": "5",
    "estimator.every": "2",
    "estimator.where": "['*weight']",
    "estimator.check": "off",
    "estimator.budget": "30s",
    "estimator.mode": "local",
    "hardware.device": "cuda:1",
    "hardware.dtype": "float64",
    "hardware.threads": "2",
    "hardware.backend": "seq",
    "hardware.noise": "native",
    "hardware.memory": "2.5",
    "estimator.where_each": "{head: ['*.q[0:2]', '*.k[0:2]'], rest: '*bias'}",
    "estimator.part": "heads",
    "estimator.influence": "[3,17]",
    "estimator.grid.nbeta": "[x0.1,1000]",
    "estimator.grid.gamma": "[0,1.0]",
    "estimator.grid.step_size": "[x0.3,1e-3]",
    "estimator.measure_on": "other",
    "estimator.target_se": "0.1",
    "estimator.polish": "true",
    "run.stages": "[measure]",
    "run.points": "3-7",
    "run.dry": "true",
    "run.strict": "true",
    "run.profile": "true",
    "run.verbosity": "debug",
    "run.resume": "somewhere",
    "log.interval": "3.5",
    "log.checkpoint": "7.5",
    "log.tensorboard": "true",
}
REFUSED = {  # keys of the contract that this version knows and cannot do yet
    "hardware.workers": "2",
}


def changed(key: str, value: str) -> tuple[Any, Any]:
    """The default with SGLD, before and after an override."""
    before = composed("task=dln", "sampler=sgld")
    if "/" in key:
        return before, composed("task=dln", "sampler=sgld", f"{key}={value}")
    return before, overridden(before.copy(), f"{key}={value}")


@pytest.mark.parametrize("key", OVERRIDES)
def test_each_key_of_the_contract_can_be_overridden(key: str) -> None:
    before, after = changed(key, OVERRIDES[key])
    assert isinstance(config.records(after), config.Config)
    assert OmegaConf.to_container(after) != OmegaConf.to_container(before)


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_that_cannot_be_obeyed_yet_is_refused_by_its_name(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        config.records(changed(key, REFUSED[key])[1])
