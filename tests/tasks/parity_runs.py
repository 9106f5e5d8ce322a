"""Small trainings of sparse parity, for its tests."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.parity import course, together
from llcx.tasks.parity.data import Strings as Drawn
from llcx.tasks.parity.duals import Linear
from llcx.tasks.parity.ensemble import Ensemble, Member, Problem
from llcx.tasks.parity.schema import Checkpoints, Fit, Flow, Loss, Network, Parity, Stop, Strings
from llcx.tasks.parity.together import Arm
from llcx.types import Event, State, Training
from tests.states import written_and_read


def settings(
    *, fit: Fit | None = None, model: Network | None = None, data: Strings | None = None, loss: Loss | None = None
) -> Parity:
    """A problem that takes a fraction of a second."""
    return Parity(
        model or Network(h=16),
        data or Strings(d=6, k=2, n_train=24, n_test=32),
        loss or Loss(),
        fit or Fit(flow=Flow(max_dgrad=1e-2), stop=Stop(max_steps=40), checkpoints=Checkpoints(rate=1.0)),
    )


def stopping(cfg: Parity, **stop: Any) -> Parity:
    return replace(cfg, fit=replace(cfg.fit, stop=replace(cfg.fit.stop, **stop)))


def arms(alphas: Sequence[float] = (1.0,), seeds: int = 1) -> list[Arm]:
    return [Arm(f"seed={seed},alpha={a:g}", a, rng.streams(seed)) for seed in range(seeds) for a in alphas]


def trained(cfg: Parity, members: Sequence[Arm] | None = None, **more: Any) -> Training:
    return together.training("t", cfg, arms() if members is None else members, **more)


def events(made: Training) -> list[Event]:
    return list(made.steps(made.start()))


def last(made: Training) -> Event:
    return events(made)[-1]


def state_of(cfg: Parity, members: Sequence[Arm] | None = None) -> State:
    return last(trained(cfg, members)).state


def rows(state: State, name: str) -> Tensor:
    """A tensor of a state."""
    value = state[name]
    assert isinstance(value, Tensor)
    return value


def ends(state: State) -> list[str]:
    return [course.ENDS[code] for code in rows(state, "stopped").tolist()]


def of(build: Callable[[], Ensemble], fit: Fit) -> Training:
    """Of an ensemble that was put together by hand."""
    return course.training("t", build, fit, together.dynamics(fit))


def snapshots(found: Sequence[Event]) -> dict[str, dict[str, Any]]:
    return {role: dict(kept) for event in found for role, kept in event.snapshots.items()}


def assert_goes_on_from_every_event(made: Training) -> None:
    """As if nothing had been, bit for bit."""
    whole = events(made)
    for event in whole[:-1]:
        rest = list(made.steps(written_and_read(event.state)))
        assert [e.step for e in rest] == [e.step for e in whole if e.step > event.step]
        assert all(_equal(a, b) for a, b in zip(rest, whole[-len(rest) :], strict=True))


def _equal(a: Event, b: Event) -> bool:
    def same(one: State, two: State) -> bool:
        return one.keys() == two.keys() and all(
            torch.equal(torch.as_tensor(x).nan_to_num(7.0), torch.as_tensor(two[key]).nan_to_num(7.0))
            if not isinstance(x, str)
            else x == two[key]
            for key, x in one.items()
        )

    told = same(dict(a.metrics), dict(b.metrics)) and a.snapshots.keys() == b.snapshots.keys()
    return told and same(a.state, b.state) and all(same(kept, b.snapshots[role]) for role, kept in a.snapshots.items())


def strings(*x: float) -> Drawn:
    """Rows of one input; all labels are 1."""
    inputs, none = torch.tensor(x, dtype=torch.float64).unsqueeze(1), torch.empty(0, 1, dtype=torch.float64)
    return Drawn(inputs, torch.ones(len(x)).double(), none, none.squeeze(1), torch.empty(0).long())


def line(kind: str, tau: float, margin: float = 1.0, x: tuple[float, ...] = (1.0,)) -> Ensemble:
    """w from 0 to 1 down loss (margin - w)^2 / 2, or down a slope of -1."""
    members = [Member("", torch.zeros(1).double(), strings(*x), 1.0, tau)]
    return Ensemble(Problem(Linear(), Loss(kind, margin=margin)), members)
