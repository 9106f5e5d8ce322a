"""conf/task/lsa.yaml, its presets, and what each lsa_* study asks."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from llcx import config, rng
from llcx.tasks.lsa.schema import LSA
from llcx.tasks.lsa.task import build

CONF = Path(__file__).parents[2] / "conf"
CLASSES = {"small": ([3, 8], 10**5), "medium": ([15, 25], 10**5), "large": ([25, 35], 10**5)}
STUDIES = {  # points, data, w*, samplers, ratio, bottleneck
    "lsa_tiny": (2, "population", "alpha", ["auto"], [0.5, 1.5], True),
    "lsa_alpha_bn": (21, "noise_free", "alpha", ["auto", "sgld"], [0.5, 1.5], True),
    "lsa_alpha_bn_fast": (3, "noise_free", "alpha", ["auto", "sgld"], [0.5, 1.5], True),
    "lsa_alpha": (21, "noise_free", "alpha", ["auto", "sgld"], [2.5, 3.5], False),
    "lsa_alpha_fast": (3, "noise_free", "alpha", ["auto", "sgld"], [2.5, 3.5], False),
    "lsa_simple": (21, "noise_free", "simple", ["auto", "sgld"], [0.5, 1.5], True),
    "lsa_simple_fast": (3, "noise_free", "simple", ["auto", "sgld"], [0.5, 1.5], True),
    "lsa_theory": (0, "population", "alpha", ["auto"], [0.5, 1.5], True),
}


def composed(*words: str) -> Any:
    config.install()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return config.records(compose("config", ["task=lsa", *words]))


def test_the_bare_configuration_is_the_bare_record() -> None:
    assert composed().task == LSA()
    small = composed("task/model=small", "task/data=small").task
    assert (small.model.d, small.model.d_l, small.data.n, small.data.context) == (3, 3, 1000, 20)


def test_the_presets_are_the_published_classes_and_pool() -> None:
    task = composed(f"task/size=[{','.join(CLASSES)}]").task
    assert {name: (size.d, size.n) for name, size in task.sizes.items()} == CLASSES
    assert len(build(task, rng.streams(0)).points()) == 3
    assert sorted(path.parent.name for path in (CONF / "preset" / "size").glob("*/lsa.yaml")) == sorted(CLASSES)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_asks_about_its_problems_with_its_samplers(name: str) -> None:
    points, mode, w_star, samplers, ratio, bottleneck = STUDIES[name]
    cfg = composed(f"+experiment={name}")
    made = build(cfg.task, rng.streams(cfg.seed))
    assert len(made.points()) == points
    assert (cfg.task.data.mode, cfg.task.model.w_star) == (mode, w_star)
    assert [cfg.sampler.name, *cfg.samplers] == samplers
    assert (cfg.task.draw.ratio, cfg.task.draw.bottleneck) == (ratio, bottleneck)


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith(("lsa_alpha", "lsa_simple"))])
def test_sgld_runs_with_the_literature_s_recipe_in_every_class(name: str) -> None:
    cfg = composed(f"+experiment={name}", "task/size=medium")
    assert list(cfg.task.sizes) == ["medium"]
    sgld = cfg.samplers["sgld"]
    assert (sgld.step_size, sgld.batch_size) == (5e-7, 50 if name.endswith("fast") else 500)
    assert (cfg.estimator.nbeta["mode"], cfg.estimator.gamma) == ("n_over_log_n", 1.0)
    assert {arm.cfg.data.n for arm in build(cfg.task, rng.streams(0)).arms.values()} == {10**5}


def test_the_theory_study_compares_at_d_15() -> None:
    theory = composed("+experiment=lsa_theory").task.theory
    assert (theory.d, theory.ranks, theory.d_l) == (15, [1, 5, 10, 14], 60)


def test_every_study_is_in_the_table() -> None:
    assert sorted(path.stem for path in (CONF / "experiment").glob("lsa_*.yaml")) == sorted(STUDIES)


@pytest.mark.parametrize(
    "words",
    [
        ("task.model.rank=5",),
        ("task.model.alpha=3",),
        ("task/size=small", "task.draw.ratio=[2.5,3.5]"),
        ("task/size=small", "task.model.rank=2"),
        ("task.data.context=0",),
        ("task.grid.rank=[9]",),
        ("task.grid.d_l=[1]",),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_through_the_configuration(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^task\.[a-z_.]+ must .*, got ") as refused:
        build(composed(*words).task, rng.streams(0))
    assert "\n" not in str(refused.value)


def test_a_class_of_another_task_is_refused() -> None:
    with pytest.raises(HydraException) as refused:
        composed("task/size=1k")
    assert "task/size must be a preset of task=lsa, got 1k" in config.fault(refused.value)
