"""Losses of a margin: slopes are derivatives, free of alpha at the start, and nothing overflows."""

import pytest
import torch
from torch import Tensor

from llcx.tasks.parity import losses
from llcx.tasks.parity.schema import LOSSES, Loss

ALPHA = torch.tensor([0.01, 1.0, 300.0], dtype=torch.float64)


def outputs(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    f = torch.randn(3, 40, generator=generator, dtype=torch.float64) / ALPHA.unsqueeze(1)
    return f, torch.where(torch.rand(3, 40, generator=generator) < 0.5, -1.0, 1.0).double()


@pytest.mark.parametrize("kind", LOSSES)
def test_the_slope_is_the_derivative(kind: str) -> None:
    f, y = outputs()
    loss = losses.build(Loss(kind, beta=3.0, margin=0.7), ALPHA)
    f.requires_grad_(True)
    loss.value(f, y).sum().backward()
    assert f.grad is not None
    torch.testing.assert_close(loss.slope(f.detach(), y), f.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", LOSSES)
def test_alpha_drops_out_of_the_slope_where_nothing_has_moved(kind: str) -> None:
    y = outputs()[1]
    slope = losses.build(Loss(kind), ALPHA).slope(torch.zeros_like(y), y)
    assert torch.equal(slope * y, (slope[:1] * y[:1])[:, :1].expand(3, 40)) and bool((slope * y < 0).all())


@pytest.mark.parametrize(
    ("kind", "at"),  # alpha loss at F y = -1, 0, 2
    [
        ("softhinge", (2.0, 1 + 1e-10, 0.0)),
        ("hinge", (2.0, 1.0, 0.0)),
        ("qhinge", (2.0, 0.5, 0.0)),
        ("mse", (2.0, 0.5, 0.5)),
        ("cross_entropy", (1.3132616875, 0.6931471806, 0.1269280110)),
    ],
)
def test_values_by_hand(kind: str, at: tuple[float, ...]) -> None:
    loss, y = losses.build(Loss(kind), ALPHA), torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    f = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64) * y / ALPHA.unsqueeze(1)
    wanted = torch.tensor(at, dtype=torch.float64).expand(3, 3)
    torch.testing.assert_close(ALPHA.unsqueeze(1) * loss.value(f, y), wanted, rtol=0, atol=2e-9)
    torch.testing.assert_close(loss.margins(f, y), torch.tensor([[-1.0, 0.0, 2.0]]).double().expand(3, 3))


def test_cross_entropy_is_in_nats_of_the_sigmoid() -> None:
    f, y = outputs()
    scaled = ALPHA.unsqueeze(1) * losses.build(Loss("cross_entropy"), ALPHA).value(f, y)
    torch.testing.assert_close(scaled, -torch.sigmoid(ALPHA.unsqueeze(1) * f * y).log(), rtol=1e-12, atol=1e-12)


def test_softhinge_hardens_to_hinge() -> None:
    f, y = outputs()
    hard = losses.build(Loss("hinge"), ALPHA).value(f, y)
    apart = [(losses.build(Loss(beta=b), ALPHA).value(f, y) - hard).abs() * ALPHA.unsqueeze(1) for b in (20.0, 2000.0)]
    assert 0.01 < apart[0].max() <= 0.6931472 / 20 and apart[1].max() <= 0.6931472 / 2000


@pytest.mark.parametrize("kind", LOSSES)
def test_nothing_overflows(kind: str) -> None:
    f = torch.tensor([[-1e6, 1e6]], dtype=torch.float64)
    loss, y = losses.build(Loss(kind), torch.ones(1).double()), torch.ones(1, 2).double()
    assert bool(loss.value(f, y).isfinite().all()) and bool(loss.slope(f, y).isfinite().all())


@pytest.mark.parametrize("wrong", [0.0, 2.0, float("nan")])
def test_other_labels_are_refused_in_one_line(wrong: float) -> None:
    y = torch.ones(2, 3)
    losses.check_labels(-y)
    y[1, 2] = wrong
    with pytest.raises(ValueError, match=r"labels must be -1 or \+1, got .*; turn 0/1 labels into 2 y - 1"):
        losses.check_labels(y)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="one of softhinge, hinge, qhinge, mse, cross_entropy, got huber"):
        Loss("huber")
