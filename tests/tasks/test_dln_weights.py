"""The kinds of w*: the ranks they promise, by numerical rank."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.dln import nets, weights
from llcx.tasks.dln.schema import Model
from llcx.tasks.dln.weights import product, truncated

WIDTHS = [7, 9, 5, 8, 6]
KINDS = [
    *[("balanced", rank) for rank in range(6)],
    *[("random_svd", rank) for rank in range(6)],
    *[("layerwise", None)] * 8,
    ("zero", None),
]


def rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix, atol=1e-9))


@pytest.mark.parametrize(("seed", "kind"), list(enumerate(KINDS)))
def test_layers_and_all_their_partial_products_have_the_promised_ranks(seed: int, kind: tuple[str, Any]) -> None:
    model, streams = Model(WIDTHS, kind[1], kind[0]), rng.streams(seed)
    layers, ranks = weights.initial(model, streams), nets.layer_ranks(model, streams)
    assert ranks is not None
    assert [tuple(layer.shape) for layer in layers] == [(9, 7), (5, 9), (8, 5), (6, 8)]
    for start in range(4):
        for stop in range(start + 1, 5):
            assert rank(product(layers[start:stop])) == min(ranks[start:stop])
    assert rank(product(layers)) == nets.rank(model, streams) == (min(ranks) if kind[1] is None else kind[1])


def test_layerwise_draws_leave_half_of_the_layers_whole_and_reach_every_rank() -> None:
    model = Model([4] * 2001, w_star="layerwise")
    ranks = torch.tensor(nets.layer_ranks(model, rng.streams(0)))
    shares = torch.bincount(ranks, minlength=5) / 2000
    expected = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.6])  # 1/2 + 1/2 * 1/5 are whole
    assert (shares - expected).abs().max() < 5 * 0.011


def test_xavier_layers_have_the_variance_2_over_in_plus_out() -> None:
    (layer,) = weights.initial(Model([300, 500], w_star="trained"), rng.streams(0))
    assert layer.var().item() == pytest.approx(2 / 800, rel=5 * (2 / 150_000) ** 0.5)


def test_balanced_layers_are_partial_isometries_and_ranks_share_their_directions() -> None:
    high, low = (weights.initial(Model(WIDTHS, r, "balanced"), rng.streams(0)) for r in (3, 2))
    for layer in high:
        torch.testing.assert_close(torch.linalg.svdvals(layer)[:3], torch.ones(3, dtype=torch.float64))
    difference = product(high) - product(low)
    assert rank(difference) == 1
    torch.testing.assert_close(difference.norm().item(), 1.0)


def test_random_svd_changes_the_last_layer_alone_and_cuts_the_product() -> None:
    streams = rng.streams(3)
    whole = weights.initial(Model(WIDTHS, w_star="trained"), streams)
    cut = weights.initial(Model(WIDTHS, 2, "random_svd"), streams)
    assert all(map(torch.equal, whole[:-1], cut[:-1]))
    torch.testing.assert_close(product(cut), truncated(product(whole), 2))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
@pytest.mark.parametrize("kept", [0, 2, 4])
def test_truncation_is_the_best_approximation_of_its_rank(shape: tuple[int, int], kept: int) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(truncated(matrix, kept), (u[:, :kept] * s[:kept]) @ v[:kept])


def test_the_module_holds_copies_in_the_order_of_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = weights.initial(Model([3, 2, 4]), rng.streams(0))
    module = weights.module(layers)
    assert [name for name, _ in module.named_parameters()] == ["0.weight", "1.weight"]
    assert all(map(torch.equal, module.parameters(), layers))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(module(x), x @ product(layers).T)
    monkeypatch.setattr(weights, "DOUBLE_UP_TO", 13)
    assert {p.dtype for p in weights.module(layers).parameters()} == {torch.float32}
