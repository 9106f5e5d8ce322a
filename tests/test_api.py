"""The library's front door."""

import doctest

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import llcx
from llcx import api
from llcx.likelihoods import Categorical, Gaussian
from tests.problems import noisy_line

QUICK = {
    "gamma": 1.0,
    "chains": 4,
    "draws": 8,
    "sampler": llcx.samplers.HMC(step_size=0.05, leapfrog=3),
}  # adaptation would amplify rounding


def test_the_examples_in_the_docstrings_run() -> None:
    found = doctest.testmod(api)
    assert found.failed == 0
    assert found.attempted > 8


def test_every_name_it_lists_exists() -> None:
    assert all(getattr(llcx, name) for name in dir(llcx))
    assert len(dir(llcx)) >= 9
    with pytest.raises(AttributeError, match="it offers estimate"):
        llcx.estimat  # noqa: B018


def test_tuples_datasets_and_loaders_are_the_same_data() -> None:
    model, data = noisy_line(60)
    forms = [data, list(data), TensorDataset(*data), DataLoader(TensorDataset(*data), batch_size=7, shuffle=True)]
    found = [llcx.estimate(model, form, Gaussian(0.5), **QUICK).draws for form in forms]
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_dicts_need_a_forward_and_work_with_one() -> None:
    model, (x, y) = noisy_line(60)
    data = {"x": x, "y": y}
    with pytest.raises(ValueError, match="forward is required for data of type dict"):
        llcx.estimate(model, data, Gaussian(0.5, labels="y"))
    found = llcx.estimate(model, data, Gaussian(0.5, labels="y"), forward=lambda m, b: m(b["x"]), **QUICK)
    assert torch.equal(found.draws, llcx.estimate(model, (x, y), Gaussian(0.5), **QUICK).draws)


def test_losses_of_several_predictions_a_row_need_n() -> None:
    model, (x, y) = noisy_line(60)

    def each(out: torch.Tensor, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return (out - batch[1]).square().expand(-1, 3) / (2 * 0.25)

    with pytest.raises(ValueError, match=r"n must be given for a loss of shape \[8, 3\]"):
        llcx.estimate(model, (x, y), each)
    found = llcx.estimate(model, (x, y), each, n=180, nbeta=30.0, **QUICK)
    same = llcx.estimate(model, (x, y), Gaussian(0.5).__call__, nbeta=30.0, **QUICK)  # without a divergence, as `each`
    assert found.llc == pytest.approx(same.llc, rel=1e-6)  # three equal predictions a row, three times the n


def test_a_classifier_runs_and_its_model_is_left_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    data = (torch.randn(50, 4), torch.randint(3, (50,)))
    found = llcx.estimate(model, data, Categorical(), target="self", **QUICK)
    assert found.llc > 0
    assert found.target == "self"
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_scalar_loss_is_refused_with_the_cure() -> None:
    model, data = noisy_line(60)
    with pytest.raises(ValueError, match="got a scalar; use reduction='none'"):
        llcx.estimate(model, data, lambda out, batch: nn.functional.mse_loss(out, batch[1]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "nope"}, "sampler=nope is unknown; known: adam_sgld, auto, gibbs, hmc"),
        ({"target": "both"}, r"estimator\.target must be one of"),
        ({"where": ["head.*"]}, "matches no parameter; names: weight"),
        ({"measure_on": "other"}, r"measure_on must be rows like data"),
        ({"nbeta": -1.0}, r"estimator\.nbeta must be a number > 0"),
        ({"budget": "soon"}, r"estimator\.budget must be seconds"),
    ],
)
def test_bad_settings_name_field_value_and_cure(settings: dict[str, object], message: str) -> None:
    model, data = noisy_line(60)
    with pytest.raises(ValueError, match=message):
        llcx.estimate(model, data, Gaussian(0.5), **settings)


def test_a_tensor_is_no_data_and_a_function_no_model() -> None:
    model, (x, _) = noisy_line(60)
    with pytest.raises(ValueError, match=r"wrap it: \(x,\)"):
        llcx.estimate(model, x, Gaussian())
    with pytest.raises(ValueError, match=r"see llcx\.estimate_potential"):
        llcx.estimate.__wrapped__(torch.tanh, (x,), Gaussian())  # without the tests' own checks


def test_observed_functions_come_back_by_chain_and_draw() -> None:
    model, data = noisy_line(60)
    found = llcx.estimate(model, data, Gaussian(0.5), observe={"first": lambda w: w["weight"][0, 0]}, **QUICK)
    assert found.observed["first"].shape == (4, 8)


def test_a_potential_is_measured_from_its_value_at_w_star() -> None:
    found = llcx.estimate_potential(
        lambda w: 7 + 0.5 * w.square().sum(), torch.zeros(10), nbeta=1e4, gamma=0.0, draws=40
    )
    assert found.low < 5 < found.high
    assert found.healthy


def test_a_potential_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(ValueError, match=r"potential must return a scalar, got shape \[3\]"):
        llcx.estimate_potential(lambda w: w.square(), torch.zeros(3), nbeta=100.0)


def test_the_estimate_reads_as_a_sentence() -> None:
    model, data = noisy_line(400)
    text = str(llcx.estimate(model, data, Gaussian(0.5), gamma=1.0, chains=24, draws=40))
    assert text.startswith("lambda ")
    assert "(95 %, target=data, nbeta=67, gamma=1)" in text
    assert text.endswith("healthy")
