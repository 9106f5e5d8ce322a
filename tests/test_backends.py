"""Every kind of layer on every backend: the same gradients, the same bits however chains are cut, or why not."""

import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from llcx import gradients
from llcx.likelihoods import Gaussian
from llcx.types import Chains, Data, Index, PerChain, Potential, StatModel

FLASH = "_scaled_dot_product_flash_attention_for_cpu"
N, C, B, D = 24, 5, 6, 8  # rows, chains, rows of a minibatch, numbers of a row


class Layers(nn.Module):
    """Applies functions of (module of the same name, x) in turn, and ends in two numbers a row."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **self.parts)


def summed(x: Tensor) -> Tensor:
    """Two numbers a row, whatever the shape."""
    flat = x.flatten(1)
    return torch.stack([flat.sin().sum(1), flat.square().sum(1)], 1)


def over(*layers: Callable[[], nn.Module], shape: tuple[int, ...] = (D,)) -> Callable[[], nn.Module]:
    """`layers` in a row, on rows of this shape."""
    return lambda: Layers(
        lambda x, net: summed(net(x.unflatten(1, shape))), net=nn.Sequential(*(layer() for layer in layers))
    )


def recurrent(layer: nn.Module) -> nn.Module:
    return Layers(lambda x, net: summed(net(x.unflatten(1, (4, 2)))[0]), net=layer)


def attention(**settings: Any) -> nn.Module:
    def both(x: Tensor, net: nn.Module) -> Tensor:
        rows = x.unflatten(1, (2, 4))
        return summed(net(rows, rows, rows, **settings)[0])

    return Layers(both, net=nn.MultiheadAttention(4, 2, batch_first=True))


def sdpa() -> nn.Module:
    def heads(x: Tensor, net: nn.Module) -> Tensor:
        q, k, v = net(x.unflatten(1, (4, 2))).unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        return summed(F.scaled_dot_product_attention(q, k, v, is_causal=True))

    return Layers(heads, net=nn.Linear(2, 12))


def words() -> nn.Module:
    return Layers(lambda x, net: summed(net((3 * x).long().abs() % 7)), net=nn.Embedding(7, 3))


def tied() -> nn.Module:
    def logits(x: Tensor, net: nn.Module) -> Tensor:
        assert isinstance(net, nn.Embedding)
        return summed(net((3 * x).long().abs() % 7) @ net.weight.T)

    return Layers(logits, net=nn.Embedding(7, 3))


def encoder() -> nn.Module:
    return over(lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True), shape=(2, 4))()


def stack() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
    return over(lambda: nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), shape=(2, 4))()


def normalised() -> nn.Module:
    net = nn.Sequential(nn.Linear(D, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    net.get_buffer("1.running_mean").copy_(torch.arange(4.0))
    return net


def branching() -> nn.Module:
    def branch(x: Tensor, net: nn.Module) -> Tensor:
        out: Tensor = net(x)
        return out if float(out.detach().sum()) > 0 else 2 * out

    return Layers(branch, net=nn.Linear(D, 2))


def masked() -> nn.Module:
    def positive(x: Tensor, net: nn.Module) -> Tensor:
        out = net(x)
        return out + out[out > 0].sum()

    return Layers(positive, net=nn.Linear(D, 2))


class Case(NamedTuple):
    build: Callable[[], nn.Module]
    backend: str = "vmap"  # what auto settles on
    alone: str = ""  # an operation that vmap does chain after chain
    exact: bool = True  # cutting chains changes no bit; else the kernels of the layer choose their way by the size


CASES = {
    "linear": Case(over(partial(nn.Linear, D, 6), nn.Tanh, partial(nn.Linear, 6, 3))),
    "bilinear": Case(lambda: Layers(lambda x, net: net(x, x), net=nn.Bilinear(D, D, 2)), alone="bilinear"),
    "conv1d": Case(over(partial(nn.Conv1d, 2, 4, 3), nn.ReLU, partial(nn.AvgPool1d, 2), shape=(2, 4)), exact=False),
    "conv2d": Case(over(partial(nn.Conv2d, 2, 4, 2, groups=2), nn.GELU, shape=(2, 2, 2)), exact=False),
    "circular": Case(over(partial(nn.Conv1d, 2, 3, 3, padding=1, padding_mode="circular"), shape=(2, 4)), exact=False),
    "transposed": Case(over(partial(nn.ConvTranspose2d, 2, 3, 2), shape=(2, 2, 2)), exact=False),
    "layer norm": Case(over(partial(nn.Linear, D, 6), partial(nn.LayerNorm, 6), nn.SiLU), exact=False),
    "dropout": Case(over(partial(nn.Linear, D, 6), nn.ReLU, partial(nn.Dropout, 0.5), partial(nn.Linear, 6, 3))),
    "rms norm": Case(over(partial(nn.Linear, D, 6), partial(nn.RMSNorm, 6))),
    "group norm": Case(over(partial(nn.GroupNorm, 2, 4), partial(nn.Conv1d, 4, 2, 1), shape=(4, 2)), exact=False),
    "instance norm": Case(over(partial(nn.InstanceNorm1d, 2, affine=True), shape=(2, 4))),
    "batch norm, dropout": Case(normalised, exact=False),
    "embedding": Case(words, exact=False),
    "tied embedding": Case(tied, exact=False),
    "gru": Case(lambda: recurrent(nn.GRU(2, 3, batch_first=True)), "seq"),
    "lstm": Case(lambda: recurrent(nn.LSTM(2, 3, batch_first=True)), "seq"),
    "gru cell": Case(lambda: Layers(lambda x, net: summed(net(x)), net=nn.GRUCell(D, 3)), alone="gru_cell"),
    "attention": Case(attention),
    "attention without weights": Case(lambda: attention(need_weights=False), alone=FLASH),
    "sdpa": Case(sdpa, alone=FLASH),
    "encoder layer": Case(encoder, alone=FLASH),
    "encoder": Case(stack, alone=FLASH, exact=False),
    "prelu": Case(over(partial(nn.Linear, D, 6), partial(nn.PReLU, 6))),
    "weight norm": Case(lambda: weight_norm(nn.Linear(D, 2)), alone="_weight_norm"),
    "branch on data": Case(branching, "seq"),
    "boolean mask": Case(masked, "seq"),
}
FAST = [name for name, case in CASES.items() if case.backend == "vmap"]


def found(name: str, backend: str) -> tuple[Potential, str]:
    torch.manual_seed(0)
    case = CASES[name]
    net = case.build()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, D, generator=generator)
    with torch.no_grad():
        y = net.eval()(x)
    y = y + torch.randn(y.shape, generator=generator)
    potential, settled, _ = gradients.of_model(StatModel(net.train(), Gaussian()), Data((x, y), N), backend=backend)
    return potential, settled


class Shifting(nn.Linear):
    """A layer that is off by `share` of itself wherever vmap runs it."""

    share = 0.0

    def forward(self, input: Tensor) -> Tensor:
        batched = torch._C._functorch.is_batchedtensor(self.weight)
        return super().forward(input) * (1 + self.share * batched)


def near(potential: Potential) -> tuple[Chains, Index]:
    generator = torch.Generator().manual_seed(2)
    w = potential.at + 0.1 * torch.randn(C, len(potential.at), generator=generator)
    return w, torch.randint(N, (C, B), generator=generator)


def given(potential: Potential) -> list[tuple[PerChain, Chains]]:
    """K and its gradient on minibatches and on all rows."""
    w, idx = near(potential)
    assert potential.mini is not None
    return [potential.mini(w, idx), potential.full(w)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_auto_settles_on_a_backend_and_says_why(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "llcx.gradients"):
        potential, settled = found(name, "auto")
    assert settled == CASES[name].backend
    said = caplog.text
    assert ("backend seq: the module does not run under vmap" in said) == (settled == "seq")
    assert ("chain after chain through" in said) == bool(CASES[name].alone)
    assert CASES[name].alone in said
    assert bool(potential.value(near(potential)[0]).isfinite().all())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vmap", "fx"])
@pytest.mark.parametrize("name", FAST)
def test_every_layer_has_the_gradients_of_seq_and_chains_can_be_cut(
    name: str, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    potential = found(name, backend)[0]
    whole = given(potential)
    for (k, grad), (k_seq, grad_seq) in zip(whole, given(found(name, "seq")[0]), strict=True):
        torch.testing.assert_close(k, k_seq, rtol=1e-5, atol=1e-5)
        assert float((grad - grad_seq).norm() / grad_seq.norm()) < 1e-5
    w, idx = near(potential)
    assert potential.mini is not None
    some = [slice(0, 2), slice(2, 4), slice(4, 5)]
    mini, full = [potential.mini(w[s], idx[s]) for s in some], [potential.full(w[s]) for s in some]
    for (k, grad), parts in zip(whole, (mini, full), strict=True):
        cut_k, cut_grad = (torch.cat(each) for each in zip(*parts, strict=True))
        if CASES[name].exact:
            assert torch.equal(cut_k, k)
            assert torch.equal(cut_grad, grad)
        torch.testing.assert_close(cut_k, k, rtol=1e-5, atol=1e-5)
        assert float((cut_grad - grad).norm() / grad.norm()) < 1e-5
    assert "backend vmap" not in caplog.text  # all that was asked of fx was recorded


@pytest.mark.parametrize(("share", "settled"), [(3e-4, "seq"), (2e-5, "vmap")])
def test_vmap_is_held_against_seq_to_a_ten_thousandth(
    share: float, settled: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Shifting, "share", share)
    torch.manual_seed(0)
    x = torch.randn(N, D)
    model = StatModel(Shifting(D, 2), Gaussian())
    assert gradients.of_model(model, Data((x, torch.randn(N, 2)), N))[1] == settled
    assert ("vmap gives other gradients" in caplog.text) == (settled == "seq")


@pytest.mark.parametrize("backend", ["fx", "compile"])
@pytest.mark.parametrize("name", sorted(CASES.keys() - FAST))
def test_what_vmap_does_not_run_is_neither_recorded_nor_compiled(name: str, backend: str) -> None:
    potential, settled = found(name, backend)
    assert settled == "seq"
    for one, other in zip(given(potential), given(found(name, "seq")[0]), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_a_layer_that_vmap_does_chain_after_chain_is_named_and_one_that_it_does_at_once_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("linear", "sdpa", "weight norm"):
        caplog.clear()
        with caplog.at_level(logging.INFO, "llcx.gradients"):
            potential, _ = found(name, "auto")
            given(potential)
        alone = CASES[name].alone
        assert [line for line in caplog.messages if "chain after chain" in line] == (
            [f"vmap goes chain after chain through aten::{alone}"] if alone else []
        )


def test_warnings_of_vmap_do_not_reach_the_reader_of_a_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given(found("sdpa", "auto")[0])
