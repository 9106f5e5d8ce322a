"""Scores of what is learned in context, on patterns and losses made by hand."""

import pytest
import torch
from torch import Tensor

from llcx.tasks.lm import scores

TOKENS = torch.tensor([[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]])  # 10 predictions; period 3
T = 10


def looks(pattern: Tensor) -> tuple[float, float]:
    """(previous, induction) of a single head."""
    previous, induction = scores._looks(pattern[None, None], TOKENS)[0, 0].tolist()
    return previous, induction


def test_a_head_that_looks_back_one_place_is_a_previous_token_head() -> None:
    back = torch.zeros(T, T)
    back[0, 0] = 1
    back[torch.arange(1, T), torch.arange(T - 1)] = 1
    previous, induction = looks(back)
    assert previous == 1
    assert induction == 0


def test_a_head_that_looks_at_what_followed_is_an_induction_head() -> None:
    """Of period 3, what followed the present token's last occurrence stands two places back."""
    copying = torch.zeros(T, T)
    copying[0, 0] = copying[1, 0] = 1
    copying[torch.arange(2, T), torch.arange(T - 2)] = 1
    previous, induction = looks(copying)
    assert induction == 1  # over the places 3.. whose token occurred before
    assert previous == pytest.approx(1 / 9)


def test_a_head_that_looks_everywhere_is_neither() -> None:
    even = torch.ones(T, T).tril() / torch.arange(1, T + 1).unsqueeze(1)
    previous, induction = looks(even)
    assert 0.1 < previous < 0.4
    assert 0.1 < induction < 0.4


def test_losses_are_means_over_predictions_of_a_kind() -> None:
    nats = torch.arange(10.0).unsqueeze(0)
    assert scores.summary(nats, TOKENS) == {"loss": 4.5, "in_context": 9.0 - 1.0, "repeated": 6.0, "new": 1.0}
