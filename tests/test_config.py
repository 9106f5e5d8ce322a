"""The schema: what composes becomes frozen records, what does not is one line, and secrets stay out of files."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llcx import config
from llcx.registry import MODELS, Registry
from tests.running import CONF, ROOT, toys_registered


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def composed(*words: str) -> Any:
    config.install()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", [f"hydra.searchpath=[file://{CONF}]", "task=toy", "sampler=hmc", *words])


def test_records_are_frozen_and_typed() -> None:
    cfg = config.records(composed("seed=3", "+sampler@samplers.other=sgld", "task.grid.gamma=[0,0.5]"))
    assert (cfg.seed, cfg.sampler.name, cfg.samplers["other"].name) == (3, "hmc", "sgld")
    assert cfg.task.grid == {"gamma": [0, 0.5]}
    with pytest.raises(FrozenInstanceError):
        cfg.hardware.device = "cuda"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        cfg.task.model.width = 4


def test_the_name_says_which_schema_holds() -> None:
    with pytest.raises(
        ValueError, match=r"sampler\.leapfrog must be one of step_size, batch_size, .*name, got leapfrog"
    ):
        config.records(composed("sampler.name=sgld"))


def test_a_file_without_its_schema_is_checked_all_the_same() -> None:
    cfg = composed()
    OmegaConf.set_struct(cfg, False)
    cfg.sampler = OmegaConf.create({"name": "sgld", "batch_size": "many"})
    with pytest.raises(ValueError, match=r"sampler\.batch_size must be of type Integer, got many"):
        config.records(cfg)
    cfg.sampler = OmegaConf.create({"batch_size": 3})
    with pytest.raises(ValueError, match=r"sampler\.name must be one of adam_sgld, auto, .*, got nothing"):
        config.records(cfg)


def test_what_a_further_samplers_own_check_says_names_the_key_it_stands_under() -> None:
    with pytest.raises(ValueError, match=r"^samplers\.slow\.batch_size must be"):
        config.records(composed("+sampler@samplers.slow=sgld", "samplers.slow.batch_size=0"))


def test_parts_of_a_task_without_a_type_of_their_own_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Part:
        width: int = 1
        name: str = "part"

    @dataclass(frozen=True)
    class Whole:
        model: Any = None
        name: str = "whole"

    wholes = Registry("task")
    wholes.register("whole", Whole)(print)
    monkeypatch.setattr(MODELS, "_entries", {**MODELS._entries, "part": (print, Part)})
    found = config.record(wholes, {"name": "whole", "model": {"name": "part", "width": 4}}, "task")
    assert found == Whole(Part(4))
    with pytest.raises(ValueError, match=r"task\.model\.name must be one of .*part.*, got nope"):
        config.record(wholes, {"name": "whole", "model": {"name": "nope"}}, "task")
    with pytest.raises(
        ValueError, match=r"task\.model\.widht must be one of width, name, got widht; did you mean width"
    ):
        config.record(wholes, {"name": "whole", "model": {"name": "part", "widht": 4}}, "task")


def test_thawing_opens_every_level_and_building_freezes_again() -> None:
    @dataclass(frozen=True)
    class Inner:
        deep: int = 1

    @dataclass(frozen=True)
    class Outer:
        inner: Inner = Inner()
        free: dict[str, int] = field(default_factory=dict)

    node = config.thaw(Outer)
    OmegaConf.set_struct(node, True)
    node.inner.deep = 2
    node.free["new"] = 3
    assert config.built(node, {}, "x") == Outer(Inner(2), {"new": 3})


@pytest.mark.parametrize(
    ("points", "indices"), [(4, [4]), ("4", [4]), ("3-5", [3, 4, 5]), ("0,2-3", [0, 2, 3]), ([1, "3-4"], [1, 3, 4])]
)
def test_points_are_indices_and_ranges(points: Any, indices: list[int]) -> None:
    assert [index for part in config.ranges(points) for index in part] == indices


@pytest.mark.parametrize("points", ["x", "5-3", "-1", "", [], "1-", 1.5, True])
def test_what_is_no_range_is_refused(points: Any) -> None:
    with pytest.raises(ValueError, match=r"run\.points must"):
        config.ranges(points)


def test_resolving_keeps_what_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLCX_SECRET", "hunter2")
    cfg = OmegaConf.create(
        {
            "plain": 1,
            "copy": "${plain}",
            "secret": "${oc.env:LLCX_SECRET}",
            "behind": "${secret}",
            "within": {"deep": ["a", "x${oc.env:LLCX_SECRET}", "${copy}"]},
            "whole": "${within}",
            "default": "${oc.env:LLCX_NOT_SET,3}",
            "missing": "???",
        }
    )
    found = config.resolved(cfg)
    assert "hunter2" not in str(found)
    assert found["copy"] == 1
    assert found["behind"] == "${secret}"
    assert found["within"] == found["whole"] == {"deep": ["a", "x${oc.env:LLCX_SECRET}", 1]}
    assert found["missing"] == "???"
    assert cfg.behind == "hunter2", "the resolver itself is back"


def test_the_library_needs_neither_hydra_nor_omegaconf_to_know_its_hardware() -> None:
    code = "import sys; from llcx.config import Hardware; print({'hydra', 'omegaconf', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


REFUSED = {
    "unknown key at the top": (["nope=1"], ["nope", "must be one of"]),
    "wrong type of a list": (["task.fails=3"], ["task.fails", "list", "got 3"]),
    "no chains": (["estimator.chains=0"], ["estimator.chains", "got 0"]),
    "negative step": (["sampler.step_size=-1"], ["sampler.step_size", "got -1"]),
    "negative seed": (["seed=-1"], ["seed", "got -1"]),
    "unknown name": (["sampler.name=nope"], ["sampler.name", "hmc", "got nope"]),
    "several workers": (["hardware.workers=2"], ["hardware.workers", "got 2", "joblib"]),
    "no such stage": (["run.stages=[dance]"], ["run.stages", "measure", "got dance"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_names_field_value_and_cure(case: str) -> None:
    words, parts = REFUSED[case]
    base = _base()
    with pytest.raises((HydraException, ValueError)) as refused:
        config.records(overridden(base, words))
    assert all(part in config.fault(refused.value) for part in parts), config.fault(refused.value)


def test_a_label_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match=r"samplers\.hmc must have another label"):
        config.records(composed("+sampler@samplers.hmc=hmc"))


KEYS = {  # good values of every kind of key; what stands under another key is mostly bad here
    "seed": ["0", "7", str(2**63 - 1)],
    "task.nets": ["1", "12"],
    "task.model.width": ["1", "5"],
    "task.fails": ["[]", "[0,1]"],
    "task.scale": ["null", "0.5"],
    "task.grid": ["{}", "{a:[1.0]}"],
    "sampler.step_size": ["auto", "0.1", "1e-3"],
    "sampler.leapfrog": ["1", "12"],
    "sampler.adapt": ["null", "0", "3"],
    "estimator.nbeta": ["null", "10", "{mode:n_over_log_n,beta0:1.0}"],
    "estimator.gamma": ["null", "0", "2.5"],
    "estimator.target": ["null", "data", "self"],
    "estimator.chains": ["null", "4"],
    "estimator.where": ["null", "[0.weight,'*bias']"],
    "estimator.check": ["off", "quick"],
    "estimator.budget": ["null", "30", "5m"],
    "hardware.device": ["cpu", "cuda", "cuda:1"],
    "hardware.memory": ["null", "2", "0.5"],
    "hardware.noise": ["torch", "native"],
    "hardware.threads": ["1", "8"],
    "run.points": ["null", "3", "3-7", "[0,3-7]"],
    "run.stages": ["[]", "[train]", "[measure,report]"],
    "run.strict": ["true", "false"],
    "run.verbosity": ["quiet", "debug"],
    "run.resume": ["null", "/some/where"],
    "log.interval": ["0.5", "60"],
}
BAD = [
    "''",
    "abc",
    "-1",
    "0",
    "1.5",
    "1e400",
    "nan",
    "true",
    "[]",
    "[x]",
    "{}",
    "{a:1}",
    "null",
    "'a b'",
    "${nope}",
    "${oc.env:NOPE}",
]
ANY = st.sampled_from([*BAD, *(value for good in KEYS.values() for value in good)])
OWN = st.sampled_from([f"{key}={value}" for key, good in KEYS.items() for value in good])
WRONG = st.builds("{}={}".format, st.sampled_from([*KEYS, *KEYS, *(f"{key}x" for key in KEYS), "nope", "run.x.y"]), ANY)
OVERRIDES = st.builds(list.__add__, st.lists(OWN, max_size=4), st.lists(WRONG, max_size=1))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(OVERRIDES)
def test_any_overrides_give_records_or_one_line(words: list[str]) -> None:
    base = _base()
    try:
        cfg = config.records(overridden(base, words))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        line = config.fault(error)
        assert "\n" not in line
        assert 10 < len(line) < 500
        assert any(part in line for word in words for part in word.partition("=")[0].split(".")), (words, line)
    else:
        assert isinstance(cfg, config.Config)
        assert config.resolved(base)["seed"] == cfg.seed


def overridden(cfg: Any, words: list[str]) -> Any:
    """`cfg` with overrides of values applied as Hydra does, without reading the files again."""
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(words), cfg)
    return cfg


_kept: list[Any] = []


def _base() -> Any:
    """A copy of the default configuration, composed once."""
    if not _kept:
        _kept.append(composed())
    return _kept[0].copy()


@pytest.mark.parametrize("key", KEYS)
def test_every_good_value_is_accepted(key: str) -> None:
    for value in KEYS[key]:
        assert isinstance(config.records(overridden(_base(), [f"{key}={value}"])), config.Config)
