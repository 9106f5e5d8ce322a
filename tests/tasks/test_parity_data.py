"""Strings: all different, train and test apart, labels the parity of the support, and the rest as asked for."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.parity import data
from llcx.tasks.parity.schema import Fit, Parity, Strings

SMALL = Strings(d=8, k=3, n_train=40, n_test=60)


def drawn(cfg: Strings = SMALL, seed: int = 0, **more: Any) -> data.Strings:
    return data.draw(replace(cfg, **more), rng.streams(seed))


def rows(x: Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in x.tolist()}


@pytest.mark.parametrize(("d", "count"), [(8, 100), (8, 256), (18, 3000), (70, 500)])
def test_strings_are_all_different_and_uniform(d: int, count: int) -> None:
    bits = data.distinct(d, count, rng.streams(0).generator("strings"))
    assert bits.shape == (count, d) and set(bits.unique().tolist()) == {0, 1}
    assert len(rows(bits)) == count
    assert (bits.double().mean(0) - 0.5).abs().max() < 5 * 0.5 / count**0.5


def test_repeated_strings_are_dropped_and_the_first_one_stays() -> None:
    bits = torch.tensor([[0, 1], [1, 1], [0, 1], [0, 0], [1, 1]])
    assert data._first_occurrences(bits).tolist() == [0, 1, 3]


@pytest.mark.parametrize("d", [8, 20])
def test_training_and_test_strings_are_disjoint_and_the_test_changes_nothing_of_the_training(d: int) -> None:
    one, more = drawn(d=d), drawn(d=d, n_test=150)
    assert not rows(one.x_train) & rows(one.x_test)
    assert torch.equal(one.x_train, more.x_train) and torch.equal(one.y_train, more.y_train)


@pytest.mark.parametrize("support", ["first", "random"])
def test_the_label_is_the_product_over_the_support(support: str) -> None:
    found = drawn(support=support)
    assert torch.equal(found.y_test, found.x_test[:, found.support].prod(1))
    assert torch.equal(found.y_train, found.x_train[:, found.support].prod(1))
    others = torch.tensor([j for j in range(8) if j not in found.support.tolist()][:3])
    assert not torch.equal(found.y_test, found.x_test[:, others].prod(1))


def test_a_random_support_is_the_seeds_own() -> None:
    supports = [drawn(support="random", seed=seed).support for seed in range(6)]
    assert all(len(set(s.tolist())) == 3 and s.tolist() == sorted(s.tolist()) for s in supports)
    assert len({tuple(s.tolist()) for s in supports}) > 3
    assert drawn().support.tolist() == [0, 1, 2]


def test_encodings_show_the_same_strings() -> None:
    found = {encoding: drawn(encoding=encoding) for encoding in ("pm1", "01", "centred", "sphere")}
    b = found["01"].x_train
    assert set(b.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(found["pm1"].x_train, 1 - 2 * b) and torch.equal(found["centred"].x_train, b - 0.5)
    torch.testing.assert_close(found["sphere"].x_train, b / b.sum(1, keepdim=True).sqrt())
    assert all(torch.equal(each.y_train, found["pm1"].y_train) for each in found.values())


@pytest.mark.parametrize("encoding", ["pm1", "01", "centred", "sphere"])
def test_bits_come_back_from_what_the_network_sees(encoding: str) -> None:
    cfg = replace(SMALL, encoding=encoding, bias_column=True)
    wanted = 1 - 2 * torch.tensor([[0, 1, 1, 0, 0, 0, 1, 0], [0] * 8]).double()
    assert torch.equal(data.signs(cfg, data.encode(cfg, ((1 - wanted) / 2).long())), wanted)


def test_the_string_of_zeros_stays_where_it_is_on_the_sphere() -> None:
    assert data.encode(replace(SMALL, encoding="sphere"), torch.zeros(1, 8).long()).norm() == 0


def test_a_bias_column_is_one_more_input() -> None:
    cfg = replace(SMALL, bias_column=True)
    found = drawn(cfg)
    assert cfg.inputs == 9 and found.x_test.shape == (60, 9) and bool((found.x_test[:, -1] == 1).all())
    assert torch.equal(found.x_test[:, :-1], drawn().x_test)


def test_label_noise_turns_training_labels_round_and_nothing_else() -> None:
    clean, noisy = drawn(d=14, n_train=4000), drawn(d=14, n_train=4000, label_noise=0.2)
    flipped = (clean.y_train != noisy.y_train).double().mean()
    assert abs(flipped - 0.2) < 5 * (0.2 * 0.8 / 4000) ** 0.5
    assert torch.equal(clean.x_train, noisy.x_train) and torch.equal(clean.y_test, noisy.y_test)


def test_fresh_batches_are_functions_of_seed_and_step() -> None:
    cfg = replace(SMALL, online=True, support="random")
    batch, again = (data.fresh(cfg, rng.streams(0), 500) for _ in range(2))
    support = data.draw_support(cfg, rng.streams(0))
    x, y = batch(7)
    assert torch.equal(x, again(7)[0]) and torch.equal(y, x[:, support].prod(1))
    assert not torch.equal(x, batch(8)[0]) and not torch.equal(x, data.fresh(cfg, rng.streams(1), 500)(7)[0])
    assert x.mean(0).abs().max() < 5 / 500**0.5
    noisy = data.fresh(replace(cfg, label_noise=0.3), rng.streams(0), 500)(7)
    assert torch.equal(noisy[0], x) and abs((noisy[1] != y).double().mean() - 0.3) < 0.11


def test_members_are_stacked() -> None:
    both = data.stacked([drawn(), drawn(seed=1)])
    assert both.x_train.shape == (2, 40, 8) and both.support.shape == (2, 3)
    assert torch.equal(both.y_test[1], drawn(seed=1).y_test)


def test_complexity_counts_strings_and_supports() -> None:
    assert data.complexity(SMALL) == {"strings": 256.0, "coverage": 40 / 256, "supports": 56.0}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"n_train": 200}, r"n_train \+ n_test must be <= 2\^d = 256, got 260"),
        ({"k": 9}, r"task.data.k must be in 0..8 for d=8, got 9"),
        ({"label_noise": 0.5}, r"label_noise must be in \[0, 0.5\), got 0.5"),
        ({"encoding": "gray"}, "task.data.encoding must be one of pm1, 01, centred, sphere, got gray"),
        ({"support": "last"}, "task.data.support must be one of first, random, got last"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        replace(SMALL, **more)
    assert "\n" not in str(refused.value)


def test_a_flow_has_no_fresh_batches() -> None:
    online = replace(SMALL, online=True)
    assert Parity(data=online, fit=Fit("sgd")).data.online
    with pytest.raises(ValueError, match=r"task\.data\.online must be false with task\.fit\.dynamics=flow"):
        Parity(data=online)
