"""Tangent kernels four ways, and the limit of infinite width."""

from collections.abc import Sequence
from math import log

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from llcx.params import layout
from llcx.tasks.parity import kernels, spectra
from llcx.tasks.parity.kernels import Blocks, Jacobians, Layerwise, Source
from llcx.tasks.parity.network import FullyConnected
from llcx.tasks.parity.schema import Network
from tests.tasks.infinite_width import tangent_kernel
from tests.tasks.tangents import difference, generator, normals, weights

NETWORKS = {
    "one layer": Network(h=7),
    "three layers": Network(h=6, layers=3, out_scale="ntk", act="silu", bias_std=0.3, bias=0.7),
    "no bias": Network(h=5, layers=2, act="tanh", bias=0.0),
    "relu": Network(h=8, layers=2, act="relu", out_scale="ntk"),
}
GLOBS = {"headless": ("[WB][!0]",), "features": ("[WB]2",)}  # of two hidden layers


def explicit(module: nn.Module, w: Tensor, x: Tensor) -> Tensor:
    """df(x_i)/dw [N, P], one example and one backward pass after the other."""
    shapes, rows = layout(module), []
    for one in x:
        at = w.clone().requires_grad_()
        rows.append(torch.autograd.grad(functional_call(module, shapes.unflatten(at), (one[None],)).sum(), at)[0])
    return torch.stack(rows)


def differences(module: nn.Module, w: Tensor, x: Tensor, eps: float = 1e-5) -> Tensor:
    """df(x_i)/dw [N, P] by central differences."""
    shapes = layout(module)

    def outputs(at: Tensor) -> Tensor:
        return functional_call(module, shapes.unflatten(at), (x,)).detach().flatten()

    steps = eps * torch.eye(len(w), dtype=w.dtype)
    return torch.stack([(outputs(w + step) - outputs(w - step)) / (2 * eps) for step in steps], 1)


def products(test: Tensor, train: Tensor) -> Blocks:
    """Of Jacobians, for one member."""
    return Blocks(*(block[None] for block in (train @ train.mT, test @ train.mT, test @ test.mT)))


@pytest.mark.parametrize("name", NETWORKS)
def test_four_ways_to_the_kernel_agree(name: str) -> None:
    network = FullyConnected(NETWORKS[name], 4)
    w, train, test = weights(network), normals(9, 4, seed=1), normals(5, 4, seed=2)
    layerwise = kernels.blocks(Layerwise(network), w, train, test)
    by_module = kernels.blocks(Jacobians(network.module(w[0], 1.0)), w, train, test)
    assert difference(by_module, layerwise) < 1e-12
    for member, at in enumerate(w):
        module = network.module(at, 1.0)
        found = Blocks(*(block[member : member + 1] for block in layerwise))
        assert difference(found, products(explicit(module, at, test), explicit(module, at, train))) < 1e-12
        assert difference(found, products(differences(module, at, test), differences(module, at, train))) < 1e-7


def test_alpha_scales_the_kernel_of_the_module_by_its_square() -> None:
    network, x = FullyConnected(Network(h=5), 3), normals(6, 3)
    w = weights(network, 1)
    F = kernels.blocks(Jacobians(network.module(w[0], 10.0)), w, x, x[:2])
    assert difference(F, Blocks(*(100 * block for block in kernels.blocks(Layerwise(network), w, x, x[:2])))) < 1e-12


def test_parts_add_up_to_the_whole_kernel() -> None:
    network, x = FullyConnected(Network(h=6, layers=2), 4), normals(8, 4)
    w, k = weights(network), normals(3, 4, seed=3)
    module = Jacobians(network.module(w[0], 1.0), parts=GLOBS)
    for part in GLOBS:
        found = kernels.blocks(Layerwise(network), w, x, k, part)
        assert difference(found, kernels.blocks(module, w, x, k, part)) < 1e-12
    whole, headless = (kernels.blocks(Layerwise(network), w, x, k, part) for part in ("all", "headless"))
    first = [layout(module.module).names.index(name) for name in ("W0", "B0")]
    assert first == [0, 1]
    P0 = 6 * 4 + 6
    for member, at in enumerate(w):
        jacobian = explicit(module.module, at, x)[:, :P0]
        torch.testing.assert_close((whole.trtr - headless.trtr)[member], jacobian @ jacobian.mT)


@pytest.mark.parametrize("tete", [True, False])
def test_chunks_and_memory_change_nothing_but_rounding(tete: bool) -> None:
    network, x, k = FullyConnected(Network(h=6, layers=2), 4), normals(13, 4), normals(5, 4, seed=1)
    w = weights(network)
    module = network.module(w[0], 1.0)
    whole = kernels.blocks(Layerwise(network), w, x, k)
    sources: list[Source] = [Layerwise(network, chunk=chunk) for chunk in (4, 13)]
    for source in [*sources, *(Jacobians(module, memory=each) for each in (1e4, 5e4))]:
        found = kernels.blocks(source, w, x, k, tete=tete)
        assert difference(found._replace(tete=whole.tete), whole) < 1e-13
        assert found.tete.shape[-1] == (5 if tete else 0)
        for block in (found.trtr, found.tete):
            assert torch.equal(block, block.mT)


