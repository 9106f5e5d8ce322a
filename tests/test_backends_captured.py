"""Recordings as CUDA graphs: what can be held to without a GPU, by a capture that replays in torch."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import chains, gradients
from llcx.gradients import captured, traces
from tests.test_backends_compiled import NETS, PLAN, agree, near, potential


class Stage:
    """In place of a GPU: results appear in the same memory at each replay, from what the inputs hold then."""

    def __init__(self) -> None:
        self.captures = self.replays = 0
        self.error = ""
        self.share = 1.0  # of the right gradient

    def capture(self, run: Callable[..., Sequence[Tensor]], held: Sequence[Tensor]) -> Any:
        if self.error:
            raise RuntimeError(self.error)
        self.captures += 1
        found = [torch.full_like(each, torch.nan) for each in run(*held)]

        def replay() -> None:
            self.replays += 1
            for mine, new, share in zip(found, run(*held), (1.0, self.share), strict=True):
                mine.copy_(new * share)

        return replay, found


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    there = Stage()
    monkeypatch.setattr(captured, "possible", lambda w: True)
    monkeypatch.setattr(captured, "capture", there.capture)
    return there


@pytest.mark.parametrize("name", NETS)
def test_a_captured_recording_gives_the_gradients_of_seq(name: str, stage: Stage) -> None:
    quick, seq = potential(name, "fx"), potential(name, "seq")
    with gradients.repeated(traces.PAYS) as told:
        agree(quick, seq)
    assert told.backends == {"cuda_graph", "seq"}
    assert (stage.captures, stage.replays) == (1, 4)  # one is held against the recording


def test_what_a_replay_gave_stays_and_may_be_written_into(stage: Stage) -> None:
    quick = potential("linear", "fx")
    w, idx = near(quick)
    assert quick.mini is not None
    with gradients.repeated(traces.PAYS):
        first = quick.mini(w, idx)
        kept = [each.clone() for each in first]
        quick.mini(2 * w, idx.flip(0))
        assert all(torch.equal(one, other) for one, other in zip(first, kept, strict=True))
        first[1].zero_()
        assert torch.equal(quick.mini(w, idx)[1], kept[1])
    assert stage.replays == 4


def test_a_run_draws_what_the_recording_draws_and_says_how(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    found = chains.run(potential("linear", "auto"), PLAN, 0)
    assert stage.replays > PLAN.draws
    monkeypatch.setattr(captured, "possible", lambda w: False)
    truth = chains.run(potential("linear", "auto"), PLAN, 0)
    assert (found.backend, truth.backend) == ("cuda_graph", "fx")
    assert torch.equal(found.energy, truth.energy)


def test_what_is_asked_for_a_few_times_is_not_captured(stage: Stage) -> None:
    with gradients.repeated(traces.PAYS - 1) as told:
        agree(potential("linear", "fx"), potential("linear", "seq"))
    assert told.backend == "fx" and stage.captures == 0


@pytest.mark.parametrize(("fault", "said"), [("error", "capturing a CUDA graph failed"), ("share", "other gradients")])
def test_where_a_capture_fails_or_is_wrong_the_recording_runs(
    fault: str, said: str, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    setattr(stage, fault, {"error": "operation not permitted when stream is capturing", "share": 1.01}[fault])
    with gradients.repeated(traces.PAYS) as told:
        agree(potential("linear", "fx"), potential("linear", "seq"))
    assert told.backend == "fx"
    assert caplog.text.count(said) == 1


def test_a_cpu_captures_nothing() -> None:
    assert not captured.possible(torch.zeros(1))
    assert chains.run(potential("linear", "auto"), PLAN, 0).backend == "fx"
