"""parity_kernels.png: Gram matrices of the smallest and the largest output scale, spectra, and where the labels lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts.files import slug
from llcx.figures import over_time, panels, parity_study, style, trajectories, wording
from llcx.figures.parity_study import Group, Study, number

Arrays = Mapping[str, np.ndarray]
Spectra = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]  # (member, kind) -> eigenvalues, projections
MOMENTS = {"init": "at the start", "final": "at the end"}
LEAST = 1e-9  # of the largest eigenvalue: smaller ones are rounding


@style.look
def figure(study: Study) -> Figure | None:
    """Of the first training that has Gram matrices; None where none has."""
    found = first(study)
    if found is None:
        return None
    group, grams, spectra = found
    names = list(dict.fromkeys(key.partition(" ")[2] for key in grams))
    picture = Figure(figsize=(style.WIDTH, 8.2 if spectra else 4.2), layout="constrained")
    lines = picture.subfigures(2 if spectra else 1, 1, squeeze=False)[:, 0]
    axes = lines[0].subplots(1, 2 * len(names), squeeze=False)[0]
    shown = [(name, moment) for name in names for moment in MOMENTS if f"{moment} {name}".strip() in grams]
    for axis, (name, moment) in zip(axes, shown, strict=False):
        image(axis, grams[f"{moment} {name}".strip()])
        axis.set_title(f"{said(name)}, {MOMENTS[moment]}")
    for spare in axes[len(shown) :]:
        spare.remove()
    legend: dict[str, Any] = {}
    if spectra:
        left, right = lines[1].subplots(1, 2)
        legend = eigenvalues(left, right, kept(spectra, names))
    return style.finish(picture, "Sparse parity: tangent kernels", notes(study, group, spectra), legend)


def first(study: Study) -> tuple[Group, Arrays, Arrays] | None:
    """A training with its Gram matrices and spectra; the latter may be empty."""
    for group in study.groups:
        grams = arrays(study, f"grams {group.training}")
        if grams:
            return group, grams, arrays(study, f"spectra {group.training}")
    return None


def arrays(study: Study, stem: str) -> Arrays:
    """analysis/<stem>.npz; nothing where it is not there."""
    try:
        return study.folder.analysis(slug(stem))
    except FileNotFoundError:
        return {}


def said(name: str) -> str:
    """alpha=0.1 as a title has it."""
    parts = trajectories.named(name)
    return f"\u03b1 = {parts['alpha']}" if "alpha" in parts else "kernel"


def image(axis: Axes, gram: np.ndarray) -> None:
    """A Gram matrix, rows by their labels, colours over all but the outermost hundredth of what is off the diagonal."""
    off = gram[~np.eye(len(gram), dtype=bool)]
    low, high = np.quantile(off, [0.01, 0.99])
    drawn = axis.imshow(gram, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    axis.set(xticks=[], yticks=[], xlabel="rows, \u22121 before +1")
    axis.grid(False)
    axis.figure.colorbar(drawn, ax=axis, location="bottom", shrink=0.9, aspect=22, pad=0.02, extend="both")


def kept(spectra: Arrays, names: Sequence[str]) -> Spectra:
    """Of the kernels of start and end, of the seed whose Gram matrices are drawn."""
    seed = trajectories.named(names[0]).get("seed")
    found = {}
    for key, values in spectra.items():
        what, _, label = key.partition(" ")
        member, _, kind = label.rpartition(",")
        if what == "values" and kind in MOMENTS and trajectories.named(member).get("seed") == seed:
            found[member, kind] = values, spectra[f"projections {label}"]
    return found


def eigenvalues(left: Axes, right: Axes, found: Spectra) -> dict[str, Any]:
    """Spectra, and the share of the labels along the leading eigenvectors; returns the legend.

    The kernel of the start is the same at every output scale and drawn once.
    """
    starts = [key for key in found if key[1] == "init"][:1]
    ends = [key for key in found if key[1] == "final"]
    shades = over_time.hues(len(ends))
    dashed: Any = (0, (4, 2))
    tones = dict.fromkeys(starts, (style.INK, dashed, "at the start"))
    tones |= {key: (shade, "-", f"{said(key[0])}, at the end") for key, shade in zip(ends, shades, strict=True)}
    legend = {}
    for key, (colour, dashes, label) in tones.items():
        values, projections = found[key]
        rank = np.arange(1, len(values) + 1)
        seen = values > LEAST * values[0]
        look: Any = {"color": colour, "ls": dashes, "lw": 1.3, "zorder": 3 if key in starts else 2}
        left.plot(rank[seen], values[seen], **look)
        right.plot(rank, np.cumsum(projections**2) / np.sum(projections**2), **look)
        legend[label] = style.key(line="--" if key in starts else "-", color=colour)
    left.set(xscale="log", yscale="log", xlabel="rank of the eigenvalue", title="eigenvalues of the kernel")
    right.set(xscale="log", xlabel="leading eigenvectors", ylim=(-0.02, 1.02))
    right.set_title("share of |y|\u00b2 along the leading eigenvectors")
    if not tones:
        panels.blank(left, "no spectra of the kernels of start and end")
        panels.blank(right, "")
    return legend


def notes(study: Study, group: Group, spectra: Arrays) -> list[str]:
    """What was run, and which part of it this is."""
    several = f"The training {group.label}, one of {len(study.groups)}. " if len(study.groups) > 1 else ""
    seeds = "The first seed. " if study.task.get("seeds", 1) > 1 else ""
    finals = [cells for cells in study.moments if (cells["training"], cells["moment"]) == (group.training, "final")]
    moved = {number(cells, "alpha"): number(cells, "kernel_change") for cells in reversed(finals)}
    ends = sorted(moved)[:1] + sorted(moved)[1:][-1:]
    said = ", ".join(f"{wording.three(moved[at])} at \u03b1 = {wording.number(at)}" for at in ends if moved[at] > 0)
    change = f"Change of the kernel until the end, |\u0394\u0398| / |\u03980|: {said}." if said else ""
    return [parity_study.conditions(study), f"{several}{seeds}Each image has its own colours. {change}"]
