"""Power-law images have the spectrum that they say, in every basis; each row is its seed's, whatever the number."""

from dataclasses import replace

import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from llcx import rng
from llcx.tasks.vae import powerlaw
from llcx.tasks.vae.schema import BASES, Images

SMALL = Images(source="powerlaw", side=12, exponent=1.5, variance=0.07)


def images(cfg: Images, n: int, split: str = "train", seed: int = 0) -> Tensor:
    return powerlaw.draw(cfg, n, split, rng.streams(seed))


def spectrum(x: Tensor) -> Tensor:
    rows = x.flatten(1).double()
    return torch.linalg.eigvalsh((rows - rows.mean(0)).T.cov()).flip(0)


def slope(values: Tensor, first: int = 3, last: int = 72) -> float:
    """Least squares of log lambda on log i, numbers weighed by 1/i: evenly in log i."""
    i = torch.arange(first, last + 1, dtype=torch.float64)
    x, y, weight = i.log(), values[first - 1 : last].log(), 1 / i / (1 / i).sum()
    x, y = x - weight @ x, y - weight @ y
    return float(-(weight @ (x * y)) / (weight @ x.square()))


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.stack([one.flatten(), other.flatten()]).corrcoef()[0, 1])


@pytest.mark.parametrize("exponent", [0.5, 1.5, 2.4])
@pytest.mark.parametrize("basis", BASES)
def test_the_fitted_slope_is_the_exponent(basis: str, exponent: float) -> None:
    cfg = replace(SMALL, basis=basis, exponent=exponent + (basis == "toeplitz") * 0.7)
    values = spectrum(images(cfg, 6000))
    assert abs(slope(values) - cfg.exponent) < 0.05
    assert abs(slope(values) - cfg.exponent - 0.1) > 0.05  # such a fit would tell a tenth
    assert torch.allclose(values[:20], powerlaw.eigenvalues(cfg)[:20], rtol=0.12)


def test_a_pixel_has_the_variance_that_was_asked_for() -> None:
    x = images(SMALL, 6000)
    assert x.dtype == torch.float32 and x.shape == (6000, 1, 12, 12)
    assert abs(x.var(0).mean() / 0.07 - 1) < 0.03 and abs(x.mean() - 0.5) < 0.005
    assert powerlaw.eigenvalues(SMALL).sum() == pytest.approx(0.07 * 144)
    flat = powerlaw.eigenvalues(replace(SMALL, exponent=0.0))
    assert torch.allclose(flat, torch.full((144,), 0.07, dtype=torch.float64))
    steep = powerlaw.law(SMALL)
    assert float(steep[0] / steep[3]) == pytest.approx(8.0)  # 4^1.5


@pytest.mark.parametrize("basis", BASES)
def test_a_basis_is_orthonormal(basis: str) -> None:
    u = powerlaw.basis(replace(SMALL, basis=basis), rng.streams(0))
    assert torch.allclose(u.T @ u, torch.eye(144, dtype=torch.float64), atol=1e-10)


def test_cosines_are_those_of_the_transform_by_frequency() -> None:
    """The coefficients of image k under scipy's DCT are sqrt(lambda) z, in the order of u^2 + v^2."""
    coefficients = torch.as_tensor(dctn(images(SMALL, 4000)[:, 0].double() - 0.5, axes=(1, 2), norm="ortho"))
    u, v = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    order = (u**2 + v**2).flatten().argsort(stable=True)
    variances = coefficients.flatten(1)[:, order].var(0)
    assert torch.allclose(variances, powerlaw.law(SMALL), rtol=0.15)
    covariance = coefficients.flatten(1)[:, order[:5]].T.cov()
    scale = covariance.diagonal().sqrt()
    assert ((covariance / scale / scale[:, None]).tril(-1).abs() < 5 / 4000**0.5).all()


def test_pixels_fade_from_the_first_to_the_last() -> None:
    variances = images(replace(SMALL, basis="pixel"), 4000).var(0).flatten().double()
    assert torch.allclose(variances, powerlaw.law(SMALL), rtol=0.15)


def test_a_toeplitz_basis_diagonalises_a_matrix_of_one_number_a_distance() -> None:
    u = powerlaw.basis(replace(SMALL, basis="toeplitz"), rng.streams(0))
    i = torch.arange(144, dtype=torch.float64)
    inside = u.T @ (i[:, None] - i).abs() ** 0.5 @ u
    values = inside.diagonal()
    assert (inside - values.diag()).abs().max() < 1e-9 * values.abs().max()
    assert (values.abs().diff() <= 1e-9).all()
    assert abs(slope(values.abs(), 5, 40) - 1.5) < 0.1  # its own eigenvalues fall like those it is given


def test_a_random_basis_is_the_seeds_and_both_splits_have_it() -> None:
    cfg = replace(SMALL, basis="haar")
    one = powerlaw.basis(cfg, rng.streams(0))
    assert torch.equal(one, powerlaw.basis(cfg, rng.streams(0)))
    assert not torch.allclose(one, powerlaw.basis(cfg, rng.streams(1)), atol=0.1)
    for split in ("train", "test"):
        along = (images(cfg, 4000, split).flatten(1).double() - 0.5) @ one
        assert torch.allclose(along.var(0), powerlaw.law(cfg), rtol=0.15)


@pytest.mark.parametrize("basis", ["dct2", "haar"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_is_a_function_of_the_seed_and_its_number(basis: str, channels: int) -> None:
    cfg = replace(SMALL, basis=basis, channels=channels, channel_mode="independent")
    many = images(cfg, 600)
    assert all(torch.equal(images(cfg, n), many[:n]) for n in (1, 256, 300))
    assert not torch.equal(images(cfg, 5, seed=1), many[:5])
    assert abs(correlation(images(cfg, 600, "test"), many)) < 0.1


def test_all_bases_of_a_seed_have_the_same_numbers() -> None:
    first, *others = (spectrum(images(replace(SMALL, basis=basis), 500)) for basis in BASES)
    assert all(torch.allclose(first, other, rtol=1e-3) for other in others)


@pytest.mark.parametrize("mode", ["shared", "independent"])
def test_channels_are_alike_or_independent(mode: str) -> None:
    cfg = replace(SMALL, side=6, channels=3, channel_mode=mode)
    x, known = images(cfg, 6000), powerlaw.eigenvalues(cfg)
    assert x.shape == (6000, 3, 6, 6) and x.is_contiguous()
    assert torch.equal(x[:, 0], x[:, 2]) == (mode == "shared")
    assert (abs(correlation(x[:, 0], x[:, 1])) < 0.02) == (mode == "independent")
    assert len(known) == 108 and known.sum() == pytest.approx(0.07 * 108)
    assert torch.allclose(spectrum(x), known, rtol=0.2, atol=1e-6)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_a_toeplitz_matrix_without_a_law_is_refused(exponent: float) -> None:
    cfg = replace(SMALL, basis="toeplitz", exponent=exponent)
    with pytest.raises(ValueError, match="must be > 1 and no odd integer with basis=toeplitz, got") as refused:
        images(cfg, 2)
    assert "\n" not in str(refused.value)
