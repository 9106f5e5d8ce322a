"""Sparse parity: what became of networks and kernels along training and along the output scale, and of the LLC."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import (
    parity_alpha_star,
    parity_alpha_sweep,
    parity_encoding,
    parity_ensembles,
    parity_grokking,
    parity_hidden_progress,
    parity_kernels,
    parity_llc,
    parity_phase_diagram,
    parity_time_scale,
    style,
)
from llcx.figures.parity_study import Study

FIGURES: dict[str, Callable[[Study], Figure | None]] = {
    "parity_alpha_sweep.png": parity_alpha_sweep.figure,
    "parity_time_scale.png": parity_time_scale.figure,
    "parity_phase_diagram.png": parity_phase_diagram.figure,
    "parity_encoding.png": parity_encoding.figure,
    "parity_llc.png": parity_llc.figure,
    "parity_kernels.png": parity_kernels.figure,
    "parity_ensembles.png": parity_ensembles.figure,
    "parity_alpha_star.png": parity_alpha_star.figure,
    "parity_grokking.png": parity_grokking.figure,
    "parity_hidden_progress.png": parity_hidden_progress.figure,
}


def draw(folder: RunFolder) -> list[Path]:
    """Write the figures that this run has the numbers for."""
    study = Study(folder)
    pictures = ((name, figure(study)) for name, figure in FIGURES.items())
    return [style.save(picture, folder.path / name) for name, picture in pictures if picture is not None]
