"""The two theories of linear self-attention on a grid of (rank M, alpha, d_l), and lsa_gap.png, which compares them."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from llcx.artifacts import RunFolder
from llcx.figures import rows, style

COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")  # of alpha
WIDTHS = (4.5, 2.8, 1.4, 1.0, 0.8)  # of their lines, so that equal curves are all seen
FIRST, SECOND, BETWEEN = "#8E44AD", "#117A8B", "#F6D55C"
GAP = r"$\lambda_{\mathrm{full}}-\lambda_{\mathrm{matrix}}$"

NOTE = (
    "\u03bb_matrix is the learning coefficient of widths [d, d_l, d] at rank r = rank M, \u03bb_full that of widths "
    "[d+1, d_l, d+1] at rank B = r + \u03b1."
)


class Theory(NamedTuple):
    """analysis/gap.csv as arrays [alpha, rank, d_l], nan where no matrix of these ranks exists."""

    d: int
    alphas: list[int]
    ranks: list[int]
    widths: list[int]  # d_l
    gap: np.ndarray
    mult_matrix: np.ndarray
    mult_full: np.ndarray


def read(folder: RunFolder) -> Theory | None:
    """The table of the smallest d; None where there is none."""
    try:
        lines = [line for line in folder.analysis("gap") if line.get("d")]
    except FileNotFoundError:
        return None
    if not lines:
        return None
    d = min(int(line["d"]) for line in lines)
    lines = [line for line in lines if int(line["d"]) == d]
    alphas, ranks, widths = (sorted({int(line[key]) for line in lines}) for key in ("alpha", "rank", "d_l"))
    cells = np.full((3, len(alphas), len(ranks), len(widths)), np.nan)
    for line in lines:
        place = alphas.index(int(line["alpha"])), ranks.index(int(line["rank"])), widths.index(int(line["d_l"]))
        cells[:, *place] = [rows.number(line.get(key, "")) for key in ("gap", "mult_matrix", "mult_full")]
    return Theory(d, alphas, ranks, widths, *cells)


@style.look
def gap(folder: RunFolder) -> Figure | None:
    """The difference of the two theories against d_l, a panel a rank of M, a line an alpha; None without the table."""
    theory = read(folder)
    if theory is None:
        return None
    ranks = ranks_of(folder, theory)
    picture = Figure(figsize=(style.WIDTH, 2.0 * len(ranks) + 2.0), layout="constrained")
    axes = list(picture.subplots(len(ranks), 1, squeeze=False, sharex=True, sharey=True).flat)
    for axis, rank in zip(axes, ranks, strict=True):
        panel(axis, theory, rank)
    axes[-1].set_xlabel(r"$d_l$, the width of $W_Q$ and $W_K$")
    axes[-1].set_xlim(theory.widths[0] - 0.5, theory.widths[-1] + 0.5)
    axes[-1].set_ylim(0, 1.22 * (theory.d + 0.5))
    axes[-1].yaxis.set_major_locator(MaxNLocator(5, integer=True))
    name_phases(axes[0], theory, ranks[0])
    title = f"Linear self-attention, d = {theory.d}: how far the two theories lie apart"
    return style.finish(picture, title, [NOTE, "A curve begins where matrices of these ranks exist."], keys(theory))


def ranks_of(folder: RunFolder, theory: Theory) -> list[int]:
    """The ranks of M that the configuration names, as far as the table has them; else four of the table's."""
    asked = folder.config.get("task", {}).get("theory", {}).get("ranks") or []
    return [rank for rank in asked if rank in theory.ranks] or theory.ranks[1 :: max(1, len(theory.ranks) // 4)]


def panel(axis: Axes, theory: Theory, rank: int) -> None:
    """One rank: curves, the phases of the d x d theory, and from where on each alpha is possible."""
    first, second = rank, 2 * theory.d - rank
    axis.axvspan(first, second, color=BETWEEN, alpha=0.35, lw=0, zorder=0)
    axis.axvline(first, color=FIRST, ls="-.", lw=1.3)
    axis.axvline(second, color=SECOND, ls="-.", lw=1.3)
    axis.axhline(theory.d + 0.5, color=style.MUTED, lw=0.9, ls=(0, (4, 2)))
    for index, alpha in enumerate(theory.alphas):
        colour, width = COLOURS[index % len(COLOURS)], WIDTHS[index % len(WIDTHS)]
        values = theory.gap[index, theory.ranks.index(rank)]
        axis.plot(theory.widths, values, color=colour, lw=width, solid_capstyle="butt")
        axis.axvline(rank + alpha, ymax=0.3, color=colour, ls=":", lw=1.6)
    axis.set_title(f"rank M = {rank}")
    axis.set_ylabel(GAP)


def name_phases(axis: Axes, theory: Theory, rank: int) -> None:
    """Words where there is room for them."""
    place: Any = {"va": "bottom", "fontsize": 8, "color": style.MUTED}
    saturated = (2 * theory.d - rank + theory.widths[-1]) / 2
    axis.text(theory.d, 0.3, "transition", ha="center", **place)
    axis.text(saturated, 0.3, "saturated", ha="center", **place)
    axis.text(theory.widths[-1], theory.d + 0.8, r"$d+\frac{1}{2}$", ha="right", **place)


def keys(theory: Theory) -> dict[str, Any]:
    """The legend: curves, then lines, then the span."""
    curves = {
        rf"$\alpha$ = {alpha}": Line2D([], [], color=COLOURS[i % len(COLOURS)], lw=WIDTHS[i % len(WIDTHS)])
        for i, alpha in enumerate(theory.alphas)
    }
    return curves | {
        r"$d_l=r$": style.key(line="-.", color=FIRST),
        r"$d_l=2d-r$": style.key(line="-.", color=SECOND),
        r"transition of $\lambda_{\mathrm{matrix}}$": Patch(color=BETWEEN, alpha=0.35),
        r"$d_l=r+\alpha$, the least possible": style.key(line=":"),
    }
