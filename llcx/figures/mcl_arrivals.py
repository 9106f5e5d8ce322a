"""When adaptations of task=mcl come to the level that verdicts wait for, from the tables of a run.

The level of a composition is midway between copying the input and the control arm fully fine-tuned on the most
examples; what stopped early without it would never have come.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llcx.figures.mcl_study import Cells, Study, number, where

FIT = ("arm", "seed", "composition", "n")
Levels = dict[tuple[str, str], float]  # by what an arm's name has beyond the arm, and composition


class Path(NamedTuple):
    """One adaptation, by step."""

    arm: str
    seed: str
    composition: str
    n: float
    steps: np.ndarray
    iou: np.ndarray

    @property
    def unit(self) -> tuple[str, str]:
        """What its level goes by."""
        return self.arm.partition(",")[2], self.composition

    def reached(self, level: float) -> float:
        """The step, on straight lines between scores; inf where it never came."""
        found = np.flatnonzero(self.iou >= level)
        if not len(found):
            return np.inf
        place = int(found[0])
        if place == 0:
            return float(self.steps[0])
        (x, y), (a, b) = (each[place - 1 : place + 1] for each in (self.steps, self.iou))
        return float(x + (level - a) / (b - a) * (y - x))

    def held(self, steps: np.ndarray) -> np.ndarray:
        """IoU at steps; after it had stopped, what it had then."""
        return np.interp(steps, self.steps, self.iou)


def levels(study: Study, fits: Sequence[Cells]) -> Levels:
    """Of lines of one cue; none without the control's full fine-tuning."""
    full = [cells for cells in where(fits, method="full") if cells["arm"].partition(",")[0] == study.registered[1]]
    most = max((number(cells, "n") for cells in full), default=np.nan)
    found: dict[tuple[str, str], list[float]] = {}
    for cells in full:
        if number(cells, "n") == most:
            middle = (number(cells, "iou") + number(cells, "copy_iou")) / 2
            found.setdefault((cells["arm"].partition(",")[2], cells["composition"]), []).append(middle)
    return {unit: float(np.mean(some)) for unit, some in found.items()}


def paths(table: Sequence[Cells]) -> list[Path]:
    """Of lines of one method and cue."""
    found: dict[tuple[str, ...], list[Cells]] = {}
    for cells in table:
        found.setdefault(tuple(cells[name] for name in FIT), []).append(cells)
    made = []
    for (arm, seed, composition, n), lines in found.items():
        ordered = sorted(lines, key=lambda cells: number(cells, "step"))
        steps, iou = (np.array([number(cells, name) for cells in ordered]) for name in ("step", "iou"))
        made.append(Path(arm, seed, composition, float(n), steps, iou))
    return made
