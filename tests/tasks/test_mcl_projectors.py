"""Projectors onto leading subspaces: their values, and a gradient held against the plain one and finite differences."""

from math import log

import pytest
import torch
from torch import Tensor

from llcx.tasks.mcl import projectors
from tests.tasks.mcl_machines import normals, number, rotation, rows_in, seeded


def plain(x: Tensor, k: int) -> Tensor:
    """Through the eigenvectors of the covariance, with torch's own gradient."""
    vectors = torch.linalg.eigh(x.mT @ x).eigenvectors[..., -k:]
    return vectors @ vectors.mT


def slope(made: Tensor, x: Tensor, weights: Tensor) -> Tensor:
    return torch.autograd.grad((made * weights).sum(), [x])[0]


@pytest.mark.parametrize("rows", [5, 9, 30])  # fewer than the dimensions, about as many, more
def test_values_and_gradients_are_those_of_the_eigenvectors(rows: int) -> None:
    x = (normals(3, rows, 8) * torch.linspace(2, 0.5, 8, dtype=torch.float64)).requires_grad_()
    weights = normals(3, 8, 8, seed=4)  # not symmetric: a projector is
    made = projectors.projectors(x, 3, 1e-9)
    torch.testing.assert_close(made, plain(x, 3))
    torch.testing.assert_close(made @ made, made)
    torch.testing.assert_close(made.diagonal(dim1=1, dim2=2).sum(1), torch.full((3,), 3.0, dtype=torch.float64))
    if rows > 8:  # below, torch's gradient divides by the zero gaps of the null space
        torch.testing.assert_close(slope(made, x, weights), slope(plain(x, 3), x, weights))


@pytest.mark.parametrize(("rows", "size", "k"), [(4, 6, 2), (6, 6, 3), (9, 4, 2), (3, 7, 3)])
def test_the_gradient_is_that_of_finite_differences(rows: int, size: int, k: int) -> None:
    x = normals(2, rows, size).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: projectors.projectors(each, k, 1e-9), (x,))


def test_the_gradient_stays_finite_where_eigenvalues_meet() -> None:
    """Equal eigenvalues at the gap, a rank below k, and a group of zeros; torch's own gradient is not finite there."""
    level = rotation(6)[:, :4].T
    x = torch.stack([level, level * torch.tensor([1.0, 1, 0, 0]).double().unsqueeze(1), torch.zeros(4, 6).double()])
    x = x.detach().requires_grad_()
    found = slope(projectors.projectors(x, 3, 1e-3), x, normals(3, 6, 6))
    assert found.isfinite().all() and float(found.abs().max()) < 1e5
    assert not slope(plain(x, 3), x, normals(3, 6, 6)).isfinite().all()


def test_gaps_are_no_smaller_than_they_may_be() -> None:
    """Two directions whose eigenvalues differ by 1e-8: the gradient goes as one over the gap, or over the floor."""
    x = torch.diag(torch.tensor([1.0, 1 - 5e-9, 0.1], dtype=torch.float64)).unsqueeze(0).requires_grad_()
    weights = normals(1, 3, 3)
    sizes = [float(slope(projectors.projectors(x, 1, gap), x, weights).norm()) for gap in (1e-12, 1e-2, 2e-2)]
    assert sizes[0] / sizes[1] == pytest.approx(1e6, rel=1e-3)
    assert sizes[1] / sizes[2] == pytest.approx(2, rel=1e-3)


def test_a_subspace_turns_with_its_rows() -> None:
    x, turn = normals(2, 12, 5), rotation(5)
    made, turned = projectors.projectors(x, 2, 1e-6), projectors.projectors(x @ turn.T, 2, 1e-6)
    torch.testing.assert_close(turned, turn @ made @ turn.T)
    torch.testing.assert_close(projectors.projectors(3 * x, 2, 1e-6), made)


