"""Frozen and tied parameters, buffers, batch normalisation and dropout: handled exactly, to the bit."""

import copy
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llcx.config import Hardware
from llcx.estimators.llc import LLC
from llcx.likelihoods import Categorical, Gaussian
from llcx.measure import measure
from llcx.params import flatten, layout
from llcx.samplers import HMC, SGLD
from llcx.types import Data, Point, StatModel

made = torch.Generator().manual_seed(1)
X = torch.randn(24, 3, generator=made)
Y = torch.randn(24, 2, generator=made)
DATA = (X, Y)
SAMPLERS = {"hmc": HMC(step_size=0.05, leapfrog=2), "sgld": SGLD(step_size=1e-3, batch_size=8)}
NATS = Gaussian()
SLOW = pytest.mark.slow
HMC_FIRST = ["hmc", pytest.param("sgld", marks=SLOW)]  # one of them each time, both where there is time
SGLD_FIRST = ["sgld", pytest.param("hmc", marks=SLOW)]
SHORT: Any = {"chains": 3, "warmup": 3, "draws": 4, "every": 1, "nbeta": 20.0, "gamma": 5.0, "check": "off"}


def net(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(3, 4), *middle, nn.Tanh(), nn.Linear(4, 2))


def draws(
    model: nn.Module, loss: Any = NATS, sampler: str = "hmc", forward: Any = None, data: Any = DATA, **more: Any
) -> Tensor:
    """n*beta*K [C, T], which any change of the model's function along a chain would change."""
    kl, root = getattr(loss, "kl", None), getattr(loss, "root", None)
    point = Point("model", {}, StatModel(model, loss, kl, forward=forward, root=root), Data(data, len(data[0])))
    found = measure(point, SAMPLERS[sampler], LLC(**{**SHORT, **more}), Hardware(), 0).draws.energy
    assert found.std() > 0
    return found


class Tied(nn.Module):
    """An autoencoder-like map whose weight is used twice; `twin` holds the same tensor under a second name."""

    def __init__(self, by_name: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.out, self.by_name = nn.Linear(3, 3), nn.Linear(3, 2), by_name
        if by_name:
            self.twin = nn.Linear(3, 3, bias=False)
            self.twin.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).tanh()
        return self.out(self.twin(h) if self.by_name else F.linear(h, self.first.weight))


@pytest.mark.parametrize("sampler", HMC_FIRST)
def test_a_weight_tied_under_two_names_is_one_coordinate(sampler: str) -> None:
    tied, written_twice = Tied(by_name=True), Tied(by_name=False)
    tied.load_state_dict({**written_twice.state_dict(), "twin.weight": written_twice.first.weight})
    assert len(flatten(tied)) == len(flatten(written_twice)) == 3 * 3 + 3 + 3 * 2 + 2
    assert torch.equal(draws(tied, sampler=sampler), draws(written_twice, sampler=sampler))
    untied = copy.deepcopy(tied)
    untied.twin.weight = nn.Parameter(tied.first.weight.detach().clone())
    assert not torch.equal(draws(untied, sampler=sampler), draws(tied, sampler=sampler))


@pytest.mark.parametrize("sampler", SGLD_FIRST)
@pytest.mark.parametrize("target", ["data", pytest.param("self", marks=SLOW)])
def test_restricted_to_everything_is_unrestricted(sampler: str, target: str) -> None:
    whole = draws(net(), sampler=sampler, target=target)
    assert torch.equal(draws(net(), sampler=sampler, target=target, where=["*"]), whole)
    assert torch.equal(draws(net(), sampler=sampler, target=target, where=["0.*", "*.weight", "2.bias"]), whole)
    assert not torch.equal(draws(net(), sampler=sampler, target=target, where=["0.*"]), whole)


