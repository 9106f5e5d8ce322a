"""A subspace that is used, one that is not, and one that only is large."""

from functools import cache

import pytest
import torch
from torch import Tensor

from llcx.tasks.mcl import causal, grassmann
from tests.tasks.mcl_labels import generator, normals

D, K, N = 32, 3, 300
AXES = torch.eye(D).double()
SHARED = {"used": AXES[:, :K], "large": AXES[:, K : 2 * K], "idle": AXES[:, 2 * K : 3 * K]}


def hidden() -> Tensor:
    """Signs along the first axes, which are what is asked for; noise, much of it along the next."""
    h = normals(N, D)
    h[:, :K] = h[:, :K].sign() * 2
    h[:, K : 2 * K] *= 10
    return (h + 1).float()


def score(h: Tensor, of: Tensor) -> Tensor:
    """The share of the signs that are there still."""
    here, there = ((each - 1)[:, :K] for each in (h, of))
    return ((here.sign() == there.sign()) & (here.abs() > 1)).float().mean(1)


@cache
def found(shared: str) -> causal.Removal:
    h = hidden()
    return causal.removal(h, SHARED[shared], lambda each: score(each, h), generator(), spliced=0.9 * h + 0.1)


def test_a_subspace_that_is_used_costs_what_no_other_does() -> None:
    told = found("used")
    drop = {kind: 1 - float(each.mean() / told.intact.mean()) for kind, each in told.without.items()}
    assert drop["shared"] > 0.9
    assert drop["random"] < 0.25
    assert drop["total"] < 0.05  # it takes what is large
    assert drop["splice"] == pytest.approx(0)
    assert told.variance["total"] > told.variance["rows"] > told.variance["random"]
    assert told.variance["random"] == pytest.approx(K / D, rel=0.3)


def test_a_subspace_that_is_not_used_costs_nothing_however_large() -> None:
    for shared in ("idle", "large"):
        told = found(shared)
        assert float(told.without["shared"].mean()) == pytest.approx(1)
    assert found("large").variance["shared"] > 0.8


def test_without_leaves_the_mean_and_the_rest() -> None:
    h, basis = hidden(), grassmann.random_bases(1, D, K, generator(5))[0]
    left = causal.without(h.double(), basis)
    torch.testing.assert_close(left.mean(0), h.double().mean(0))
    assert ((left - left.mean(0)) @ basis).abs().max() < 1e-9
    torch.testing.assert_close(causal.without(left, basis), left)
    others = torch.linalg.qr(torch.cat([basis, normals(D, D - K, seed=2)], 1)).Q[:, K:]
    torch.testing.assert_close(left @ others, h.double() @ others)
    assert causal.without(h, basis).dtype == torch.float32


def test_the_shared_basis_is_what_groups_have_in_common() -> None:
    own = grassmann.random_bases(20, D - K, 1, generator())
    padded = torch.cat([torch.zeros(20, K, 1).double(), own], 1)
    bases = torch.cat([AXES[:, :K][None, :, 1:].expand(20, D, K - 1), padded], 2)
    common = causal.shared_basis(bases)
    assert grassmann.angles(AXES[:, :K][:, 1:], common[:, : K - 1]).max() < 1e-6
    torch.testing.assert_close(common.mT @ common, torch.eye(K).double())


def test_rows_are_of_compositions() -> None:
    told = causal.rows(found("used"), torch.arange(N) % 4)
    assert len(told) == 4 * 5
    one = next(row for row in told if row["composition"] == 2 and row["kind"] == "shared")
    assert one["drop"] == pytest.approx(1 - one["score"] / one["intact"])
    assert one["intact"] == 1
    nothing = causal.Removal(torch.zeros(2).double(), {"shared": torch.zeros(2).double()}, {"shared": 0.1})
    assert causal.rows(nothing, torch.zeros(2).long())[0]["drop"] != 0  # nan
