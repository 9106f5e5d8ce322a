"""The sparse autoencoder h -> z -> h'.

    z = act(E (h - b) + e),    h' = D^T z + b,    rows of D of norm 1

    l1         relu; the loss adds lambda mean |z|_1
    topk       the k largest of each example, where positive; Gao et al. (2024), arXiv:2406.04093
    batchtopk  the k B largest of the batch; in evaluation those above a threshold learned meanwhile; Bussmann et al.
               (2024), arXiv:2412.06410
    jumprelu   those above a learned threshold of each unit; the loss adds lambda times how many; Rajamanoharan et al.
               (2024), arXiv:2407.14435
    relu       all that are positive

lambda is steered so that a share `rate` of units is on: log lambda += gain (rate seen - rate), an integral controller.

The reconstruction error is in units of the variance of h, gradient of the variance included: it is no reason to shrink
h. Units that have not been on for long explain, with topk and batchtopk, what the others leave (the auxiliary loss).
"""

from math import log
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from llcx.tasks.mcl.model_settings import CODES, Sae

Latents = Float[Tensor, "B latent"]
Units = Float[Tensor, "B units"]
TINY = 1e-8


class Codes(NamedTuple):
    """Of B examples."""

    h: Latents  # what was encoded; detached with gradient=probe
    before: Units  # what the activation sees
    z: Units
    hhat: Latents


