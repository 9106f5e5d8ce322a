"""The cache of llcx.estimate_trajectory: nothing is measured twice, nothing that has changed is taken for the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import llcx
from llcx import fingerprint
from llcx.likelihoods import Gaussian
from tests.checkpointed import ADAPTED, FIXED, NOISE, Counted, scaled, state
from tests.problems import noisy_line


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Counted:
    return Counted(monkeypatch, quick=request.node.get_closest_marker("slow") is None)


@pytest.mark.slow
def test_a_second_call_measures_nothing_and_gives_the_same_rows(tmp_path: Path, counted: Counted) -> None:
    model, data = scaled()
    states = [state(model, scale) for scale in (1.0, 0.3, 0.02)]
    settings: dict[str, Any] = {**ADAPTED, "chains": 4, "draws": 10}
    first = llcx.estimate_trajectory(model, states, data, Gaussian(NOISE), cache=tmp_path / "c", **settings)
    measured = counted.count  # one more where a held step would not do
    again = llcx.estimate_trajectory(model, states, data, Gaussian(NOISE), cache=str(tmp_path / "c"), **settings)
    assert counted.count == measured >= 3
    pd.testing.assert_frame_equal(first.drop(columns="cached"), again.drop(columns="cached"), check_exact=True)
    assert again["cached"].all()
    longer = [*states, state(model, 0.5)]
    more = llcx.estimate_trajectory(model, longer, data, Gaussian(NOISE), cache=tmp_path / "c", **settings)
    assert counted.count == measured + (1 if more["held"][3] else 2)  # the new checkpoint alone
    assert more["held"].tolist()[:3] == first["held"].tolist()
    assert more["cached"].tolist() == [True, True, True, False]


def test_a_call_that_was_cut_short_goes_on_where_it_stood(tmp_path: Path, counted: Counted) -> None:
    model, data = scaled()
    states = [state(model, scale) for scale in (1.0, 0.3, 0.1)]

    def cut() -> Iterator[tuple[int, dict[str, Tensor]]]:
        yield from enumerate(states[:2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        llcx.estimate_trajectory(model, cut(), data, Gaussian(NOISE), cache=tmp_path, **FIXED)
    damaged = sorted(tmp_path.glob("*.pt"))[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    llcx.estimate_trajectory(model, states, data, Gaussian(NOISE), cache=tmp_path, **FIXED)
    assert counted.count == 2 + 2  # the third, and the damaged one again


def thrice(output: Tensor, batch: Any) -> Tensor:
    return 3.0 * (output - batch[1]).square().sum(1)


def test_whatever_changes_is_measured_anew(tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """One change at a time, each of which must miss the cache; and back again, which must hit it."""
    model, (x, y) = scaled()
    loss, start = Gaussian(NOISE), state(model, 1.0)
    base: dict[str, Any] = {"gamma": 1.0, **FIXED}

    def once(model: nn.Module = model, states: Any = None, data: Any = (x, y), loss: Any = loss, **more: Any) -> None:
        llcx.estimate_trajectory(model, states or [start], data, loss, cache=tmp_path, **{**base, **more})

    frozen = scaled()[0]
    frozen.extra = nn.Parameter(torch.ones(1))
    with_extra = [{**start, "extra": torch.ones(1)}]
    changes: dict[str, dict[str, Any]] = {
        "weights": {"states": [{**start, "weight": start["weight"] + 1e-6}]},
        "a buffer": {"states": [{**start, "scale": torch.tensor(1.0 + 1e-6)}]},
        "inputs": {"data": (x + 1e-6, y)},
        "labels": {"data": (x, y + 1e-6)},
        "the order of rows": {"data": (x.flip(0), y.flip(0))},
        "a setting of the loss": {"loss": Gaussian(0.6)},
        "the code of the loss": {"loss": thrice, "target": "data"},
        "forward": {"forward": lambda module, batch: module(batch[0]) + 0.0},
        "the seed": {"seed": 1},
        "the kernel": {"sampler": llcx.samplers.HMC(step_size=0.05, leapfrog=4)},
        "the step": {"sampler": llcx.samplers.HMC(step_size=0.04, leapfrog=3)},
        "nbeta": {"nbeta": 50.0},
        "gamma": {"gamma": 2.0},
        "n": {"n": 500},
        "target": {"target": "data"},
        "where": {"where": ["weight"]},
        "measure_on": {"measure_on": (x[:50], y[:50])},
        "chains": {"chains": 3},
        "draws": {"draws": 9},
        "dtype": {"dtype": "float32"},
        "the mask": {"model": frozen, "states": with_extra},
    }
    assert counted.during(once) == 1
    for name, change in changes.items():
        assert counted.during(lambda change=change: once(**change)) == 1, name  # type: ignore[misc]
        assert counted.during(lambda change=change: once(**change)) == 0, name  # type: ignore[misc]
    frozen.extra.requires_grad_(False)
    assert counted.during(lambda: once(model=frozen, states=with_extra)) == 1
    assert counted.during(once) == 0
    monkeypatch.setattr(fingerprint, "code", lambda: "another version")
    assert counted.during(once) == 1


def test_where_each_is_recalled_place_by_place(tmp_path: Path, counted: Counted) -> None:
    net = nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 1))
    _, data = noisy_line(60)

    def once(*globs: str) -> None:
        llcx.estimate_trajectory(
            net, [net.state_dict()], data, Gaussian(NOISE), cache=tmp_path, where_each=globs, gamma=50.0, **FIXED
        )

    assert counted.during(lambda: once("0.*")) == 2
    assert counted.during(lambda: once("0.*", "2.*")) == 1
