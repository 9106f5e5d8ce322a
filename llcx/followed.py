"""The rows whose losses are followed along the chains: of a point's data, and of its other data sets.

They are taken out of the data and get a potential of their own, so that following costs what these rows cost and is the
same for closed forms, stored data and rows that are computed.
"""

from dataclasses import replace
from typing import Any

from jaxtyping import Int
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from llcx import gradients, influence, rng
from llcx.influence import Followed
from llcx.params import layout
from llcx.types import Data, Point, Potential, Rows


def follow(point: Point, potential: Potential, cfg: Any, hardware: Any, seed: int) -> dict[str, Followed]:
    """By the name they are observed under; `cfg` has `influence`, `where` and `measure_on`.

    Losses are of the target and in the precision of `potential`. Raises ValueError where there are no such rows.
    """
    if point.data.train is None:
        raise ValueError(
            f"estimator.influence must be null without rows of data, got {cfg.influence}; see task.data.mode"
        )
    generator = rng.streams(seed).generator("influence")
    own, where = cfg.measure_on or "train", cfg.where
    sets = {own: point.data, **{name: data for name, data in point.others.items() if name != own}}
    found = {}
    for name, data in sets.items():
        if data.train is None:
            continue
        asked = cfg.influence if name == own or isinstance(cfg.influence, int) else len(cfg.influence)
        rows = influence.choose(asked, _count(data), generator)
        alone = _potential(point, taken(data, rows), potential, hardware)
        if where is not None:
            alone = gradients.restrict(alone, layout(point.model.module).select(where))
        assert alone.examples is not None
        found[f"{influence.LOSSES}{name}"] = Followed(rows, alone.examples, data.n / _count(data))
    return found


def _count(data: Data) -> int:
    return data.train.total if isinstance(data.train, Rows) else len(tree_leaves(data.train)[0])


def taken(data: Data, rows: Int[Tensor, " R"]) -> Data:
    """Those rows of the data alone, stored."""
    if isinstance(data.train, Rows):
        return Data(data.train.take(rows), len(rows))
    return Data(tree_map(lambda leaf: leaf[rows.to(leaf.device)], data.train), len(rows))


def _potential(point: Point, data: Data, like: Potential, hardware: Any) -> Potential:
    found, _, _ = gradients.of_model(
        replace(point.model, closed={}),
        data,
        target=like.target,
        dtype=like.at.dtype,
        device=hardware.device,
        backend=hardware.backend,
        memory=hardware.memory or 1.0,
    )
    return found
