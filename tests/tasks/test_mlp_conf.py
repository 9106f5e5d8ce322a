"""conf of task=mlp: the presets of models, data and budgets, the named experiments, and a sweep over three axes."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from llcx import artifacts, config, rng
from llcx.main import main
from llcx.tasks.mlp import sizes
from llcx.tasks.mlp.schema import MLP
from llcx.tasks.mlp.task import build
from tests.running import ROOT

WORDS = ("task=mlp", "task/data=small", "task.fit.steps=5", "task.fit.every=5", "task.fit.finish=2")


def composed(*words: str) -> Any:
    config.install()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return config.records(compose("config", list(words)))


def test_the_bare_configuration_is_the_bare_record() -> None:
    assert composed("task=mlp").task == MLP()


def test_presets_have_the_sizes_they_promise() -> None:
    found = {
        name: sizes.parameters(composed("task=mlp", f"task/model={name}").task.model)
        for name in ("small", "base", "large")
    }
    assert found == {"small": 45, "base": 9921, "large": 1_000_123}


def test_presets_of_models_and_data_go_together_with_a_third_axis() -> None:
    """A job of the sweep task/model=small,base task/data=small,base task.data.noise_std=0.01,0.1,1.0."""
    cfg = composed("task=mlp", "task/model=small", "task/data=base", "task.data.noise_std=0.01")
    assert (cfg.task.data.n, cfg.task.scale, sizes.parameters(cfg.task.model)) == (20_000, 0.01, 45)


def test_a_preset_that_a_task_does_not_have_is_refused_with_those_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task=dln", "task/model=large", "--cfg", "job"]) == 1
    assert "task/model must be a preset of task=dln, got large" in capsys.readouterr().err


def test_budgets_fill_in_chains_warmup_and_draws_and_stay_open_to_overrides() -> None:
    fast = composed("task=mlp", "estimator=fast").estimator
    base = composed("task=mlp", "estimator=base", "estimator.chains=8").estimator
    assert (fast.chains, fast.warmup, fast.draws, fast.name) == (2, 20, 50, "llc")
    assert (base.chains, base.warmup, base.draws, base.name) == (8, 1000, 1000, "llc")


def test_large_scale_is_the_published_run() -> None:
    cfg = composed("+experiment=large_scale")
    estimator = cfg.estimator
    assert (cfg.task.data.n, cfg.sampler.name, cfg.sampler.batch_size, estimator.chains) == (100_000, "sgld", 512, 8)
    assert estimator.warmup + estimator.draws * estimator.every == 50_000
    assert [spec.coords["parameters"] for spec in build(cfg.task, rng.streams(0)).points()] == [1_000_123]


def test_samplers_beside_each_other_keep_settings_of_their_own() -> None:
    cfg = composed("+experiment=mlp_base", "samplers.hmc.leapfrog=7")
    assert (cfg.sampler.name, *cfg.samplers) == ("auto", "hmc", "sgld")
    assert (cfg.samplers["hmc"].leapfrog, cfg.samplers["sgld"].batch_size) == (7, 256)


@pytest.mark.slow
def test_a_sweep_over_three_axes_runs_every_combination(tmp_path: Path) -> None:
    axes = {"task/model": ("small", "base"), "task.data.noise_std": ("0.01", "1.0"), "estimator.chains": ("2", "3")}
    swept = [f"{key}={','.join(values)}" for key, values in axes.items()]
    short = ["estimator.warmup=4", "estimator.draws=8", "estimator.every=1", 'estimator.check="off"']
    words = [*WORDS, *short, *swept, "sampler=sgld", "run.stages=[train,measure]"]
    assert main(["--multirun", f"hydra.sweep.dir={tmp_path}", *words]) == 0
    found = []
    for job in range(8):
        folder = artifacts.load(tmp_path / str(job))
        (row,) = folder.rows
        found.append((int(row["parameters"]), str(folder.config["task"]["data"]["noise_std"]), row["chains"]))
    assert found == [
        ({"small": 45, "base": 9921}[size], noise, chains) for size, noise, chains in product(*axes.values())
    ]


@pytest.mark.slow
def test_three_samplers_of_one_target_stand_in_every_output(tmp_path: Path) -> None:
    more = ["+sampler@samplers.hmc=hmc", "+sampler@samplers.sgld=sgld", "samplers.hmc.leapfrog=5"]
    words = ["+experiment=mlp_tiny", *more, 'estimator.check="off"', f"hydra.run.dir={tmp_path}"]
    assert main(words) == 0
    rows = artifacts.load(tmp_path).rows
    assert [row["sampler"] for row in rows] == ["auto", "hmc", "sgld"]
    assert all(float(row["wnv"]) > 0 for row in rows)
    summary = (tmp_path / "summary.txt").read_text()
    assert "wnv" in summary and "equivalents" in summary
    for name in ("llc_traces.png", "llc_comparison.png", "mlp_samplers.png", "training.png"):
        assert (tmp_path / name).stat().st_size > 10_000
