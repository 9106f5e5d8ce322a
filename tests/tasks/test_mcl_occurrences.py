"""Labels dealt to other compositions, and the area under the curve of all pairs."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from llcx.tasks.mcl.occurrences import auroc
from tests.tasks.mcl_labels import generator, labels, normals


def test_dealt_labels_stay_within_compositions_and_within_lengths() -> None:
    real = labels(5)
    dealt = real.dealt(generator())
    before, after = real.compositions(), dealt.compositions()  # raises where a composition's rows differ
    assert (before.primitives != after.primitives).any(1).float().mean() > 0.5
    for length in (1, 2):
        of = before.length == length
        one, other = (sorted(each.primitives[of].int().tolist()) for each in (before, after))
        assert one == other
    assert (dealt.composition == real.composition).all()


def test_every_composition_is_dealt_every_label_of_its_length_equally_often() -> None:
    found = labels(1).compositions()
    dealt = found.dealt(6000, generator())[:, :6]  # the singles
    often = dealt.double().mean(0)
    assert (often - 1 / 6).abs().max() < 4 * (5 / 36 / 6000) ** 0.5
    assert dealt.sum(2).eq(1).all()


def test_rows_of_one_composition_must_agree() -> None:
    real = labels(2)
    wrong = real._replace(primitives=real.primitives.clone())
    wrong.primitives[0] = True
    with pytest.raises(ValueError, match="same primitives and length"):
        wrong.compositions()


def test_the_area_is_sklearns_ties_and_all() -> None:
    held = labels(3).primitives
    scores = (normals(len(held), 4) + held[:, :4] * 0.8).mul(2).round()
    found = auroc(scores, held)
    for unit in range(4):
        for primitive in range(6):
            wanted = roc_auc_score(held[:, primitive].numpy(), scores[:, unit].numpy())
            assert float(found[unit, primitive]) == pytest.approx(wanted, abs=1e-12)
    assert auroc(scores, torch.ones(len(held), 1, dtype=torch.bool)).isnan().all()
