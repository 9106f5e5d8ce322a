"""Fully connected networks: outputs and gradients are those of autograd, activations have unit power."""

from dataclasses import replace
from itertools import product
from math import exp, pi, sqrt
from typing import Any

import pytest
import torch
from scipy import integrate
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from llcx import params
from llcx.tasks.parity import activations, network
from llcx.tasks.parity.field import Field, OfModule
from llcx.tasks.parity.network import FullyConnected, Probe
from llcx.tasks.parity.schema import ACTIVATIONS, Network

SHAPES = [
    Network(h=7, layers=layers, act=act, bias=bias, bias_std=0.3, out_scale=scale, subtract=False)
    for layers, act, (bias, scale) in product((1, 3), ACTIVATIONS, ((0.0, "ntk"), (0.7, "mf")))
]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normals(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def weights(net: FullyConnected, members: int = 3) -> Tensor:
    return torch.stack([net.initial(seeded(seed)) for seed in range(members)])


def by_autograd(net: FullyConnected, w: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """f and sum_i slope_i df_i/dw of one network with nothing subtracted."""
    module = net.module(w, 1.0)
    f = module(x)
    return f.detach(), torch.cat([g.flatten() for g in torch.autograd.grad(f @ slope, list(module.parameters()))])


def power(kind: str, beta: float) -> float:
    """E act(z)^2 by an adaptive quadrature."""
    act = activations.build(kind, beta, normalise=False).value

    def integrand(z: float) -> float:
        return float(act(torch.tensor(z, dtype=torch.float64))) ** 2 * exp(-z * z / 2) / sqrt(2 * pi)

    return float(integrate.quad(integrand, -12, 12, points=[0.0], epsabs=1e-13, epsrel=1e-12, limit=300)[0])


@pytest.mark.parametrize(("kind", "beta", "within"), [("softplus", 5.0, 1e-8), ("softplus", 50.0, 2e-5)])
def test_softplus_has_unit_power_once_normalised(kind: str, beta: float, within: float) -> None:
    assert activations.build(kind, beta, normalise=True).gain ** 2 * power(kind, beta) == pytest.approx(1, abs=within)


@pytest.mark.parametrize("kind", ["relu", "tanh", "silu"])
def test_other_activations_have_unit_power_once_normalised(kind: str) -> None:
    assert activations.build(kind, 1.0, normalise=True).gain ** 2 * power(kind, 1.0) == pytest.approx(1, abs=1e-10)
    assert activations.build(kind, 1.0, normalise=False).gain == 1


def test_relu_is_multiplied_by_the_root_of_two() -> None:
    assert activations.build("relu", 5.0, normalise=True).gain == pytest.approx(sqrt(2), abs=1e-15)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_the_slope_of_an_activation_is_its_derivative(kind: str) -> None:
    act, z = activations.build(kind, 5.0, normalise=False), normals(200).requires_grad_(True)
    act.value(z).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(act.slope(z.detach()), z.grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_value_and_slope_at_once_are_those_one_by_one(kind: str) -> None:
    act, z = activations.build(kind, 5.0, normalise=False), normals(200)
    value, slope = act.both(z.clone())
    torch.testing.assert_close(value, act.value(z), rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(slope, act.slope(z), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("beta", [1.0, 5.0, 50.0])
def test_softplus_is_exact_from_where_it_vanishes_to_where_it_is_linear(beta: float) -> None:
    z = torch.cat([torch.linspace(-1e3, 1e3, 9999), torch.linspace(-8, 8, 9999), torch.zeros(1)]).double()
    value, slope = activations.build("softplus", beta, normalise=False).both(z.clone())
    wanted = torch.nn.functional.softplus(z, beta, threshold=40)
    seen = wanted > 1e-290
    assert ((value - wanted).abs() / wanted)[seen].max() < 1e-12 and value[~seen].max() < 1e-290
    assert torch.equal(slope, torch.sigmoid(beta * z)) and 0 < wanted[seen].min() < 1e-200
    naive = -torch.sigmoid(-beta * z).log() / beta
    assert ((naive - wanted).abs() / wanted)[seen].max() > 1e-3


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.model\.act must be one of softplus, relu, tanh, silu, got gelu"):
        Network(act="gelu")


def test_the_formula_written_out() -> None:
    net = FullyConnected(Network(h=4, layers=2, act="tanh", bias=0.5, bias_std=1.0, out_scale="mf"), 3)
    w, x, c = weights(net, 1), normals(5, 3), net.act.gain
    named = {name: value[0] for name, value in net.named(w).items()}
    first = torch.tanh(x @ named["W0"].T / sqrt(3) + 0.5 * named["B0"])
    second = torch.tanh(c * first @ named["W1"].T / 2 + 0.5 * named["B1"])
    f = (c * second @ named["W2"].T / 4 + 0.5 * named["B2"]).squeeze(1)
    torch.testing.assert_close(net.outputs(w, x)[0], f, rtol=1e-13, atol=1e-14)
    assert net.parameters == 4 * 3 + 4 + 4 * 4 + 4 + 4 + 1 == w.shape[1]


@pytest.mark.parametrize("cfg", SHAPES, ids=lambda cfg: f"{cfg.layers}-{cfg.act}-{cfg.out_scale}")
def test_the_gradient_by_hand_is_that_of_autograd(cfg: Network) -> None:
    net, x, slope = FullyConnected(cfg, 5), normals(6, 5), normals(3, 6, seed=2)
    w = weights(net)
    f, grad = net.pull(w, x, lambda _: slope)
    for member in range(3):
        wanted, its_grad = by_autograd(net, w[member], x, slope[member])
        torch.testing.assert_close(f[member], wanted, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(grad[member], its_grad, rtol=1e-12, atol=1e-12)
    assert torch.equal(net.gradient(w, x, slope), grad) and torch.equal(net.outputs(w, x), f)


@pytest.mark.parametrize("cfg", SHAPES[1::4], ids=lambda cfg: f"{cfg.layers}-{cfg.act}")
def test_factors_make_the_tangent_kernel(cfg: Network) -> None:
    net, x = FullyConnected(cfg, 5), normals(6, 5)
    w = weights(net)
    kernel = torch.zeros(3, 6, 6, dtype=torch.float64)
    for factor in net.factors(w, x):
        kernel += factor.signals @ factor.signals.mT * (factor.inputs @ factor.inputs.mT + factor.bias**2)
    rows = torch.eye(6, dtype=torch.float64)
    jacobian = torch.stack([net.gradient(w, x, row.expand(3, 6)) for row in rows], 1)
    torch.testing.assert_close(kernel, jacobian @ jacobian.mT, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("cfg", SHAPES[::3], ids=lambda cfg: f"{cfg.layers}-{cfg.act}")
@pytest.mark.parametrize(
    ("cached", "most", "turns"), [(1, 7 * 11, 7), (2 * 11 * 7, 7 * 11, 4), (1, 30, 21), (1, 1, 77)]
)
def test_taking_members_and_rows_in_turn_changes_nothing(
    cfg: Network, cached: int, most: int, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x, slope = FullyConnected(cfg, 5), normals(7, 11, 5), normals(7, 11, seed=2)
    w = weights(net, 7)
    f, grad = net.pull(w, x, lambda f: f * slope)
    monkeypatch.setattr(network, "CACHED", cached)
    monkeypatch.setattr(network, "MOST", most)
    assert len(list(net._turns(x))) == turns
    by_turns = net.pull(w, x, lambda f: f * slope)
    assert torch.equal(net.outputs(w, x), by_turns[0])
    torch.testing.assert_close(by_turns[0], f, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(by_turns[1], grad, rtol=1e-12, atol=1e-13)


def test_members_may_have_inputs_of_their_own() -> None:
    net, x = FullyConnected(SHAPES[-1], 5), normals(3, 6, 5)
    w = weights(net)
    torch.testing.assert_close(net.outputs(w, x)[1], net.outputs(w, x[1])[1], rtol=1e-14, atol=1e-14)


def test_the_start_depends_on_the_seed_alone() -> None:
    one = FullyConnected(Network(h=9, bias_std=1.0), 5)
    assert torch.equal(
        one.initial(seeded(3)), FullyConnected(Network(h=9, alpha=50.0, bias_std=1.0), 5).initial(seeded(3))
    )
    assert not torch.equal(one.initial(seeded(3)), one.initial(seeded(4)))
    bare = FullyConnected(Network(h=9, bias=0.0), 5)
    for name, value in bare.named(bare.initial(seeded(3))).items():
        assert torch.equal(value, one.named(one.initial(seeded(3)))[name])


def test_weights_are_standard_normal_and_biases_zero_unless_asked_for() -> None:
    net = FullyConnected(Network(h=300), 40)
    named = net.named(net.initial(seeded()))
    assert abs(named["W0"].std() - 1) < 5 * 0.5**0.5 / 12000**0.5 and bool((named["B0"] == 0).all())
    loose = FullyConnected(Network(h=300, bias_std=0.2), 40)
    assert loose.named(loose.initial(seeded()))["B0"].std() == pytest.approx(0.2, rel=0.2)


def test_the_output_has_unit_power_in_the_tangent_scale_and_one_over_h_in_mean_field() -> None:
    x = 1 - 2 * torch.randint(2, (1, 12), generator=seeded()).double()
    raw, ntk, mf = (
        FullyConnected(Network(h=60, layers=2, bias=0.0, out_scale=scale, normalise=normalise), 12)
        for scale, normalise in (("ntk", False), ("ntk", True), ("mf", True))
    )
    w = weights(ntk, 800)
    squares = ntk.outputs(w, x).square().mean()
    assert abs(squares - 1) < 5 * sqrt(2.2 / 800)
    assert raw.outputs(w, x).square().mean() < 0.6
    torch.testing.assert_close(mf.outputs(w, x) * sqrt(60), ntk.outputs(w, x))


def test_the_module_is_zero_at_its_start_and_moves_as_alpha_says() -> None:
    net, x = FullyConnected(replace(SHAPES[-1], subtract=True), 5), normals(6, 5)
    w0, w = weights(net, 2)
    module = net.module(w0, 30.0)
    assert bool((module(x) == 0).all()) and torch.equal(params.flatten(module), w0)
    moved = params.with_weights(module, w)
    torch.testing.assert_close(moved(x), 30 * (net.outputs(w[None], x) - net.outputs(w0[None], x))[0])
    bare = FullyConnected(SHAPES[-1], 5).module(w0, 30.0)
    torch.testing.assert_close(bare(x), 30 * net.outputs(w0[None], x)[0])


def test_the_module_runs_under_vmap() -> None:
    net, x = FullyConnected(replace(SHAPES[-1], subtract=True), 5), normals(6, 5)
    w, module = weights(net), net.module(weights(net, 1)[0], 2.0)
    layout = params.layout(module)
    assert layout.names == tuple(net.shapes) and layout.size == net.parameters
    found = vmap(lambda one: functional_call(module, layout.unflatten(one), (x,)))(w)
    torch.testing.assert_close(found, 2 * (net.outputs(w, x) - net.outputs(w[:1], x)))


def test_any_module_is_a_field() -> None:
    net, x, slope = FullyConnected(SHAPES[-1], 5), normals(3, 6, 5), normals(3, 6, seed=2)
    w, field = weights(net), OfModule(net.module(weights(net, 1)[0], 1.0))
    fields: list[Field] = [net, field]
    (f, grad), (its_f, its_grad) = (each.pull(w, x, lambda f: f.sign() * slope) for each in fields)
    torch.testing.assert_close(f, its_f, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(grad, its_grad, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(field.outputs(w, x[0]), net.outputs(w, x[0]), rtol=1e-12, atol=1e-13)
    assert not its_grad.requires_grad and not its_f.requires_grad


class Residual(nn.Module):
    """A block with a way past it: no member of the family above."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = nn.Conv1d(1, 1, 3, padding=1, dtype=torch.float64), nn.Linear(5, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + torch.tanh(self.block(x.unsqueeze(1)).squeeze(1)))


def test_a_residual_net_is_a_field_as_well() -> None:
    module, x, slope = Residual(), normals(2, 6, 5), normals(2, 6, seed=2)
    field, w = OfModule(module), normals(2, 10, seed=3)
    f, grad = field.pull(w, x, lambda f: f * slope)
    for member in range(2):
        own = params.with_weights(module, w[member])
        out = own(x[member]).squeeze(1)
        torch.testing.assert_close(f[member], out.detach())
        wanted = torch.autograd.grad(out @ (out.detach() * slope[member]), list(own.parameters()))
        torch.testing.assert_close(grad[member], torch.cat([part.flatten() for part in wanted]))


def test_single_precision_stays_so() -> None:
    net = FullyConnected(Network(h=7, dtype="float32"), 5)
    w, x = weights(net), normals(6, 5)
    f, grad = net.pull(w, x, lambda f: f)
    assert f.dtype == grad.dtype == w.dtype == torch.float32
    double = FullyConnected(Network(h=7), 5)
    torch.testing.assert_close(f.double(), double.outputs(w.double(), x), rtol=1e-4, atol=1e-5)


def test_the_probe_tells_relevant_inputs_from_the_others() -> None:
    net = FullyConnected(Network(h=2, bias=1.0), 4)  # three bits and a bias column
    w0, w = torch.zeros(1, net.parameters).double(), torch.zeros(1, net.parameters).double()
    net.named(w)["W0"][0] += torch.tensor([[3.0, 1.0, 4.0, 9.0], [4.0, 1.0, 3.0, 9.0]])
    found = Probe(net, 3)(w, w0, torch.tensor([[0, 2]]))
    assert found["relevant"].item() == found["drelevant"].item() == pytest.approx(sqrt(12.5))
    assert found["irrelevant"].item() == pytest.approx(1.0)
    assert found["norm.W0"].item() == pytest.approx(sqrt(214)) and found["dnorm.B1"].item() == 0
    assert found["dmax"].item() == 9


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"h": 0}, "task.model.h must be >= 1, got 0"),
        ({"alpha": 0.0}, "task.model.alpha must be > 0, got 0.0"),
        ({"out_scale": "mup"}, "task.model.out_scale must be one of ntk, mf, got mup"),
    ],
)
def test_networks_that_cannot_be_are_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Network(**more)


def test_the_reduced_scale_is_that_of_mean_field() -> None:
    assert Network(h=64, out_scale="mf").reduced(3.0) == 3.0 and Network(h=64, out_scale="ntk").reduced(3.0) == 24.0
