"""Which points a configuration asks about, their trainings, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from llcx import rng
from llcx.fit import Fit
from llcx.params import flatten
from llcx.tasks.full_attn.schema import FullAttn, Grid, Model, RegressionPrompts
from llcx.tasks.full_attn.task import build
from llcx.types import Event
from tests.tasks.full_attention import SHORT, SMALL, task
from tests.tasks.networks import points


def test_the_bare_task_is_two_widths_two_seeds_and_five_checkpoints() -> None:
    made = build(FullAttn(), rng.streams(0))
    assert len(made.trainings()) == 4
    assert [spec.name for spec in made.points()][:6] == [
        *(f"full_attn,d_l=4,seed=0,{role}" for role in ("init", "epoch=5", "epoch=10", "epoch=25", "final")),
        "full_attn,d_l=6,seed=0,init",
    ]
    assert made.points()[3].coords == {"d": 4, "d_l": 4, "parameters": 80, "view": "full", "seed": 0, "epoch": 25}
    assert len(made.points()) == 20


def test_points_are_known_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("llcx.fit._step", refuse)
    made = task(model=Model(3), seeds=2, grid=Grid(d_l=[2, 4], view=["full", "lsa"]))
    assert len(made.points()) == 2 * 2 * 3 * 2
    assert {spec.coords["epoch"] for spec in made.points()} == {0, 2, 6}
    with pytest.raises(AssertionError, match="trained"):
        list(made.trainings()[0].steps(made.trainings()[0].start()))


def test_views_ask_again_about_one_training() -> None:
    found = list(points(task(model=Model(2, 3), grid=Grid(view=["full", "data", "lsa"]))))
    assert [(p.coords["view"], p.target) for p in found[:3]] == [("full", "self"), ("data", "data"), ("lsa", "self")]
    full, data, lsa = found[-3:]
    assert torch.equal(flatten(full.model.module), flatten(data.model.module))
    assert len(flatten(lsa.model.module)) == len(flatten(full.model.module)) // 2
    assert [len(p.model.blocks) for p in (full, data, lsa)] == [4, 4, 2]


def test_the_known_solution_needs_no_training_and_its_axes_cross() -> None:
    made = task(model=Model(w_star="icl"), grid=Grid(d=[2, 3], d_l=[2, 4], rank=[1, 2]))
    assert made.trainings() == ()
    assert [spec.name for spec in made.points()][:2] == [
        "full_attn,d=2,d_l=2,rank=1",
        "full_attn,d=2,d_l=2,rank=2",
    ]
    assert {(p.known.extra["lambda_FA"], p.coords["rank"]) for p in points(made)} >= {(3.5, 1), (4.0, 2)}


def history(**settings: Any) -> list[Event]:
    (training,) = task(model=Model(3, 4), **settings).trainings()
    return list(training.steps(training.start()))


def test_a_training_is_reproducible_and_goes_on_from_any_epoch() -> None:
    first, again, other = history(), history(), history(seed=1)
    assert [event.metrics for event in first] == [event.metrics for event in again]
    assert [event.metrics for event in first] != [event.metrics for event in other]
    (training,) = task(model=Model(3, 4)).trainings()
    rest = list(training.steps(first[1].state))  # its second event: after two epochs
    assert [event.metrics for event in rest] == [event.metrics for event in first[2:]]
    assert all(torch.equal(rest[-1].state[key], first[-1].state[key])  # type: ignore[arg-type]
               for key in rest[-1].state if key.startswith("module."))  # fmt: skip


def test_training_lowers_the_loss_on_the_exact_one_too() -> None:
    exact = Fit("adam", 0.01, epochs=80, every=1)
    losses = [event.metrics["loss"] for event in history(fit=exact)]
    assert losses[0] == pytest.approx(1.5, rel=1e-3)  # E y^2 / 2, nothing predicted
    assert losses[-1] < 1.2


def test_the_start_and_the_prompts_do_not_depend_on_the_widths_beside() -> None:
    alone, beside = task(model=Model(2, 3)), task(model=Model(2), grid=Grid(d_l=[2, 3]))
    ours, theirs = list(points(alone))[-1], list(points(beside))[-1]
    assert torch.equal(flatten(ours.model.module), flatten(theirs.model.module))


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Model(d=0), "task.model.d must be >= 1, got 0"),
    (lambda: Model(d_l=0), "task.model.d_l must be >= 1, got 0"),
    (lambda: Model(w_star="random"), "task.model.w_star must be one of trained, icl, got random"),
    (lambda: Model(rank=1), "task.model.rank must be null with w_star=trained, got 1; .*w_star=icl"),
    (lambda: Model(3, 2, "icl", 3), r"task.model.rank must be in 1\.\.2 for d=3, d_l=2, got 3; lower it or raise d_l"),
    (lambda: Model(3, 2, "icl", 0), r"task.model.rank must be in 1\.\.2"),
    (lambda: Model(init_scale=0.0), "task.model.init_scale must be > 0, got 0.0; zero weights never move"),
    (lambda: Model(init_value=-1.0), "task.model.init_value must be >= 0, got -1.0"),
    (lambda: RegressionPrompts(mode="noisy"), "task.data.mode must be one of population, noise_free, got noisy"),
    (lambda: RegressionPrompts(n=0), "task.data.n must be >= 1"),
    (lambda: RegressionPrompts(train=0), "task.data.train must be >= 1"),
    (lambda: RegressionPrompts(noise_std=0.0), "task.data.noise_std must be > 0"),
    (lambda: FullAttn(seeds=0), "task.seeds must be >= 1, got 0"),
    (lambda: FullAttn(view="half"), "task.view must be one of full, data, lsa, got half"),
    (lambda: FullAttn(rank_tolerance=1.0), r"task.rank_tolerance must be in \(0, 1\), got 1.0"),
    (lambda: FullAttn(data=RegressionPrompts(covariance=[1.0, 2.0])), "4 positive eigenvalues or a 4 x 4 matrix"),
    (
        lambda: FullAttn(model=Model(d_l=3), grid=Grid(d_l=[2])),
        r"task.model.d_l must be null where task.grid.d_l=\[2\]",
    ),
    (
        lambda: FullAttn(data=RegressionPrompts(covariance=[1.0] * 4), grid=Grid(d=[2])),
        r"task.data.covariance must be null where task.grid.d=\[2\]",
    ),
    (lambda: task(grid=Grid(view=["full", "half"])), "task.view must be one of full, data, lsa, got half"),
    (
        lambda: task(model=Model(w_star="icl"), grid=Grid(d=[2], d_l=[4], rank=[3])),
        r"task.model.rank must be in 1\.\.2",
    ),
    (
        lambda: task(fit=Fit(epochs=6, checkpoints=[6])),
        r"task.fit.checkpoints must be epochs in 0\.\.5, got 6; the weig",
    ),
]


@pytest.mark.parametrize(("settings", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_built(settings: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        settings()
    assert "\n" not in str(raised.value)


def test_tables_of_a_run_that_trained_nothing_are_empty() -> None:
    assert task(data=SMALL, fit=SHORT).analyse([], lambda training, role: None).tables == {}
