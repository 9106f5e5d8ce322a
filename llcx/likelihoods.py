"""Losses in nats that also know their KL divergence, so that `target="self"` works.

Each is a callable `(output, batch) -> [B] nats an example`, constants dropped, with `.kl(output at w*, output) -> [B]`
and `.root(output, z)`: S z, where S S^T is the Hessian of kl(output, .) at the output, the Fisher information there.
`labels` says where the batch keeps them: a position of a tuple, a key of a dict.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from llcx.types import Batch, PerExample


def _per_example(terms: Tensor) -> PerExample:
    return terms.flatten(1).sum(1)


def _divergence(at_minimum: Tensor, output: Tensor) -> Tensor:
    """KL of two categorical distributions, of logits [..., K] each."""
    teacher = at_minimum.log_softmax(-1)
    return (teacher.exp() * (teacher - output.log_softmax(-1))).sum(-1)


@dataclass(frozen=True)
class Gaussian:
    """-log N(y; output, noise_std^2), summed over outputs: |y - output|^2 / (2 noise_std^2)."""

    noise_std: float = 1.0  # of the labels given the input; it fixes the unit of the loss
    labels: Hashable = 1

    def __post_init__(self) -> None:
        if not self.noise_std > 0:
            raise ValueError(f"noise_std must be > 0, got {self.noise_std}; it is the standard deviation of the labels")

    def __call__(self, output: Tensor, batch: Batch) -> PerExample:
        return self.kl(batch[self.labels], output)

    def kl(self, at_minimum: Tensor, output: Tensor) -> PerExample:
        return _per_example((at_minimum - output).square()) / (2 * self.noise_std**2)

    def root(self, output: Tensor, z: Tensor) -> Tensor:
        del output
        return z / self.noise_std


@dataclass(frozen=True)
class Categorical:
    """Cross-entropy of logits [B, K] and integer labels [B], in nats."""

    labels: Hashable = 1

    def __call__(self, output: Tensor, batch: Batch) -> PerExample:
        return F.cross_entropy(output, batch[self.labels], reduction="none")

    def kl(self, at_minimum: Tensor, output: Tensor) -> PerExample:
        return _divergence(at_minimum, output)

    def root(self, output: Tensor, z: Tensor) -> Tensor:
        """S = diag(sqrt p) - p sqrt(p)^T, since S S^T = diag(p) - p p^T."""
        p = output.softmax(-1)
        return p.sqrt() * z - p * (p.sqrt() * z).sum(-1, keepdim=True)


@dataclass(frozen=True)
class Bernoulli:
    """Binary cross-entropy of logits [B, ...] and labels in {0, 1} of the same shape, summed over outputs, in nats."""

    labels: Hashable = 1

    def __call__(self, output: Tensor, batch: Batch) -> PerExample:
        labels = batch[self.labels].to(output)
        return _per_example(F.binary_cross_entropy_with_logits(output, labels, reduction="none").unsqueeze(1))

    def kl(self, at_minimum: Tensor, output: Tensor) -> PerExample:
        p = at_minimum.sigmoid()
        gap = F.logsigmoid(at_minimum) - F.logsigmoid(output)
        other = F.logsigmoid(-at_minimum) - F.logsigmoid(-output)
        return _per_example((p * gap + (1 - p) * other).unsqueeze(1))

    def root(self, output: Tensor, z: Tensor) -> Tensor:
        return (0.5 * (F.logsigmoid(output) + F.logsigmoid(-output))).exp() * z


@dataclass(frozen=True)
class NextToken:
    """Cross-entropy of the next token, summed over the scored predictions of a row, in nats.

    The model maps tokens [B, T] to logits [B, T, K]; the batch keeps T + 1 tokens a row, and with `mask` which of the T
    predictions are scored. `forward` puts 0 in place of logits that are not: both sides of a divergence are then
    uniform there, and give nothing. n is the number of scored predictions, not of rows.
    """

    tokens: Hashable = 0  # where the batch keeps them
    mask: Hashable | None = None  # where it keeps the truth values [B, T]; None: all predictions are scored

    def forward(self, module: nn.Module, batch: Batch) -> Tensor:
        """Logits of the next tokens, 0 where no prediction is scored; a model's output may hold them as `.logits`."""
        output = module(batch[self.tokens][:, :-1])
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits if self.mask is None else logits * batch[self.mask].unsqueeze(-1)

    def each(self, output: Tensor, batch: Batch) -> Tensor:
        """Nats of each prediction, [B, T]; 0 where it is not scored."""
        following = batch[self.tokens][:, 1:].unsqueeze(-1)
        nats = -output.log_softmax(-1).gather(-1, following).squeeze(-1)
        return nats if self.mask is None else nats * batch[self.mask]

    def __call__(self, output: Tensor, batch: Batch) -> PerExample:
        return self.each(output, batch).sum(1)

    def kl(self, at_minimum: Tensor, output: Tensor) -> PerExample:
        return _divergence(at_minimum, output).sum(1)

    def root(self, output: Tensor, z: Tensor) -> Tensor:
        return Categorical().root(output, z)
