"""The study: which problems, paired by which streams, along which axes, and what is refused."""

from collections import Counter
from math import floor
from typing import Any

import pytest
import torch

from llcx.params import flatten
from llcx.tasks.lsa.problems import room
from llcx.tasks.lsa.schema import LSA, Draw, Grid, Loss, Model, PromptData, Size, Theories
from tests.tasks.lsa_problems import arm, arms, point, task

SMALL = {"small": Size([3, 8])}


def test_the_bare_task_is_a_problem_of_each_alpha() -> None:
    specs = task().points()
    assert [spec.name for spec in specs] == ["lsa,alpha=0", "lsa,alpha=1", "lsa,alpha=2"]
    shape = {"class": "single", "net": 0, "d": 6, "d_l": 4, "parameters": 56}
    assert [spec.coords for spec in specs] == [
        shape | {"alpha": alpha, "rank_m": 2, "rank_b": 2 + alpha} for alpha in (0, 1, 2)
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"model": Model(alpha=1)},
        {"grid": Grid(alpha=[])},
        {"model": Model(w_star="simple")},
        {"sizes": SMALL},
    ],
    ids=str,
)
def test_alpha_is_an_axis_only_where_nothing_else_decides_it(settings: dict[str, Any]) -> None:
    assert len(task(**settings).points()) == 1


def test_no_problems_is_a_study_of_theory_alone() -> None:
    assert task(nets=0).points() == ()


@pytest.mark.parametrize("ratio", [[0.5, 1.5], [1.0, 1.9], [0.7, 0.7]])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_draws_are_feasible_balanced_and_reach_the_ends(ratio: list[float], bottleneck: bool) -> None:
    made = arms(sizes={"c": Size([6, 9], n=77)}, nets=450, draw=Draw(ratio, bottleneck))
    models = [each.cfg.model for each in made]
    assert Counter(model.alpha for model in models) == {0: 150, 1: 150, 2: 150}
    assert {each.cfg.data.n for each in made} == {77}
    reached: Counter[Any] = Counter()
    for model in models:
        r, d, d_l = model.rank, model.d, model.d_l
        assert floor(d * ratio[0]) <= d_l <= max(1, d * ratio[1])
        assert 1 <= r <= min(d_l - model.alpha, d - 1)
        assert not bottleneck or r <= d_l <= 2 * d - r
        reached["d", d] += 1
        reached["largest rank"] += r == room(d, d_l, model.alpha, bottleneck)
    assert all(reached["d", d] > 0 for d in (6, 9))
    assert 0 < reached["largest rank"] <= 450


def test_without_the_bottleneck_wider_problems_are_drawn() -> None:
    models = [each.cfg.model for each in arms(sizes=SMALL, nets=99, draw=Draw([2.5, 3.5], False))]
    assert all(model.d_l > 2 * model.d - model.rank for model in models)
    assert {model.d for model in models} == {3, 4, 5, 6, 7, 8}


def test_simple_draws_have_ranks_of_b_up_to_the_narrower_side() -> None:
    models = [each.cfg.model for each in arms(sizes=SMALL, nets=200, model=Model(w_star="simple"))]
    assert all(1 <= model.rank <= min(model.d, model.d_l) for model in models)
    assert any(model.rank == min(model.d, model.d_l) for model in models)


def test_the_first_problems_of_a_large_study_are_those_of_a_small_one_in_every_mode() -> None:
    few = arms(sizes=SMALL, nets=2)
    many = {each.name: each for each in arms(sizes={**SMALL, "m": Size([9, 10])}, nets=4, data=PromptData("noisy", 50))}
    assert [each.name for each in few] == ["small-0", "small-1"]
    assert len(many) == 8
    for each in few:
        assert (each.coords, each.cfg.model) == (many[each.name].coords, many[each.name].cfg.model)
    other = arms(seed=1, sizes=SMALL, nets=2)
    assert [each.cfg.model for each in other] != [each.cfg.model for each in few]


def test_the_largest_class_is_known_at_once() -> None:
    found = task(sizes={"large": Size([25, 35])}, nets=300).points()
    assert max(int(spec.coords["parameters"]) for spec in found) > 3000


@pytest.mark.parametrize(
    ("key", "values", "single"),
    [
        ("alpha", [0, 2], lambda value: {"model": Model(alpha=value)}),
        ("rank", [0, 3], lambda value: {"model": Model(rank=value)}),
        ("d_l", [2, 7], lambda value: {"model": Model(d_l=value)}),
        ("n", [30, 50], lambda value: {"data": PromptData(n=value)}),
        ("context", [3, 50], lambda value: {"data": PromptData(context=value)}),
        ("noise_std", [0.5, 2.0], lambda value: {"data": PromptData(noise_std=value)}),
    ],
)
def test_an_axis_gives_the_points_of_as_many_single_runs(key: str, values: list[Any], single: Any) -> None:
    made = task(grid=Grid(**{"alpha": [], key: values}))
    assert [spec.name for spec in made.points()] == [f"lsa,{key}={value}" for value in values]
    for spec, value in zip(made.points(), values, strict=True):
        found, alone = made.point(spec, None), point(**single(value))
        assert found.coords[key] == value
        assert torch.equal(flatten(found.model.module), flatten(alone.model.module))
        assert (found.known.lam, found.known.mult, found.data.n) == (alone.known.lam, alone.known.mult, alone.data.n)
        w = flatten(found.model.module)[None] + 0.1
        assert torch.equal(found.model.closed["data"](w), alone.model.closed["data"](w))


