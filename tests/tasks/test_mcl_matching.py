"""Units that were planted are found; units that differ between compositions for no reason are not."""

from itertools import permutations

import pytest
import torch
from scipy.stats import pointbiserialr
from torch import Tensor

from llcx.tasks.mcl import matching
from llcx.tasks.mcl.occurrences import Occurrences
from tests.tasks.mcl_labels import PRIMITIVES, generator, labels, normals

UNITS = 40


def by_chance(held: Occurrences, seed: int) -> Tensor:
    """Codes that are the composition's own, and the same in all its rows but for a little."""
    own = normals(2000, UNITS, seed=seed)[held.composition]
    return (own + 0.1 * normals(len(own), UNITS, seed=seed + 1) - 1).relu()


def planted(held: Occurrences, seed: int = 0) -> Tensor:
    """Primitive m in unit 3 + 5 m, above what differs by chance."""
    z = by_chance(held, seed)
    z[:, 3::5][:, :PRIMITIVES] += 4 * held.primitives
    return z


def test_correlations_are_scipys() -> None:
    held = labels(3)
    z = planted(held)
    z[:, 7] = 0.1
    found = matching.point_biserial(z, held)
    for unit in (0, 3, 13):
        for primitive in range(PRIMITIVES):
            wanted = pointbiserialr(held.primitives[:, primitive].numpy(), z[:, unit].numpy()).statistic
            assert float(found[unit, primitive]) == pytest.approx(float(wanted), abs=1e-12)
    assert (found[7] == 0).all()


def test_planted_units_are_found_and_pure() -> None:
    held = labels(6)
    found = matching.match(planted(held), held, generator())
    assert found.unit.tolist() == [3, 8, 13, 18, 23, 28]
    assert (found.q < 0.01).all()
    assert (found.p <= found.q).all()
    assert found.null < 0.05
    rows = matching.rows(planted(held), held, found)
    assert all(row["significant"] and row["auroc"] > 0.95 and row["recall"] == 1 for row in rows)
    assert [row["unit"] for row in rows] == found.unit.tolist()


def test_compositions_that_differ_by_chance_are_not_primitives() -> None:
    """A test that took rows for evidence would find units for all of them."""
    found, rowwise, held = [], [], labels(6)
    for seed in range(12):
        z = by_chance(held, 10 * seed)
        found.append(matching.match(z, held, generator(seed), permutations=199))
        for primitive, unit in enumerate(found[-1].unit.tolist()):
            rowwise.append(pointbiserialr(held.primitives[:, primitive].numpy(), z[:, unit].numpy()).pvalue)
    p = torch.cat([each.p for each in found])
    assert torch.tensor(rowwise).max() < 0.01
    assert 0.3 < float(p.mean()) < 0.7
    assert float((torch.cat([each.q for each in found]) <= 0.05).double().mean()) < 0.06
    assert p.min() >= 1 / 200


def test_no_other_assignment_scores_more() -> None:
    held = labels(2)
    held = held._replace(primitives=held.primitives[:, :4])
    z = normals(len(held.length), 5, seed=4)
    scores = matching.point_biserial(z, held)
    found = matching.match(z, held, generator(), permutations=9)
    best = max(sum(float(scores[u, m]) for m, u in enumerate(chosen)) for chosen in permutations(range(5), 4))
    assert float(found.score.sum()) == pytest.approx(best, abs=1e-12)
    torch.testing.assert_close(found.score, scores[found.unit, torch.arange(4)])


def test_purity_base_and_recall_of_counted_rows() -> None:
    """Ten rows, two compositions: the first holds the primitive."""
    first = torch.arange(10) < 4
    held = Occurrences(first[:, None], (~first).long(), torch.ones(10).long())
    z = torch.tensor([[1.0, 1, 1, 0, 2, 0, 0, 0, 0, 0]]).mT
    found = matching.match(z, held, generator(), permutations=19)
    (row,) = matching.rows(z, held, found)
    assert (row["purity"], row["recall"], row["base"]) == (0.75, 0.75, pytest.approx(0.4))
    assert row["significant"] == 0  # two compositions can be dealt in two ways only
    assert row["auroc"] == pytest.approx((3 * 5 + 0.5 * 5) / 24)  # of 24 pairs: 15 above, 5 alike, 3 + 1 below


def test_fewer_units_than_primitives_are_refused() -> None:
    held = labels(1)
    with pytest.raises(ValueError, match="a unit for each of 6 primitives, got 5"):
        matching.match(normals(len(held.length), 5), held, generator())
