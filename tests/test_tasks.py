"""What every task must do, from the registry: none is skipped."""

import csv
import json
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
import torch

import llcx
from llcx import artifacts, config, gradients, rng
from llcx.main import main
from llcx.registry import TASKS
from llcx.types import Point, Task
from tests.doctor_runs import composed

TASK_NAMES = TASKS.names()
WITHOUT_ANSWER = {"custom", "lm", "mcl", "mlp", "parity", "vae"}  # nobody knows their learning coefficient
FILES = (
    "config.yaml",
    ".hydra/overrides.yaml",
    "target_info.json",
    "run_info.json",
    "status.json",
    "metrics_summary.csv",
    "summary.txt",
    "report.html",
    "llc_traces.png",
    "llc_comparison.png",
    "llc_qq.png",
)


def test_there_are_tasks() -> None:
    assert "dln" in TASK_NAMES


LONG = {"custom", "full_attn", "lm", "mcl", "parity", "vae"}  # a run takes more than four seconds
RUNS = [
    pytest.param(
        (task, kernel), id=f"{task}-{kernel}", marks=[pytest.mark.slow] if kernel == "sgld" and task in LONG else []
    )
    for task in TASK_NAMES
    for kernel in ("auto", "sgld")
]


@pytest.fixture(scope="module", params=RUNS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `+experiment=<task>_tiny` with a sampler."""
    task, kernel = request.param
    path = tmp_path_factory.mktemp(f"{task}_{kernel}") / "run"
    shorter = ("estimator.warmup=12", "estimator.draws=16", "estimator.chains=4")
    assert main([f"+experiment={task}_tiny", f"sampler={kernel}", f"hydra.run.dir={path}", *shorter]) == 0
    return path


def test_a_tiny_run_leaves_every_file(folder: Path) -> None:
    assert [name for name in FILES if not (folder / name).stat().st_size] == []
    assert json.loads((folder / "status.json").read_text())["state"] == "completed"
    assert json.loads((folder / "run_info.json").read_text())["schema"] == 1


def test_every_point_has_a_number_in_its_interval_and_its_draws(folder: Path) -> None:
    read = artifacts.load(folder)
    assert read.rows
    for row in read.rows:
        llc, low, high = (float(row[key]) for key in ("llc", "low", "high"))
        assert low < llc < high
        assert (row["healthy"] == "True") == (row["flags"] == "")
        draws = read.draws(row)["energy"]
        assert draws.shape == (int(row["chains"]), int(row["draws"]))
        assert float(draws.mean()) == pytest.approx(llc, rel=1e-12)


def test_columns_are_those_that_were_promised_in_their_order(folder: Path) -> None:
    with (folder / "metrics_summary.csv").open() as file:
        header = next(csv.reader(file))
    fixed = """task point sampler where target seed llc llc_sd se low high llc_fluct known_llc known_mult known_global
        known_local known_at known_from rel_error rel_error_at nbeta gamma step_size n parameters loss_at chains warmup
        draws ess rhat accept wnv gradients gradients_main examples seconds dtype backend stopped_by healthy flags
        gamma_slope decrement llc_quarter llc_looser llc_longer llc_second polish_moved polish_drop planned subset_rows
        llc_subset llc_full llc_labels wbic llc_wbic llc_wbic_se functional_variance nu nu_se gibbs_loss waic waic_se
        mult_weights"""
    assert [name for name in header if not name.startswith(("at.", "known."))] == fixed.split()


def test_the_library_reads_the_folder(folder: Path) -> None:
    frame = llcx.load(str(folder)).frame()
    assert frame["llc"].dtype == float
    assert set(frame["healthy"]) <= {True, False}


@pytest.mark.parametrize("name", TASK_NAMES)
def test_points_are_known_from_the_configuration_and_alike_each_time(name: str) -> None:
    bare = TASKS.schema(name)()
    cfg = config.records(composed(["+experiment=custom_tiny"])).task if name == "custom" else bare  # it names no model
    specs = [tuple(TASKS.builder(name)(cfg, rng.streams(0)).points()) for _ in range(2)]
    assert specs[0] == specs[1]
    assert specs[0]


@cache
def first_point(name: str) -> Point:
    """The first point of a task's tiny experiment; where it is trained, at the first snapshot of its training."""
    task: Task = TASKS.builder(name)(config.records(composed([f"+experiment={name}_tiny"])).task, rng.streams(0))
    spec = task.points()[0]
    if spec.training is None:
        return task.point(spec, None)
    training = next(training for training in task.trainings() if training.name == spec.training)
    event = next(event for event in training.steps(training.start()) if spec.role in event.snapshots)
    return task.point(spec, event.snapshots[spec.role])


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_point_is_a_model_at_a_minimum_with_a_possible_answer(name: str) -> None:
    point = first_point(name)
    potential = gradients.of_model(point.model, point.data, target=point.target, dtype=torch.float64)[0]
    k, grad = potential.full(potential.at.unsqueeze(0))
    assert abs(float(k)) < 1e-12
    assert float(grad.abs().max()) < 1e-8
    assert (point.known.lam is None) == (name in WITHOUT_ANSWER)
    assert 0 <= Fraction(point.known.lam or 0) <= Fraction(len(potential.at), 2)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_closed_form_is_a_quadratic_in_each_of_its_blocks(name: str) -> None:
    """Third differences along a direction within a group vanish, mixed ones between groups do, and blocks cover w."""
    point = first_point(name)
    generator = torch.Generator().manual_seed(0)
    if not point.model.blocks:
        return
    for target, value in point.model.closed.items():
        at = gradients.of_model(point.model, point.data, target=target, dtype=torch.float64)[0].at
        w = at + 0.3 * torch.randn(len(at), generator=generator, dtype=torch.float64)
        assert torch.equal(torch.cat([block.reshape(-1) for block in point.model.blocks]).sort().values,
                           torch.arange(len(at)))  # fmt: skip
        for block in point.model.blocks:
            step = torch.zeros(2, len(at), dtype=torch.float64)
            for group in range(len(block)):
                step[group % 2, block[group]] = torch.randn(block.shape[1], generator=generator, dtype=torch.float64)
            k = value(torch.stack([w + t * step[0] for t in range(4)]))
            assert abs(float(k[3] - 3 * k[2] + 3 * k[1] - k[0])) < 1e-9 * float(k.abs().max())
            if len(block) > 1:
                k = value(torch.stack([w, w + step[0], w + step[1], w + step[0] + step[1]]))
                assert abs(float(k[3] - k[2] - k[1] + k[0])) < 1e-9 * float(k.abs().max())
