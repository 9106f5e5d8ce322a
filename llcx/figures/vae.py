"""Variational autoencoders: what gamma and the variants change, how fast, how safely, and in which latents."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import (
    style,
    vae_active,
    vae_curves,
    vae_gamma,
    vae_latents,
    vae_llc,
    vae_pictures,
    vae_spectrum,
    vae_stability,
    vae_targets,
    vae_variants,
)
from llcx.figures.vae_study import Study

FIGURES: dict[str, Callable[[Study], Figure | None]] = {
    "vae_gamma.png": vae_gamma.figure,
    "vae_curves.png": vae_curves.figure,
    "vae_targets.png": vae_targets.figure,
    "vae_stability.png": vae_stability.figure,
    "vae_variants.png": vae_variants.figure,
    "vae_latents.png": vae_latents.figure,
    "vae_spectrum.png": vae_spectrum.figure,
    "vae_active.png": vae_active.figure,
    "vae_pictures.png": vae_pictures.figure,
    "vae_llc.png": vae_llc.figure,
}


def draw(folder: RunFolder) -> list[Path]:
    """Write the figures that this run has the numbers for."""
    study = Study(folder)
    pictures = ((name, figure(study)) for name, figure in FIGURES.items())
    return [style.save(picture, folder.path / name) for name, picture in pictures if picture is not None]
