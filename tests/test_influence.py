"""Covariances of the losses of single rows: of a linear regression they are known, and what they say is a derivative.

With noise_std 1, w* the least-squares fit and u ~ N(0, S), S^-1 = n*beta X^T X / n + gamma, a row's excess loss is
-r z + z^2 / 2 with z = x^T u, so that Cov(l_i, l_j) = r_i r_j s_ij + s_ij^2 / 2 by Isserlis' theorem, s = X S X^T.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import llcx
from llcx import artifacts, followed, influence
from llcx.artifacts import rows
from llcx.covariance import Covariances, covariances
from llcx.estimators.llc import LLC
from llcx.likelihoods import Gaussian
from llcx.measure import Measurement, measure
from llcx.samplers import HMC
from llcx.types import Data, Known, Point, Rows, Spec, StatModel
from tests.test_information import FIT, GAMMA, NBETA, N, R, X, Y, covariance, model
from tests.test_measure import Hardware

C, T = 64, 150
S = X @ covariance() @ X.T  # of z [N, N]
EXACT = R.outer(R) * S + S.square() / 2


@cache
def draws(heat: float = 1.0) -> tuple[Tensor, Tensor]:
    """Losses [C, T, N] and n*beta K [C, T] at independent draws of the posterior, its covariance times `heat`."""
    z = torch.randn(C, T, len(FIT), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    u = heat**0.5 * z @ torch.linalg.cholesky(covariance()).T
    shift = u @ X.T
    losses = -R * shift + shift.square() / 2
    return losses, NBETA * losses.mean(2)


def scores(found: Covariances, truth: Tensor) -> Tensor:
    return ((found.value - truth) / found.se).flatten()


def measured(losses: Tensor, energy: Tensor, **more: Any) -> influence.Measured:
    row = {"point": "p", "sampler": "hmc", "where": "all", "target": "data", "nbeta": str(NBETA), "n": str(N), **more}
    count = losses.shape[2]
    return influence.Measured(row, ["train"] * count, list(range(count)), losses, energy)


def test_covariances_are_those_of_the_gaussian_algebra_within_their_errors() -> None:
    found = covariances(draws()[0])
    diagonal = found.se.diagonal() / EXACT.diagonal()
    assert float(diagonal.max()) < 0.06
    z = scores(found, EXACT)
    assert float(z.abs().max()) < 6  # of 3600
    assert 0.85 < float(z.square().mean().sqrt()) < 1.15  # the errors are what they say


def test_the_oracle_rejects_draws_ten_percent_too_hot() -> None:
    z = scores(covariances(draws(1.1)[0]), EXACT)
    assert float(z.square().mean().sqrt()) > 1.3 and float(z.abs().max()) > 6


def test_influence_is_the_derivative_of_a_loss_by_a_weight() -> None:
    """Exactly: of the Gaussian posterior in which row i has the weight 1 + e, by automatic differentiation."""
    i, share = 7, NBETA / N

    def expected(weight: Tensor) -> Tensor:  # E l_j of all rows
        x = X[i]
        precision = share * (X.T @ X + weight * x.outer(x)) + GAMMA * torch.eye(len(x), dtype=torch.float64)
        mean = torch.linalg.solve(precision, share * weight * R[i] * x)
        spread = (X @ torch.linalg.inv(precision) * X).sum(1)
        return ((R - X @ mean).square() + spread) / 2

    slope = torch.autograd.functional.jacobian(expected, torch.tensor(0.0, dtype=torch.float64))
    assert torch.allclose(slope, -share * EXACT[i], rtol=1e-9, atol=1e-12)


def test_covariances_are_unbiased_however_chains_stick() -> None:
    """Four chains that never move: the plain covariance would be three quarters of the true one."""
    generator = torch.Generator().manual_seed(5)
    stuck = torch.randn(4, 1, 1000, generator=generator, dtype=torch.float64).expand(4, 2, 1000)
    assert float(covariances(stuck).value.diagonal().mean()) == pytest.approx(1.0, abs=0.08)
    assert float(stuck.flatten(0, 1).var(0, correction=0).mean()) < 0.8


def test_errors_know_that_draws_of_a_chain_hang_together() -> None:
    """Chains that take a step in ten: a tenth of the draws say as much, and errors are as large."""
    few, _ = draws()
    slow = few[:, : T // 10].repeat_interleave(10, 1)
    one, other = covariances(few[:, : T // 10]).se, covariances(slow).se
    assert float((other / one).mean()) == pytest.approx(1.0, abs=0.15)
    z = scores(covariances(slow), EXACT)
    assert 0.8 < float(z.square().mean().sqrt()) < 1.25


def test_errors_of_chains_that_stick_are_those_of_their_number() -> None:
    stuck = torch.randn(12, 1, 60, generator=torch.Generator().manual_seed(8), dtype=torch.float64).expand(12, 40, 60)
    z = scores(covariances(stuck), torch.eye(60, dtype=torch.float64))
    assert 0.75 < float(z.square().mean().sqrt()) < 1.25  # as independent quarters they would be twice as far off


def test_chains_with_posteriors_of_their_own_are_looked_at_one_by_one() -> None:
    losses = draws()[0]
    apart = losses + 5 * torch.randn(C, 1, N, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    assert float(scores(covariances(apart, within=True), EXACT).abs().max()) < 6
    assert float(covariances(apart).value.diagonal().min()) > 5
    each = measured(losses, draws()[1], subset_rows="30.0")
    assert each.within and not measured(losses, draws()[1], subset_rows="").within


def test_few_chains_have_a_value_and_no_error() -> None:
    losses = draws()[0][:2]
    assert covariances(losses).se.isnan().all()
    single = covariances(losses[:1]).value
    assert torch.allclose(single, torch.cov(losses[0].T, correction=0))


def test_losses_that_do_not_hang_together_give_no_significant_pair() -> None:
    """Of 4950 pairs, over which the level is shared."""
    alone = torch.randn(16, 60, 100, generator=torch.Generator().manual_seed(7), dtype=torch.float64).square()
    each = measured(alone, alone.mean(2))
    found = influence.top(each, covariances(alone))
    assert len(found) == influence.TOP
    assert not any(line["significant"] for line in found)
    pairs = influence.top(measured(*draws()), covariances(draws()[0]))
    assert all(line["significant"] for line in pairs[:10])
    first = pairs[0]
    assert first["influence"] == pytest.approx(-NBETA / N * first["covariance"])
    correlation = EXACT / EXACT.diagonal().outer(EXACT.diagonal()).sqrt()
    largest = float((correlation - torch.eye(N)).abs().max())
    assert abs(first["correlation"]) == pytest.approx(largest, abs=0.05)


def test_rows_are_spread_evenly_or_those_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    assert influence.choose(5, 3, generator).tolist() == [0, 1, 2]
    some = influence.choose(10, 1000, generator)
    assert [int(row) // 100 for row in some] == list(range(10))
    assert len(set(influence.choose(40, 100, generator).tolist())) == 40
    assert influence.choose([7, 3], 8, generator).tolist() == [3, 7]
    with pytest.raises(ValueError, match=r"estimator\.influence must list rows below 8, got 9"):
        influence.choose([3, 9], 8, generator)


@pytest.mark.parametrize("asked", [1, 0, 2.5, "5", [3], [3, 3], [-1, 2], True, 10**6])
def test_other_wishes_for_rows_are_refused(asked: Any) -> None:
    with pytest.raises(ValueError, match=r"estimator\.influence must be 2 to 2000 rows"):
        LLC(influence=asked)


def regression(sampled: list[str] | None = None, **wishes: Any) -> Measurement:
    """The regression by HMC, its last ten rows being a data set of their own too."""
    others = {"tail": Data((X[50:], Y[50:]), 10)}
    point = Point("line", {}, model(), Data((X, Y), N), others=others)
    cfg = LLC(nbeta=NBETA, gamma=GAMMA, where=sampled, check="off", **wishes)
    return measure(point, HMC(), cfg, Hardware(), seed=0)


def found_by(measurement: Measurement) -> influence.Measured:
    row = rows.measured(rows.asked("line", 0, Spec("line", {}), "hmc", measurement.where), measurement)
    found = influence.measured({key: str(value) for key, value in row.items()}, rows.arrays(measurement.draws))
    assert found is not None
    return found


def test_a_measurement_follows_rows_of_its_data_and_of_others() -> None:
    found = found_by(regression(influence=N, chains=64, warmup=20, draws=40))
    assert found.data == ["train"] * N + ["tail"] * 10
    assert found.numbers == [*range(N), *range(10)]
    assert found.losses.dtype == torch.float32
    assert torch.equal(found.losses[:, :, 50:N], found.losses[:, :, N:])  # the same rows
    assert torch.allclose(found.losses[:, :, :N].double().mean(2) * NBETA, found.energy, rtol=1e-4, atol=1e-4)
    inner = Covariances(*(each[:N, :N] for each in covariances(found.losses)))
    assert float((inner.se.diagonal() / EXACT.diagonal()).max()) < 0.2
    assert float(scores(inner, EXACT).abs().max()) < 6


@pytest.mark.slow
def test_a_part_of_a_parameter_moves_the_losses_by_itself_alone() -> None:
    """One coefficient of three, by a slice: s_ij = x_i x_j / (n*beta mean x^2 + gamma)."""
    found = found_by(regression(["weight[:, 1:2]"], influence=list(range(0, N, 3)), chains=64, warmup=30, draws=60))
    assert found.numbers[:20] == list(range(0, N, 3))
    x, r = X[::3, 1], R[::3]
    s = x.outer(x) / (NBETA * float(X[:, 1].square().mean()) + GAMMA)
    inner = Covariances(*(each[:20, :20] for each in covariances(found.losses)))
    assert float(scores(inner, r.outer(r) * s + s.square() / 2).abs().max()) < 6
    assert float(scores(inner, EXACT[::3, ::3]).abs().max()) > 8  # not those of all three


def test_following_rows_changes_no_draw_and_needs_rows() -> None:
    brief: dict[str, Any] = {"chains": 4, "warmup": 5, "draws": 6}
    with_rows, without = regression(influence=4, **brief), regression(**brief)
    assert torch.equal(with_rows.draws.energy, without.draws.energy)
    assert "losses of train" not in without.draws.observed
    module = model()
    exact = StatModel(module.module, Gaussian(), closed={"data": lambda w: w.square().sum(1)})
    point = Point("none", {}, exact, Data(None, 100, "population"), Known())
    with pytest.raises(ValueError, match=r"estimator\.influence must be null without rows of data, got 4"):
        measure(point, HMC(), LLC(influence=4), Hardware(), seed=0)


def test_the_library_follows_losses_by_observing_them() -> None:
    """Also of a part: what does not move is at w*."""
    x, y = X.float(), Y.float()
    module = model().module.float()

    def losses(w: dict[str, Tensor]) -> Tensor:
        return (y - x @ w["weight"].T.to(x)).square().sum(1) / 2

    how: dict[str, Any] = {"sampler": "hmc", "nbeta": NBETA, "gamma": GAMMA, "chains": 4, "draws": 6, "seed": 0}
    found = llcx.estimate(module, (x, y), Gaussian(), where=["weight[:, 1:2]"], observe={"losses": losses}, **how)
    energy = NBETA * (
        found.observed["losses"].double().mean(2) - float(losses(dict(module.named_parameters())).detach().mean())
    )
    assert found.observed["losses"].shape == (4, 6, N)
    assert torch.allclose(energy, found.draws, rtol=1e-3, atol=1e-3)
    assert covariances(found.observed["losses"]).value.shape == (N, N)


def test_a_measurement_on_other_data_follows_those() -> None:
    found = found_by(regression(influence=5, measure_on="tail", chains=4, warmup=5, draws=6))
    assert found.data == ["tail"] * 5
    assert found.row["where"] == "all on tail"


class Undisturbed:
    """Nobody asks the run to end."""

    asked = False

    def rest(self) -> None: ...


def test_what_was_followed_is_there_again_after_a_resume(tmp_path: Path) -> None:
    row = {"point": "line", "sampler": "hmc", "where": "all"}
    point = Point("line", {}, model(), Data((X, Y), N))
    cfg = LLC(nbeta=NBETA, gamma=GAMMA, check="off", influence=5, chains=4, warmup=5, draws=6)
    first, again = (
        measure(
            point, HMC(), cfg, Hardware(), seed=0, journal=artifacts.Journal(tmp_path, row, 0.0, Undisturbed())
        ).draws.observed
        for _ in range(2)
    )
    assert list((tmp_path / "states").rglob("*.pt"))
    assert first.keys() == again.keys() == {"losses of train", "rows of train", "predictions of train"}
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_tables_hold_every_measurement_whose_rows_were_followed() -> None:
    losses, energy = draws()
    row = dict(measured(losses, energy).row) | {"llc": "1.0"}
    arrays = {"energy": energy.numpy(), "losses of train": losses.numpy(), "rows of train": torch.arange(N).numpy()}
    lines = [row, row | {"where": "w[0]", "llc": ""}, row | {"where": "b"}]
    found = influence.tables(lines, lambda one: {} if one["where"] == "b" else arrays)
    assert len(found.tables["influence"]) == influence.TOP and len(found.tables["susceptibilities"]) == N
    assert found.arrays["influence"]["covariance 0"].shape == (N, N)
    assert found.arrays["influence"]["measurements"] == [["p", "hmc", "all", "data"]]
    both = influence.tables([row, row | {"where": "w"}], lambda one: arrays).tables["susceptibilities"]
    assert [both[k]["chi"] for k in range(2)] == pytest.approx([both[N + k]["chi"] for k in range(2)], rel=1e-9)
    alone = influence.tables([row | {"where": "w"}], lambda one: arrays).tables["susceptibilities"]
    assert alone[0]["chi"] != alone[0]["chi"]  # nan
    assert influence.tables([row], lambda one: {}) == type(found)()


def test_computed_rows_are_taken_like_stored_ones() -> None:
    idx = torch.tensor([4, 9])
    stored, computed = Data((X, Y), N), Data(Rows(lambda at: (X[at], Y[at]), N), N)
    one, other = (followed.taken(data, idx).train for data in (stored, computed))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert followed.taken(computed, idx).n == 2
