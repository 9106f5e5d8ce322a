"""The loss of an arm: L = L_task + alpha L_share + beta L_sae + gamma L_primitives, its weights scheduled.

A term whose weight is 0 is not computed, but for looks at it every `share.monitor` steps, which have no gradient and
move nothing: an arm without sharing is to the last bit the one that has alpha = 0.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llcx.tasks.mcl import losses, projectors, schedules
from llcx.tasks.mcl.machine import Machine, Outputs
from llcx.tasks.mcl.model_settings import Share, Weights
from llcx.tasks.mcl.sharing import Shared, Sharing, shuffled
from llcx.types import Streams


class Labels(NamedTuple):
    """Of B examples."""

    target: Int[Tensor, "B 8 8"]
    primitives: Tensor  # [B, primitives], 1 where the program has it
    groups: Int[Tensor, " B"]


class Terms(NamedTuple):
    """Of a batch."""

    total: Float[Tensor, ""]
    raw: dict[str, Tensor]  # task, share, sae, prim: those that were computed
    weighted: dict[str, Tensor]  # those that are in the total
    metrics: dict[str, float]  # share/groups, share/fallbacks, share/idle; at a look also share/norm, sae/..

    def told(self) -> dict[str, float]:
        """loss/<term>, weighted/<term>, loss/total and the metrics."""
        parts = {"loss": {**self.raw, "total": self.total}, "weighted": self.weighted}
        named = {f"{kind}/{name}": float(value.detach()) for kind, of in parts.items() for name, value in of.items()}
        return {**named, **self.metrics}


class LossManager(nn.Module):
    """Weights, the sharing loss with its target, and the guard against collapse; its state is in its buffers."""

    def __init__(self, weights: Weights, share: Share, latent: int, streams: Streams) -> None:
        super().__init__()
        self.weights, self.share, self.streams = weights, share, streams
        self.sharing = Sharing(share, latent, streams.generator("share/sketch"))
        self.guard = Guard(share.guard)

    def forward(self, machine: Machine, out: Outputs, labels: Labels, step: int) -> Terms:
        """The loss at optimiser step `step`, 0 the first."""
        weights, looked = self.at(step), self.looks(step)
        terms = {"task": losses.task(self.weights, out.logits, labels.target)}
        metrics: dict[str, float] = {}
        if weights["share"] > 0 or looked:
            shared = self._shared(out.h, labels.groups, step, report=looked)
            terms["share"] = shared.loss
            metrics |= shared.metrics
        if weights["sae"] > 0:
            terms["sae"] = machine.sae.loss(out.codes, self.weights.sparsity)
            metrics |= machine.sae.metrics(out.codes) if looked else {}
        if weights["prim"] > 0:
            terms["prim"] = losses.primitives(out.primitives, labels.primitives)
        weighted = {name: weights[name] * value for name, value in terms.items() if weights[name] > 0}
        return Terms(torch.stack(list(weighted.values())).sum(), terms, weighted, metrics)

    def looks(self, step: int) -> bool:
        """Whether a step is looked at: the last of every `share.monitor`, so that evaluations after it tell of it."""
        return (step + 1) % self.share.monitor == 0

    def at(self, step: int) -> dict[str, float]:
        """The weight of each term."""
        w = self.weights
        return {
            "task": 1.0,
            "share": w.alpha * schedules.share(w.alpha_schedule, step) * self.guard.factor,
            "sae": w.beta * schedules.share(w.beta_schedule, step),
            "prim": w.gamma * schedules.share(w.gamma_schedule, step),
        }

    def evaluated(self, h: Float[Tensor, "B d"]) -> dict[str, float]:
        """What is to be said of h at an evaluation; where it collapses, alpha is halved if the settings say so."""
        return self.guard.observe(*projectors.effective_rank(h))

    def _shared(self, h: Tensor, groups: Tensor, step: int, *, report: bool) -> Shared:
        true = self.share.labels == "true"
        asked = groups if true else shuffled(groups, self.streams.generator(f"share/shuffle/{step}"))
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.at(step)["share"] > 0):
            found = self.sharing(h, asked, report=report and true)
        if true or not report:
            return found
        with torch.no_grad():  # how much the true groups share is what is reported
            return found._replace(metrics={**self.sharing(h, groups, report=True).metrics, **found.metrics})


class Guard(nn.Module):
    """Halves alpha where the effective rank of h was below half its first value for `patience` evaluations in turn."""

    first: Tensor
    below: Tensor
    halvings: Tensor

    def __init__(self, patience: int | None) -> None:
        super().__init__()
        self.patience = patience
        self.register_buffer("first", torch.zeros(2, dtype=torch.float64))  # effective rank and variance; 0: none yet
        self.register_buffer("below", torch.tensor(0))
        self.register_buffer("halvings", torch.tensor(0))

    @property
    def factor(self) -> float:
        """Of alpha."""
        return 0.5 ** int(self.halvings)

    def observe(self, rank: float, variance: float) -> dict[str, float]:
        """Effective rank, and both in units of their first values."""
        now = torch.tensor([rank, variance], dtype=torch.float64, device=self.first.device)
        if not bool(self.first.any()):
            self.first.copy_(now)
        ratio, of_variance = (now / self.first).tolist()
        self.below.copy_(torch.where(now[0] < self.first[0] / 2, self.below + 1, 0))
        if self.patience is not None and int(self.below) >= self.patience:
            self.halvings.add_(1)
            self.below.zero_()
        return {"h/rank": rank, "h/rank_ratio": ratio, "h/variance_ratio": of_variance, "h/guard": self.factor}


def gradient_shares(weighted: Mapping[str, Tensor], h: Float[Tensor, "B d"]) -> dict[str, float]:
    """gradient/<term>: norm of each term's gradient on h; gradient_share/<term>: in units of their sum.

    The graph is kept, so that the total can still be differentiated.
    """
    norms = {}
    for name, value in weighted.items():
        found = None
        if value.requires_grad:
            (found,) = torch.autograd.grad(value, [h], retain_graph=True, allow_unused=True)
        norms[name] = 0.0 if found is None else float(found.float().norm())
    total = sum(norms.values()) or 1.0
    absolute = {f"gradient/{name}": norm for name, norm in norms.items()}
    return {**absolute, **{f"gradient_share/{name}": norm / total for name, norm in norms.items()}}
