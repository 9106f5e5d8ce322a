"""Chains on recorded gradients: when they record, what they say, and that a run that was killed ends the same."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from llcx import chains, gradients, posterior
from llcx.gradients import graph, pages, products, traces
from llcx.gradients.chains import ModuleLoss
from llcx.likelihoods import Gaussian
from llcx.samplers.hmc import HMC
from llcx.samplers.sgld import SGLD
from llcx.types import Data, Draws, Plan, Potential, State, StatModel

N = 60


def potential(backend: str = "auto", dtype: torch.dtype = torch.float32) -> Potential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = net(x) + torch.randn(N, 2, generator=torch.Generator().manual_seed(2))
    model = StatModel(net, Gaussian(), Gaussian().kl)
    return gradients.of_model(model, Data((x, y), N), backend=backend, dtype=dtype)[0]


PLANS = {
    "sgld": Plan(SGLD(step_size=1e-4, batch_size=20), nbeta=10.0, gamma=1.0, chains=3, warmup=30, draws=80, every=1),
    "hmc": Plan(
        HMC(step_size=0.02, leapfrog=2, adapt=20), nbeta=10.0, gamma=1.0, chains=3, warmup=30, draws=80, every=1
    ),
}
SHORT = replace(PLANS["sgld"], warmup=0, draws=traces.PAYS - 1)


class Killed(BaseException):
    """What ends a run from outside."""


class Left:
    """Keeps the state of a run when it is offered for the `at`-th time, and kills it there."""

    def __init__(self, at: int, state: State | None = None) -> None:
        self.at, self.left = at, state

    def found(self) -> State | None:
        return self.left

    def offer(self, state: Callable[[], State]) -> None:
        self.at -= 1
        if self.at == 0:
            self.left = state()
            raise Killed

    def finish(self, result: State) -> None:
        self.left = result


@pytest.mark.parametrize("kernel", PLANS)
def test_a_run_that_was_killed_records_again_and_ends_bit_for_bit_the_same(kernel: str) -> None:
    dtype = torch.float32 if kernel == "sgld" else torch.float64
    plan = PLANS[kernel]
    whole = chains.run(potential(dtype=dtype), plan, 0)
    for at in (7, 31 + 60):  # in the warm-up, and where less is left than a recording would pay for
        keep = Left(at)
        with pytest.raises(Killed):
            chains.run(potential(dtype=dtype), plan, 0, keep=keep)
        again = chains.run(potential(dtype=dtype), plan, 0, keep=Left(0, keep.left))
        assert torch.equal(again.energy, whole.energy)
        assert torch.equal(again.last, whole.last)
        assert all(torch.equal(again.norms[key], whole.norms[key]) for key in whole.norms)
        assert again.backend == whole.backend == "fx"


def test_draws_are_those_of_vmap_and_of_seq_and_say_what_made_them() -> None:
    def drawn(backend: str, plan: Plan) -> Draws:
        return chains.run(potential(backend), plan, 0)

    plain = drawn("seq", PLANS["sgld"])
    assert plain.backend == "seq"
    for backend, named in (("auto", "fx"), ("fx", "fx"), ("vmap", "vmap")):
        found = drawn(backend, PLANS["sgld"])
        assert found.backend == named
        torch.testing.assert_close(found.energy, plain.energy, rtol=1e-3, atol=1e-4)
    assert drawn("auto", SHORT).backend == "vmap"


def test_a_short_run_of_long_trajectories_is_recorded() -> None:
    long = replace(PLANS["hmc"].sampler, leapfrog=traces.PAYS // 20, adapt=0)
    plan = replace(PLANS["hmc"], sampler=long, warmup=0, draws=20)
    assert chains.run(potential(), plan, 0).backend == "fx"
    assert chains.run(potential(), replace(plan, draws=19), 0).backend == "vmap"


def test_a_closed_form_has_no_backend() -> None:
    closed = gradients.of_function(lambda w: w.square().sum(1), torch.zeros(2), n=10)
    plan = replace(PLANS["hmc"], warmup=2, draws=4)
    assert chains.run(closed, plan, 0).backend == ""


def test_rows_taken_by_column_are_the_rows() -> None:
    mini: Any = potential().mini
    loss: ModuleLoss = mini.__self__
    idx = torch.randint(N, (3, 20), generator=torch.Generator().manual_seed(0))
    batch, reference = loss.source.take(idx)
    for any_order in (True, False):
        assert all(
            torch.equal(a, b) for a, b in zip(loss.source.leaves(idx, any_order), (*batch, reference), strict=True)
        )
    assert not loss.source.leaves(idx, True)[0].is_contiguous()


def test_a_gradient_that_is_constant_is_not_recorded() -> None:
    class Level(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.w.sum().expand(len(x))

    x = torch.ones(N, 1)
    found = gradients.of_model(StatModel(Level(), lambda out, _: out), Data((x,), N), backend="fx")[0]
    assert found.mini is not None
    w, idx = torch.zeros(2, 3), torch.zeros(2, 5, dtype=torch.int64)
    for _ in range(3):  # what is given is the caller's to write into
        assert found.mini(w, idx)[1].mul_(2).tolist() == [[2.0] * 3] * 2


def test_what_is_written_over_is_looked_at_no_more() -> None:
    def layers(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        one = b + x @ w
        two = (x @ w.mT).relu()
        twice = two.neg()
        three = (two - one) * one.tanh()
        return one.square().sum(1), twice + two.exp(), three.neg(), (x.mT @ one).mT.reshape(2, -1)

    make = torch.Generator().manual_seed(0)
    given = [torch.randn(*shape, generator=make) for shape in ((2, 10, 36), (2, 36, 36), (2, 1, 36))]
    module = graph.recorded(layers, given)
    assert {torch.baddbmm, torch.relu_, torch.neg_} <= {node.target for node in module.graph.nodes}
    before = [each.clone() for each in given]
    for _ in range(2):
        for found, truth in zip(module.forward(*given), layers(*given), strict=True):
            torch.testing.assert_close(found, truth)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="a torch without oneDNN")
def test_large_products_by_one_dnn_are_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "wanted", lambda: True)
    monkeypatch.setattr(products, "LARGE", 1e3)
    make = torch.Generator().manual_seed(0)
    a, b, x = (torch.randn(*shape, generator=make) for shape in ((3, 20, 8), (3, 8, 16), (3, 1, 16)))

    def layers(a: torch.Tensor, b: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x + a @ b, (2 * a @ b).mT @ a, a.mT @ a

    module = graph.recorded(layers, (a, b, x))
    assert {products.product, products.shifted} <= {node.target for node in module.graph.nodes}
    for found, truth in zip(module.forward(a, b, x), layers(a, b, x), strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-4, atol=1e-4)


def test_memory_is_held_inside_however_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="inside"), pages.held(), pages.held():
        raise ValueError("inside")
    assert pages._inside == 0
    monkeypatch.setattr(pages, "_glibc", lambda: None)
    with pages.held():
        assert pages._inside == 0


@pytest.mark.parametrize("size", [5, posterior.LONG, posterior.LONG + 1, 3 * posterior.LONG + 7])
def test_squares_of_long_vectors_keep_their_digits(size: int) -> None:
    v = torch.randn(2, size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(posterior.squares(v), v.double().square().sum(1), rtol=1e-6, atol=0)
