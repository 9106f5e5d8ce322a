"""lsa_phases.png: the gap of the two theories over (d_l, rank M), their phase lines and their double poles."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from llcx.artifacts import RunFolder
from llcx.figures import lsa_theory, style
from llcx.figures.lsa_theory import Theory

MATRIX, FULL = "#8E2A9E", "#222222"
NONE = "#eceef0"  # where no matrix of these ranks exists


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """A map an alpha; None without the table of the theories."""
    theory = lsa_theory.read(folder)
    if theory is None:
        return None
    height = min(3.2, 10.0 * len(theory.ranks) / last(theory)) + 0.45
    picture = Figure(figsize=(style.WIDTH, len(theory.alphas) * height + 1.8), layout="constrained")
    axes = list(picture.subplots(len(theory.alphas), 1, squeeze=False, sharex=True, sharey=True).flat)
    for index, (axis, alpha) in enumerate(zip(axes, theory.alphas, strict=True)):
        image = heat(axis, theory, index)
        stripes(axis, theory, theory.mult_matrix[index], (-1, 1), MATRIX)
        stripes(axis, theory, theory.mult_full[index], (1, 1), FULL)
        lines(axis, theory, alpha)
        axis.set_title(rf"$\alpha$ = {alpha}", fontsize=10)
        axis.set_ylabel("rank M")
    axes[-1].set_xlabel(r"$d_l$, the width of $W_Q$ and $W_K$")
    picture.colorbar(image, ax=axes, label=lsa_theory.GAP, aspect=40, pad=0.01, shrink=0.9)
    title = f"Linear self-attention, d = {theory.d}: phases of the two theories and the gap between them"
    beyond = (
        f"Not drawn: d_l > {last(theory)}, where nothing changes any more." if last(theory) < theory.widths[-1] else ""
    )
    return style.finish(picture, title, [lsa_theory.NOTE, beyond], keys())


def last(theory: Theory) -> int:
    """The greatest d_l drawn: a little beyond the last change of phase."""
    return min(theory.widths[-1], 2 * theory.d + 6)


def shades() -> Colormap:
    """Pale to blue green: dark lines are seen on all of it."""
    return ListedColormap(matplotlib.colormaps["YlGnBu"](np.linspace(0.02, 0.62, 256)))


def heat(axis: Axes, theory: Theory, index: int) -> Any:
    """The gap as a cell a (d_l, rank)."""
    axis.set_facecolor(NONE)
    axis.grid(False)
    scale: Any = {"cmap": shades(), "vmin": 0, "vmax": theory.d + 0.5}
    return axis.pcolormesh(theory.widths, theory.ranks, theory.gap[index], **scale)


def stripes(axis: Axes, theory: Theory, mult: np.ndarray, slope: tuple[int, int], colour: str) -> None:
    """A stroke across each cell in which this theory's pole is a double one."""
    places = [(theory.widths[x], theory.ranks[y]) for y, x in np.argwhere(mult == 2)]
    half = 0.28 * np.array(slope)
    strokes = [(place - half, place + half) for place in np.array(places)]
    axis.add_collection(LineCollection(strokes, color=colour, lw=1.2))


def lines(axis: Axes, theory: Theory, alpha: int) -> None:
    """Where each theory changes its phase: d_l = rank, d_l = sum of the widths - rank."""
    low = theory.ranks[0] - 0.5
    for size, shift, colour, dashes in ((theory.d, 0, MATRIX, "-"), (theory.d + 1, alpha, FULL, (0, (5, 2)))):
        rank = np.array([low, size - shift])
        for width in (rank + shift, 2 * size - rank - shift):
            axis.plot(width, rank, color=colour, ls=dashes, lw=1.8)
    axis.set_xlim(theory.widths[0] - 0.5, last(theory) + 0.5)
    axis.set_ylim(low, theory.ranks[-1] + 0.5)


def keys() -> dict[str, Any]:
    """The legend."""
    return {
        r"phases of $\lambda_{\mathrm{matrix}}$": style.key(line="-", color=MATRIX),
        r"phases of $\lambda_{\mathrm{full}}$": style.key(line="--", color=FULL),
        r"$m=2$ of $\lambda_{\mathrm{matrix}}$": Line2D([], [], color=MATRIX, marker=r"$\backslash$", ls=""),
        r"$m=2$ of $\lambda_{\mathrm{full}}$": Line2D([], [], color=FULL, marker="$/$", ls=""),
        "no such matrices": Patch(color=NONE),
    }
