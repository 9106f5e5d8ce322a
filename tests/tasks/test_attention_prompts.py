"""Compressed prompts: the same losses, the same law, functions of (seed, row)."""

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.attention.prompts import Law, Prompts, check_covariance, covariance
from tests.tasks.prompts import DOUBLE, assert_means, mixed, raw, weights


def compressed(X: Tensor) -> tuple[Tensor, Tensor]:
    """A raw prompt with its tokens' triangular factor in their place, and what it is multiplied by to give it back."""
    tokens = X[:, :-1]
    Q, _ = torch.linalg.qr(tokens[..., :-1])
    P = torch.zeros(len(X), X.shape[1], Q.shape[-1] + 1, dtype=DOUBLE)
    P[:, :-1, :-1], P[:, -1, -1] = Q, 1
    return torch.cat([Q.mT @ tokens, X[:, -1:]], 1), P


@pytest.mark.parametrize(("d", "context"), [(1, 7), (3, 10), (3, 3), (3, 2)])
def test_a_compressed_prompt_has_the_losses_of_the_raw_one(d: int, context: int) -> None:
    X, _, _ = raw(Law(d, context, mixed(d)), 5)
    T, P = compressed(X)
    D, E = weights(d + 1, d + 1), weights(5, context + 1, context + 1, seed=2)
    long, short = X @ D @ X.mT, T @ D @ T.mT
    assert T.shape[1] == min(d, context) + 1
    torch.testing.assert_close(T.mT @ T, X.mT @ X)
    torch.testing.assert_close(short.square().sum((1, 2)), long.square().sum((1, 2)))
    torch.testing.assert_close(short[:, -1:] @ T @ D, long[:, -1:] @ X @ D)
    torch.testing.assert_close((short * (P.mT @ E @ P)).sum((1, 2)), (long * E).sum((1, 2)))
    torch.testing.assert_close(P.mT @ P, torch.eye(P.shape[-1], dtype=DOUBLE).expand(5, -1, -1))  # white stays white


@pytest.mark.parametrize("context", [1, 2, 3, 4, 100])
def test_a_prompt_has_no_more_tokens_than_x_has_entries(context: int) -> None:
    X, y = Prompts(Law(3, context), rng.streams(0))(torch.arange(6).reshape(2, 3))
    assert (X.shape, y.shape) == ((2, 3, min(3, context) + 1, 4), (2, 3))


def test_the_factor_drawn_is_the_factor_of_a_prompt() -> None:
    X, _ = Prompts(Law(3, 10), rng.streams(0))(torch.arange(50))
    assert X.shape == (50, 4, 4)
    assert torch.equal(X[:, :3, :3].tril(-1), torch.zeros(50, 3, 3, dtype=DOUBLE))
    assert (X[:, :3, :3].diagonal(dim1=1, dim2=2) > 0).all()
    assert torch.equal(X[:, -1, -1], torch.zeros(50, dtype=DOUBLE))


def statistics(X: Tensor, y: Tensor) -> Tensor:
    """[n, q]: S, its products, and the products of S, the query and its label that a prediction is made of."""
    upper = torch.triu_indices(X.shape[-1], X.shape[-1])
    S = (X.mT @ X)[:, upper[0], upper[1]]
    pair = torch.triu_indices(S.shape[1], S.shape[1])
    seen = (X[:, -1, :-1] * y[:, None]).unsqueeze(-1) * S.unsqueeze(1)
    return torch.cat([S, S[:, pair[0]] * S[:, pair[1]], seen.flatten(1)], 1)


def assert_same_law(drawn: Law, wanted: Law) -> None:
    """Means of compressed and raw statistics agree, in units of their mean absolute values."""
    rows = 80_000 if wanted.context < 5 else 32_000
    few = statistics(*Prompts(drawn, rng.streams(0))(torch.arange(rows)))
    many = statistics(*raw(wanted, rows)[:2])
    assert_means(few - many, torch.zeros_like(many[0]), many.abs().mean(0))


@pytest.mark.parametrize(("d", "context"), [(2, 1), (2, 2), (2, 3), (3, 5), (1, 100), (2, 100)])
@pytest.mark.parametrize("anisotropic", [False, True])
def test_prompts_have_the_law_of_raw_ones(d: int, context: int, anisotropic: bool) -> None:
    law = Law(d, context, mixed(d) if anisotropic else None)
    assert_same_law(law, law)


@pytest.mark.parametrize("other", [Law(3, 19), Law(3, 20, torch.diag(torch.tensor([1, 1, 1.1], dtype=DOUBLE)))])
def test_prompts_of_one_token_less_or_of_wider_inputs_have_another_law(other: Law) -> None:
    with pytest.raises(AssertionError, match="standard errors away"):
        assert_same_law(other, Law(3, 20))


def test_a_row_depends_on_its_seed_its_role_and_its_number_alone() -> None:
    law = Law(3, 10, mixed(3))
    rows = torch.tensor([[7, 3], [49, 7]])
    table = Prompts(law, rng.streams(0))(torch.arange(50))
    for found, whole in zip(Prompts(law, rng.streams(0))(rows), table, strict=True):
        torch.testing.assert_close(found, whole[rows], rtol=1e-14, atol=1e-14)  # a product's last bit is its shape's
    others = Prompts(law, rng.streams(1)), Prompts(law, rng.streams(0), "fresh")
    for other in others:
        assert (other(rows)[0] - table[0][rows])[..., :-1, :-1].diagonal(dim1=-2, dim2=-1).abs().min() > 1e-6


@pytest.mark.parametrize("context", [3, 10])
def test_labels_are_the_task_s_and_that_of_the_query_is_hidden(context: int) -> None:
    X, y = Prompts(Law(3, context, mixed(3)), rng.streams(0))(torch.arange(20))
    m = torch.linalg.solve(X[:, :-1, :-1], X[:, :-1, -1])
    torch.testing.assert_close((X[:, -1, :-1] * m).sum(-1), y)
    assert m.std().item() == pytest.approx(1, rel=0.3)
    assert (X[:, -1, -1] == 0).all()


def test_a_covariance_is_checked_against_the_width_of_x() -> None:
    with pytest.raises(ValueError, match=r"got \[1, 2, 3\]; 2 is the width of the input, task.model.d"):
        check_covariance([1, 2, 3], 2)
    found = covariance([1, 2], 2)
    assert found is not None
    assert torch.equal(found, torch.diag(torch.tensor([1.0, 2.0], dtype=DOUBLE)))
