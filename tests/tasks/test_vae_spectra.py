"""Eigenvalues, the slope of a power law and its interval, against spectra that are known."""

from math import log

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from llcx.tasks.vae import spectra
from llcx.tasks.vae.spectra import Window


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def power(count: int, exponent: float) -> Tensor:
    return torch.arange(1, count + 1, dtype=torch.float64) ** -exponent


def direct(rows: Tensor) -> Tensor:
    """Eigenvalues of the whole covariance at once."""
    return torch.linalg.eigvalsh(torch.cov(rows.double().mT, correction=0)).flip(0)


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("shape", [(50, 12), (50, 3, 2, 2), (12, 12), (9, 40), (9, 1, 4, 5)])
def test_eigenvalues_are_those_of_the_covariance(
    shape: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they come from it, or from the Gram matrix of fewer rows than columns."""
    monkeypatch.setattr(spectra, "CHUNK", chunk)
    x = normals(*shape) + 3
    wanted = direct(x.flatten(1))[: min(shape[0], x[0].numel())]
    torch.testing.assert_close(spectra.eigenvalues(x), wanted, rtol=1e-11, atol=1e-13)
    single = spectra.eigenvalues(x.float())
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, direct(x.float().flatten(1))[: len(wanted)], rtol=1e-11, atol=1e-13)


def test_moments_of_a_stream_are_those_of_all_its_rows_however_far_from_zero() -> None:
    rows = normals(60, 5) + 1e8
    batches = (part for part in rows.split([1, 30, 0, 29]))
    found = spectra.moments(batches)
    exact = rows - 1e8
    assert found.rows == 60
    torch.testing.assert_close(found.covariance, torch.cov(exact.mT, correction=0), rtol=1e-6, atol=1e-6)
    naive = rows.mT @ rows / 60 - torch.outer(rows.mean(0), rows.mean(0))
    assert (naive - torch.cov(exact.mT, correction=0)).abs().max() > 0.5
    with pytest.raises(ValueError, match="batches must hold at least one row"):
        spectra.moments(iter([rows[:0]]))


def test_eigenvalues_that_are_rounding_are_zero() -> None:
    """Columns that never vary, and a column twice, as at the borders of images."""
    rows = normals(40, 6)
    x = torch.cat([rows, rows[:, :1], torch.full((40, 3), 0.1)], 1)
    found = spectra.eigenvalues(x)
    assert (found[:6] > 0).all() and (found[6:] == 0).all()
    few = spectra.eigenvalues(normals(8, 30))
    assert (few[:7] > 0).all() and few[7] == 0


def test_grey_images_are_the_luma_of_three_channels_and_the_mean_of_others() -> None:
    x = normals(4, 3, 2, 2)
    luma = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    torch.testing.assert_close(spectra.flat(x, grey=True), luma.flatten(1))
    torch.testing.assert_close(spectra.flat(x[:, :2], grey=True), x[:, :2].mean(1).flatten(1))
    torch.testing.assert_close(spectra.flat(x), x.flatten(1))
    assert spectra.flat((x > 0).to(torch.uint8)).dtype == torch.float64


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.7])
@pytest.mark.parametrize("window", [Window(1, 2), Window(1, 300), Window(10, 100)])
def test_the_slope_of_an_exact_power_law(exponent: float, window: Window) -> None:
    found = spectra.power_law(5 * power(300, exponent), window)
    assert float(found.exponent) == pytest.approx(exponent, abs=1e-10)
    assert float(found.intercept.exp()) == pytest.approx(5, abs=1e-10)
    assert float(found.residual) < 1e-10


def test_the_slope_of_many_spectra_is_that_of_each() -> None:
    several = torch.stack([power(50, 1.0), 3 * power(50, 2.0)])
    found = spectra.power_law(several, Window(2, 40))
    torch.testing.assert_close(found.exponent, torch.tensor([1.0, 2.0]).double(), rtol=1e-10, atol=0)
    ranks = torch.stack([spectra.effective_rank(one) for one in several])
    torch.testing.assert_close(spectra.effective_rank(several), ranks)


def test_the_weights_are_uniform_in_log_i() -> None:
    """-b (log i)^2, with log i uniform over low..high, has the slope b (low + high); unweighted, that of the end."""
    index = torch.arange(1, 2001, dtype=torch.float64).log()
    b, low, high = 0.1, log(0.5), log(2000.5)  # the cells of the first and of the last
    found = spectra.power_law((-b * index.square()).exp(), Window(1, 2000))
    assert float(found.exponent) == pytest.approx(b * (low + high), rel=0.03)
    across = index - index.mean()
    unweighted = float((across * b * index.square()).sum() / across.square().sum())
    assert unweighted > 1.5 * b * (low + high)


def test_the_slope_is_that_of_least_squares_with_these_weights() -> None:
    """numpy's weights multiply residuals, not their squares."""
    values = normals(12).exp().sort(descending=True).values
    index = np.arange(1, 7)
    slope, intercept = np.polyfit(np.log(index), values[:6].log(), 1, w=np.log((index + 0.5) / (index - 0.5)) ** 0.5)
    found = spectra.power_law(values, Window(1, 6))
    assert (float(found.exponent), float(found.intercept)) == pytest.approx((-slope, intercept), rel=1e-10)


def test_a_window_looks_at_nothing_else() -> None:
    values = power(100, 1.5)
    values[:9], values[50:] = 1e6, 0
    assert float(spectra.power_law(values, Window(10, 50)).exponent) == pytest.approx(1.5, abs=1e-10)
    assert float(spectra.power_law(values, Window(9, 50)).exponent) > 2


def test_windows_that_cannot_be_are_refused() -> None:
    for first, last in ((0, 5), (5, 5), (6, 5)):
        with pytest.raises(ValueError, match="1 <= first < last"):
            Window(first, last)
    values = power(20, 1.0)
    values[15:] = 0
    with pytest.raises(ValueError, match=r"got 16 of 15; lower window.last"):
        spectra.power_law(values, Window(1, 16))


def test_the_bulk_is_without_the_first_and_the_last() -> None:
    assert spectra.bulk(power(1024, 1.0)) == Window(10, 341)
    assert spectra.bulk(torch.cat([power(64, 1.0), torch.zeros(900).double()])) == Window(4, 21)
    with pytest.raises(ValueError, match="1 <= first < last"):
        spectra.bulk(power(4, 1.0))


@pytest.mark.parametrize("count", [1, 5, 64])
def test_ranks_of_equal_eigenvalues_count_them(count: int) -> None:
    values = torch.cat([torch.full((count,), 0.5), torch.zeros(10)]).double()
    assert float(spectra.effective_rank(values)) == pytest.approx(count)
    assert float(spectra.participation_ratio(values)) == pytest.approx(count)
    assert int(spectra.above(values, 0.49)) == count
    assert int(spectra.above(values, 0.5)) == 0


def test_ranks_of_known_spectra() -> None:
    """Shares 1/2, 1/4, 1/4: entropy (3/2) log 2; (4 + 2 + 2)^2 / (16 + 4 + 4)."""
    values = torch.tensor([4.0, 2.0, 2.0]).double()
    assert float(spectra.effective_rank(values)) == pytest.approx(2**1.5)
    assert float(spectra.participation_ratio(values)) == pytest.approx(64 / 24)


@pytest.mark.parametrize("groups", [10, 30])
def test_a_resample_is_the_covariance_of_the_rows_that_were_drawn(groups: int) -> None:
    rows = normals(30, 5) + 2
    order = torch.randperm(30, generator=generator()).tensor_split(groups)
    counts = torch.randint(0, 4, (2, groups), generator=generator(1)).double()
    found = spectra._grouped(rows, groups, generator()).again(counts)
    for times, covariance in zip(counts, found, strict=True):
        again = [rows[chosen].repeat(int(count), 1) for chosen, count in zip(order, times, strict=True)]
        torch.testing.assert_close(covariance, torch.cov(torch.cat(again).mT, correction=0))


def test_a_resample_of_few_rows_has_the_eigenvalues_of_those_that_were_drawn() -> None:
    rows = normals(6, 20) + 2
    counts = torch.tensor([[2.0, 0, 1, 1, 0, 2], [1, 1, 1, 1, 1, 1]]).double()
    found = torch.linalg.eigvalsh(spectra._Products(spectra._gram(rows)).again(counts)).flip(-1)
    wanted = torch.stack([direct(rows.repeat_interleave(times.long(), 0))[:6] for times in counts])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    drawn = spectra.resampled(rows, generator(), resamples=9)
    assert drawn.shape == (9, 6) and (drawn[:, 5] == 0).all()


@pytest.mark.parametrize("shape", [(40, 4), (9, 20)])
def test_resamples_are_a_function_of_their_generator(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = normals(*shape)
    one, third = (spectra.resampled(rows, generator(seed), resamples=5, groups=500) for seed in (0, 1))
    monkeypatch.setattr(spectra, "TOGETHER", 1)
    torch.testing.assert_close(spectra.resampled(rows, generator(), resamples=5, groups=500), one)
    assert not torch.allclose(one, third)


def covered(exponent: float, copies: int = 1, runs: int = 200) -> Tensor:
    """Whether the interval of each of many data sets holds the exponent; `copies`: each row stands so often in them."""
    found = []
    for run in range(runs):
        rows = (normals(300, 8, seed=run) * power(8, exponent).sqrt()).repeat(copies, 1)
        value = spectra.power_law(spectra.eigenvalues(rows), Window(1, 6)).exponent
        drawn = spectra.resampled(rows, generator(run), resamples=60, groups=60)
        interval = spectra.interval(float(value), spectra.power_law(drawn, Window(1, 6)).exponent)
        found.append(interval.low < exponent < interval.high)
    return torch.tensor(found).double()


def assert_covers(found: Tensor, level: float = 0.95) -> None:
    """Precise enough to tell 0.95 from 0.85, and then it is told."""
    se = (level * (1 - level) / len(found)) ** 0.5
    assert se < 0.1 / 5, f"too few runs to judge: se {se:.3g}"
    assert abs(float(found.mean()) - level) < 3 * se, f"coverage {float(found.mean()):.3f} is not {level}"


def test_the_bootstrap_interval_covers() -> None:
    assert_covers(covered(1.2))


def test_the_test_of_coverage_refuses_rows_that_are_not_independent() -> None:
    with pytest.raises(AssertionError, match=r"is not 0\.95"):
        assert_covers(covered(1.2, copies=3))
    with pytest.raises(AssertionError, match="too few runs"):
        assert_covers(torch.ones(20).double())


def test_an_interval_has_its_level_and_its_error() -> None:
    found = spectra.interval(5.0, torch.tensor([1.0, 3.0]).double(), 0.9)
    assert found == pytest.approx((5, 5 - 1.644854 * 2**0.5, 5 + 1.644854 * 2**0.5, 2**0.5))


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.8, 1.6])
def test_the_slope_of_rows_of_a_power_law_is_its_exponent(exponent: float) -> None:
    """In a random basis, 5000 rows: within 0.05, and the interval holds it and is no wider than that."""
    turn = torch.linalg.qr(normals(256, 256, seed=1)).Q
    rows = (normals(5000, 256, seed=2) * power(256, exponent).sqrt() @ turn.mT).float()
    window = spectra.bulk(spectra.eigenvalues(rows))
    value = float(spectra.power_law(spectra.eigenvalues(rows), window).exponent)
    drawn = spectra.resampled(rows, generator(), resamples=100)
    found = spectra.interval(value, spectra.power_law(drawn, window).exponent)
    assert abs(value - exponent) < 0.05
    assert found.low - 0.01 < exponent < found.high + 0.01 and found.high - found.low < 0.05