def test_memory_sets_how_many_jacobians_are_held() -> None:
    module = nn.Linear(99, 1)  # 100 parameters, 800 bytes an example
    assert Jacobians(module, memory=32e3).plan(40) == (10, True)
    assert Jacobians(module, memory=32e3).plan(41) == (10, False)
    assert Jacobians(module, memory=1.0).plan(5) == (1, False)


class Convolution(nn.Module):
    """Another kind of network, [B, d] -> [B, 1], with frozen weights and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(1, 3, 2), nn.Tanh(), nn.Flatten())
        self.register_buffer("shift", torch.ones(1))
        self.frozen = nn.Parameter(torch.full((1,), 2.0), requires_grad=False)
        self.head = nn.Linear(9, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x[:, None]) * self.frozen + self.get_buffer("shift"))


def test_any_module_has_a_kernel_and_its_parts() -> None:
    torch.nn.init.normal_((module := Convolution().double()).head.weight, generator=generator())
    w, x, k = normals(1, layout(module).size), normals(6, 4), normals(2, 4, seed=1)
    train, test = explicit(module, w[0], x), explicit(module, w[0], k)
    conv = 9
    assert difference(kernels.blocks(Jacobians(module), w, x, k), products(test, train)) < 1e-12
    for part in ("headless", "features"):
        wanted = products(test[:, conv:], train[:, conv:])
        assert difference(kernels.blocks(Jacobians(module), w, x, k, part), wanted) < 1e-12


def test_inputs_may_be_each_members_own() -> None:
    network, x, k = FullyConnected(Network(h=6), 4), normals(2, 5, 4), normals(2, 3, 4, seed=1)
    w = weights(network)
    found = kernels.blocks(Layerwise(network), w, x, k)
    for member in range(2):
        alone = kernels.blocks(Layerwise(network), w[member : member + 1], x[member], k[member])
        assert difference(Blocks(*(block[member : member + 1] for block in found)), alone) == 0


def test_kernels_have_the_dtype_of_the_weights() -> None:
    network, x, y = FullyConnected(Network(h=6, dtype="float32"), 4), normals(8, 4), normals(8, seed=1).sign()
    w = weights(network)
    exact = kernels.blocks(Layerwise(FullyConnected(Network(h=6), 4)), w.double(), x, x[:3])
    for source in (Layerwise(network), Jacobians(network.module(w[0], 1.0))):
        found = kernels.blocks(source, w, x, x[:3])
        assert found.trtr.dtype == torch.float32
        assert difference(Blocks(*(block.double() for block in found)), exact) < 1e-6
        told, wanted = spectra.statistics(found.trtr, y), spectra.statistics(exact.trtr, y)
        assert all(torch.allclose(told[name].double(), wanted[name], rtol=1e-2) for name in wanted)
    torch.testing.assert_close(
        spectra.spectrum(found.trtr, y).values.double()[:, 0], wanted["largest"], rtol=1e-5, atol=0
    )


def test_what_has_no_kernel_is_refused() -> None:
    network, x = FullyConnected(Network(h=3), 2), normals(4, 2)
    w = weights(network, 1)
    with pytest.raises(ValueError, match="part must be one of all, headless, features, got tail"):
        kernels.blocks(Layerwise(network), w, x, x, "tail")
    with pytest.raises(ValueError, match="part='headless' must hold parameters"):
        kernels.blocks(Jacobians(nn.Linear(2, 1).double()), normals(1, 3), x, x, "headless")
    with pytest.raises(ValueError, match=r"one number an example, got shape \(1, 2\)"):
        kernels.blocks(Jacobians(nn.Linear(2, 2).double()), normals(1, 6), x, x)


def relu_errors(widths: Sequence[int], layers: int, seeds: int) -> list[float]:
    """Root mean square over seeds of the relative distance to the infinitely wide network, at each width."""
    x, k = normals(6, 5), normals(3, 5, seed=1)
    wanted = tangent_kernel(torch.cat([x, k]), x, layers, 0.5)
    errors = []
    for h in widths:
        network = FullyConnected(Network(h=h, layers=layers, act="relu", out_scale="ntk", bias=0.5), 5)
        found = kernels.blocks(Layerwise(network), weights(network, seeds), x, k)
        gaps = torch.cat([found.trtr, found.tetr], 1) - wanted
        errors.append(float((gaps.square().sum((1, 2)).mean() / wanted.square().sum()).sqrt()))
    return errors


@pytest.mark.parametrize("layers", [1, 3])
def test_wide_relu_networks_approach_the_infinite_one_as_one_over_root_width(layers: int) -> None:
    narrow, wide = relu_errors((32, 512), layers, 24)
    assert wide < 0.1 * layers
    assert log(narrow / wide) / log(16) == pytest.approx(0.5, abs=0.08)


def test_the_limit_rejects_the_kernel_of_another_depth_or_bias() -> None:
    x = normals(6, 5)
    right = tangent_kernel(x, x, 2, 0.5)
    network = FullyConnected(Network(h=512, layers=2, act="relu", out_scale="ntk", bias=0.5), 5)
    found = kernels.blocks(Layerwise(network), weights(network, 20), x, x[:0]).trtr.mean(0)
    assert (found - right).norm() < 0.05 * right.norm()
    for wrong in (tangent_kernel(x, x, 1, 0.5), tangent_kernel(x, x, 2, 0.0), tangent_kernel(x, x, 2, 0.8)):
        assert (found - wrong).norm() > 0.1 * right.norm()
