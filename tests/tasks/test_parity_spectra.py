"""What is read off Gram matrices, against points and matrices of which it is known."""

from math import log

import pytest
import torch

from llcx.tasks.parity import spectra
from tests.tasks.tangents import generator, normals


def test_alignment_is_one_for_the_kernel_of_the_labels_alone() -> None:
    y = torch.tensor([1.0, -1, 1, 1, -1, 1], dtype=torch.float64)
    other = torch.tensor([1.0, 1, 1, -1, 1, -1], dtype=torch.float64)
    theta = torch.stack([torch.outer(y, y), torch.eye(6, dtype=torch.float64), torch.outer(other, other)])
    wanted = torch.tensor([1.0, 6**-0.5, (float(y @ other) / 6) ** 2], dtype=torch.float64)
    torch.testing.assert_close(spectra.alignment(theta, y), wanted)
    own = spectra.alignment(theta, torch.stack([y, y, other]))
    torch.testing.assert_close(own, torch.tensor([1.0, 6**-0.5, 1.0], dtype=torch.float64))


def test_the_spectrum_takes_the_kernel_and_the_labels_apart() -> None:
    rows, y = normals(2, 6, 9), normals(6, seed=1).sign()
    theta = rows @ rows.mT
    found = spectra.spectrum(theta, y, top=6)
    assert (found.values.diff(dim=-1) <= 0).all()
    torch.testing.assert_close(found.vectors @ found.values.diag_embed() @ found.vectors.mT, theta)
    torch.testing.assert_close((found.vectors @ found.projections[..., None])[..., 0], y.expand(2, 6))
    torch.testing.assert_close(spectra.spectrum(theta, y).vectors, found.vectors[..., :3])
    own = spectra.spectrum(theta, torch.stack([y, -y]))
    torch.testing.assert_close(own.projections, found.projections * torch.tensor([[1.0], [-1.0]]))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_intrinsic_dimension_is_that_of_the_points(dimension: int) -> None:
    """Points on a flat torus of that dimension, embedded in twenty."""
    angles = 2 * torch.pi * torch.rand(2, 1500, dimension, generator=generator(), dtype=torch.float64)
    points = torch.cat([angles.cos(), angles.sin()], -1) @ normals(2 * dimension, 20)
    found = spectra.intrinsic_dimension(points @ points.mT)
    assert (found - dimension).abs().max() < 5 * dimension / 1500**0.5


def test_the_intrinsic_dimension_leaves_out_copies_and_says_when_nothing_is_left() -> None:
    squares = torch.arange(1.0, 9).double() ** 2
    line = torch.cat([squares, torch.full((3,), 1e3)])[:, None]
    gaps = [(one - squares).abs().sort().values[1:3] for one in squares]
    wanted = 7 / sum(float((second / first).log()) for first, second in gaps)
    assert float(spectra.intrinsic_dimension((line @ line.mT)[None])) == pytest.approx(wanted)
    assert spectra.intrinsic_dimension(torch.ones(2, 4, 4)).isnan().all()
    assert spectra.intrinsic_dimension(torch.eye(2)[None]).isnan().all()


def test_statistics_of_a_known_matrix() -> None:
    theta = torch.diag(torch.tensor([4.0, 2, 2])).double()[None]
    found = {name: float(value) for name, value in spectra.statistics(theta, torch.ones(3).double()).items()}
    entropy = 0.5 * log(2) + 0.5 * log(4)
    assert found["rank"] == pytest.approx(2 ** (entropy / log(2)))
    assert (found["norm"], found["largest"]) == pytest.approx((24**0.5, 4))
    assert (found["mean"], found["diagonal"]) == pytest.approx((8 / 9, 8 / 3))
    assert found["alignment"] == pytest.approx(8 / (24**0.5 * 3))
    assert float(spectra.change(2 * theta, theta)) == pytest.approx(1)
