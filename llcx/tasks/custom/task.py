"""task=custom: a model, data and a loss that the command line names.

A point is the model at its weights; of a folder of checkpoints, or of a training with fit.checkpoints, each of them is
one, with the localiser held at its strength at the first, and the self target where the loss has a divergence.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llcx import checkpoints, rowwise
from llcx.registry import TASKS
from llcx.tasks.custom.brought import Brought
from llcx.tasks.custom.schema import TRAINED, Custom, complete
from llcx.tasks.generic import Arm, GenericTask, Recipe, held_gamma
from llcx.types import Point, Spec, State, Streams

log = logging.getLogger(__name__)


@TASKS.register("custom", Custom)
def build(cfg: Custom, streams: Streams) -> "Task":
    """Imports what `cfg` names. Raises ValueError where a name is missing or stands for nothing of use."""
    complete(cfg)
    brought = Brought(cfg)
    moves = is_folder(cfg) or (cfg.weights == TRAINED and bool(cfg.fit.checkpoints))
    if moves and brought.kl is None:
        log.warning("task.loss has no divergence kl: the target is data, for which early checkpoints are no minima")

    def wishes(own: Custom, streams: Streams) -> Mapping[str, Any]:
        """Along checkpoints, the localiser of the first; `own` is one of them."""
        if not moves:
            return {}
        start = replace(own, weights=str(checkpoints.found(str(cfg.weights))[0].path)) if is_folder(cfg) else own
        return held_gamma(brought.model(start, streams).module)

    recipe = Recipe(
        model=brought.model,
        data=brought.data,
        replicas=along if is_folder(cfg) else None,
        trained=lambda own: own.weights == TRAINED,
        target=lambda own: "self" if moves and brought.kl is not None else "data",
        wishes=wishes,
    )
    return Task(cfg, streams, recipe, brought)


class Task(GenericTask):
    """With further data sets at its points, and checkpoints in time."""

    def __init__(self, cfg: Custom, streams: Streams, recipe: Recipe, brought: Brought) -> None:
        super().__init__(cfg, streams, recipe)
        self.brought = brought

    def points(self) -> tuple[Spec, ...]:
        every = super().points()
        return tuple(spec._replace(moment="step") for spec in every) if is_folder(self.cfg) else every

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        found = super().point(spec, snapshot)
        rowwise.check(found.model, found.data.train)
        cfg, streams = self._points[spec.name][1][2:]
        return replace(found, others=self.brought.others(cfg, streams))


def is_folder(cfg: Custom) -> bool:
    """Whether the weights are a folder of checkpoints, rather than one that is a checkpoint itself."""
    path = Path(str(cfg.weights))
    inside = (*checkpoints.INSIDE, *(f"{name}.index.json" for name in checkpoints.INSIDE))
    return cfg.weights not in (None, TRAINED) and path.is_dir() and not any((path / name).is_file() for name in inside)


def along(cfg: Custom, streams: Streams) -> Iterator[Arm]:
    """An arm a checkpoint, in their order."""
    for each in checkpoints.found(str(cfg.weights)):
        yield Arm(f"{cfg.name},step={each.step}", {"step": each.step}, replace(cfg, weights=str(each.path)), streams)
