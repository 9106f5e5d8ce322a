"""The points of task=suite: what each is, and that its answer key and its loss belong together."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import gradients, rng
from llcx.estimators.llc import LLC
from llcx.measure import wished
from llcx.params import flatten
from llcx.posterior import Posterior
from llcx.registry import SAMPLERS
from llcx.samplers.gibbs import Gibbs
from llcx.samplers.gibbs import build as gibbs
from llcx.tasks.suite.schema import FAMILIES, Suite
from llcx.tasks.suite.task import SuiteTask, build
from llcx.types import Point, Potential, Task
from tests.stats import assert_matches

LOCAL = [("local-4-4-4-a0b3", 6.5), ("local-4-4-4-a4b0", 8.0), ("local-4-5-6-a0b4", 12.0), ("local-4-5-6-a3b2", 9.0)]


def task(seed: int = 0, **settings: Any) -> SuiteTask:
    return build(Suite(**{"n": 500, **settings}), rng.streams(seed))


def points(made: Task) -> dict[str, Point]:
    return {spec.name: made.point(spec, None) for spec in made.points()}


def named(name: str, seed: int = 0) -> Point:
    return points(task(seed, problems=[name]))[name]


def potential(point: Point) -> Potential:
    return gradients.of_model(point.model, point.data, target=point.target, dtype=torch.float64)[0]


@pytest.fixture(scope="module")
def every() -> dict[str, Point]:
    return points(task())


def test_every_family_has_problems_and_they_are_of_many_kinds(every: dict[str, Point]) -> None:
    assert {str(point.coords["family"]) for point in every.values()} == set(FAMILIES)
    assert {point.known.mult for point in every.values()} == {1, 2, 3}
    sizes = [sum(p.numel() for p in point.model.module.parameters()) for point in every.values()]
    assert (min(sizes), max(sizes)) == (1, 1000)
    assert len(every) >= 60


def test_a_problem_is_a_minimum_with_a_possible_answer(every: dict[str, Point]) -> None:
    """But for what noisy labels do to the teacher and to a network that is taught by nothing else."""
    for name, point in every.items():
        at = potential(point)
        k, grad = at.full(at.at.unsqueeze(0))
        assert abs(float(k)) < 1e-12, name
        assert float(grad.abs().max()) < 1e-8 or name == "regression-teacher", name
        near = at.at + 0.1 * torch.randn(
            20, len(at.at), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        assert float(at.value(near).min()) >= 0 or name in ("regression-teacher", "noisy-chain"), name
        assert point.known.lam is not None
        assert 0 < point.known.lam <= len(at.at) / 2


def test_the_value_at_a_temperature_is_finite_and_tends_to_lambda(every: dict[str, Point]) -> None:
    for name, point in every.items():
        known, here = point.known, point.known.local or point.known.lam
        assert known.at is not None
        assert here is not None
        values = [known.at(nbeta, 1.0) or 0.0 for nbeta in (1e3, 1e5, 1e8)]
        if name not in ("regression-teacher", "noisy-chain"):
            assert values[0] <= values[1] + 1e-9 <= values[2] + 2e-9 <= here + 0.02, name
            assert values[2] > 0.75 * here, name


def test_rows_belong_to_noisy_labels_alone(every: dict[str, Point]) -> None:
    with_rows = {name for name, point in every.items() if point.data.train is not None}
    assert with_rows == {name for name, point in every.items() if point.coords["family"] == "label_noise"}
    assert potential(every["x2y2"]).mini is None
    assert potential(every["noisy-dln0"]).mini is not None


def test_gibbs_is_asked_where_the_loss_is_a_quadratic_in_blocks(every: dict[str, Point]) -> None:
    """Third differences along a group vanish, and blocks cover all parameters; elsewhere it is not asked."""
    for name, point in every.items():
        assert ("gibbs" in point.unsuited) == (not point.model.blocks), name
        at = potential(point)
        w = at.at + 0.3 * torch.randn(len(at.at), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        covered = [block.reshape(-1) for block in point.model.blocks]
        assert not covered or torch.equal(torch.cat(covered).sort().values, torch.arange(len(at.at))), name
        for block in point.model.blocks:
            step = torch.zeros_like(w)
            step[block[0]] = 1.0
            k = at.value(torch.stack([w + t * step for t in range(4)]))
            assert abs(float(k[3] - 3 * k[2] + 3 * k[1] - k[0])) < 1e-9 * float(k.abs().max()), name


def test_unsuited_kernels_exist(every: dict[str, Point]) -> None:
    assert {kernel for point in every.values() for kernel in point.unsuited} <= set(SAMPLERS.names())


@pytest.mark.parametrize(("name", "value"), LOCAL)
def test_a_local_point_is_scored_against_its_own_value_in_local_mode(name: str, value: float) -> None:
    point = named(name)
    first, second = (parameter.detach() for parameter in point.model.module.parameters())
    ranks = {f"a{_rank(second)}b{_rank(first)}"}
    assert ranks == {name.split("-")[-1]}
    assert float((second @ first).abs().max()) < 1e-12
    assert point.known.local == value
    assert wished(LLC(), point).mode == "local"
    assert wished(LLC(nbeta=7.0), point).nbeta == 7.0


def _rank(matrix: Tensor) -> int:
    values = torch.linalg.svdvals(matrix)
    assert torch.allclose(values[values > 0.5], torch.ones_like(values[values > 0.5]))
    return int((values > 0.5).sum())


@pytest.mark.parametrize(
    ("name", "nbeta", "gamma"),
    [
        ("rrr-3-3-3-r0", 1e3, 1.0),
        ("local-4-4-4-a0b3", 1e6, 100.0),
        ("noisy-chain", 300.0, 1.0),
        ("regression", 400.0, 30.0),
    ],
)
def test_the_value_at_a_temperature_is_what_chains_find(name: str, nbeta: float, gamma: float) -> None:
    """Gibbs sampling of the problem itself; and a value 10 % off would be noticed."""
    point = named(name)
    known = point.known.at
    assert known is not None
    trace = _gibbs(potential(point), nbeta, gamma)
    assert_matches(trace, known(nbeta, gamma) or 0.0, rel_se=0.02)
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(trace, 1.15 * (known(nbeta, gamma) or 0.0), rel_se=0.02)


def _gibbs(at: Potential, nbeta: float, gamma: float, *, burn: int = 100, draws: int = 200) -> Tensor:
    """n*beta*K [C, T] of 128 chains."""
    target = Posterior(at, nbeta, gamma)
    kernel, noise = gibbs(Gibbs(), target), rng.ChainNoise(0, 128)
    state, kept = kernel.init(at.at.repeat(128, 1), noise), []
    for step in range(burn + draws):
        state = kernel.step(state, None, noise)
        if step >= burn:
            kept.append(target.energy(state.w))
    return torch.stack(kept, 1)


def test_a_problem_is_the_same_whatever_is_asked_beside_it(every: dict[str, Point]) -> None:
    alone = named("noisy-dln1")
    beside = every["noisy-dln1"]
    assert torch.equal(flatten(alone.model.module), flatten(beside.model.module))


def test_seeds_give_other_problems_and_say_so_in_their_names() -> None:
    found = points(task(problems=["dln-random0", "x2y2"], seeds=2))
    assert list(found) == ["x2y2,seed=0", "dln-random0,seed=0", "x2y2,seed=1", "dln-random0,seed=1"]
    first, second = (flatten(point.model.module) for name, point in found.items() if "x2y2" in name)
    assert not torch.equal(first, second)
    assert torch.equal(second, flatten(named("x2y2", seed=1).model.module))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"families": ["nonsense"]}, "task.families must be one of regular"),
        ({"problems": ["nothing-like-it"]}, "task.problems must name problems"),
        ({"nets": -1}, "task.nets must be >= 0"),
        ({"seeds": 0}, "task.seeds must be >= 1"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**settings)