class SparseAutoencoder(nn.Module):
    """Its buffers are what it learned of its own activity; only `observe` changes them."""

    log_lambda: Tensor
    steps: Tensor
    unseen: Tensor
    level: Tensor

    def __init__(self, cfg: Sae, latent: int) -> None:
        super().__init__()
        self.cfg = cfg
        rows = F.normalize(nn.Linear(latent, cfg.units).weight.detach(), dim=1)
        self.encoder, self.encoder_bias = nn.Parameter(rows.clone()), nn.Parameter(torch.zeros(cfg.units))
        self.decoder, self.decoder_bias = nn.Parameter(rows.clone()), nn.Parameter(torch.zeros(latent))
        if cfg.kind == "jumprelu":
            self.log_threshold = nn.Parameter(torch.full((cfg.units,), log(cfg.threshold)))
        self.register_buffer("log_lambda", torch.tensor(log(cfg.coefficient)))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("unseen", torch.zeros(cfg.units, dtype=torch.long))  # steps since each unit was on
        self.register_buffer("level", torch.tensor(0.0))  # of batchtopk in evaluation

    def forward(self, h: Latents) -> Codes:
        h = h.detach() if self.cfg.gradient == "probe" else h
        before = F.linear(h - self.decoder_bias, self.encoder, self.encoder_bias)
        z = self._active(before)
        return Codes(h, before, z, self.decode(z) + self.decoder_bias)

    def decode(self, z: Units) -> Latents:
        """Without the offset."""
        return z @ self.directions()

    def directions(self) -> Float[Tensor, "units latent"]:
        """What each unit adds to h', of norm 1."""
        return F.normalize(self.decoder, dim=1)

    @property
    def coefficient(self) -> Float[Tensor, ""]:
        """lambda now."""
        return self.log_lambda.exp() * min(1.0, (int(self.steps) + 1) / max(1, self.cfg.warmup))

    def loss(self, codes: Codes, sparsity: float = 1.0) -> Float[Tensor, ""]:
        """Reconstruction error + sparsity lambda penalty + auxiliary loss, of the batch."""
        variance = _variance(codes.h)
        total = _square(codes.h - codes.hhat) / variance
        if self.cfg.steered and sparsity > 0:
            total = total + sparsity * self.coefficient.to(total) * self._penalty(codes)
        if self.cfg.kind in ("topk", "batchtopk") and self.cfg.auxiliary_weight > 0:
            left = (codes.h - codes.hhat).detach()
            total = total + self.cfg.auxiliary_weight * self._auxiliary(codes.before, left) / variance.detach()
        return total

    @torch.no_grad()
    def observe(self, codes: Codes) -> None:
        """After an optimiser step: which units were on, lambda, and the threshold of batchtopk."""
        on = codes.z > 0
        self.unseen.add_(1).masked_fill_(on.any(0), 0)
        if self.cfg.kind == "batchtopk" and bool(on.any()):
            least = codes.z[on].min()
            self.level.copy_(least if self.steps == 0 else torch.lerp(self.level, least.to(self.level), 0.01))
        if self.cfg.steered and int(self.steps) >= self.cfg.warmup:
            gap = on.to(self.log_lambda).mean() - self.cfg.rate
            self.log_lambda.add_(self.cfg.gain * gap).clamp_(log(self.cfg.least), log(self.cfg.most))
        self.steps.add_(1)

    @torch.no_grad()
    def metrics(self, codes: Codes) -> dict[str, float]:
        """l0: units on, a row; rate: share of units on; fvu: variance not explained; dead: share of units."""
        on = (codes.z > 0).float()
        return {
            "sae/l0": float(on.sum(1).mean()),
            "sae/rate": float(on.mean()),
            "sae/lambda": float(self.coefficient),
            "sae/fvu": float(_square(codes.h - codes.hhat) / _variance(codes.h)),
            "sae/dead": float(self.dead().float().mean()),
        }

    def dead(self) -> Bool[Tensor, " units"]:
        """Units that have not been on for `dead_after` steps."""
        return self.unseen >= self.cfg.dead_after

    def _active(self, before: Units) -> Units:
        kind, positive = self.cfg.kind, before.relu()
        if kind in ("l1", "relu"):
            return positive
        if kind == "topk":
            kept = torch.zeros_like(before).scatter(-1, positive.topk(self.cfg.k, -1).indices, 1.0)
            return positive * kept
        if kind == "batchtopk":
            return positive * (positive >= self._least(positive)).to(positive)
        if kind == "jumprelu":
            threshold = self.log_threshold.exp()
            passed = (before > threshold).to(before)
            return before * passed - threshold.detach() * self._bump(before, threshold)
        raise ValueError(f"task.sae.kind must be one of {', '.join(CODES)}, got {kind}")

    def _least(self, positive: Units) -> Tensor:
        """What a unit of batchtopk must reach to be on."""
        if not self.training:
            return self.level.to(positive)
        return positive.detach().flatten().topk(self.cfg.k * len(positive)).values[-1]

    def _bump(self, before: Units, threshold: Float[Tensor, " units"]) -> Units:
        """Zero, with the gradient in the threshold of a step that is `bandwidth` wide."""
        near = ((before - threshold).abs() < self.cfg.bandwidth / 2).to(before).detach() / self.cfg.bandwidth
        return near * (threshold - threshold.detach())

    def _penalty(self, codes: Codes) -> Float[Tensor, ""]:
        if self.cfg.kind == "l1":
            return codes.z.sum(1).mean()
        threshold = self.log_threshold.exp()
        on = (codes.before > threshold).to(codes.before) - self._bump(codes.before.detach(), threshold)
        return on.sum(1).mean()

    def _auxiliary(self, before: Units, left: Latents) -> Float[Tensor, ""]:
        """How badly the dead units explain what is left; 0 where there are none."""
        dead = self.dead()
        count = min(self.cfg.auxiliary, int(dead.sum()))
        if count == 0:
            return before.new_zeros(())
        mine = before.relu() * dead
        best = mine.topk(count, -1)
        z = torch.zeros_like(mine).scatter(-1, best.indices, best.values)
        return _square(left - self.decode(z))


def _square(error: Latents) -> Float[Tensor, ""]:
    return error.square().sum(1).mean()


def _variance(h: Latents) -> Float[Tensor, ""]:
    """Of all coordinates together, over the batch; with a single row, its square."""
    centred = h - h.mean(0) if len(h) > 1 else h
    return _square(centred) + TINY
