"""llcx.estimate_trajectory: known answers along checkpoints, one thing changing at a time, nothing measured twice."""

from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import llcx
from llcx import along, measure
from llcx.likelihoods import Gaussian
from tests.checkpointed import ADAPTED, FIXED, NOISE, Counted, Scaled, scaled, state
from tests.problems import noisy_line


def exact(x: Tensor, scale: float, gamma: float) -> float:
    """1/2 sum t h / (t h + gamma) over curvatures h: the estimate that a quadratic has at t = n / log n."""
    t = len(x) / log(len(x))
    h = torch.linalg.eigvalsh((x.T @ x).double() / len(x)) * (scale / NOISE) ** 2
    return float((t * h / (t * h + gamma)).sum()) / 2


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch, quick=True)


@pytest.fixture(scope="module")
def found() -> tuple[pd.DataFrame, Tensor]:
    model, data = scaled()
    states = {f"step {k}": state(model, scale) for k, scale in enumerate((1.0, 0.3, 0.02, 0.02))}
    return llcx.estimate_trajectory(model, states, data, Gaussian(NOISE), **ADAPTED), data[0]


@pytest.mark.slow
def test_each_checkpoint_has_the_number_that_is_known(found: tuple[pd.DataFrame, Tensor]) -> None:
    frame, x = found
    assert frame.columns.tolist() == list(along.COLUMNS)
    assert frame["step"].tolist() == [0, 1, 2, 3]
    truth = [exact(x, scale, frame["gamma"][0]) for scale in (1.0, 0.3, 0.02, 0.02)]
    assert truth[0] > 1.5 * truth[2]
    assert all(low < value < high for low, value, high in zip(frame["low"], truth, frame["high"], strict=True))
    moves = zip(frame["change_low"][1:], pd.Series(truth).diff()[1:], frame["change_high"][1:], strict=True)
    assert all(low <= move <= high for low, move, high in moves)
    assert frame["changed"].tolist()[2:] == [True, False]


@pytest.mark.slow
def test_gamma_is_held_at_that_of_the_first_checkpoint(found: tuple[pd.DataFrame, Tensor]) -> None:
    frame, _ = found
    weight = noisy_line()[0].weight.detach()
    assert frame["gamma"].tolist() == pytest.approx([10 * 4 / float(weight.square().sum())] * 4, rel=1e-6)
    model, data = scaled()
    one = llcx.estimate_trajectory(model, [state(model, 0.3)], data, Gaussian(NOISE), gamma=3.0, **FIXED)
    assert one["gamma"].tolist() == [3.0]


@pytest.mark.slow
def test_the_step_of_the_first_checkpoint_is_held_and_pairs_the_chains(found: tuple[pd.DataFrame, Tensor]) -> None:
    frame, _ = found
    assert frame["held"].tolist() == [False, True, True, True]
    assert frame["step_size"].nunique() == 1
    unpaired = 2.36 * 2**0.5 * frame["se"][3]  # two estimates with random numbers of their own
    assert frame["change_high"][3] - frame["change_low"][3] < 1e-6 * unpaired  # the same model twice: the same chains


def test_other_random_numbers_at_each_checkpoint_would_hide_a_change() -> None:
    """The negative control: with seeds of their own two estimates of one model differ by their noise."""
    model, data = scaled()
    one = [llcx.estimate(model, data, Gaussian(NOISE), target="self", seed=seed, **FIXED).llc for seed in (0, 1)]
    assert abs(one[1] - one[0]) > 1e-3


@pytest.mark.slow
def test_a_step_that_will_not_do_is_adapted_again() -> None:
    model, data = scaled()

    def without_divergence(output: Tensor, batch: Any) -> Tensor:  # so that chains run in plain coordinates
        return (output - batch[1]).square().sum(1) / (2 * NOISE**2)

    states = [state(model, 1.0), state(model, 1.0), state(model, 0.1)]
    sampler = llcx.samplers.HMC(leapfrog=6)
    frame = llcx.estimate_trajectory(
        model, states, data, without_divergence, target="data", gamma=1.0, sampler=sampler, chains=4, draws=20
    )
    assert frame["held"].tolist() == [False, True, False]
    assert frame["step_size"][2] > 2 * frame["step_size"][1]
    assert frame["gradients"][2] > 1.3 * frame["gradients"][1]  # that of the run that was given up counts
    assert frame["change"].isna().tolist() == [True, False, False]


def test_a_row_is_what_estimate_gives_there() -> None:
    model, data = scaled()
    row = llcx.estimate_trajectory(model, [state(model, 0.3)], data, Gaussian(NOISE), **FIXED).iloc[0]
    model.load_state_dict(state(model, 0.3))
    one = llcx.estimate(model, data, Gaussian(NOISE), target="self", gamma=row["gamma"], **FIXED)
    assert (row["llc"], row["se"], row["low"], row["high"]) == (one.llc, one.se, one.low, one.high)
    assert (row["rhat"], row["ess"], row["llc_fluct"]) == (one.rhat, one.ess, one.llc_fluct)


def test_places_are_rows_of_their_own() -> None:
    net = nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 1))
    _, data = noisy_line(60)
    frame = llcx.estimate_trajectory(
        net, [net.state_dict()], data, Gaussian(NOISE), where_each=["0.*", "2.weight"], gamma=50.0, **FIXED
    )
    assert frame["where"].tolist() == ["all", "0.*", "2.weight"]
    assert frame["parameters"].tolist() == [13, 10, 2]
    assert frame["llc"].nunique() == 3


