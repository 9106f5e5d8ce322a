"""The width that a wanted number of parameters asks for, and the module that has it."""

import pytest
from torch import Generator, nn

from llcx.tasks.mlp import network, sizes
from llcx.tasks.mlp.schema import Model, Teacher


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
@pytest.mark.parametrize(("bias", "layernorm"), [(True, False), (False, False), (True, True)])
def test_the_formula_counts_the_module(depth: int, bias: bool, layernorm: bool) -> None:
    model = Model(in_dim=5, out_dim=3, depth=depth, target_params=300, bias=bias, layernorm=layernorm)
    assert sizes.parameters(model) == count(network.build(model, Generator()))


@pytest.mark.parametrize("target", [1, 10, 50, 51, 1234, 10_000, 1_000_000])
@pytest.mark.parametrize("depth", [1, 3])
def test_no_other_width_is_nearer_to_the_wanted_size(target: int, depth: int) -> None:
    model = Model(depth=depth, target_params=target)
    (width,) = set(sizes.hidden(model))
    missed = {h: abs(sizes.parameters(model, [h] * depth) - target) for h in range(max(1, width - 3), width + 4)}
    assert missed[width] == min(missed.values())
    assert min(missed, key=missed.__getitem__) == width  # the smaller of two


@pytest.mark.parametrize(
    ("model", "width", "parameters"),
    [
        (Model(target_params=50), 4, 45),
        (Model(in_dim=32, depth=3, target_params=10_000), 62, 9921),
        (Model(in_dim=64, depth=4, target_params=1_000_000), 566, 1_000_123),
    ],
)
def test_the_presets_have_the_sizes_they_are_named_for(model: Model, width: int, parameters: int) -> None:
    assert (sizes.hidden(model)[0], sizes.parameters(model)) == (width, parameters)


def test_widths_of_ones_own_go_before_the_wanted_size() -> None:
    model = Model(in_dim=3, widths=[7, 2], target_params=10_000)
    assert [tuple(p.shape) for p in network.build(model, Generator()).parameters() if p.dim() == 2] == [
        (7, 3),
        (2, 7),
        (1, 2),
    ]


def test_a_teacher_takes_from_the_model_what_it_does_not_say() -> None:
    model = Model(depth=2, target_params=100, activation="tanh")
    assert sizes.taught_by(model, Teacher()) == model
    assert sizes.taught_by(model, Teacher(activation="relu")).activation == "relu"
    deeper = sizes.taught_by(model, Teacher(depth=4, target_params=30))
    assert (deeper.depth, deeper.target_params, deeper.in_dim, deeper.activation) == (4, 30, 4, "tanh")
    assert sizes.hidden(sizes.taught_by(model, Teacher(widths=[9, 8, 7]))) == [9, 8, 7]
    of_widths = sizes.taught_by(Model(widths=[10, 10]), Teacher(depth=1))
    assert sizes.parameters(of_widths) == pytest.approx(sizes.parameters(Model(widths=[10, 10])), abs=6)


@pytest.mark.parametrize("init", ["he", "xavier", "lecun", "orthogonal", "torch"])
def test_initial_weights_have_the_spread_of_their_name(init: str) -> None:
    layer = network.build(Model(in_dim=40, widths=[30], init=init), Generator().manual_seed(0))[0]
    assert isinstance(layer, nn.Linear)
    weight = layer.weight.detach()
    wanted = {"he": 2 / 40, "xavier": 2 / 70, "lecun": 1 / 40, "orthogonal": 1 / 40, "torch": 1 / 120}
    assert float(weight.square().mean()) == pytest.approx(wanted[init], rel=0.1)
    if init == "orthogonal":
        assert float((weight @ weight.T).diagonal().sub(1).abs().max()) < 1e-12
    assert bool((layer.bias == 0).all()) == (init != "torch")
