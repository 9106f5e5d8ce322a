"""Probes against features whose answer is known: a code that composes, a memory of compositions, and nothing."""

from math import isnan

import pytest
import torch
from torch import Tensor

from llcx.tasks.mcl.linear_probes import Examples, Sets, balanced_accuracy, probes
from llcx.tasks.mcl.occurrences import Occurrences
from tests.tasks.mcl_labels import PRIMITIVES, generator, labels, normals

D = 24


def sets(code: Tensor, memory: Tensor, noise: float = 0.3) -> Sets:
    """Features made of the primitives, of which composition it is, and of noise; the first column is always 1."""
    made = []
    for seed, held in enumerate((labels(8), labels(4), labels(8, unseen=True))):
        x = held.primitives.double() @ code + memory[held.composition] + noise * normals(len(held.length), D, seed=seed)
        x[:, 0] = 1
        made.append(Examples(1000 + x, held))
    return Sets(*made)


NO_CODE, NO_MEMORY = torch.zeros(PRIMITIVES, D).double(), torch.zeros(2000, D).double()
CODE, MEMORY = normals(PRIMITIVES, D, seed=5), normals(2000, D, seed=6)


def mean(rows: list[dict[str, float]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def test_a_code_that_composes_carries_over() -> None:
    rows = probes(sets(CODE, NO_MEMORY), generator())
    assert [row["primitive"] for row in rows] == list(range(PRIMITIVES))
    assert min(row["auroc"] for row in rows) > 0.97
    assert min(row["balanced_accuracy"] for row in rows) > 0.85
    assert abs(mean(rows, "control_unseen") - 0.5) < 0.1


def test_a_memory_of_compositions_is_seen_through() -> None:
    """It tells all compositions it was fitted on, whatever they are called, and nothing of the others."""
    rows = probes(sets(NO_CODE, 3 * MEMORY), generator())
    assert mean(rows, "seen") > 0.9
    assert mean(rows, "control") > 0.85
    assert abs(mean(rows, "selectivity")) < 0.1
    assert abs(mean(rows, "auroc") - 0.5) < 0.12
    composes = probes(sets(CODE, NO_MEMORY), generator())
    assert mean(composes, "selectivity") > mean(rows, "selectivity") + 0.05


def test_noise_tells_nothing() -> None:
    rows = probes(sets(NO_CODE, NO_MEMORY), generator())
    for name in ("auroc", "balanced_accuracy", "seen", "control"):
        assert abs(mean(rows, name) - 0.5) < 0.07


def test_a_primitive_that_is_in_all_rows_has_no_probe() -> None:
    real = sets(CODE, NO_MEMORY)

    def always(held: Occurrences) -> Occurrences:
        return held._replace(primitives=held.primitives | (torch.arange(PRIMITIVES) == 2))

    rows = probes(Sets(*(each._replace(labels=always(each.labels)) for each in real)), generator(), controls=1)
    assert [isnan(row["auroc"]) for row in rows] == [False, False, True, False, False, False]


def test_balanced_accuracy_does_not_reward_the_usual_answer() -> None:
    held = torch.tensor([True] + 9 * [False])
    assert balanced_accuracy(torch.zeros(10, dtype=torch.bool), held) == 0.5
    assert balanced_accuracy(held, held) == 1
    assert balanced_accuracy(torch.tensor(2 * [True] + 8 * [False]), held) == pytest.approx((1 + 8 / 9) / 2)


def test_rows_that_hold_a_primitive_weigh_as_much_as_the_many_that_do_not() -> None:
    """Else a faint code is not called present at all, where few rows hold it."""
    rows = probes(sets(0.15 * CODE, NO_MEMORY), generator(), controls=1)
    fitted = sets(0.15 * CODE, NO_MEMORY).fit.labels.primitives.double().mean()
    assert fitted < 0.3
    assert mean(rows, "balanced_accuracy") > mean(rows, "auroc") - 0.1


def test_compositions_of_the_fit_are_not_unseen() -> None:
    real = sets(CODE, NO_MEMORY)
    with pytest.raises(ValueError, match="unseen compositions must not be among those of the fit"):
        probes(real._replace(unseen=real.seen), generator())
