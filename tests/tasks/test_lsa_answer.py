"""The answer key: known values, and every regular one against the rank of a Jacobian."""

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from llcx import theory
from llcx.params import flatten
from llcx.tasks.attention.form import key_query
from llcx.tasks.lsa.answer import spanned
from llcx.tasks.lsa.schema import Draw, Model, PromptData, Size
from llcx.types import Point
from tests.tasks.lsa_problems import point, task

SMALL = {"small": Size([2, 5])}


@pytest.mark.parametrize(
    ("shape", "full", "mult", "matrix"),
    [
        ((2, 2, 1, 0), 3.5, 2, 2.0),
        ((3, 3, 1, 1), 7.0, 2, 4.0),
        ((3, 5, 2, 0), 8.0, 2, 4.5),
        ((3, 2, 1, 1), 6.0, 1, 3.5),
    ],
)
def test_both_theories_have_the_values_that_are_known(shape: Any, full: float, mult: int, matrix: float) -> None:
    known = point(model=Model(*shape)).known
    assert (known.lam, known.local, known.mult) == (full, full, mult)
    assert known.extra == {"lambda_full": full, "lambda_matrix": matrix}
    assert known.at is not None
    assert known.at(1e4, 1.0) == theory.RLCT(Fraction(full), mult).at(1e4)
    assert known.at(1.0, 1.0) != known.at(1.0, 1.0)  # nan: no expansion there
    assert "Aoyagi" in known.reference


@pytest.mark.parametrize("alpha", [0, 1, 2])
def test_where_both_theories_are_saturated_they_differ_by_d_and_a_half(alpha: int) -> None:
    for d, rank in [(3, 1), (6, 3)]:
        extra = point(model=Model(d, 3 * d, rank, alpha)).known.extra
        assert extra["lambda_full"] - extra["lambda_matrix"] == d + 0.5


def test_a_simple_teacher_has_no_theory_of_m() -> None:
    found = point(model=Model(4, 3, 2, w_star="simple"))
    assert found.known.extra == {"lambda_full": float(theory.dln([5, 3, 5], 2).lam)} == {"lambda_full": found.known.lam}


def jacobian_rank(found: Point, names: tuple[str, ...], scalar: bool) -> int:
    """Of (sampled weights) -> B, or -> the symmetric part of M, at w*."""
    d = int(found.coords["d"])
    at = flatten(found.model.module).detach()

    def seen(w: Tensor) -> Tensor:
        B = key_query(w.unsqueeze(0), d + 1).reshape(d + 1, d + 1)
        return (B + B.T)[:d, :d] if scalar else B

    jacobian = jacrev(seen)(at).flatten(0, 1)
    blocks = dict(zip(("W_Q", "W_K"), jacobian.chunk(2, 1), strict=True))
    return int(torch.linalg.matrix_rank(torch.cat([blocks[name] for name in names], 1), rtol=1e-9))


@pytest.mark.parametrize("w_star", ["alpha", "simple"])
@pytest.mark.parametrize("output", ["matrix", "scalar"])
def test_what_is_regular_has_half_the_rank_of_its_jacobian(output: str, w_star: str) -> None:
    made = task(sizes=SMALL, nets=24, model=Model(output=output, w_star=w_star), draw=Draw([0.5, 2.2], False))
    answered = {True: 0, False: 0}
    for spec in made.points():
        found = made.point(spec, None)
        assert found.restricted is not None
        for name in ("W_Q", "W_K"):
            known = found.restricted(frozenset([name]))
            assert known.lam == known.local == jacobian_rank(found, (name,), output == "scalar") / 2
            assert known.mult == 1
        assert found.restricted(frozenset(["W_Q", "W_K"])).local == found.known.local
        whole = jacobian_rank(found, ("W_Q", "W_K"), output == "scalar") / 2
        if output == "matrix":
            assert whole <= found.known.lam <= found.coords["parameters"] / 2  # type: ignore[operator]
        else:
            d = int(found.coords["d"])
            assert (found.known.local is not None) == (whole == d * (d + 1) / 4)
            assert found.known.local in (None, whole)
        answered[found.known.local is not None] += 1
    assert answered[True] > 10
    assert answered[False] == 0 if output == "matrix" else answered[False] > 0


def test_a_regular_minimum_says_nothing_about_the_whole_fibre_unless_sym_m_is_regular_too() -> None:
    thin = point(model=Model(3, 5, 1, 1, output="scalar")).known  # rank sym(M) = 2, W_Q[:d] and W_K[:d] span 3
    full = point(model=Model(3, 5, 2, 1, output="scalar")).known
    assert (thin.lam, thin.local) == (None, 3.0)
    assert (full.lam, full.local) == (3.0, 3.0)


@pytest.mark.parametrize("w_star", ["alpha", "simple"])
def test_the_ranks_of_the_factors_upper_blocks_are_those_counted(w_star: str) -> None:
    made = task(sizes=SMALL, nets=60, model=Model(w_star=w_star))
    for spec, each in zip(made.points(), made.arms.values(), strict=True):
        module: Any = made.point(spec, None).model.module
        W_Q, W_K = module.W_Q[:-1], module.W_K[:-1]
        ranks = [int(torch.linalg.matrix_rank(matrix, rtol=1e-8)) for matrix in (W_Q, W_K, W_Q @ W_K.T)]
        assert tuple(ranks) == spanned(each.cfg.model)


@pytest.mark.parametrize(
    ("output", "context", "n", "enough"),
    [
        ("matrix", 4, 1, True),
        ("matrix", 3, 25, True),
        ("matrix", 1, 3, False),
        ("scalar", 9, 10, True),
        ("scalar", 9, 9, False),
    ],
)
def test_with_too_few_prompts_nothing_is_known(output: str, context: int, n: int, enough: bool) -> None:
    data = PromptData("noise_free", n, context)
    found = point(model=Model(4, 4, 3, 0, output=output), data=data)
    assert (found.known.local is not None) == enough
    assert found.restricted is not None
    assert (found.restricted(frozenset(["W_Q"])).lam is not None) == enough
    second = found.model.closed["data"].moments().second  # type: ignore[attr-defined]
    seen = 25 if output == "matrix" else 10
    assert (int(torch.linalg.matrix_rank(second, rtol=1e-12)) == seen) == enough
