"""Weights of the multiplicity: calibrated where their prior is true, and close to it where a run cannot tell."""

from math import log

import numpy as np
import pytest
import torch
from torch import Tensor

from llcx import gradients, measure
from llcx.estimators.llc import LLC
from llcx.multiplicity import COOLER, LEAST, MOST, SHORT, SLOPE, SPREAD, Slopes, prior, slopes, told, weights
from llcx.samplers import HMC

NBETA, CHAINS = 1e4, 16


def of_square(nbeta: float) -> tuple[float, float]:
    """(mu, dmu/dlog t) for K = x^2 y^2 with gamma = 1: Z = int (1 + 2 t x^2)^(-1/2) exp(-x^2 / 2) dx, in s = log x."""
    s, h = np.linspace(-30, 3, 20_000), 1e-2

    def minus_log(shift: float) -> float:
        x = np.exp(s)
        return -float(np.log((x * np.exp(-0.5 * x**2) / np.sqrt(1 + 2 * nbeta * np.exp(shift) * x**2)).sum()))

    low, middle, high = minus_log(-h), minus_log(0.0), minus_log(h)
    return (high - low) / (2 * h), (high - 2 * middle + low) / h**2


def seen(mu: float, found: list[float], relative: float, freedom: int = CHAINS - 1) -> Slopes:
    """Slopes with errors of `relative` of mu."""
    noise = (relative * mu) ** 2 * torch.tensor([[1.0, 0.5], [0.5, 1.5]], dtype=torch.float64)
    return Slopes(mu, torch.tensor(found, dtype=torch.float64), noise, freedom)


def gamma_draws(shape: float, chains: int, draws: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.gamma(shape, size=(chains, draws)))


def test_the_slope_of_a_monomial_is_its_multiplicity_over_the_squared_depth() -> None:
    """mu - v = dmu / dlog t, and (m - 1) / L^2 with the L of (m - 1) / (lambda - mu): one number for x^2 y^2."""
    mu, slope = of_square(NBETA)
    depth = 1 / (0.5 - mu)
    assert depth - log(NBETA) == pytest.approx(2.2, abs=0.05)
    assert slope == pytest.approx(depth**-2, rel=0.01)
    assert mu - of_square(NBETA / 4)[0] == pytest.approx(1 / (depth - COOLER) - 1 / depth, rel=0.01)


def test_precise_slopes_tell_one_from_two() -> None:
    mu, slope = of_square(NBETA)
    two = weights(seen(mu, [slope, mu - of_square(NBETA / 4)[0]], 0.002), NBETA)
    assert int(two.argmax()) == 1 and two[0] < 0.05 and two[2] < two[1]
    assert weights(seen(0.5, [0.0, 0.0], 0.002), NBETA)[0] > 0.9


def test_a_run_that_cannot_tell_says_its_prior() -> None:
    assert float((weights(seen(20.0, [0.3, 0.5], 0.05), NBETA) - prior()).abs().max()) < 0.05
    _, note = told(gamma_draws(20.0, 16, 120), NBETA, 100)
    assert note.endswith("(before the run 52, 26, 13, 6, 3 %); the run cannot tell")


@pytest.mark.parametrize("relative", [0.1, 0.01, 0.001])
def test_the_weights_are_frequencies(relative: float) -> None:
    """Of cases drawn from the prior, those to which a weight near p was given are true in a share p."""
    rng, cases = np.random.default_rng(1), 600
    table, truth = np.zeros((cases, MOST)), rng.choice(MOST, cases, p=prior().numpy())
    for case, order in enumerate(truth):
        table[case] = weights(drawn(rng, int(order), relative), NBETA).numpy()
    assert calibrated(table, truth)
    assert not calibrated(np.roll(table, 1, axis=1), truth)


