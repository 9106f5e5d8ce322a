"""conf/task and conf/experiment: the published classes, and what each study asks."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from llcx import config, rng
from llcx.tasks.dln.schema import DLN
from llcx.tasks.dln.task import build

CONF = Path(__file__).parents[2] / "conf"
TABLE = {
    "small": ([2, 5], [3, 10], 10**5),
    "1k": ([2, 5], [5, 50], 10**5),
    "10k": ([2, 10], [5, 100], 10**5),
    "100k": ([2, 10], [50, 500], 10**6),
    "1M": ([5, 20], [100, 1000], 10**6),
    "10M": ([2, 20], [500, 2000], 10**6),
    "100M": ([2, 40], [500, 3000], 10**6),
}
STUDIES = {  # classes, networks of each, data, w*, samplers
    "dln_tiny": (["small"], 2, "population", "balanced", ["auto"]),
    "dln_small24": (["small"], 24, "population", "balanced", ["auto"]),
    "dln_small24_sgld": (["small"], 24, "population", "balanced", ["auto", "sgld"]),
    "dln_1k": (["1k"], 20, "noise_free", "layerwise", ["auto", "sgld"]),
    "dln_10k": (["10k"], 20, "noise_free", "layerwise", ["auto", "sgld"]),
    "dln_100k": (["100k"], 3, "population", "balanced", ["auto"]),
    "dln_scaling": (["small", "1k", "10k", "100k"], 6, "population", "balanced", ["auto"]),
    "dln_1M": (["1M"], 1, "population", "balanced", ["auto"]),
    "dln_10M": (["10M"], 1, "population", "balanced", ["auto"]),
    "dln_100M": (["100M"], 1, "population", "balanced", ["auto"]),
}


def composed(*words: str) -> Any:
    config.install()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return config.records(compose("config", list(words)))


def test_the_presets_are_the_published_classes() -> None:
    task: DLN = composed(f"task/size=[{','.join(TABLE)}]").task
    assert {name: (size.layers, size.widths, size.n) for name, size in task.sizes.items()} == TABLE
    others = {path.name for path in (CONF / "preset" / "size").iterdir() if not (path / "dln.yaml").exists()}
    assert {path.stem for path in (CONF / "task" / "size").glob("*.yaml")} - others == set(TABLE)


def test_the_bare_configuration_is_the_bare_record_and_a_size_pools() -> None:
    assert composed().task == DLN()
    assert list(composed("task/size=1k").task.sizes) == ["1k"]
    assert composed("task/model=small", "task/data=small").task.model.widths == [4, 2, 4]


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_asks_about_its_networks_with_its_samplers(name: str) -> None:
    classes, nets, mode, w_star, samplers = STUDIES[name]
    cfg = composed(f"+experiment={name}")
    made = build(cfg.task, rng.streams(cfg.seed))
    assert [spec.coords["class"] for spec in made.points()] == [each for each in classes for _ in range(nets)]
    assert {(arm.cfg.data.mode, arm.cfg.model.w_star) for arm in made.arms.values()} == {(mode, w_star)}
    assert [cfg.sampler.name, *cfg.samplers] == samplers


def test_every_study_is_in_the_table() -> None:
    assert sorted(path.stem for path in (CONF / "experiment").glob("dln_*.yaml")) == sorted(STUDIES)


@pytest.mark.parametrize("name", ["dln_1k", "dln_10k", "dln_small24_sgld"])
def test_sgld_runs_with_the_published_recipe(name: str) -> None:
    cfg = composed(f"+experiment={name}")
    assert (cfg.samplers["sgld"].step_size, cfg.samplers["sgld"].batch_size) == (5e-7, 500)
    assert (cfg.estimator.nbeta["mode"], cfg.estimator.gamma) == ("n_over_log_n", 1.0)
    assert {arm.cfg.data.n for arm in build(cfg.task, rng.streams(0)).arms.values()} == {10**5}


@pytest.mark.parametrize("word", ["task.model.rank=9", "task.nets=0", "task.data.noise_std=-1", "task.grid.rank=[9]"])
def test_what_cannot_be_is_refused_through_the_configuration(word: str) -> None:
    with pytest.raises(ValueError, match=r"task\.[a-z_.]+ must be .*, got -?\d"):
        build(composed(word).task, rng.streams(0))
