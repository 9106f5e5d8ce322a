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


@pytest.mark.parametrize(
    ("glob", "rows", "columns"),
    [
        ("0.weight[0:1]", [0], [0, 1, 2]),
        ("0.weight[1]", [1], [0, 1, 2]),
        ("0.weight[-1, :2]", [1], [0, 1]),
        ("0.weight[:,-2:]", [0, 1], [1, 2]),
        ("0.weight[ : , 0:3:2 ]", [0, 1], [0, 2]),
        ("*0*weight[:, 1:-1]", [0, 1], [1]),
    ],
)
def test_a_slice_chooses_what_indexing_would(glob: str, rows: list[int], columns: list[int]) -> None:
    wanted = [3 * row + column for row in rows for column in columns]
    assert params.layout(net()).select([glob]).tolist() == wanted


def test_slices_of_several_globs_and_parameters_are_put_together_once() -> None:
    names = params.layout(net())
    assert names.select(["*.weight[:, :2]"]).tolist() == [0, 1, 3, 4, 8, 9]
    assert names.select(["2.weight", "0.weight[0:1]", "0.weight[:, 0:1]"]).tolist() == [0, 1, 2, 3, 8, 9]
    assert names.matching(["*.weight[0]"]) == {"0.weight", "2.weight"}


def test_a_slice_of_all_is_the_parameter_itself() -> None:
    names = params.layout(net())
    assert torch.equal(names.select(["0.weight[:]"]), names.select(["0.weight"]))
    assert names.partial(["0.weight[:]", "2.weight[:, 0:1]", "2.weight[:, 1:]"]) == set()
    assert names.partial(["0.weight[0]", "0.bias"]) == {"0.weight"}


@pytest.mark.parametrize(
    ("glob", "told"),
    [
        ("0.weight[0:4]", r"0\.weight, whose shape is \[2, 3\], got 0:4 on an axis of 2; write start:stop within it"),
        ("0.weight[2]", r"got 2 on an axis of 2"),
        ("0.weight[-3:]", r"got -3: on an axis of 2"),
        ("0.weight[1:1]", r"got 1:1, which chooses nothing of 2"),
        ("0.weight[0:2:0]", r"got 0:2:0; the step must be above 0"),
        ("0.weight[0,,1]", r"got 3 axes"),
        ("0.weight[,1]", r"got nothing on an axis of 2"),
        ("*[0, 0]", r"must fit 0\.bias, whose shape is \[2\], got 2 axes; leave out"),
        ("1.weight[0]", r"matches no parameter; names: 0\.weight"),
        ("0.weight[a:b]", r"matches no parameter"),
    ],
)
def test_a_slice_that_does_not_fit_says_the_shape(glob: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        params.layout(net()).select([glob])


def test_digits_in_brackets_stay_a_set_of_characters() -> None:
    """As they were before slices: `[02].weight`, and at the end of a name where they fit one."""
    module = nn.ParameterList([nn.Parameter(torch.zeros(2)) for _ in range(3)])
    names = params.layout(module)
    assert params.layout(net()).matching(["[02].weight"]) == {"0.weight", "2.weight"}
    assert names.matching(["[02]"]) == {"0", "2"}
    assert names.matching(["[0-1]"]) == {"0", "1"}
    assert names.select(["[02][1]"]).tolist() == [1, 5]
    both = params.layout(nn.ParameterDict({"w": nn.Parameter(torch.zeros(2)), "w1": nn.Parameter(torch.zeros(2))}))
    with pytest.raises(ValueError, match=r"fits w1 and a place in w; write w\[i:i\+1\]"):
        both.select(["w[1]"])
    assert both.select(["w[1:2]"]).tolist() == [1]


def test_groups_are_modules_at_the_outermost_level_with_several() -> None:
    assert params.layout(net()).groups() == {"0": ["0.*"], "2": ["2.*"]}
    wrapped = nn.Sequential(nn.Sequential(net(), nn.Linear(1, 1)))
    assert params.layout(wrapped).groups() == {"0.0": ["0.0.*"], "0.1": ["0.1.*"]}
    module = nn.ParameterDict({"a": nn.Parameter(torch.zeros(2)), "b": nn.Parameter(torch.zeros(1))})
    found = params.layout(module)
    assert found.groups() == {"a": ["a"], "b": ["b"]}
    assert params.layout(nn.Linear(2, 2, bias=False)).groups() == {"weight": ["weight"]}
    whole = params.layout(wrapped)
    assert sorted(p for globs in whole.groups().values() for p in whole.select(globs).tolist()) == list(
        range(whole.size)
    )


def test_a_module_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="trainable parameters"):
        params.layout(nn.Tanh())
