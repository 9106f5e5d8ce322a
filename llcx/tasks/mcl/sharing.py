"""The sharing loss: groups of examples with the same primitives should vary in one subspace of h.

With P_t the projector onto the k leading principal directions of group t and M the mean of T of them,

    projector   mean_t |P_t - M|^2
    ridge       the same of C_t (C_t + rho tr(C_t) / d I)^-1
    residual    1 - mean_t tr(M_k C_t) / tr(C_t),  M_k the projector onto the leading directions of M

Reported beside it, whatever is minimised:

    norm    mean_t |P_t - M|^2 / (k (1 - k/d) (1 - 1/T)): 0 identical, 1 random subspaces
    floor   the same of the two halves of a group, mean over groups: what estimation alone makes of one subspace, with
            half the rows, so that it is an upper bound of it

A group that is too small for eigenvectors, or whose k-th eigenvalue all but vanishes, is sketched instead; one that has
no k dimensions at all, or a number that is not finite, is left out. With fewer than two groups the loss is 0, and
`idle` says so.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from llcx.tasks.mcl import projectors
from llcx.tasks.mcl.model_settings import Share
from llcx.tasks.mcl.projectors import Groups, Projectors, Spectrum

Rows = Float[Tensor, "B d"]
Labels = Int[Tensor, " B"]


class Shared(NamedTuple):
    """Of a batch."""

    loss: Float[Tensor, ""]
    metrics: dict[str, float]  # share/groups, share/fallbacks, share/idle; share/norm and share/floor where asked for


class _Kept(NamedTuple):
    """Groups that have a subspace."""

    groups: Groups
    projectors: Projectors
    fallbacks: int


class Sharing(nn.Module):
    """The loss and its target. In training mode a call that is differentiated moves the target, any other leaves it."""

    mean: Tensor
    calls: Tensor
    omega: Tensor

    def __init__(self, cfg: Share, latent: int, generator: Generator) -> None:
        """Raises ValueError where h has no more than k dimensions."""
        super().__init__()
        if cfg.k >= latent:
            raise ValueError(f"task.share.k must be below task.model.latent={latent}, got {cfg.k}")
        self.cfg = cfg
        omega = torch.randn(latent, cfg.k, generator=generator, dtype=torch.float64)
        self.register_buffer("omega", omega, persistent=False)  # a function of the seed
        self.register_buffer("mean", torch.zeros(latent, latent, dtype=torch.float64))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, h: Rows, labels: Labels, *, report: bool = False) -> Shared:
        """`report`: norm and floor too."""
        kept = self._kept(h, labels)
        count = len(kept.projectors)
        metrics = {"share/groups": count, "share/fallbacks": kept.fallbacks, "share/idle": float(count < 2)}
        if count < 2:
            return Shared(h.new_zeros(()), metrics)
        if report:
            metrics["share/norm"] = normalised(kept.projectors.detach(), self.cfg.k)
            metrics["share/floor"] = self.floor(h.detach(), labels)
        loss = self._loss(kept)
        return Shared(loss.to(torch.float32 if h.dtype.itemsize < 4 else h.dtype), metrics)

    @torch.no_grad()
    def subspace(self, h: Rows, labels: Labels) -> Float[Tensor, "d k"]:
        """Orthonormal basis of what the groups share: the leading directions of the mean of their projectors.

        Raises ValueError where no group has a subspace.
        """
        kept = self._kept(h, labels)
        if not len(kept.projectors):
            raise ValueError(f"labels must have groups of {self.cfg.rows} rows or more, got none; take more rows")
        return projectors.leading(kept.projectors.mean(0), self.cfg.k)

    @torch.no_grad()
    def floor(self, h: Rows, labels: Labels) -> float:
        """Mean over groups of the normalised distance of their halves; nan where halves are too small."""
        whole = projectors.grouped(h, labels)
        halves = projectors.grouped(h, 2 * whole.group + whole.place % 2)
        kept = self._healthy(halves, found := projectors.spectrum(halves.x), least=self.cfg.k + 1)
        if len(kept) < 2 * len(whole.counts):  # a group of one row has a single half
            return float("nan")
        pairs = kept.view(-1, 2).all(1)
        if not bool(pairs.any()):
            return float("nan")
        u = found.leading(self.cfg.k).unflatten(0, (-1, 2))[pairs]
        apart = 1 - (u[:, 0].mT @ u[:, 1]).square().sum((1, 2)) / self.cfg.k  # |P - Q|^2 / (2 k)
        return float(apart.mean()) / (1 - self.cfg.k / h.shape[1])

    def _kept(self, h: Rows, labels: Labels) -> _Kept:
        cfg = self.cfg
        with torch.autocast(h.device.type, enabled=False):
            groups = projectors.grouped(h, labels)
            found = projectors.spectrum(groups.x)
            good = self._healthy(groups, found, least=cfg.rows)
            if min(groups.x.shape[1:]) < cfg.k:
                return _Kept(_some(groups, good), h.new_zeros(0, h.shape[1], h.shape[1], dtype=torch.float64), 0)
            made = projectors.projectors(groups.x, cfg.k, cfg.gap, found)
            if bool(good.all()):
                return _Kept(groups, made, 0)
            small, sketches = self._sketches(groups, ~good)
            places = torch.cat([good.nonzero().squeeze(1), small])
            return _Kept(_some(groups, places), torch.cat([made[good], sketches]), len(small))

    def _healthy(self, groups: Groups, found: Spectrum, least: int) -> Bool[Tensor, " T"]:
        """Groups with rows enough and a k-th eigenvalue that is one."""
        k = self.cfg.k
        if found.values.shape[1] < k:
            return torch.zeros_like(groups.counts, dtype=torch.bool)
        first, last = found.values[:, 0], found.values[:, k - 1]
        there = first > projectors.TINY * groups.scale
        return (groups.counts >= least) & there & (last > self.cfg.tolerance * first)

    def _sketches(self, groups: Groups, which: Bool[Tensor, " T"]) -> tuple[Int[Tensor, " S"], Float[Tensor, "S d d"]]:
        """Of those groups, the ones that have k dimensions at all, and their projectors."""
        places = which.nonzero().squeeze(1)
        y = projectors.sketched(groups.x[places], self.omega)
        found = projectors.spectrum(y)
        last = found.values[:, self.cfg.k - 1]
        enough = (last > 0) & (found.values[:, 0] > projectors.TINY * groups.scale[places])
        made = projectors.projectors(y[enough], self.cfg.k, self.cfg.gap)
        return places[enough], made

    def _loss(self, kept: _Kept) -> Float[Tensor, ""]:
        cfg, x = self.cfg, kept.groups.x
        each = projectors.regularised(x, cfg.ridge) if cfg.mode == "ridge" else kept.projectors
        if cfg.stop_gradient == "basis":
            each = each.detach()
        target = self._target(each.mean(0))
        if cfg.stop_gradient == "target":
            target = target.detach()
        if cfg.mode == "residual":
            inside = (x @ projectors.leading(target, cfg.k)).square().sum((1, 2))
            return 1 - (inside / x.square().sum((1, 2))).mean()
        return (each - target).square().sum((1, 2)).mean()

    def _target(self, mean: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
        """What groups are drawn to: the mean of now, of the last refresh, or a moving average."""
        cfg = self.cfg
        if not (self.training and torch.is_grad_enabled()) or (cfg.target == "batch" and cfg.refresh == 1):
            return mean
        due, first = int(self.calls) % cfg.refresh == 0, int(self.calls) == 0
        self.calls.add_(1)
        if not due:
            return self.mean.to(mean, copy=True)
        moved = (
            mean if first or cfg.target == "batch" else torch.lerp(mean, self.mean.to(mean, copy=True), cfg.momentum)
        )
        self.mean.copy_(moved.detach())
        return moved


def normalised(each: Projectors, k: int) -> float:
    """mean_t |P_t - M|^2 in units of what random subspaces of k dimensions have on average."""
    count, size = each.shape[:2]
    spread = float((each - each.mean(0)).square().sum((1, 2)).mean())
    return spread / (k * (1 - k / size) * (1 - 1 / count))


def shuffled(labels: Labels, generator: Generator) -> Labels:
    """The same labels in another order: groups that have nothing in common."""
    return labels[torch.randperm(len(labels), generator=generator).to(labels.device)]


def _some(groups: Groups, rows: Tensor) -> Groups:
    """The groups at these places; where rows are in them is not known any more."""
    return groups._replace(x=groups.x[rows], counts=groups.counts[rows], scale=groups.scale[rows])