class Guarded:
    """A loss with a wall around w*: whoever moves one of `names` pays for it."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        self.start = {name: model.get_parameter(name).detach().clone() for name in names}

    def forward(self, module: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        moved = [(attrgetter(name)(module) - at).square().sum() for name, at in self.start.items()]
        return module(batch[0]), torch.stack(moved).sum()

    def __call__(self, output: tuple[Tensor, Tensor], batch: Any) -> Tensor:
        return Gaussian()(output[0], batch) + 30 * output[1]


@pytest.mark.parametrize("sampler", SGLD_FIRST)
def test_coordinates_that_are_not_chosen_never_move(sampler: str) -> None:
    model = net()
    wall = Guarded(model, ["0.weight", "0.bias"])
    held = draws(model, wall, sampler, where=["2.*"], forward=wall.forward)
    assert torch.equal(held, draws(model, Gaussian().__call__, sampler, where=["2.*"]))
    touched = draws(model, wall, sampler, where=["2.*", "0.bias"], forward=wall.forward)
    free = draws(model, Gaussian().__call__, sampler, where=["2.*", "0.bias"])
    assert not torch.equal(touched, free), "the wall is felt"


@pytest.mark.parametrize("sampler", HMC_FIRST)
def test_frozen_parameters_are_constants_and_the_same_as_left_out(sampler: str) -> None:
    frozen = net()
    frozen[0].requires_grad_(False)
    wall = Guarded(frozen, ["0.weight", "0.bias"])
    assert layout(frozen).names == ("2.weight", "2.bias")
    found = draws(frozen, wall, sampler, forward=wall.forward)
    assert torch.equal(found, draws(net(), Gaussian().__call__, sampler, where=["2.*"]))


class Shifted(nn.Module):
    """Its output is moved by a constant that is a buffer, or written into the class."""

    def __init__(self, buffer: bool) -> None:
        super().__init__()
        self.inner = net()
        if buffer:
            self.register_buffer("shift", torch.tensor([0.5, -0.5]))

    def forward(self, x: Tensor) -> Tensor:
        shift = self.get_buffer("shift") if "shift" in dict(self.named_buffers()) else x.new_tensor([0.5, -0.5])
        return self.inner(x) + shift


def test_buffers_are_constants() -> None:
    assert torch.equal(draws(Shifted(buffer=True)), draws(Shifted(buffer=False)))
    assert not torch.equal(draws(Shifted(buffer=True)), draws(Shifted(buffer=True).inner))


def trained(model: nn.Sequential) -> nn.Sequential:
    """With running statistics of some data, and left in training mode."""
    model.train()
    for _ in range(5):
        model(X + 0.3)
    return model


def affine(norm: Any) -> nn.Module:
    """The map that batch normalisation is in eval mode, from the same coordinates."""

    class Affine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = copy.deepcopy(norm.weight), copy.deepcopy(norm.bias)
            self.register_buffer("mean", norm.running_mean)
            self.register_buffer("var", norm.running_var)

        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(
                x, self.get_buffer("mean"), self.get_buffer("var"), self.weight, self.bias, training=False, eps=norm.eps
            )

    return Affine()


@pytest.mark.parametrize("sampler", HMC_FIRST)
def test_batch_normalisation_is_its_running_statistics_and_keeps_them(sampler: str) -> None:
    model: Any = trained(net(nn.BatchNorm1d(4)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = draws(model, sampler=sampler)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training and model[1].training
    assert torch.equal(found, draws(nn.Sequential(model[0], affine(model[1]), *model[2:]), sampler=sampler))
    fresh: Any = copy.deepcopy(model)
    fresh[1].reset_running_stats()
    assert not torch.equal(found, draws(fresh, sampler=sampler))


@pytest.mark.parametrize("sampler", SGLD_FIRST)
def test_dropout_is_off_and_stays_on_in_the_model(sampler: str) -> None:
    model = net(nn.Dropout(0.5)).train()
    assert torch.equal(draws(model, sampler=sampler), draws(net(nn.Identity()), sampler=sampler))
    assert model.training and model[1].training and model[1].p == 0.5


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of vmap
def test_weights_behind_a_parametrisation_are_coordinates() -> None:
    model = net()
    nn.utils.parametrizations.weight_norm(model[0])
    assert "0.parametrizations.weight.original0" in layout(model).names
    assert draws(model).isfinite().all()


def test_memory_that_is_not_contiguous_is_the_same_weight() -> None:
    plain = net()
    turned = copy.deepcopy(plain)
    weight = plain.get_parameter("0.weight").detach()
    turned[0].weight = nn.Parameter(weight.t().contiguous().t())
    assert not turned.get_parameter("0.weight").is_contiguous()
    torch.testing.assert_close(draws(turned), draws(plain), rtol=1e-9, atol=0)


CLASSIFIERS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Last(nn.LSTM(3, 4, batch_first=True)),
    "convolution": lambda: nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 3)),
    "attention": lambda: Last(nn.TransformerEncoderLayer(3, 1, 4, dropout=0.2, batch_first=True)),
}


class Last(nn.Module):
    """Three logits from the last of the steps."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.head = inner, nn.Linear(4 if isinstance(inner, nn.LSTM) else 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        found = self.inner(x.expand(-1, 2, -1))
        return self.head((found[0] if isinstance(found, tuple) else found)[:, -1])


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of attention under vmap
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_usual_layers_run_and_are_left_as_they_were(name: str) -> None:
    model = CLASSIFIERS[name]().train()
    before = flatten(model)
    found = draws(model, Categorical(), "sgld", data=(X.unsqueeze(1), X.argmax(1)), target="self")
    assert found.mean() > 0
    assert torch.equal(flatten(model), before) and model.training
