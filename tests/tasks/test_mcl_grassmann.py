"""Subspaces: angles in closed form, distances of random ones, and the floor that few rows put under them."""

from math import pi

import pytest
import torch
from scipy.linalg import subspace_angles
from torch import Tensor

from llcx.tasks.mcl import grassmann

D, K = 20, 3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def rows(basis: Tensor, n: int, seed: int, noise: float = 0.3) -> Tensor:
    """That lie in a subspace up to noise, somewhere off the origin."""
    return normals(n, basis.shape[1], seed=seed) @ basis.mT + noise * normals(n, len(basis), seed=seed + 1000) + 5


@pytest.mark.parametrize("wanted", [(0.0, 0.0), (1e-10, 0.3), (0.2, 1.1), (0.7, pi / 2), (pi / 2, pi / 2)])
def test_angles_of_planes_that_were_turned(wanted: tuple[float, float]) -> None:
    e, t = torch.eye(5).double(), torch.tensor(wanted).double()
    turned = e[:, :2] * t.cos() + e[:, 2:4] * t.sin()
    other = turned @ torch.linalg.qr(normals(2, 2)).Q
    torch.testing.assert_close(grassmann.angles(e[:, :2], other), t, rtol=1e-5, atol=1e-15)
    projectors = e[:, :2] @ e[:, :2].mT - other @ other.mT
    found = grassmann.angles(e[:, :2], other)
    torch.testing.assert_close(grassmann.projection(found), projectors.square().sum())
    torch.testing.assert_close(grassmann.geodesic(found), t.norm(), rtol=1e-5, atol=1e-15)


def test_angles_of_random_subspaces_are_scipys() -> None:
    one, other = grassmann.random_bases(2, D, K, generator())
    wanted = torch.tensor(subspace_angles(one.numpy(), other.numpy())).flip(0)
    torch.testing.assert_close(grassmann.angles(one, other), wanted, rtol=1e-9, atol=1e-12)


def test_random_subspaces_are_at_distance_one() -> None:
    one, other = grassmann.random_bases(4000, D, K, generator()).chunk(2)
    found = grassmann.angles(one, other)
    for each, mean in (
        (grassmann.projection(found), grassmann.random_projection(D, K)),
        (grassmann.geodesic(found), grassmann.random_geodesic(D, K, generator(1), draws=4000)),
    ):
        assert float(each.std() / 2000**0.5) < 0.005 * mean
        assert float(each.mean()) == pytest.approx(mean, rel=0.01)


def test_a_basis_is_that_of_the_directions_of_most_variance() -> None:
    turn = torch.linalg.qr(normals(6, 6)).Q
    x = normals(5000, 6) * torch.tensor([1.0, 5, 1, 4, 1, 1]) @ turn.mT + 100
    found = grassmann.angles(grassmann.basis(x, 2), turn[:, [1, 3]])
    assert found.max() < 0.1
    assert (grassmann.basis(x, 1).mT @ turn[:, 1:2]).abs() > 0.99  # the largest comes first
    assert grassmann.angles(grassmann.basis(x - 100, 2), grassmann.basis(x, 2)).max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_directions_than_rows_vary_in_are_refused(dtype: torch.dtype) -> None:
    x = (normals(50, 2) @ normals(2, 9)).to(dtype) + 3
    assert grassmann.rank(x) == 2
    assert grassmann.rank(torch.full((9, 4), 0.1).to(dtype)) == 0
    grassmann.basis(x, 2)
    with pytest.raises(ValueError, match="rank of the rows, got 3 of 2"):
        grassmann.basis(x, 3)


def test_groups_of_one_subspace_are_at_the_floor_and_not_at_zero() -> None:
    """Without the floor few rows look like tasks that differ."""
    basis = grassmann.random_bases(1, D, K, generator())[0]
    few, many = (
        grassmann.distances([rows(basis, n, seed, noise=0.7) for seed in range(6)], K, generator()) for n in (40, 640)
    )
    for found in (few.crossed_projection, few.crossed_geodesic):
        assert found.diagonal().mean() > 0.15
        assert grassmann.excess(found).mean().abs() < 0.06
    assert grassmann.mean_of_others(few.projection).mean() > 0.1
    assert grassmann.mean_of_others(many.projection).mean() < 0.06
    assert many.crossed_projection.diagonal().mean() < few.crossed_projection.diagonal().mean() / 5


def test_groups_of_subspaces_of_their_own_are_as_far_apart_as_chance() -> None:
    bases = grassmann.random_bases(6, D, K, generator(3))
    found = grassmann.distances([rows(basis, 200, seed) for seed, basis in enumerate(bases)], K, generator())
    true = grassmann.projection(grassmann.angles(bases[:, None], bases[None])) / grassmann.random_projection(D, K)
    torch.testing.assert_close(found.projection, true, rtol=0, atol=0.05)
    torch.testing.assert_close(
        grassmann.excess(found.crossed_projection), grassmann.mean_of_others(true), atol=0.07, rtol=0
    )


def test_rows_of_the_same_grids_share_no_noise_across_halves() -> None:
    """Groups that are one set of rows: from all rows at distance 0, whatever the noise; across halves at the floor."""
    x = normals(40, D)
    found = grassmann.distances([x, x, x], K, generator())
    torch.testing.assert_close(found.projection, torch.zeros(3, 3).double(), rtol=0, atol=1e-12)
    assert found.crossed_projection.min() > 0.3
    torch.testing.assert_close(grassmann.excess(found.crossed_projection), torch.zeros(3).double(), rtol=0, atol=1e-9)


def test_turning_all_rows_changes_no_distance() -> None:
    groups = [normals(n, D, seed=n) for n in (30, 45, 31)]
    turn = torch.linalg.qr(normals(D, D, seed=9)).Q
    one, other = (
        grassmann.distances([g @ each for g in groups], K, generator()) for each in (torch.eye(D).double(), turn)
    )
    for before, after in zip(one, other, strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=1e-7)


def test_one_group_and_the_whole_space_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2, got 1"):
        grassmann.distances([normals(9, 4)], 2, generator())
    with pytest.raises(ValueError, match="the width less 1, got 4 of 4"):
        grassmann.random_projection(4, 4)
