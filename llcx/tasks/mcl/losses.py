"""What grids cost, and how well they are predicted.

    ce         -log p(cell), mean over cells
    soft_iou   1 - mean over classes of I_c / U_c,  I_c = sum p_c t_c,  U_c = sum p_c + t_c - p_c t_c

Classes of an example are those in its target or in what is predicted. `Cells` is the same cross-entropy in nats an
example, 64 cells summed: the loss of which a learning coefficient is asked.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llcx.tasks.mcl.model_settings import TASK_LOSSES, Weights
from llcx.tasks.mcl.primitives import BACKGROUND
from llcx.tasks.mcl.prompts import planes
from llcx.types import Batch, PerExample

Logits = Float[Tensor, "B C h w"]
Grids = Int[Tensor, "B h w"]


class Scores(NamedTuple):
    """Of each example."""

    macro_iou: PerExample  # mean over classes in target or prediction
    micro_iou: PerExample  # over all cells as one class: a / (2 - a), a the accuracy
    accuracy: PerExample  # of cells
    exact: PerExample  # 1: the whole grid is right
    changed: PerExample  # accuracy in cells where target and input differ; nan where there are none

    def means(self) -> dict[str, float]:
        """Over examples, those without a changed cell left out of `changed`."""
        return {name: float(value.nanmean()) for name, value in self._asdict().items()}


@dataclass(frozen=True)
class Cells:
    """Cross-entropy of logits [B, C, 8, 8] and grids [B, 8, 8] in nats an example, with its KL divergence."""

    labels: Hashable = -1  # where a batch keeps the targets

    def __call__(self, output: Logits, batch: Batch) -> PerExample:
        return F.cross_entropy(output, batch[self.labels].long(), reduction="none").flatten(1).sum(1)

    def kl(self, at_minimum: Logits, output: Logits) -> PerExample:
        teacher = at_minimum.log_softmax(1)
        return (teacher.exp() * (teacher - output.log_softmax(1))).flatten(1).sum(1)

    def root(self, output: Logits, z: Logits) -> Logits:
        """S z with S S^T = diag(p) - p p^T in each cell: the curvature of `kl` at the output."""
        p = output.softmax(1)
        return p.sqrt() * z - p * (p.sqrt() * z).sum(1, keepdim=True)


def task(cfg: Weights, logits: Logits, target: Grids) -> Float[Tensor, ""]:
    """The task's loss, mean over the batch. Raises ValueError for one that there is not."""
    if cfg.task == "ce":
        return cross_entropy(logits, target)
    if cfg.task == "soft_iou":
        return soft_iou(logits, target)
    if cfg.task == "ce+soft_iou":
        return cross_entropy(logits, target) + cfg.iou * soft_iou(logits, target)
    raise ValueError(f"task.weights.task must be one of {', '.join(TASK_LOSSES)}, got {cfg.task}")


def cross_entropy(logits: Logits, target: Grids) -> Float[Tensor, ""]:
    """Nats a cell."""
    return F.cross_entropy(logits, target.long())


def soft_iou(logits: Logits, target: Grids) -> Float[Tensor, ""]:
    """1 - the Jaccard index of probabilities, differentiable."""
    count = logits.shape[1]
    p, t = logits.float().softmax(1) if logits.dtype.itemsize < 4 else logits.softmax(1), planes(target, count)
    both = (p * t).sum((2, 3))
    either = (p + t.to(p)).sum((2, 3)) - both
    present = (t | planes(logits.argmax(1), count)).flatten(2).any(2).to(p)
    return 1 - ((both / either.clamp(min=1e-6) * present).sum(1) / present.sum(1)).mean()


def primitives(logits: Float[Tensor, "B primitives"], label: Tensor) -> Float[Tensor, ""]:
    """Mean binary cross-entropy of which primitives a program has; `label` [B, primitives] in {0, 1}."""
    return F.binary_cross_entropy_with_logits(logits, label.to(logits))


def scores(predicted: Grids, target: Grids, inputs: Grids, colours: int) -> Scores:
    """How well predicted grids agree with their targets."""
    right = (predicted == target).flatten(1)
    accuracy = right.double().mean(1)
    changed = (target != inputs).flatten(1)
    return Scores(
        macro_iou(predicted, target, colours),
        accuracy / (2 - accuracy),
        accuracy,
        right.all(1).double(),
        (right & changed).sum(1).double() / changed.sum(1),  # 0 / 0 is nan
    )


def references(target: Grids, inputs: Grids, colours: int) -> dict[str, Scores]:
    """What needs no model: the input copied, and background everywhere."""
    nothing = torch.full_like(target, BACKGROUND)
    return {name: scores(grids, target, inputs, colours) for name, grids in (("copy", inputs), ("background", nothing))}


def macro_iou(predicted: Grids, target: Grids, colours: int) -> PerExample:
    """Intersection over union, mean over classes in target or prediction."""
    p, t = planes(predicted, colours).flatten(2), planes(target, colours).flatten(2)
    either = (p | t).sum(2).double()
    present = either > 0
    return ((p & t).sum(2) / either.clamp(min=1)).sum(1) / present.sum(1)
