"""CKA against its definition by tuples of rows, its invariances, and what is known of unrelated rows."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from llcx.tasks.mcl import cka
from llcx.tasks.mcl.cka import cka as alike


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_tuples(x: Tensor, y: Tensor) -> float:
    """The U-statistic as a mean over tuples of four different rows: Song et al. (2012), theorem 3."""
    k, m = x @ x.mT, y @ y.mT
    i, j, q, r = torch.tensor(list(permutations(range(len(x)), 4))).unbind(1)
    return float((k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])).mean())


def test_the_debiased_one_is_the_mean_over_tuples_of_different_rows() -> None:
    x, y = normals(7, 3) + 2, normals(7, 5, seed=1)
    wanted = by_tuples(x, y) / (by_tuples(x, x) * by_tuples(y, y)) ** 0.5
    assert alike(x, y) == pytest.approx(wanted, abs=1e-12)
    assert alike(x, y, debiased=False) != pytest.approx(wanted, abs=0.05)


def test_the_biased_one_is_that_of_centred_rows() -> None:
    x, y = (each - each.mean(0) for each in (normals(20, 3), normals(20, 5, seed=1)))
    wanted = (y.mT @ x).norm() ** 2 / ((x.mT @ x).norm() * (y.mT @ y).norm())  # Kornblith et al. (2019), section 3
    assert alike(x + 3, y - 1, debiased=False) == pytest.approx(float(wanted), abs=1e-12)


@pytest.mark.parametrize("debiased", [True, False])
def test_rotation_scale_and_shift_change_nothing_and_a_shear_does(debiased: bool) -> None:
    x, y = normals(40, 6), normals(40, 6) + normals(40, 6, seed=1)
    rotation = torch.linalg.qr(normals(6, 6, seed=2)).Q
    assert alike(x, x, debiased=debiased) == pytest.approx(1)
    assert alike(x, 3 * x @ rotation - 7, debiased=debiased) == pytest.approx(1)
    before = alike(x, y, debiased=debiased)
    assert alike(x @ rotation, 0.1 * y + 5, debiased=debiased) == pytest.approx(before)
    stretched = x * torch.tensor([9.0, 1, 1, 1, 1, 1])
    assert alike(stretched, y, debiased=debiased) != pytest.approx(before, abs=0.02)


@pytest.mark.parametrize(("n", "biased", "repeats"), [(32, 0.7, 40), (256, 0.25, 12)])
def test_unrelated_rows_are_at_zero_only_where_it_is_debiased(n: int, biased: float, repeats: int) -> None:
    found = [
        torch.tensor([alike(normals(n, 128, seed=2 * i), normals(n, 128, seed=2 * i + 1), debiased=debiased)])
        for i in range(repeats)
        for debiased in (True, False)
    ]
    without, with_bias = torch.cat(found).reshape(repeats, 2).unbind(1)
    se = float(without.std() / repeats**0.5)
    assert se < 0.012
    assert abs(float(without.mean())) < 4 * se
    assert float(with_bias.mean()) > biased


def test_a_diagonal_left_in_is_not_zero_for_unrelated_rows() -> None:
    """Why the diagonal must go: the rest of the U-centring does not remove it."""
    grams = [(x := normals(32, 128, seed=seed)) @ x.mT for seed in (0, 1)]
    sums = [gram.sum(1) for gram in grams]
    left = [g - (s[:, None] + s) / 30 + s.sum() / (31 * 30) for g, s in zip(grams, sums, strict=True)]
    assert float((left[0] * left[1]).sum() / (left[0].norm() * left[1].norm())) > 0.5
    assert abs(alike(normals(32, 128, seed=0), normals(32, 128, seed=1))) < 0.1


def test_what_does_not_vary_has_no_cka() -> None:
    x = normals(10, 4)
    same = torch.full((10, 3), 0.1).double()
    assert torch.tensor([alike(x, same), alike(same, same), alike(x, same.float(), debiased=False)]).isnan().all()
    simplex = torch.eye(10).double()  # all rows equally far apart
    assert alike(simplex, x) != alike(simplex, x)
    assert alike(x.float(), x) == pytest.approx(1, abs=1e-6)


def test_tables_over_tasks_and_layers() -> None:
    common, own = normals(50, 2, 3), normals(3, 50, 2, 3, seed=1)
    layers = {"enc1": own, "h": 3 * common + own}
    found = cka.across_tasks(layers)
    assert found.layers == ("enc1", "h")
    assert found.pairs[1, 0, 2] == pytest.approx(alike(layers["h"][0], layers["h"][2]))
    torch.testing.assert_close(found.pairs, found.pairs.mT)
    torch.testing.assert_close(found.tasks[1, 0], found.pairs[1, 0, 1:].mean())
    assert (found.tasks[0].abs() < 0.2).all()
    assert (found.tasks[1] > 0.7).all()


@pytest.mark.parametrize("rows", [(3, 3), (10, 9)])
def test_too_few_rows_and_rows_of_others_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="same rows, at least 4"):
        cka.matrix([normals(rows[0], 2), normals(rows[1], 2)])
