"""vae_pictures.png: test images, what trained networks make of them, and samples of their own priors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import style, vae_arms, vae_study, wording
from llcx.figures.vae_study import Arrays, Cells, Study, number

MOST = 10  # images of a row
GAP = 0.08  # between images, in sides of one
NAME = 1.55  # inches for what stands left of a row


@style.look
def figure(study: Study) -> Figure | None:
    """A row a training: reconstructions on the left, samples on the right; None where no images were kept."""
    arrays = study.arrays("pictures")
    ordered = [cells for series in study.series for cells in vae_arms.ascending(study.of(series))]
    shown = [cells for cells in ordered if f"{cells['training']}/reconstruction" in arrays]
    if "x" not in arrays or not shown:
        return None
    images = arrays["x"][:MOST]
    ends = limits(images)
    side = (style.WIDTH - NAME - 0.5) / 2 / len(images)
    high = side * images.shape[-2] / images.shape[-1]
    lines = len(shown) + 1
    picture = Figure(figsize=(style.WIDTH, lines * (high + 0.09) + 1.5), layout="constrained")
    widths = [NAME, *[(style.WIDTH - NAME) / 2] * 2]
    axes = picture.subplots(lines, 3, squeeze=False, width_ratios=widths)
    for axis in axes.flat:
        axis.set_axis_off()
    draw(axes[0, 1], images, ends)
    axes[0, 1].set_title("test images, and their reconstructions below")
    name(axes[0, 0], "data", "")
    frame(axes[0, 2], images)
    axes[0, 2].set_title("samples of each model's own prior")
    for line, cells in zip(axes[1:], shown, strict=True):
        row(list(line), study, cells, arrays, ends)
    notes = [vae_study.conditions(study), told(study, arrays, shown, ends)]
    return style.finish(picture, "VAE: reconstructions and samples", notes)


def limits(images: np.ndarray) -> tuple[float, float]:
    """What is black and what is white: 0 and 1, or nearly all of the range of images that have no bounds."""
    if images.min() >= 0 and images.max() <= 1:
        return 0.0, 1.0
    low, high = np.quantile(images, [0.005, 0.995])
    return float(low), float(high)


def row(line: Sequence[Axes], study: Study, cells: Cells, arrays: Arrays, ends: tuple[float, float]) -> None:
    """Of one training."""
    training = cells["training"]
    draw(line[1], arrays[f"{training}/reconstruction"][:MOST], ends)
    samples = arrays.get(f"{training}/samples")
    if samples is not None:
        draw(line[2], samples[:MOST], ends)
    numbers = [f"{said} {wording.three(number(cells, key))}" for said, key in (("MSE", "test_mse"), ("KL", "test_kl"))]
    name(line[0], vae_arms.named(study, cells), ", ".join(numbers))


def name(axis: Axes, label: str, below: str) -> None:
    """What a row is, and two numbers of it."""
    place: Any = {"transform": axis.transAxes, "ha": "left"}
    axis.text(0.04, 0.52 if below else 0.5, wording.plain(label, 26), va="bottom" if below else "center", **place)
    axis.text(0.04, 0.44, below, va="top", fontsize=8, color=style.MUTED, **place)


def draw(axis: Axes, images: np.ndarray, ends: tuple[float, float]) -> None:
    """Images [n, c, h, w] side by side in one axis."""
    low, high = ends
    shown = np.clip((images - low) / (high - low), 0, 1)
    for place, image in enumerate(shown):
        left = place * (1 + GAP)
        look: Any = {"extent": (left, left + 1, 0, image.shape[-2] / image.shape[-1]), "interpolation": "nearest"}
        if len(image) == 3:
            axis.imshow(np.moveaxis(image, 0, -1), **look)
        else:
            axis.imshow(image.mean(0), cmap="gray", vmin=0, vmax=1, **look)
    frame(axis, images)


def frame(axis: Axes, images: np.ndarray) -> None:
    """The limits of a row of so many images."""
    axis.set(xlim=(-0.02, len(images) * (1 + GAP) - GAP + 0.02), aspect="equal")
    axis.set_ylim(-0.02, images.shape[-2] / images.shape[-1] + 0.02)


def told(study: Study, arrays: Arrays, shown: Sequence[Cells], ends: tuple[float, float]) -> str:
    """What the images are, and how many are not drawn."""
    what = "Reconstructions: at the mean of q(z | x); samples: at z drawn from the prior, the same normals for all. "
    what += "MSE of a pixel and KL [nats an example] of the test rows. "
    grey = "" if ends == (0.0, 1.0) else f"Black {wording.three(ends[0])}, white {wording.three(ends[1])}. "
    hidden = len(arrays["x"]) - MOST
    more = f"{hidden} more images are in analysis/pictures.npz. " if hidden > 0 else ""
    first = "The first seed. " if study.seeds > 1 else ""
    return what + grey + first + more + vae_arms.left_out(study, shown)
