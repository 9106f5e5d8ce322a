"""What is trained on and what is measured on, against the plain path through the module."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.fit import Fit
from llcx.params import flatten
from llcx.tasks.attention.prompts import Law
from llcx.tasks.full_attn.loss import Labelled
from llcx.tasks.full_attn.schema import FullAttn, Model, RegressionPrompts
from llcx.tasks.full_attn.task import build_model, objective
from llcx.types import Point
from tests.tasks.full_attention import SMALL, excess, point
from tests.tasks.networks import around
from tests.tasks.prompts import assert_means, mixed, raw, weights

ROWS = {"data": RegressionPrompts("noise_free", n=60, context=8, noise_std=0.7)}
KNOWN: dict[str, Any] = {"model": Model(2, 3, "icl"), **ROWS}


@pytest.mark.parametrize("view", ["full", "data"])
def test_closed_forms_of_rows_are_the_means_over_them(view: str) -> None:
    found = point(view=view, **KNOWN)
    w = around(found, step=0.1)
    for target in ("data", "self"):
        each = excess(found, w, found.data.train, target)
        torch.testing.assert_close(found.model.closed[target](w), each.mean(1), rtol=1e-9, atol=1e-9)


def test_linear_attention_is_its_own_teacher_and_its_loss_a_mean_over_entries() -> None:
    found = point(view="lsa", **KNOWN)
    w = around(found, step=0.1)
    batch = found.data.train
    each = excess(found, w, batch, "self")
    torch.testing.assert_close(excess(found, w, batch, "data"), each)
    torch.testing.assert_close(found.model.closed["self"](w), each.mean(1), rtol=1e-9, atol=1e-12)
    outputs = found.model.module(batch[0]).detach()
    moved = torch.func.functional_call(found.model.module, {"W_Q": torch.zeros(3, 3, dtype=torch.float64)}, (batch[0],))
    told = found.model.kl(outputs, moved)  # type: ignore[misc]
    torch.testing.assert_close(told, outputs.square().sum((1, 2)) / (2 * 0.7**2 * (8 + 1) ** 2))


@pytest.mark.parametrize("view", ["full", "data", "lsa"])
def test_a_point_against_itself_is_a_minimum_with_k_zero(view: str) -> None:
    found = point(model=Model(2, 3, "icl"), view=view)
    w = flatten(found.model.module)[None].requires_grad_()
    k = found.model.closed["self"](w)
    assert k.item() == 0
    assert not torch.autograd.grad(k.sum(), w)[0].any()


def test_the_labels_pull_the_known_solution_to_a_smaller_step() -> None:
    """One step of gradient descent on N examples is too long for the labels: their minimum has a smaller U."""
    found = point(model=Model(2, 3, "icl"), view="data")
    shorter = flatten(found.model.module)[None].clone()
    shorter[:, :9] *= 0.9
    assert found.model.closed["data"](shorter).item() < 0
    assert found.model.closed["self"](shorter).item() > 0


def trained(covariance: Any, batch_size: int | None) -> FullAttn:
    data = RegressionPrompts(train=30, context=5, covariance=covariance, noise_std=0.7)
    return FullAttn(model=Model(2, 3), data=data, fit=Fit(epochs=2, batch_size=batch_size), seeds=1)


def loss_of(cfg: FullAttn, factors: list[Tensor], rows: Tensor | None) -> float:
    aim = objective(cfg, rng.streams(0))
    module = build_model(cfg, rng.streams(0)).module
    for parameter, factor in zip(module.parameters(), factors, strict=True):
        parameter.data.copy_(factor)
    return float(aim.loss(module, rows).detach())


@pytest.mark.parametrize("spread", [None, mixed(2).tolist()])
def test_the_exact_loss_is_the_expectation_of_the_squared_error(spread: Any) -> None:
    factors = [weights(3, 3, seed=s, size=0.35) for s in range(4)]
    told = loss_of(trained(spread, None), factors, None)
    law = Law(2, 5, None if spread is None else mixed(2))
    X, y, _ = raw(law, 400_000)
    module = build_model(trained(spread, None), rng.streams(0)).module
    for parameter, factor in zip(module.parameters(), factors, strict=True):
        parameter.data.copy_(factor)
    each = (module(X).detach() - y).square()[:, None] / (2 * 0.7**2)
    assert_means(each, torch.tensor([told], dtype=torch.float64), each.mean(0))


def test_minibatches_are_training_prompts_and_others_are_measured_on() -> None:
    cfg = trained(None, 10)
    factors = [weights(3, 3, seed=s) for s in range(4)]
    rows = torch.tensor([3, 29])
    X, y = Labelled(cfg, rng.streams(0), "train")(rows)
    module = build_model(cfg, rng.streams(0)).module
    for parameter, factor in zip(module.parameters(), factors, strict=True):
        parameter.data.copy_(factor)
    plain = (module(X) - y.squeeze(-1)).square().mean().detach() / (2 * 0.7**2)
    assert loss_of(cfg, factors, rows) == pytest.approx(plain.item())
    assert not torch.isclose(Labelled(cfg, rng.streams(0), "measure")(rows)[0], X).all(-1).any()


def test_minibatch_gradients_of_a_population_loss_vanish_at_w_star() -> None:
    found: Point = point(model=Model(2, 3, "icl"), data=SMALL)
    w = around(found, step=0).requires_grad_()
    X, y = found.data.train.take(torch.arange(10))
    assert torch.autograd.grad(excess(found, w, (X, y), "self").sum(), w)[0].abs().max() == 0
