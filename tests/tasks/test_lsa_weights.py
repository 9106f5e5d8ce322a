"""Teachers of known rank: the integers of their construction, by numerical rank."""

from itertools import product

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.attention.modules import balanced
from llcx.tasks.lsa import problems, weights
from llcx.tasks.lsa.schema import Draw, Model, Size
from tests.tasks.lsa_problems import arms

CLASSES = {"small": Size([3, 8]), "wide": Size([20, 30])}


def rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix, rtol=1e-10))


@pytest.mark.parametrize("w_star", ["alpha", "simple"])
@pytest.mark.parametrize("draw", [Draw(), Draw([2.5, 3.5], False)], ids=["narrow", "wide"])
def test_hundreds_of_drawn_teachers_have_the_ranks_they_were_built_with(draw: Draw, w_star: str) -> None:
    reached = set()
    for arm in arms(sizes=CLASSES, nets=150, draw=draw, model=Model(w_star=w_star)):
        model, B = arm.cfg.model, weights.teacher(arm.cfg.model, arm.streams)
        assert B.shape == (model.d + 1, model.d + 1)
        assert problems.ranks(model) == (rank(B[:-1, :-1]), rank(B))
        reached.add(rank(B) - rank(B[:-1, :-1]))
    assert reached == ({0, 1, 2} if w_star == "alpha" else {0})


@pytest.mark.parametrize(("d", "d_l"), [(1, 1), (1, 3), (2, 2), (4, 3), (5, 9)])
def test_every_rank_and_alpha_that_the_shape_allows_can_be_asked_for(d: int, d_l: int) -> None:
    asked = 0
    for r, alpha in product(range(d + 1), (0, 1, 2)):
        if r + alpha > d_l or (alpha and r == d):
            continue
        B = weights.teacher(Model(d, d_l, r, alpha), rng.streams(r))
        assert (rank(B[:-1, :-1]), rank(B)) == (r, r + alpha)
        asked += 1
    for r in range(min(d_l, d + 1) + 1):
        assert rank(weights.teacher(Model(d, d_l, r, w_star="simple"), rng.streams(r))) == r
    assert asked >= 2


@pytest.mark.parametrize("alpha", [0, 1, 2])
def test_label_column_and_row_lie_where_they_should(alpha: int) -> None:
    B = weights.teacher(Model(6, 6, 3, alpha), rng.streams(0))
    M, column, row = B[:-1, :-1], B[:-1, -1], B[-1, :-1]
    inside = torch.linalg.pinv(M, rtol=1e-10)
    assert (M.T @ column).norm().item() == pytest.approx(0, abs=1e-15) or alpha == 0
    assert (M @ inside @ column - column).norm() < 1e-14 or alpha > 0
    assert (row @ inside @ M - row).norm() < 1e-14 or alpha == 2
    if alpha > 0:
        assert column.norm().item() == pytest.approx(0.1)
    if alpha == 2:
        assert row.norm().item() == pytest.approx(0.1)
        assert (M @ row).norm() < 1e-15


def test_any_other_corner_would_add_a_rank_at_alpha_0() -> None:
    B = weights.teacher(Model(6, 6, 3, 0), rng.streams(0))
    assert rank(B) == 3
    B[-1, -1] += 1e-6
    assert rank(B) == 4


def test_singular_values_of_m_lie_above_a_tenth_and_have_their_mean() -> None:
    values = [torch.linalg.svdvals(weights.teacher(Model(9, 9, 8, 0), rng.streams(s))[:-1, :-1])[:8] for s in range(99)]
    found = torch.cat(values)
    assert found.min() >= 0.1
    assert found.mean().item() == pytest.approx(0.1 + 0.1 * (2 / torch.pi) ** 0.5, abs=5 * 0.06 / len(found) ** 0.5)


def test_a_simple_teacher_has_shrunk_gaussian_singular_values() -> None:
    generator = rng.streams(0).generator("weights")
    raw = torch.linalg.svdvals(torch.randn(7, 7, generator=generator, dtype=torch.float64))
    values = torch.linalg.svdvals(weights.teacher(Model(6, 6, 4, w_star="simple"), rng.streams(0)))
    torch.testing.assert_close(values[:4], 0.1 * raw[:4] + 0.1)


@pytest.mark.parametrize(("kind", "columns"), [(Model(5, 7, 2, 1), 7), (Model(5, 3, 2, 1), 3), (Model(5, 4, 0, 0), 4)])
def test_factors_multiply_to_the_teacher_and_are_balanced(kind: Model, columns: int) -> None:
    B, of_b = weights.teacher(kind, rng.streams(1)), problems.ranks(kind).of_b
    W_Q, W_K = balanced(B, of_b, columns)
    assert W_Q.shape == W_K.shape == (6, columns)
    torch.testing.assert_close(W_Q @ W_K.T, B, rtol=0, atol=1e-15)
    values = torch.nn.functional.pad(torch.linalg.svdvals(B)[:of_b], (0, columns - of_b))
    for factor in (W_Q, W_K):
        torch.testing.assert_close(factor.T @ factor, torch.diag(values), rtol=0, atol=1e-15)
        assert torch.equal(factor[:, of_b:], torch.zeros(6, columns - of_b, dtype=torch.float64))


def test_the_ranks_of_a_study_share_their_directions() -> None:
    high, low = (weights.teacher(Model(6, 6, r, 1), rng.streams(0))[:-1, :-1] for r in (3, 2))
    assert rank(high - low) == 1
    torch.testing.assert_close(
        weights.teacher(Model(6, 6, 3, 2), rng.streams(0))[:-1],
        weights.teacher(Model(6, 6, 3, 1), rng.streams(0))[:-1],
    )
