"""conf/task/full_attn.yaml and the studies: what each asks."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from llcx import config, rng
from llcx.tasks.full_attn.schema import FullAttn
from llcx.tasks.full_attn.task import build

CONF = Path(__file__).parents[2] / "conf"
STUDIES = {  # trainings, points, views, samplers
    "full_attn_tiny": (1, 4, {"full", "lsa"}, ["auto"]),
    "full_attn_known": (0, 9, {"full"}, ["gibbs", "auto"]),
    "full_attn_known_fast": (0, 4, {"full"}, ["gibbs", "auto"]),
    "full_attn_staircase": (1, 27, {"full"}, ["gibbs"]),
    "full_attn_staircase_fast": (1, 10, {"full"}, ["gibbs"]),
    "full_attn_multi_dl": (15, 135, {"lsa"}, ["auto", "sgld"]),
    "full_attn_multi_dl_fast": (2, 4, {"lsa"}, ["auto", "sgld"]),
    "full_attn_multi_dl_full": (15, 135, {"full"}, ["auto"]),
}


def composed(*words: str) -> Any:
    config.install()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return config.records(compose("config", list(words)))


def test_the_bare_configuration_is_the_bare_record() -> None:
    assert composed("task=full_attn").task == FullAttn()


def test_the_small_presets_are_small() -> None:
    task = composed("task=full_attn", "task/model=small", "task/data=small").task
    assert (task.model.d, task.model.d_l, task.data.n, task.data.train) == (2, 3, 500, 1000)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_asks_about_its_points_with_its_samplers(name: str) -> None:
    trainings, count, views, samplers = STUDIES[name]
    cfg = composed(f"+experiment={name}")
    made = build(cfg.task, rng.streams(cfg.seed))
    assert (len(made.trainings()), len(made.points())) == (trainings, count)
    assert {spec.coords["view"] for spec in made.points()} == views
    assert [cfg.sampler.name, *cfg.samplers] == samplers


def test_every_study_is_in_the_table() -> None:
    assert sorted(path.stem for path in (CONF / "experiment").glob("full_attn_*.yaml")) == sorted(STUDIES)


def test_the_published_study_has_its_widths_seeds_and_recipe() -> None:
    cfg = composed("+experiment=full_attn_multi_dl")
    specs = build(cfg.task, rng.streams(0)).points()
    assert {(spec.coords["d"], spec.coords["d_l"]) for spec in specs} == {(8, d_l) for d_l in (6, 9, 12, 16, 24)}
    assert {spec.coords["seed"] for spec in specs} == {0, 1, 2}
    assert {spec.coords["epoch"] for spec in specs} == set(range(0, 201, 25))
    fit, data = cfg.task.fit, cfg.task.data
    assert (fit.optimizer, fit.learning_rate, fit.batch_size, data.train, data.n) == ("adam", 1e-3, 500, 10_000, 5_000)
    assert (cfg.samplers["sgld"].step_size, cfg.estimator.gamma) == (1e-5, 1.0)
    assert cfg.estimator.nbeta["mode"] == "n_over_log_n"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("task.fit.checkpoints=[0,250]", r"task\.fit\.checkpoints must be epochs in 0\.\.199, got 250"),
        ("task.model.d=0", r"task\.model\.d must be >= 1, got 0"),
        ("task.view=both", r"task\.view must be one of full, data, lsa, got both"),
        ("task.data.covariance=[1,2]", r"task\.data\.covariance must be .*, got \[1, 2\]"),
    ],
)
def test_what_cannot_be_is_refused_through_the_configuration(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build(composed("task=full_attn", word).task, rng.streams(0))
