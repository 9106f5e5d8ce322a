"""The transformer: attention as torch computes it, causality, and heads that globs select."""

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from llcx import gradients, rng
from llcx.gradients.chains import ModuleLoss, apart
from llcx.gradients.rows import Source
from llcx.params import layout
from llcx.tasks.lm import task as lm
from llcx.tasks.lm.schema import LM, Network, Sequences
from llcx.tasks.lm.transformer import Head, Layer, Transformer

SMALL = LM(model=Network(d=8, heads=2, mlp=6), data=Sequences(n=6, context=10, vocabulary=7, n_test=4))


def net(**sizes: int) -> Transformer:
    with rng.seeded(rng.streams(0).generator("init")):
        return Transformer(7, 10, **{"d": 8, "layers": 2, "heads": 2, "mlp": 6, **sizes})


def by_torch(layer: Layer, x: Tensor) -> Tensor:
    """Attention alone, head by head, with torch's own product."""
    y = layer.norm(x)
    for head in cast(list[Head], layer.heads):
        query, key, value = (y @ getattr(head, name).T for name in ("query", "key", "value"))
        x = x + F.scaled_dot_product_attention(query, key, value, is_causal=True) @ head.out.T
    return x


def test_a_layer_adds_what_each_of_its_heads_attends_to() -> None:
    layer = net(mlp=0).layers[0]
    assert isinstance(layer, Layer)
    x = torch.randn(3, 10, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(x), by_torch(layer, x))
    first, second = cast(list[Head], layer.heads)
    second.out.data.zero_()
    assert not torch.allclose(layer(x), x)
    first.out.data.zero_()
    assert torch.equal(layer(x), x)


def test_a_prediction_depends_on_nothing_later() -> None:
    tokens = torch.randint(7, (2, 10), generator=torch.Generator().manual_seed(2))
    changed = tokens.clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % 7
    model = net()
    torch.testing.assert_close(model(tokens)[:, :6], model(changed)[:, :6])
    assert not torch.allclose(model(tokens)[:, 6:], model(changed)[:, 6:])
    assert all(not each.triu(1).any() for each in model.patterns(tokens))


def test_a_glob_selects_a_head() -> None:
    found = layout(net(d=8, heads=2))
    for head in ("layers.0.heads.0", "layers.1.heads.1"):
        assert len(found.select([f"{head}.*"])) == 4 * 8 * 4
        assert {name.rpartition(".")[2] for name in found.names if name.startswith(f"{head}.")} == {
            *("query", "key", "value", "out")
        }


def test_chains_run_at_once_and_agree_with_one_by_one() -> None:
    """The whole task's loss, masked: nothing in the module needs the slow backend."""
    streams = rng.streams(0)
    model, data = lm.build_model(SMALL, streams), lm.scored(SMALL, streams, "repeated")
    _, backend, _ = gradients.of_model(model, data, target="self")
    assert backend != "seq"
    source = Source(model, data, "self", 2**20)
    assert apart(ModuleLoss(source, "seq"), ModuleLoss(source, "vmap")) < 1e-4


@pytest.mark.parametrize("key", ["d", "layers", "heads"])
def test_a_size_of_zero_is_refused(key: str) -> None:
    sizes: dict[str, Any] = {key: 0}
    with pytest.raises(ValueError, match=rf"task\.model\.{key} must be >= 1, got 0"):
        Network(**sizes)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"task\.model\.d must be a multiple of task\.model\.heads=3, got 64"):
        Network(heads=3)
