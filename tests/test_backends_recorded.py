"""Recorded gradients: what is recorded and when, what the cleaning of a recording may change, and who finds out."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llcx import gradients
from llcx.gradients import graph, recorder, traces
from llcx.gradients.chains import ModuleLoss
from llcx.gradients.work import work
from llcx.likelihoods import Categorical
from llcx.types import Data, Potential, StatModel

C, D = 5, 8  # chains, numbers of a row


def classes(backend: str, **settings: Any) -> Potential:
    """Logits of ten classes of 40 rows: few columns, many rows."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(D, 16), nn.ReLU(), nn.Linear(16, 10))
    x = torch.randn(40, D, generator=torch.Generator().manual_seed(1))
    data = Data((x, torch.arange(40) % 10), 40)
    return gradients.of_model(StatModel(net, Categorical(), Categorical().kl), data, backend=backend, **settings)[0]


def loss_of(potential: Potential) -> ModuleLoss:
    loss = getattr(potential.full, "__self__", None)
    assert isinstance(loss, ModuleLoss)
    return loss


def kept(potential: Potential) -> list[bool]:
    """Of every shape that was looked at: whether it was recorded."""
    found = loss_of(potential)._traces
    return [] if found is None else [each is not None for each in found._kept.values()]


@pytest.mark.parametrize("target", ["data", "self"])
def test_a_recorded_gradient_is_that_of_plain_autograd(target: str) -> None:
    quick, plain = classes("fx", target=target), classes("seq", target=target)
    w = plain.at + 0.1 * torch.randn(C, len(plain.at), generator=torch.Generator().manual_seed(2))
    for _ in range(2):
        torch.testing.assert_close(quick.full(w), plain.full(w), rtol=1e-4, atol=1e-6)
        w = w * 1.1
    assert kept(quick) == [True]


def test_auto_records_what_is_announced_to_be_repeated() -> None:
    potential = classes("auto")
    w = potential.at.repeat(C, 1) + 0.1
    once = potential.full(w)
    with gradients.repeated(traces.PAYS - 1):
        assert all(torch.equal(a, b) for a, b in zip(potential.full(w), once, strict=True))
    assert kept(potential) == []
    with gradients.repeated(traces.PAYS):
        torch.testing.assert_close(potential.full(w), once, rtol=1e-5, atol=1e-6)
        potential.full(w[:2])
    assert kept(potential) == [True, True]  # one a shape


def test_products_that_take_their_time_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "HEAVY", 1.0)
    monkeypatch.setattr(traces, "NARROW", 1.0)
    monkeypatch.setattr(traces.products, "wanted", lambda: False)
    potential = classes("auto")
    with gradients.repeated(10**6):
        potential.full(potential.at.repeat(C, 1))
    assert kept(potential) == []


def test_recordings_are_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "KEPT", 2)
    potential = classes("fx")
    for chains in (1, 2, 3, 1):
        potential.full(potential.at.repeat(chains, 1))
    assert kept(potential) == [True, True]


def test_a_recording_that_is_wrong_is_found_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def spoiled(*given: Any) -> Any:
        module = graph.recorded(*given)
        right = module.forward
        module.forward = lambda w, *rest: (right(w, *rest)[0], right(w, *rest)[1] * 1.01)
        return module

    monkeypatch.setattr(traces, "recorded", spoiled)
    potential, truth = classes("fx"), classes("vmap")
    w = potential.at.repeat(C, 1) + 0.1
    assert torch.equal(potential.full(w)[1], truth.full(w)[1])
    assert "gives other gradients" in caplog.text
    assert kept(potential) == [False]


def test_what_depends_on_numbers_or_writes_into_its_input_is_not_recorded() -> None:
    x = torch.arange(3.0)
    for wrong, why in (
        (lambda x: (x * float(x.sum()),), "depends on the numbers"),
        (lambda x: (x[x > 1],), "depends on the numbers"),
        (lambda x: (x.add_(1),), "writes into an input"),
    ):
        with pytest.raises(RuntimeError, match=why):
            recorder.record(wrong, (x.clone(),))


def test_a_recording_keeps_what_writes_into_its_own_tensors() -> None:
    def counted(x: Tensor) -> tuple[Tensor]:
        out = torch.zeros(4, 3)
        out[:2] += x
        return (out * 2.0 + out.detach(),)

    run = graph.recorded(counted, (torch.ones(2, 3),))
    for _ in range(2):
        assert torch.equal(run(torch.full((2, 3), 5.0))[0], counted(torch.full((2, 3), 5.0))[0])


def test_a_recording_drops_what_repeats_and_what_is_constant() -> None:
    def wordy(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        scale = torch.ones(5, 40, 4) / 2
        y = (x.expand(5, 40, 8) @ w.clone().transpose(1, 2).transpose(1, 2)) * scale * 2.0
        return y.log_softmax(2), (x @ w).log_softmax(2).neg().neg()

    example = torch.randn(5, 40, 8, generator=torch.Generator().manual_seed(0)), torch.ones(5, 8, 4)
    run = graph.recorded(wordy, example)
    assert len(run.graph.nodes) < 0.6 * len(recorder.record(wordy, example).graph.nodes)
    x, w = example[0] * 2, example[1] + example[0][:, :8, :4]
    torch.testing.assert_close(run(x, w), wordy(x, w))


def test_work_is_counted_by_hand() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert work(lambda: (a @ b).relu()) == (2 * 3 * 4 * 5, 2)
    assert work(lambda: a + a) == (1, 1)