def drawn(rng: np.random.Generator, order: int, relative: float) -> Slopes:
    """Slopes of a case with m - 1 = `order`, its errors estimated from chains as a run's are."""
    mu = float(np.exp(rng.uniform(log(0.5), log(20))))
    while (depth := log(NBETA) * np.exp(SPREAD * rng.standard_normal())) < LEAST:
        pass
    expected = order * np.array([depth**-2, 1 / (depth - COOLER) - 1 / depth])
    expected += mu * rng.standard_normal(2) @ np.array([[SLOPE, SLOPE * COOLER], [0, SHORT]])
    noise = (relative * mu) ** 2 * np.array([[4, 0.5], [0.5, 3]])
    chains = rng.multivariate_normal(expected, CHAINS * noise, size=CHAINS)
    covariance = torch.from_numpy(np.cov(chains.T) / CHAINS)
    return Slopes(mu, torch.from_numpy(chains.mean(0)), covariance, CHAINS - 1)


def calibrated(table: np.ndarray, truth: np.ndarray) -> bool:
    """Whether each of six bins of weights holds as many true cases as its weights sum to, within 3.5 errors."""
    true = np.arange(MOST) == truth[:, None]
    edges = np.searchsorted([0.05, 0.15, 0.3, 0.5, 0.7], table)
    for bin_ in range(6):
        chosen = edges == bin_
        expected = table[chosen].sum()
        error = max(1.0, float((table[chosen] * (1 - table[chosen])).sum()) ** 0.5)
        if abs(true[chosen].sum() - expected) > 3.5 * error:
            return False
    return True


def test_slopes_of_gamma_draws_are_zero_within_their_errors() -> None:
    """tK of a regular model is Gamma(lambda), whose mean and variance agree."""
    found = [slopes(gamma_draws(4.0, 16, 200, seed), (4.0, 0.1)) for seed in range(60)]
    z = torch.tensor([float(each.found[0] / each.noise[0, 0] ** 0.5) for each in found])
    assert abs(float(z.mean())) < 4 / 60**0.5 and 0.6 < float(z.std()) < 1.2
    cooler = torch.tensor([float(each.found[1] / each.noise[1, 1] ** 0.5) for each in found])
    assert float(cooler.std()) < 1.2
    hot = slopes(1.3 * gamma_draws(4.0, 64, 2000))
    assert float(hot.found[0]) < -5 * float(hot.noise[0, 0]) ** 0.5


def test_no_multiplicity_above_the_number_of_parameters_and_none_at_small_nbeta() -> None:
    assert prior(1).tolist() == [1, 0, 0, 0, 0]
    assert weights(seen(0.25, [0.1, 0.1], 0.01), NBETA, 2)[2:].sum() == 0
    assert told(gamma_draws(4.0, 4, 50), 10.0, 8) == ("", "")


def test_a_measurement_tells_the_weights_where_w_star_is_a_minimum_and_only_there() -> None:
    def beside(bend: float) -> dict[str, object]:
        curvatures = torch.tensor([1.0, bend], dtype=torch.float64)
        bowl = gradients.of_function(lambda w: (curvatures * w.square() + w**4).sum(1), torch.zeros(2).double(), n=99)
        cfg = LLC(nbeta=100.0, chains=4, warmup=10, draws=40)
        return dict(measure.of_potential(bowl, HMC(leapfrog=6), cfg, 0)[0].beside)

    good, saddle = beside(1.0), beside(-0.2)
    assert str(good["mult_weights"]).endswith("3:0.00 4:0.00 5:0.00") and "llc_wbic" in good
    assert "mult_weights" not in saddle


def test_the_column_holds_five_weights_that_sum_to_one() -> None:
    column, note = told(gamma_draws(0.5, 16, 4000), NBETA, 8, (0.5, 0.01))
    parts = dict(part.split(":") for part in column.split())
    assert list(parts) == ["1", "2", "3", "4", "5"]
    assert sum(map(float, parts.values())) == pytest.approx(1, abs=0.03)
    assert note.startswith("multiplicity m = 1: ")