def test_the_model_is_left_alone_and_the_folder_is_read_in_the_order_of_its_numbers(
    tmp_path: Path, counted: Counted
) -> None:
    model, data = scaled()
    model.train()
    for step, scale in ((100, 0.1), (20, 0.5)):
        torch.save(state(model, scale), tmp_path / f"model_{step}.pt")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    paths = [tmp_path / "model_100.pt", tmp_path / "model_20.pt"]
    by_name = {"model_100": torch.load(paths[0]), "model_20": paths[1]}
    for source in (tmp_path, str(tmp_path), paths, {path.stem: path for path in paths}, by_name):
        frame = llcx.estimate_trajectory(model, source, data, Gaussian(NOISE), gamma=1.0, **FIXED)
        assert list(zip(frame["checkpoint"], frame["step"], strict=True)) == [("model_20", 20), ("model_100", 100)]
        assert counted.scales[-2:] == pytest.approx([0.5, 0.1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training


def test_a_folder_as_pretrained_models_leave_it_is_a_trajectory(tmp_path: Path, counted: Counted) -> None:
    files = pytest.importorskip("safetensors.torch", reason="the extra safetensors is not installed")
    model, data = scaled()
    for step, scale in ((1000, 0.25), (500, 0.5)):
        (inside := tmp_path / f"checkpoint-{step}").mkdir()
        files.save_file({f"model.{name}": value for name, value in state(model, scale).items()},
                        inside / "model.safetensors")  # fmt: skip
        (inside / "optimizer.pt").write_bytes(b"never read")
    frame = llcx.estimate_trajectory(model, tmp_path, data, Gaussian(NOISE), gamma=1.0, **FIXED)
    assert list(zip(frame["checkpoint"], frame["step"], strict=True)) == [
        ("checkpoint-500", 500),
        ("checkpoint-1000", 1000),
    ]
    assert counted.scales == pytest.approx([0.5, 0.25])


def test_what_has_no_numbers_stays_in_the_order_given(counted: Counted) -> None:
    model, data = scaled()
    named = {"last": state(model, 0.5), "first": state(model, 0.1)}
    frame = llcx.estimate_trajectory(model, named, data, Gaussian(NOISE), gamma=1.0, **FIXED)
    assert list(zip(frame["checkpoint"], frame["step"], strict=True)) == [("last", 0), ("first", 1)]
    frame = llcx.estimate_trajectory(model, [Scaled(torch.ones(1, 4))], data, Gaussian(NOISE), gamma=1.0, **FIXED)
    assert frame["checkpoint"].tolist() == ["0"]
    assert counted.scales == pytest.approx([0.5, 0.1, 1.0])


def test_an_iterator_of_steps_and_live_weights_is_followed_as_it_goes(counted: Counted) -> None:
    model, data = scaled()
    training = Scaled(model.weight.detach())

    def steps() -> Iterator[tuple[int, dict[str, Any]]]:
        for step, scale in ((50, 1.0), (0, 0.1)):
            training.load_state_dict(state(model, scale))
            yield step, training.state_dict()  # which goes on changing

    frame = llcx.estimate_trajectory(model, steps(), data, Gaussian(NOISE), gamma=1.0, **FIXED)
    assert frame["step"].tolist() == [50, 0]
    assert counted.scales == pytest.approx([1.0, 0.1])


def test_a_checkpoint_that_cannot_be_measured_is_a_row_without_a_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, data = scaled()
    lost = {**state(model, 1.0), "weight": torch.full((1, 4), float("nan"))}
    states = [lost, state(model, 1.0), state(model, 0.5), state(model, 1.0)]
    inner = measure.measure

    def diverging(point: Any, *given: Any, **more: Any) -> measure.Measurement:
        if float(point.model.module.scale) == 0.5:
            raise FloatingPointError("chain 0 has n*beta*K = inf; lower it")
        return inner(point, *given, **more)

    monkeypatch.setattr(measure, "measure", diverging)
    frame = llcx.estimate_trajectory(model, states, data, Gaussian(NOISE), cache=tmp_path, **FIXED)
    assert frame["llc"].isna().tolist() == [True, False, True, False]
    assert frame["flags"].tolist()[0] == "failed: the weights are not finite"
    assert frame["flags"].tolist()[2] == "failed: chain 0 has n*beta*K = inf, lower it"
    assert not frame["healthy"][0]
    assert frame["gamma"].nunique() == 1  # of the first that has weights
    assert frame["change"][3] == 0.0  # from the last one that has a number
    assert len(list(tmp_path.iterdir())) == 1  # equal weights are one measurement, and failures are not kept


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ([], "at least one set of weights"),
        (3, "a folder, a mapping, a sequence or an iterator, got 3"),
        ("/nowhere", "a folder that exists, got /nowhere"),
        ({"weight": torch.ones(1, 4)}, r"several sets of weights, got one state_dict; put it in a list: \[state\]"),
        ([5], r"a state_dict, a module, a path or a pair \(step, state_dict\), got int"),
        ([{"bias": torch.ones(1)}], "missing: weight; unexpected: bias"),
    ],
)
def test_what_are_no_checkpoints_is_refused(source: Any, told: str) -> None:
    model, data = noisy_line(60)
    with pytest.raises(ValueError, match=told):
        llcx.estimate_trajectory(model, source, data, Gaussian(NOISE), **FIXED)
