"""Mutual concepts: what was minimised, what came of it in every test, what is inside, and the verdicts."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import (
    mcl_causal,
    mcl_few_shot,
    mcl_geometry,
    mcl_hypotheses,
    mcl_llc,
    mcl_sheet,
    mcl_sweep,
    mcl_training,
    mcl_units,
    mcl_zero_shot,
    style,
)
from llcx.figures.mcl_study import Study

FIGURES: dict[str, Callable[[Study], Figure | None]] = {
    "mcl_hypotheses.png": mcl_hypotheses.figure,
    "mcl_sweep.png": mcl_sweep.figure,
    "mcl_training.png": mcl_training.figure,
    "mcl_zero_shot.png": mcl_zero_shot.figure,
    "mcl_few_shot.png": mcl_few_shot.figure,
    "mcl_geometry.png": mcl_geometry.figure,
    "mcl_causal.png": mcl_causal.figure,
    "mcl_units.png": mcl_units.figure,
    "mcl_sheet.png": mcl_sheet.figure,
    "mcl_llc.png": mcl_llc.figure,
}


def draw(folder: RunFolder) -> list[Path]:
    """Write the figures that this run has the numbers for."""
    study = Study(folder)
    pictures = ((name, figure(study)) for name, figure in FIGURES.items())
    return [style.save(picture, folder.path / name) for name, picture in pictures if picture is not None]
