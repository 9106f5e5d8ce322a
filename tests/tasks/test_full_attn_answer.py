"""The answer key of full attention, against Jacobians, chains and the values that are known."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import theory
from llcx.config import Hardware
from llcx.estimators.llc import LLC
from llcx.measure import measure
from llcx.params import flatten
from llcx.samplers import Gibbs
from llcx.tasks.attention.form import prediction
from llcx.tasks.full_attn.directions import costs, jacobian
from llcx.tasks.full_attn.schema import FullAttn, Model
from llcx.tasks.full_attn.weights import counted, trained_part
from llcx.types import Point
from tests.stats import assert_matches
from tests.tasks.full_attention import SMALL, at, balanced, icl, point
from tests.tasks.prompts import weights

VALUES = {"W_Q", "W_K", "W_V", "W_O"}


def parts(of_u: list[str], of_o: list[str]) -> frozenset[str]:
    return frozenset({*of_u, *of_o})


@pytest.mark.parametrize(
    ("d", "d_l", "rank", "lam", "mult"),
    [(2, 3, 2, 4, 1), (3, 4, 3, 7.5, 1), (3, 2, 2, 6.5, 1), (4, 6, 4, 12, 1), (4, 4, 2, 11, 2), (8, 24, 8, 40, 1)],
)
def test_the_known_solution_has_half_d_and_the_deep_linear_value(
    d: int, d_l: int, rank: int, lam: float, mult: int
) -> None:
    found = icl(d, d_l, rank).known
    assert (found.lam, found.local, found.mult) == (lam, lam, mult)
    assert found.lam == d / 2 + theory.dln([d + 1, d_l, d], rank).lam
    assert found.at is not None
    assert found.at(1e4, 1.0) == pytest.approx(theory.RLCT(theory.dln([d + 1, d_l, d], rank).lam, mult).at(1e4) + d / 2)
    assert found.extra["lambda_FA"] == lam
    assert found.extra["lambda_B"] == theory.dln([d + 1, d_l, d + 1], rank).lam


@pytest.mark.parametrize(("d", "d_l", "dimension"), [(2, 3, 8), (3, 4, 15), (3, 2, 13), (4, 6, 24)])
@pytest.mark.parametrize("generic", [False, True])
def test_the_jacobian_has_the_rank_that_theory_gives_where_it_is_regular(
    d: int, d_l: int, dimension: int, generic: bool
) -> None:
    found = at([weights(d + 1, d_l, seed=s) for s in range(4)]) if generic else icl(d, d_l)
    assert found.known.lam == dimension / 2
    assert counted(torch.linalg.svdvals(jacobian(settings(found), found.model.module)), 1e-10) == dimension
    assert generic or found.known.extra["lambda_jacobian"] == dimension / 2


def settings(found: Point, **more: Any) -> FullAttn:
    return FullAttn(model=Model(int(found.coords["d"]), int(found.coords["d_l"])), data=SMALL, **more)


@pytest.mark.parametrize("d_l", [2, 4])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    "names", ["W_Q", "W_K", "W_V", "W_O", "W_Q W_V", "W_K W_V", "W_Q W_O", "W_V W_O", "W_Q W_V W_O"]
)
def test_frozen_factors_leave_half_the_rank_of_the_restricted_jacobian(names: str, rank: int, d_l: int) -> None:
    """Wherever no product of two sampled factors is singular: all but W_Q with W_K."""
    found = icl(3, d_l, rank)
    sampled = frozenset(names.split())
    assert found.restricted is not None
    whole = jacobian(settings(found), found.model.module).unflatten(1, (4, -1))
    chosen = torch.cat([whole[:, "QKVO".index(name[-1])] for name in sampled], 1)
    numbers = counted(torch.linalg.svdvals(chosen), 1e-10)
    answer = found.restricted(sampled)
    assert answer.lam == pytest.approx(numbers / 2)
    assert answer.mult == 1


def test_key_and_query_alone_are_a_deep_linear_network_and_with_the_values_lose_the_common_scale() -> None:
    found = icl(4, 4, 2)
    assert found.restricted is not None
    of_u = theory.dln([5, 4, 4], 2)
    assert found.restricted(frozenset({"W_Q", "W_K"})).lam == of_u.lam
    assert found.restricted(frozenset({"W_Q", "W_K"})).mult == of_u.mult == 2
    assert found.restricted(frozenset({"W_Q", "W_K", "W_V"})).lam == of_u.lam + 2
    assert found.restricted(frozenset(VALUES)) == found.known


def test_one_factor_alone_has_the_energy_of_its_quadratic_at_every_temperature() -> None:
    found = icl(2, 3)
    assert found.restricted is not None
    answer = found.restricted(frozenset({"W_K"}))
    assert answer.at is not None
    w = flatten(found.model.module)[None].repeat(3, 1)
    step = weights(9, seed=3)
    w[1:, 9:18] += torch.stack([step, -step])
    k = found.model.closed["self"](w)
    assert float(k[1]) == pytest.approx(float(k[2]))  # even in the step: no linear term
    assert 0 < answer.at(0.1, 1.0) < answer.at(10.0, 1.0) < answer.at(1e6, 1.0) == pytest.approx(3)  # type: ignore[operator]


@pytest.mark.parametrize("d_l", [2, 4])
def test_nothing_learned_is_the_smaller_of_the_two_factors(d_l: int) -> None:
    found = at([1e-6 * weights(4, d_l, seed=s) for s in range(4)])
    assert found.known.lam == min(theory.dln([4, d_l, 3], 0).lam, theory.dln([1, d_l, 4], 0).lam)
    assert found.restricted is not None
    assert found.restricted(frozenset({"W_Q", "W_K"})).lam is None  # o does not let U be seen


def test_where_both_factors_vanish_alike_their_multiplicities_add() -> None:
    found = at([1e-6 * weights(2, 1, seed=s) for s in range(4)])
    assert (found.known.lam, found.known.mult) == (0.5, 2)  # U = q k^T and o = w v with numbers q and w


def staircase(sizes: list[float]) -> Point:
    d = len(sizes)
    U = torch.cat([torch.diag(torch.tensor(sizes, dtype=torch.float64)), torch.zeros(d, 1, dtype=torch.float64)], 1)
    o = torch.zeros(d + 1, dtype=torch.float64)
    o[-1] = 1
    return at(balanced(U, o, d))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_a_direction_counts_once_the_loss_sees_it(rank: int) -> None:
    found = staircase([0.1] * rank + [1e-6] * (3 - rank))
    assert found.restricted is not None
    answer = found.restricted(frozenset({"W_Q", "W_K"}))
    expected = theory.dln([4, 3, 3], rank)
    assert (answer.lam, answer.mult) == (expected.lam, expected.mult)
    assert answer.at is not None
    assert answer.at(1e4, 1.0) == expected.at(1e4)
    assert answer.at(1e16, 1.0) == theory.dln([4, 3, 3], 3).at(1e16)  # so cold that it sees the smallest
    assert rank == 0 or found.known.lam == 1.5 + expected.lam


def test_nothing_is_expected_where_a_direction_is_half_seen() -> None:
    found = staircase([0.1, 0.1, 0.1])
    cost = costs(settings(found), found.model.module)[0]
    assert found.known.at is not None
    assert found.known.at(1 / cost, 1.0) is None
    assert found.known.at(20 / cost, 1.0) is not None


def test_a_cost_is_the_loss_of_the_model_without_the_direction() -> None:
    found = at([weights(4, 2, seed=s) for s in range(4)])
    U, o = trained_part(found.model.module)
    left, values, right = torch.linalg.svd(U, full_matrices=False)
    without = balanced(U - values[1] * torch.outer(left[:, 1], right[1]), o, 3)
    for given, told in ((found, costs(settings(found), found.model.module)[1]), (at(without), 0.0)):
        theta = prediction(torch.cat([factor.flatten() for factor in without])[None], 4)
        gap = theta - prediction(flatten(given.model.module)[None], 4)
        second = given.model.closed["self"].moments().second  # type: ignore[attr-defined]
        assert float((gap @ second @ gap.T) / 2) == pytest.approx(told, rel=1e-9, abs=1e-12)


def test_the_linear_view_is_known_by_the_rank_of_b_and_expects_what_its_temperature_sees() -> None:
    found = at([0.01 * weights(4, 3, seed=s) for s in range(4)], view="lsa")
    assert found.known.lam == found.known.local == theory.dln([4, 3, 4], 3).lam
    assert found.known.at is not None
    assert found.known.at(100.0, 1.0) == theory.dln([4, 3, 4], 0).at(100.0)
    assert found.known.at(1e12, 1.0) == theory.dln([4, 3, 4], 3).at(1e12)
    assert found.known.extra == {"lambda_B": found.known.lam}
    assert found.restricted is not None
    assert found.restricted(frozenset({"W_Q"})).lam == 4 * 3 / 2


def drawn(found: Point, where: list[str] | None = None) -> Tensor:
    cfg = LLC(where=where, nbeta=1e4, gamma=1.0, chains=64, warmup=40, draws=80, every=1, check="off")
    return measure(found, Gibbs(), cfg, Hardware(), seed=0).estimate.draws


def test_exact_conditionals_give_the_expected_energy_and_not_that_of_linear_attention() -> None:
    found = icl(2, 3, 2)
    assert found.known.at is not None
    draws = drawn(found)
    assert_matches(draws, float(found.known.at(1e4, 1.0) or 0))
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(draws, found.known.extra["lambda_B"])


def test_exact_conditionals_of_one_factor_have_its_energy_at_a_high_temperature() -> None:
    found = icl(2, 3, 2)
    assert found.restricted is not None
    expected = found.restricted(frozenset({"W_K"}))
    cfg = LLC(where=["W_K"], nbeta=10.0, gamma=1.0, chains=64, warmup=5, draws=100, every=1, check="off")
    assert expected.at is not None
    assert_matches(measure(found, Gibbs(), cfg, Hardware(), seed=0).estimate.draws, float(expected.at(10.0, 1.0) or 0))


def test_the_labels_have_no_expected_energy_for_one_factor() -> None:
    found = point(model=Model(2, 3, "icl"), view="data")
    assert found.restricted is not None
    assert found.restricted(frozenset({"W_K"})).at is None
    assert found.target == "data"
