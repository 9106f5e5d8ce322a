"""The answer key of a deep linear network: what theory says about w*."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from llcx import theory
from llcx.tasks.dln import nets
from llcx.tasks.dln.schema import DLN
from llcx.tasks.dln.weights import product
from llcx.tasks.generic import AtTemperature
from llcx.theory import RLCT
from llcx.types import Known, Streams

GLOBAL = "Aoyagi (2024), Neural Networks 172, Theorem 1"
LAYER = "one layer moves: K is a quadratic, lambda half its rank"
LOCAL = "local: the codimension of the fibre at w*, from the ranks of its layers"
ZERO, NONZERO = 1e-4, 1e-2  # of the largest singular value: in between, a trained layer's rank is not decided


def known(cfg: DLN, streams: Streams, module: nn.Module) -> Known:
    """Global value by the true map's rank, and the local one at these very weights where it is exactly known.

    At a checkpoint, which is measured against itself, the true map is its own; nothing is known where its rank is open.
    """
    widths, ranks = cfg.model.widths, nets.layer_ranks(cfg.model, streams)
    rank: int | None = nets.rank(cfg.model, streams)
    if ranks is None:
        layers = [layer.detach().double() for layer in module.parameters()]
        rank = _rank(product(layers)) if cfg.fit.checkpoints else rank
        ranks = None if rank is None else measured(layers, rank)
    if rank is None:
        return Known()
    overall = theory.dln(widths, rank)
    here = None if ranks is None else local(widths, ranks, rank)
    used = overall if here is None else here
    return Known(
        lam=float(overall.lam),
        mult=used.mult,
        local=None if here is None else float(here.lam),
        at=AtTemperature(used),
        reference=GLOBAL if here is None else f"{GLOBAL}; {LOCAL}",
    )


def restricted(cfg: DLN, streams: Streams, module: nn.Module, names: frozenset[str]) -> Known:
    """Exact where a single layer moves between others of known ranks u (after it) and v: u v squares; else nothing."""
    del module
    ranks, layers = nets.layer_ranks(cfg.model, streams), [int(name.split(".")[0]) for name in names]
    if ranks is None or len(layers) != 1:
        return Known()
    after = min(ranks[layers[0] + 1 :], default=cfg.model.widths[-1])
    before = min(ranks[: layers[0]], default=cfg.model.widths[0])
    exact = theory.regular(after * before)
    return Known(float(exact.lam), exact.mult, float(exact.lam), AtTemperature(exact), LAYER)


def local(widths: Sequence[int], ranks: Sequence[int], rank: int) -> RLCT | None:
    """The local value at layers of `ranks` in general position with a product of `rank`; None where it is not known.

    One layer is regular, two have a formula, and layers that all have the product's rank are the deepest point at any
    depth. Elsewhere the bounds decide, where they meet and leave no doubt about the multiplicity.
    """
    if len(ranks) == 1 or all(each == rank for each in ranks):
        return theory.dln(widths, rank)
    if len(ranks) == 2:
        return theory.dln_local(widths, ranks[1], ranks[0], rank)
    right = list(accumulate(ranks, min))[:-1]
    left = list(accumulate(reversed(ranks), min))[-2::-1]
    overall, bounds = theory.dln(widths, rank), theory.dln_local_bounds(widths, left, right, rank)
    regular = bounds.low == bounds.high and (bounds.low > overall.lam or overall.mult == 1)
    return RLCT(bounds.low, 1) if regular else None


def measured(layers: Sequence[Tensor], rank: int) -> tuple[int, ...] | None:
    """Ranks of one or two trained layers whose product has `rank`.

    None for more layers, where a singular value is neither clearly zero nor clearly not, and where no product of `rank`
    has factors of these ranks: the training has not arrived.
    """
    ranks = [_rank(layer) for layer in layers] if len(layers) <= 2 else []
    found = [each for each in ranks if each is not None]
    if len(found) < len(layers):
        return None
    lost = sum(layer.shape[0] for layer in layers[:-1])
    return tuple(found) if sum(found) - lost <= rank <= min(found) else None


def _rank(layer: Tensor) -> int | None:
    values = torch.linalg.svdvals(layer)
    share = values / values[0].clamp(min=1e-300)
    decided = bool(((share <= ZERO) | (share >= NONZERO)).all())
    return int((share >= NONZERO).sum()) if decided else None
