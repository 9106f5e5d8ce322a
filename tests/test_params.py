"""Module <-> flat vector, and masks."""

import pytest
import torch
from torch import nn

from llcx import params


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1, bias=False))


def test_unflatten_undoes_flatten() -> None:
    module = net()
    found = params.layout(module).unflatten(params.flatten(module))
    assert all(torch.equal(found[name], p) for name, p in module.named_parameters())
    assert len(found) == 3


def test_chains_keep_their_axis() -> None:
    module = net()
    found = params.layout(module).unflatten(params.flatten(module).expand(5, -1))
    assert [tuple(p.shape) for p in found.values()] == [(5, 2, 3), (5, 2), (5, 1, 2)]


def test_a_scalar_parameter_survives() -> None:
    module = nn.Module()
    module.scale = nn.Parameter(torch.tensor(2.0))
    assert params.layout(module).unflatten(params.flatten(module))["scale"].shape == ()


def test_frozen_parameters_are_no_coordinates() -> None:
    module = net()
    module[0].weight.requires_grad_(False)
    assert params.layout(module).names == ("0.bias", "2.weight")


def test_globs_choose_by_name() -> None:
    assert params.layout(net()).select(["0.*"]).tolist() == list(range(8))
    assert params.layout(net()).select(["*.weight"]).tolist() == [0, 1, 2, 3, 4, 5, 8, 9]


def test_a_glob_that_matches_nothing_lists_the_names() -> None:
    with pytest.raises(ValueError, match=r"where='1\.\*' matches no parameter; names: 0\.weight, 0\.bias, 2\.weight"):
        params.layout(net()).select(["1.*"])


def test_a_module_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="trainable parameters"):
        params.layout(nn.Tanh())