def test_the_arm_of_a_bare_task_has_every_null_filled_in() -> None:
    cfg = arm(model=Model(alpha=1)).cfg
    assert (cfg.data.n, cfg.sizes, cfg.nets, cfg.grid) == (100_000, {}, 1, Grid(alpha=[]))


SMALL_D = {"s": Size([2, 2])}
REFUSED = [
    (lambda: LSA(model=Model(rank=5)), r"task.model.rank must be in 0\.\.4 for d=6, d_l=4 and alpha=0, got 5; lower"),
    (lambda: LSA(model=Model(alpha=2, rank=3)), r"task.model.rank must be in 0\.\.2 for .*alpha=2, got 3"),
    (lambda: LSA(model=Model(d_l=9, alpha=1, rank=6)), r"task.model.rank must be in 0\.\.5"),
    (lambda: LSA(model=Model(rank=5, w_star="simple")), r"task.model.rank must be in 0\.\.4 for d=6, d_l=4, got 5"),
    (lambda: LSA(model=Model(rank=-1)), "task.model.rank must be in"),
    (lambda: LSA(model=Model(d_l=1, alpha=2)), "task.model.alpha must be <= d_l=1, got 2"),
    (lambda: LSA(model=Model(d_l=1)), "task.model.alpha must be <= d_l=1, got 2"),
    (lambda: LSA(model=Model(alpha=3)), "task.model.alpha must be one of 0, 1, 2, got 3"),
    (lambda: LSA(model=Model(alpha=0, w_star="simple")), "task.model.alpha must be null with w_star=simple, got 0"),
    (lambda: LSA(model=Model(w_star="simple"), grid=Grid(alpha=[1])), "task.model.alpha must be null with w_star"),
    (lambda: LSA(model=Model(alpha=1), grid=Grid(alpha=[1])), r"task.model.alpha must be null where .*=\[1\]"),
    (lambda: LSA(model=Model(w_star="deep")), "task.model.w_star must be one of alpha, simple, got deep"),
    (lambda: LSA(model=Model(output="vector")), "task.model.output must be one of matrix, scalar, got vector"),
    (lambda: LSA(model=Model(d=0)), "task.model.d must be >= 1, got 0"),
    (lambda: LSA(data=PromptData("clean")), "task.data.mode must be one of population"),
    (lambda: LSA(data=PromptData(n=0)), "task.data.n must be >= 1, got 0"),
    (lambda: LSA(data=PromptData(context=0)), "task.data.context must be >= 1, got 0"),
    (lambda: LSA(data=PromptData(noise_std=0.0)), "task.data.noise_std must be > 0, got 0.0"),
    (lambda: LSA(data=PromptData(covariance=[1, 2])), "6 positive eigenvalues or a 6 x 6 matrix"),
    (lambda: LSA(loss=Loss("median")), "task.loss.reduction must be one of mean, sum, got median"),
    (lambda: LSA(draw=Draw([1.5, 0.5])), r"task.draw.ratio must be \[least, most\] .*, got \[1.5, 0.5\]"),
    (lambda: LSA(draw=Draw(alpha=[])), "task.draw.alpha must be some of 0, 1, 2"),
    (lambda: LSA(draw=Draw(alpha=[0, 3])), r"task.draw.alpha must be some of 0, 1, 2, got \[0, 3\]"),
    (lambda: LSA(sizes={"s": Size([3])}), r"task.sizes.\*.d must be \[least, most\]"),
    (lambda: LSA(sizes={"s": Size([0, 3])}), r"task.sizes.\*.d must be \[least, most\]"),
    (lambda: LSA(sizes=SMALL, model=Model(rank=1)), "task.model.rank must be left out where task.size draws"),
    (lambda: LSA(sizes=SMALL, model=Model(alpha=1)), "task.model.alpha must be left out .* task.draw.alpha chooses"),
    (lambda: LSA(sizes=SMALL, grid=Grid(alpha=[1])), "task.grid.alpha must be left out"),
    (lambda: LSA(sizes=SMALL, grid=Grid(d_l=[1])), "task.grid.d_l must be left out"),
    (lambda: LSA(sizes=SMALL, data=PromptData(covariance=[1] * 6)), "task.data.covariance must be left out"),
    (lambda: LSA(sizes=SMALL, draw=Draw([2.5, 3.5])), r"task.draw.bottleneck must be false for .*ratio=\[2.5, 3.5\]"),
    (lambda: LSA(sizes=SMALL_D, draw=Draw(alpha=[2])), "task.draw.alpha must hold values that a problem can have"),
    (lambda: LSA(sizes={"s": Size([1, 1])}), "task.draw.alpha must hold values that a problem can have, got 0"),
    (lambda: LSA(theory=Theories(d=8)), r"task.theory.ranks must be in 0\.\.8, task.theory.d, got 10"),
    (lambda: LSA(theory=Theories(d=0)), "task.theory.d must be >= 1"),
    (lambda: LSA(nets=-1), "task.nets must be >= 0, got -1"),
    (lambda: LSA(seeds=0), "task.seeds must be >= 1, got 0"),
    (lambda: LSA(grid=Grid(rank=[1, 5])), "task.model.rank must be in"),
    (lambda: LSA(grid=Grid(alpha=[1, 1])), "task.grid.alpha must hold different values"),
]


@pytest.mark.parametrize(("settings", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_cannot_be_is_refused_before_anything_is_built(settings: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        task(**vars(settings()))
    assert "\n" not in str(refused.value)
