"""Whether a line through a layer tells which primitives a row's composition holds, on compositions never fitted.

A logistic regression a primitive, fitted on rows of training compositions. It is told

    auroc, balanced_accuracy     on compositions that were never trained: what carries over
    seen                         its AUROC on other rows of the compositions it was fitted on
    control                      the same of probes whose labels were dealt at random to compositions of equal length
    selectivity                  seen - control: how much of `seen` is not the probe's own memory of compositions
    control_unseen               AUROC of the control probes on unseen compositions with labels dealt likewise: chance

A layer of tokens is best averaged over them first. Columns are standardised by the rows of the fit; the two kinds of
rows weigh the same. nan where a set holds rows of one kind alone.

Alain and Bengio (2016), arXiv:1610.01644; Hewitt and Liang (2019), arXiv:1909.03368.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from llcx.tasks.mcl.occurrences import Occurrences, auroc

Features = Float[Tensor, "n d"]
Kind = Bool[Tensor, " n"]


class Examples(NamedTuple):
    features: Features
    labels: Occurrences

    def standardised(self, mean: Float[Tensor, " d"], scale: Float[Tensor, " d"]) -> "Examples":
        return self._replace(features=(self.features.double() - mean) / scale)

    def dealt(self, generator: Generator) -> "Examples":
        return self._replace(labels=self.labels.dealt(generator))


class Sets(NamedTuple):
    """`seen` holds other rows of the compositions in `fit`; `unseen` other compositions."""

    fit: Examples
    seen: Examples
    unseen: Examples


def probes(sets: Sets, generator: Generator, *, controls: int = 3, penalty: float = 1.0) -> list[dict[str, Any]]:
    """A row a primitive. `penalty`: of the weights' squares, in units of one row's loss.

    Raises ValueError where a composition of `unseen` is among those of the fit.
    """
    shared = set(sets.unseen.labels.composition.tolist()) & set(sets.fit.labels.composition.tolist())
    if shared:
        raise ValueError(f"unseen compositions must not be among those of the fit, got {sorted(shared)}")
    mean, scale = sets.fit.features.double().mean(0), sets.fit.features.double().std(0)
    sets = Sets(*(each.standardised(mean, scale.where(scale > 0, torch.ones_like(scale))) for each in sets))
    dealt = [_dealt(sets, generator) for _ in range(controls)]
    return [_row(sets, dealt, primitive, penalty) for primitive in range(sets.fit.labels.primitives.shape[1])]


def _dealt(sets: Sets, generator: Generator) -> Sets:
    """A composition has the same control labels in both sets that hold it."""
    both = _joined(sets.fit.labels, sets.seen.labels).dealt(generator)
    fit, seen = (Occurrences(*each) for each in zip(*(part.split(_sizes(sets)) for part in both), strict=True))
    labels = (fit, seen, sets.unseen.labels.dealt(generator))
    return Sets(*(each._replace(labels=own) for each, own in zip(sets, labels, strict=True)))


def _joined(one: Occurrences, other: Occurrences) -> Occurrences:
    return Occurrences(*(torch.cat(parts) for parts in zip(one, other, strict=True)))


def _sizes(sets: Sets) -> list[int]:
    return [len(sets.fit.features), len(sets.seen.features)]


def _row(sets: Sets, dealt: Sequence[Sets], primitive: int, penalty: float) -> dict[str, Any]:
    real = _told(sets, primitive, penalty)
    controls = [_told(each, primitive, penalty) for each in dealt]
    control, chance = (fmean(each[name] for each in controls) for name in ("seen", "auroc"))
    told = {"control": control, "selectivity": real["seen"] - control, "control_unseen": chance}
    return {"primitive": primitive, **real, **told}


def _told(sets: Sets, primitive: int, penalty: float) -> dict[str, float]:
    fit, own, others = (each.labels.primitives[:, primitive] for each in sets)
    if fit.all() or not fit.any():
        return dict.fromkeys(("auroc", "balanced_accuracy", "seen"), torch.nan)
    weights, bias = _fitted(sets.fit.features, fit, penalty)
    seen, unseen = (each.features @ weights + bias for each in (sets.seen, sets.unseen))
    return {
        "auroc": _auroc(unseen, others),
        "balanced_accuracy": balanced_accuracy(unseen > 0, others),
        "seen": _auroc(seen, own),
    }


def _fitted(features: Features, labels: Kind, penalty: float) -> tuple[Float[Tensor, " d"], float]:
    from sklearn.linear_model import LogisticRegression  # a second to import

    model = LogisticRegression(C=1 / penalty, class_weight="balanced", solver="newton-cg")
    model.fit(features.numpy(), labels.numpy())
    return torch.from_numpy(model.coef_[0]), float(model.intercept_[0])


def balanced_accuracy(told: Kind, labels: Kind) -> float:
    """The mean of what share of either kind of rows is told right; nan where only one kind is."""
    right = (told == labels).double()
    return float((right[labels].mean() + right[~labels].mean()) / 2)


def _auroc(scores: Float[Tensor, " n"], labels: Kind) -> float:
    return float(auroc(scores[:, None], labels[:, None]))
