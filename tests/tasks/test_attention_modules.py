"""The modules against their formulas, written out in full."""

import pytest
import torch

from llcx.tasks.attention.modules import FullAttention, LinearAttention
from llcx.tasks.attention.prompts import Law
from tests.tasks.prompts import raw, weights

D, D_L = 3, 2
X = raw(Law(D, 6), 5)[0]
W_Q, W_K, W_V, W_O = weights(4, D + 1, D_L)


def test_linear_attention_gives_every_product_of_two_tokens() -> None:
    wanted = torch.einsum("bia,ak,ck,bjc->bij", X, W_Q, W_K, X)
    torch.testing.assert_close(LinearAttention(W_Q, W_K)(X), wanted)
    torch.testing.assert_close(LinearAttention(W_Q, W_K, "scalar")(X), wanted[:, -1, -1])


def test_the_scalar_output_sees_the_symmetric_part_of_m_alone() -> None:
    eye = torch.eye(D + 1, dtype=torch.float64)
    shift = torch.zeros(D + 1, D + 1, dtype=torch.float64)
    shift[0, 1], shift[1, 0], shift[-1, :], shift[:, -1] = 2, -2, 3, 4
    B = W_Q @ W_K.T
    found, other = LinearAttention(B, eye, "scalar")(X), LinearAttention(B + shift, eye, "scalar")(X)
    torch.testing.assert_close(found, other)
    assert (LinearAttention(B + shift, eye)(X) - LinearAttention(B, eye)(X))[:, :-1].abs().mean() > 1


def test_an_output_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="output must be one of matrix, scalar, got vector"):
        LinearAttention(W_Q, W_K, "vector")


def test_full_attention_predicts_with_the_last_entry_of_its_output() -> None:
    module = FullAttention(W_Q, W_K, W_V, W_O)
    wanted = (X @ W_Q @ W_K.T @ X.mT) @ X @ W_V @ W_O.T
    torch.testing.assert_close(module(X), wanted[:, -1, -1])
    assert [name for name, _ in module.named_parameters()] == ["W_Q", "W_K", "W_V", "W_O"]


def test_the_label_row_of_queries_and_all_but_one_row_of_outputs_never_move() -> None:
    module = FullAttention(W_Q, W_K, W_V, W_O)
    module(X).square().sum().backward()
    still = module.W_Q.grad[-1], module.W_O.grad[:-1]  # type: ignore[index]
    assert all((part == 0).all() for part in still)
    moved = module.W_Q.grad[:-1], module.W_K.grad, module.W_V.grad, module.W_O.grad[-1]  # type: ignore[index]
    assert all((part.abs() > 1e-6).all() for part in moved)  # type: ignore[union-attr]


def test_the_weights_given_are_copied() -> None:
    module = LinearAttention(W_Q, W_K)
    with torch.no_grad():
        module.W_Q.zero_()
    assert W_Q.abs().min() > 0
