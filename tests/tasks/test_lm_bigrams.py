"""Sequences of repeated bigrams: their law, and the best prediction of it, by enumeration of all rules."""

from itertools import pairwise, product
from math import prod

import pytest
import torch

from llcx import rng
from llcx.tasks.lm.bigrams import Language, language, repeated

V, LENGTH = 3, 5
BASE = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], dtype=torch.float64)
SPOKEN = Language(BASE, 0.4, LENGTH)


def probability(tokens: tuple[int, ...], triggers: float = 0.4) -> float:
    """Of a sequence given its first token: the sum over all (V + 1)^V rules, of each token free or with a follower."""
    total = 0.0
    for rule in product(range(-1, V), repeat=V):
        weight = prod(1 - triggers if follower < 0 else triggers / V for follower in rule)
        for now, following in pairwise(tokens):
            weight *= float(BASE[now, following]) if rule[now] < 0 else float(rule[now] == following)
        total += weight
    return total


def test_the_best_prediction_is_bayes_rule() -> None:
    every = list(product(range(V), repeat=LENGTH))
    nats = SPOKEN.ideal(torch.tensor(every)).sum(1)
    exact = torch.tensor([probability(tokens) for tokens in every], dtype=torch.float64)
    torch.testing.assert_close((-nats).exp(), exact, rtol=1e-10, atol=1e-12)


def test_the_marginal_prediction_forgets_the_sequence() -> None:
    pairs = torch.cartesian_prod(torch.arange(V), torch.arange(V))
    exact = torch.tensor([probability((int(a), int(b))) for a, b in pairs], dtype=torch.float64)
    torch.testing.assert_close((-SPOKEN.marginal(pairs)).exp().squeeze(1), exact)


def deviation(triggers: float) -> float:
    """The largest distance, in standard errors, of frequencies of sequences from their law at a share of triggers."""
    rows = 40_000
    drawn = SPOKEN.rows(rng.streams(0).key("data"), torch.arange(rows))[:, :4]
    counts = torch.bincount((drawn * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81) / rows
    exact = torch.tensor([probability(tokens, triggers) / V for tokens in product(range(V), repeat=4)])
    return float(((counts - exact).abs() / (exact * (1 - exact) / rows).sqrt()).max())


def test_sequences_follow_their_law_and_no_other() -> None:
    assert deviation(0.4) < 4.5  # of 81 frequencies
    assert deviation(0.36) > 4.5


def test_a_sequence_is_a_function_of_its_number() -> None:
    key = rng.streams(0).key("data")
    assert torch.equal(SPOKEN.rows(key, torch.tensor([7])), SPOKEN.rows(key, torch.arange(10))[7:8])
    assert not torch.equal(SPOKEN.rows(key, torch.arange(10)), SPOKEN.rows(key + 1, torch.arange(10)))


def test_the_language_is_that_of_the_seed_and_its_rows_are_probabilities() -> None:
    one, other = (language(8, 0.1, 0.3, 12, rng.streams(seed)).base for seed in (0, 1))
    assert torch.equal(one, language(8, 0.1, 0.3, 12, rng.streams(0)).base)
    assert not torch.equal(one, other)
    torch.testing.assert_close(one.sum(1), torch.ones(8, dtype=torch.float64))


def test_a_prediction_is_repeated_where_the_token_before_it_occurred_earlier() -> None:
    assert repeated(torch.tensor([[0, 1, 0, 2, 1, 1]])).tolist() == [[False, False, True, False, True]]


@pytest.mark.parametrize("triggers", [0.0, 0.4])
def test_context_helps_only_where_there_are_triggers(triggers: float) -> None:
    spoken = Language(BASE, triggers, 30)
    tokens = spoken.rows(5, torch.arange(400))
    gain = float((spoken.marginal(tokens) - spoken.ideal(tokens)).mean())
    assert gain > 0.1 if triggers else abs(gain) < 1e-12