def test_rows_are_grouped_centred_and_counted() -> None:
    labels = torch.tensor([7, 2, 7, 7, 2, 9])
    h = normals(6, 4)
    found = projectors.grouped(h, labels)
    assert found.counts.tolist() == [2, 3, 1]
    for group, label in enumerate((2, 7, 9)):
        own = h[labels == label]
        covariance = torch.cov(own.T) if len(own) > 1 else torch.zeros(4, 4, dtype=torch.float64)
        torch.testing.assert_close(found.x[group].T @ found.x[group], covariance)
        torch.testing.assert_close(found.scale[group], own.square().mean())
    h[3, 1] = float("nan")
    assert projectors.grouped(h, labels).counts.tolist() == [2, 0, 1]
    assert not projectors.grouped(h, labels).x[1].any()


def test_eigenvalues_of_few_rows_are_those_of_many() -> None:
    x = normals(2, 5, 9)
    few, many = projectors.spectrum(x), projectors.spectrum(torch.cat([x, torch.zeros(2, 9, 9).double()], 1))
    torch.testing.assert_close(few.values, many.values[:, :5])
    assert not many.values[:, 5:].any() and not many.vectors[..., 5:].any()
    torch.testing.assert_close(few.vectors @ few.vectors.mT, many.vectors @ many.vectors.mT)


def test_a_ridge_softens_a_projector_and_without_one_it_is_all_of_the_rows() -> None:
    x = normals(2, 4, 7).requires_grad_()
    sharp = projectors.regularised(x, 1e-12)
    torch.testing.assert_close(sharp, plain(x, 4), rtol=1e-6, atol=1e-6)
    covariance = x.mT @ x
    shift = 0.3 * covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(7, dtype=torch.float64)
    torch.testing.assert_close(
        projectors.regularised(x, 0.3), covariance @ torch.linalg.inv(covariance + shift), rtol=1e-9, atol=1e-9
    )
    assert torch.autograd.gradcheck(lambda each: projectors.regularised(each, 0.3), (x,))


def test_a_sketch_finds_the_leading_subspace() -> None:
    basis = rotation(20)[:, :3]
    x = projectors.grouped(rows_in(basis, 30, 1, noise=1e-3), torch.zeros(30, dtype=torch.long)).x
    omega = torch.randn(20, 3, generator=seeded(), dtype=torch.float64)
    made = projectors.projectors(projectors.sketched(x, omega), 3, 1e-6)[0]
    assert number((made - basis @ basis.T).norm()) < 0.01
    assert number((plain(x, 3)[0] - basis @ basis.T).norm()) < 0.01
    assert projectors.sketched(x[:, :2], omega).shape == (1, 2, 20)


def test_the_leading_directions_of_a_mean() -> None:
    basis = rotation(6)
    mean = basis @ torch.diag(torch.tensor([0.1, 0.9, 0.2, 0.8, 0.0, 0.3]).double()) @ basis.T
    found = projectors.leading(mean, 2)
    torch.testing.assert_close(found @ found.T, basis[:, [1, 3]] @ basis[:, [1, 3]].T)


def test_effective_rank_counts_directions() -> None:
    flat, size = rotation(8)[:, :4], 512
    signs = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).double()
    h = signs.repeat(size // 4, 1) @ torch.diag(torch.tensor([0, 2.0, 2.0, 2.0]).double()) @ flat.T + 5
    rank, variance = projectors.effective_rank(h)
    assert rank == pytest.approx(3) and variance == pytest.approx(12 * size / (size - 1))
    assert projectors.effective_rank(torch.ones(5, 3))[0] == 1
    weights = torch.tensor([0.5, 0.25, 0.25])
    rows = torch.diag(weights.double().sqrt())
    pairs = torch.cat([rows, -rows])
    entropy = -sum(w * log(w) for w in weights.tolist())
    assert log(projectors.effective_rank(pairs)[0]) == pytest.approx(entropy)
