"""The experiments that certify samplers ask each of them, and only what is there."""

from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from llcx import config, rng
from llcx.config import Config
from llcx.registry import SAMPLERS
from llcx.tasks.suite.task import build
from tests.running import ROOT


@cache
def experiment(name: str) -> Config:
    config.install()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return config.records(compose("config", [f"+experiment={name}"]))


def names(cfg: Any) -> list[str]:
    return [spec.name for spec in build(cfg.task, rng.streams(0)).points()]


@pytest.mark.parametrize("name", ["certify", "certify_fast"])
def test_every_registered_sampler_is_certified(name: str) -> None:
    cfg = experiment(name)
    assert {cfg.sampler.name, *(kernel.name for kernel in cfg.samplers.values())} == set(SAMPLERS.names())


def test_certify_asks_about_forty_problems_and_each_name_in_it_is_one() -> None:
    cfg = experiment("certify")
    found = names(cfg)
    assert len(found) == 40
    assert all(any(fnmatchcase(name, wanted) for name in found) for wanted in cfg.task.problems)


def test_certify_fast_asks_about_some_of_them() -> None:
    assert set(names(experiment("certify_fast"))) < set(names(experiment("certify")))


def test_thirty_points_are_measured_in_local_mode() -> None:
    cfg = experiment("certify_local")
    assert len(names(cfg)) == 30
    assert cfg.estimator.mode == "local"


def test_minibatches_of_32_meet_label_noise() -> None:
    cfg = experiment("certify_noise")
    assert {kernel.batch_size for kernel in cfg.samplers.values()} == {32}
    assert len(names(cfg)) == 9
