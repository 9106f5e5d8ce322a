"""First-order methods: those of torch.optim, batches as functions of (seed, step), and going on bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.parity import together
from llcx.tasks.parity.descent import Batches, Descending
from llcx.tasks.parity.schema import Checkpoints, Descent, Fit, Loss, Network, Parity, Stop, Strings
from tests.tasks.parity_runs import (
    arms,
    assert_goes_on_from_every_event,
    ends,
    events,
    last,
    rows,
    settings,
    snapshots,
    state_of,
    stopping,
    trained,
)

STEPS = 12


def descending(method: str, steps: int = STEPS, **more: Any) -> Parity:
    fit = Fit(method, descent=Descent(**more), stop=Stop(max_steps=steps), checkpoints=Checkpoints(rate=1.0))
    return settings(fit=fit, loss=Loss("cross_entropy"))


def by_torch(cfg: Parity, make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Tensor:
    """Weights after STEPS steps on all rows of what the task minimises, by autograd."""
    ensemble = together.ensemble(cfg, arms((3.0,)))
    module, data = together.network(cfg).module(ensemble.w0[0], 3.0), ensemble.data
    optimizer = make(list(module.parameters()))
    for _ in range(STEPS):
        optimizer.zero_grad()
        penalty = cfg.fit.descent.l1 * sum(p.abs().sum() for p in module.parameters())
        ((1 + (-module(data.x_train[0]) * data.y_train[0]).exp()).log().mean() / 3.0 + penalty).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize(
    ("cfg", "make"),
    [
        (descending("sgd", learning_rate=0.7), lambda p: torch.optim.SGD(p, 0.7)),
        (
            descending("sgd", learning_rate=0.7, momentum=0.9, weight_decay=0.01, l1=0.003),
            lambda p: torch.optim.SGD(p, 0.7, momentum=0.9, weight_decay=0.01),
        ),
        (
            descending("adam", learning_rate=0.02, betas=[0.99, 0.98], weight_decay=0.01, l1=0.003),
            lambda p: torch.optim.Adam(p, 0.02, betas=(0.99, 0.98), weight_decay=0.01),
        ),
    ],
    ids=["sgd", "sgd with all", "adam with all"],
)
def test_a_method_is_that_of_torch(cfg: Parity, make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> None:
    w = rows(state_of(cfg, arms((3.0,))), "w")[0]
    torch.testing.assert_close(w, by_torch(cfg, make), rtol=1e-10, atol=1e-12)
    start = together.ensemble(cfg, arms((3.0,))).w0[0]
    assert (w - start).norm() > 0.1


def test_sign_sgd_moves_every_weight_by_the_same_and_shrinks_it() -> None:
    cfg = Descent(learning_rate=0.1, weight_decay=0.5, l1=2.0)
    w = torch.tensor([[1.0, -1.0, 4.0, 0.0]]).double()
    g = torch.tensor([[0.3, 0.3, -3.0, 0.0]]).double()
    moved = Descending("sign_sgd", cfg).move({"w": w}, g, 1)["w"]
    torch.testing.assert_close(moved, 0.95 * w - 0.1 * torch.tensor([[1.0, -1.0, -1.0, 0.0]]).double())


def test_time_is_learning_rate_times_steps() -> None:
    event = last(trained(descending("sgd", learning_rate=0.7)))
    assert event.metrics["train seed=0,alpha=1/t"] == pytest.approx(0.7 * STEPS) and event.step == STEPS


@pytest.mark.parametrize("method", ["sgd", "adam", "sign_sgd"])
@pytest.mark.parametrize("online", [False, True])
def test_a_descent_goes_on_from_every_event_as_if_nothing_had_been(method: str, online: bool) -> None:
    cfg = descending(method, steps=9, learning_rate=0.01, batch_size=5, weight_decay=0.01)  # epochs of 4 steps
    cfg = replace(cfg, data=replace(cfg.data, online=online))
    assert_goes_on_from_every_event(trained(cfg, arms((1.0, 30.0))))


def test_an_epoch_takes_every_row_once_and_alphas_of_a_seed_take_the_same() -> None:
    batches = Batches(together.ensemble(settings(), arms((1.0, 9.0), seeds=2)), 4)
    epochs = [torch.cat([batches.rows(step, 4) for step in range(6 * e, 6 * e + 6)], 1) for e in (0, 1)]
    for epoch in epochs:
        assert torch.equal(epoch.sort(1).values, torch.arange(24).expand(4, 24))
        assert torch.equal(epoch[0], epoch[1]) and not torch.equal(epoch[0], epoch[2])
    assert not torch.equal(epochs[0], epochs[1])
    x, y, base = batches(7)
    ensemble, chosen = batches.ensemble, batches.rows(7, 4)
    assert torch.equal(x[3], ensemble.data.x_train[3, chosen[3]]) and torch.equal(
        y[3], ensemble.data.y_train[3, chosen[3]]
    )
    assert torch.equal(base[3], ensemble.base[3, chosen[3]])


def test_fresh_batches_start_at_zero_and_belong_to_their_seed() -> None:
    cfg = replace(descending("sgd", batch_size=7), data=Strings(d=6, n_train=24, n_test=32, online=True))
    ensemble = together.ensemble(cfg, arms((1.0, 9.0), seeds=2))
    x, y, base = Batches(ensemble, 7)(3)
    assert x.shape == (4, 7, 6) and torch.equal(x[0], x[1]) and not torch.equal(x[0], x[2])
    assert torch.equal(y, x[:, :, :2].prod(2))
    assert torch.equal(ensemble.model.outputs(ensemble.w0, x) - base, torch.zeros(4, 7).double())


def test_minibatches_need_a_stream() -> None:
    ensemble = together.ensemble(settings(), arms())
    ensemble.members = [member._replace(streams=None) for member in ensemble.members]
    with pytest.raises(ValueError, match="must have streams to draw minibatches from, got none"):
        Batches(ensemble, 4)(0)


def test_members_go_alike_alone_and_together() -> None:
    cfg, members = descending("adam", steps=25, learning_rate=0.02, batch_size=5), arms((0.5, 40.0), seeds=2)
    whole = state_of(cfg, members)
    for i, member in enumerate(members):
        torch.testing.assert_close(rows(state_of(cfg, [member]), "w")[0], rows(whole, "w")[i], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("stop", "end"),
    [
        ({"margin": 0.3}, "margin"),
        ({"margin": None, "aloss": 0.8}, "aloss"),
        ({"margin": None, "max_t": 3.0}, "max_t"),
        ({"margin": None, "max_t1": 1.0}, "max_t1"),
        ({"margin": None, "max_steps": 3}, "max_steps"),
        ({"margin": None, "max_wall": 7.0}, "max_wall"),
    ],
)
def test_the_final_state_is_left_on_every_way_out(stop: dict[str, Any], end: str) -> None:
    ticks = iter(range(10**6))
    cfg = stopping(descending("adam", learning_rate=0.03), **{"max_steps": 600, **stop})
    found = events(trained(cfg, arms((1.0, 3.0)), clock=lambda: float(next(ticks))))
    assert ends(found[-1].state) == [end, end]
    kept = snapshots(found)
    assert all(kept[f"final/seed=0,alpha={a}"]["stopped"] == end for a in (1, 3))
    f = together.ensemble(cfg, arms((1.0, 3.0))).model.outputs(
        rows(found[-1].state, "w"), together.ensemble(cfg, arms((1.0, 3.0))).data.x_train
    )
    assert torch.equal(f, rows(found[-1].state, "f"))


def test_a_learning_rate_too_large_ends_as_not_finite() -> None:
    cfg = descending("sgd", steps=3000, learning_rate=1e200)
    cfg = replace(cfg, loss=Loss("mse"), model=Network(h=16, act="relu"))
    event = last(trained(cfg))
    assert ends(event.state) == ["not_finite"] and event.step < 3000 and "final/seed=0,alpha=1" in event.snapshots


def test_weight_decay_alone_shrinks_the_weights() -> None:
    still, shrunk = (
        rows(state_of(descending("sgd", steps=40, learning_rate=0.1, weight_decay=decay)), "w").norm()
        for decay in (0.0, 0.5)
    )
    assert shrunk < 0.2 * still


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of sgd, adam, sign_sgd here, got flow"):
        Descending("flow", Descent())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"learning_rate": 0.0}, "task.fit.descent.learning_rate must be > 0, got 0.0"),
        ({"batch_size": 0}, "task.fit.descent.batch_size must be >= 1, got 0"),
        ({"momentum": 1.0}, r"task.fit.descent.momentum must be in \[0, 1\), got 1.0"),
        ({"betas": [0.9]}, r"task.fit.descent.betas must be two numbers in \[0, 1\), got \[0.9\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Descent(**more)


@pytest.mark.slow
def test_online_sgd_finds_the_support_before_the_loss_tells() -> None:
    """d=15, k=3, a relu network on fresh rows: the relevant inputs move first, and in the end the rule is known."""
    cfg = Parity(
        Network(h=100, act="relu", out_scale="ntk", subtract=False),
        Strings(d=15, k=3, n_train=512, n_test=2000, online=True),
        Loss("hinge"),
        Fit("sgd", descent=Descent(0.3, 32), stop=Stop(margin=None, max_steps=3000), checkpoints=Checkpoints(1.0, 100)),
    )
    found = events(trained(cfg, [together.Arm("", 1.0, rng.streams(0))]))
    told = {event.step: event.metrics for event in found}
    hidden = next(step for step, m in told.items() if m["train/drelevant"] > 1.5 * m["train/dirrelevant"] > 0)
    seen = next(step for step, m in told.items() if m["test/err"] < 0.3)
    assert hidden < 0.8 * seen and told[3000]["test/err"] < 0.01
