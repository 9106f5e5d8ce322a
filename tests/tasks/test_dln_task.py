"""The study: which networks, paired by which streams, along which axes."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llcx.fit import Fit
from llcx.params import flatten
from llcx.tasks.dln.schema import Grid, Model, Size, Teacher
from llcx.types import Batch, Point, Rows
from tests.tasks.networks import arm, point, points, task

SMALL = {"small": Size([2, 5], [3, 10])}
CLASSES = {**SMALL, "1k": Size([2, 5], [5, 50])}


def some_rows(found: Point) -> Batch:
    rows = torch.arange(20)
    train = found.data.train
    return train.take(rows) if isinstance(train, Rows) else (train[0][rows], train[1][rows])


def assert_equal(left: Point, right: Point) -> None:
    """The same weights, rows and answer."""
    assert torch.equal(flatten(left.model.module), flatten(right.model.module))
    assert all(map(torch.equal, some_rows(left), some_rows(right)))
    assert left.data.n == right.data.n
    assert (left.known.lam, left.known.local, left.known.mult) == (right.known.lam, right.known.local, right.known.mult)
    w = flatten(left.model.module) + 0.1
    assert all(torch.equal(left.model.closed[t](w[None]), right.model.closed[t](w[None])) for t in ("data", "self"))


def test_the_bare_task_is_one_network_whose_answer_is_nine_and_a_half() -> None:
    found = point()
    assert found.name == "dln"
    assert found.coords == {"class": "single", "net": 0, "layers": 2, "rank": 2, "parameters": 30}
    assert (found.known.lam, found.known.mult, found.target, found.data.mode) == (9.5, 2, "data", "population")


def test_the_first_networks_of_a_large_study_are_those_of_a_small_one_in_every_mode() -> None:
    few = list(points(task(sizes=SMALL, nets=2)))
    many = list(points(task(sizes=CLASSES, nets=4, data=Teacher(mode="noisy", n=100))))
    names = {found.name: found for found in many}
    assert [found.name for found in few] == ["small-0", "small-1"]
    for found in few:
        assert torch.equal(flatten(found.model.module), flatten(names[found.name].model.module))
        assert found.coords == names[found.name].coords
    assert len(names) == 8
    assert not torch.equal(flatten(few[0].model.module)[:9], flatten(few[1].model.module)[:9])


@pytest.mark.parametrize("w_star", ["balanced", "layerwise", "random_svd", "zero", "trained"])
def test_drawn_networks_stay_in_their_class_and_reach_its_ends(w_star: str) -> None:
    made = task(sizes={"c": Size([2, 4], [3, 6], n=77)}, nets=300, model=Model(w_star=w_star))
    drawn = [each.cfg for each in made.arms.values()]
    assert {len(cfg.model.widths) - 1 for cfg in drawn} == {2, 3, 4}
    assert {width for cfg in drawn for width in cfg.model.widths} == {3, 4, 5, 6}
    assert {cfg.data.n for cfg in drawn} == {77}
    ranks = {(each.coords["rank"], min(each.cfg.model.widths)) for each in made.arms.values()}
    assert all(0 <= rank <= narrowest for rank, narrowest in ranks)  # type: ignore[operator]
    reached = {rank for rank, _ in ranks}
    assert reached == {0} if w_star == "zero" else reached >= {0, 1, 2, 3}


def test_points_and_coordinates_of_the_largest_class_are_known_at_once() -> None:
    found = task(sizes={"100M": Size([2, 40], [500, 3000], n=10**6)}, nets=50)
    assert max(int(spec.coords["parameters"]) for spec in found.points()) > 5e7


def with_values(**values: Any) -> dict[str, Any]:
    model = Model(rank=values.pop("rank", None))
    return {"model": model, "data": Teacher(mode="noisy", **{"n": 40, **values})}


@pytest.mark.parametrize(("key", "values"), [("rank", [0, 1, 3]), ("n", [30, 50]), ("noise_std", [0.5, 2.0])])
def test_an_axis_gives_the_points_of_as_many_single_runs(key: str, values: list[Any]) -> None:
    grid = Grid(**{key: values})
    together = list(points(task(grid=grid, **with_values())))
    assert [found.name for found in together] == [f"dln,{key}={value}" for value in values]
    for found, value in zip(together, values, strict=True):
        assert found.coords[key] == value
        assert_equal(found, point(**with_values(**{key: value})))


def test_seeds_are_as_many_runs_with_the_following_seeds() -> None:
    together = list(points(task(seed=5, seeds=3)))
    assert [found.coords["seed"] for found in together] == [5, 6, 7]
    for found in together:
        assert_equal(found, point(seed=int(found.coords["seed"])))


def test_axes_cross_with_networks_and_seeds() -> None:
    made = task(sizes=SMALL, nets=2, grid=Grid(n=[30, 50], noise_std=[1.0, 2.0]), seeds=2)
    names = [spec.name for spec in made.points()]
    assert len(set(names)) == len(names) == 16
    assert names[-1] == "small-1,n=50,noise_std=2.0,seed=1"


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("mode", ["population", "noise_free"])
def test_a_trained_network_arrives_at_a_minimum_that_is_the_teacher(optimizer: str, mode: str) -> None:
    rate, steps = {"adam": (0.02, 400), "sgd": (0.1, 300), "lbfgs": (1.0, 60)}[optimizer]
    fit = Fit(optimizer, rate, steps, every=300)
    found = point(model=Model([4, 3, 3], rank=3, w_star="trained"), data=Teacher(mode=mode, n=200), fit=fit)
    w = flatten(found.model.module)[None].requires_grad_()
    (slope,) = torch.autograd.grad(found.model.closed["data"](w).sum(), w)
    assert slope.norm() < 1e-4
    assert (found.known.lam, found.known.local) == (6.0, 6.0)
    x, y = some_rows(found)
    if mode == "noise_free":
        torch.testing.assert_close(found.model.module(x), y, rtol=0, atol=1e-3)


def test_minibatches_train_too_and_checkpoints_are_points_measured_against_themselves() -> None:
    fit = Fit("sgd", 0.05, steps=60, batch_size=50, every=20, checkpoints=[0, 30])
    found = list(points(task(model=Model(w_star="trained"), data=Teacher(mode="noise_free", n=500), fit=fit)))
    assert [p.name for p in found] == ["dln,init", "dln,step=30", "dln,final"]
    assert [p.coords["step"] for p in found] == [0, 30, 60]
    assert {p.target for p in found} == {"self"}
    assert found[0].known.lam == 10.5  # of its own map, whose rank is 3
    batch = some_rows(found[0])
    losses = [p.model.nll(p.model.module(batch[0]), batch).mean().item() for p in found]
    assert losses[0] > losses[1] > losses[2]


def test_a_trained_point_without_its_snapshot_is_refused() -> None:
    made = task(model=Model(w_star="trained"))
    with pytest.raises(ValueError, match="snapshot"):
        made.point(made.points()[0], None)


REFUSED = [
    ({"model": lambda: Model([])}, "task.model.widths must be two or more positive widths"),
    ({"model": lambda: Model([4, 0, 4])}, "task.model.widths must be"),
    ({"model": lambda: Model(rank=4)}, r"task.model.rank must be in 0\.\.3, .*, got 4; lower"),
    ({"model": lambda: Model(rank=-1)}, "task.model.rank must be in"),
    ({"model": lambda: Model(w_star="deep")}, "task.model.w_star must be one of balanced, .*, got deep"),
    ({"model": lambda: Model(rank=1, w_star="layerwise")}, "task.model.rank must be null with w_star=layerwise"),
    ({"model": lambda: Model(rank=6), "sizes": lambda: SMALL}, "size small may draw, got 6"),
    ({"data": lambda: Teacher(noise_std=-1.0)}, "task.data.noise_std must be > 0, got -1"),
    ({"data": lambda: Teacher(noise_std=0.0)}, "task.data.noise_std must be > 0"),
    ({"data": lambda: Teacher(n=0)}, "task.data.n must be >= 1"),
    ({"data": lambda: Teacher(mode="clean")}, "task.data.mode must be one of population"),
    ({"data": lambda: Teacher(inputs="cauchy")}, "task.data.inputs must be one of"),
    ({"data": lambda: Teacher(covariance=[1, 2])}, "5 positive eigenvalues or a 5 x 5 matrix"),
    ({"data": lambda: Teacher(covariance=[1, 2, 3, 4, -1])}, "eigenvalues must be > 0"),
    ({"data": lambda: Teacher(covariance=[[1, 2]] * 5)}, "task.data.covariance must be"),
    ({"data": lambda: Teacher(covariance=[[1, 0, 0, 0, 2]] * 5)}, "symmetric"),
    ({"data": lambda: Teacher(covariance="wide")}, "task.data.covariance must be"),
    ({"data": lambda: Teacher(covariance=[1] * 5), "sizes": lambda: SMALL}, "must be null where task.size draws"),
    ({"sizes": lambda: {"s": Size([3, 2], [3, 4])}}, r"layers must be \[least, most\]"),
    ({"sizes": lambda: {"s": Size([2, 3], [0, 4])}}, r"widths must be \[least, most\]"),
    ({"nets": lambda: 0}, "task.nets must be >= 1, got 0"),
    ({"seeds": lambda: 0}, "task.seeds must be >= 1, got 0"),
    ({"grid": lambda: Grid(rank=[1, 4])}, "task.model.rank must be in"),
    ({"grid": lambda: Grid(noise_std=[-1.0])}, "task.data.noise_std must be > 0"),
]


@pytest.mark.parametrize(("settings", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_cannot_be_is_refused_before_anything_is_built(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        task(**{key: value() for key, value in settings.items()})


@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    share=st.none() | st.floats(0, 1),
    w_star=st.sampled_from(["balanced", "layerwise", "random_svd", "zero"]),
    mode=st.sampled_from(["population", "noise_free", "noisy"]),
    noise_std=st.floats(0.1, 10),
)
def test_every_valid_configuration_gives_a_minimum_with_an_answer(
    widths: list[int], share: float | None, w_star: str, mode: str, noise_std: float
) -> None:
    own = share is None or w_star in ("layerwise", "zero")
    model = Model(widths, None if own else round(share * min(widths)), w_star)  # type: ignore[operator]
    found = point(model=model, data=Teacher(mode, 30, noise_std))
    parameters = flatten(found.model.module).numel()
    assert found.coords["parameters"] == parameters
    assert found.known.lam is not None
    assert 0 < found.known.lam <= parameters / 2
    assert found.model.closed["self"](flatten(found.model.module)[None]).item() < 1e-20


def test_the_arm_of_a_bare_task_has_every_null_filled_in() -> None:
    cfg = arm().cfg
    assert (cfg.data.n, cfg.sizes, cfg.nets) == (100_000, {}, 1)
