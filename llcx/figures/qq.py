"""llc_qq.png: quantiles of n*beta*K against those of Gamma(mean, 1).

A regular model's n*beta*K is exactly Gamma(lambda, 1) distributed, a singular one's nearly: a curve off the diagonal
tells of chains that are too hot, unconverged, or not at a minimum.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import gammaincinv

from llcx.artifacts import RunFolder
from llcx.figures import panels, rows, style, wording
from llcx.figures.rows import Row

TITLE = "Quantiles of n\u03b2K against Gamma(mean, 1)"
PALE = "#9db8cc"
KEYS = {
    "all chains": style.key("o"),
    "a chain": style.key(line="-", color=PALE),
    "Gamma(mean, 1)": style.key(line="--"),
}
LEVELS = (np.arange(100) + 0.5) / 100


@style.look
def figure(folder: RunFolder) -> Figure:
    """A panel a measurement, at most twelve: where there are more, flagged and worst first."""
    every = rows.read(folder)
    shown, notes = panels.choose(every)
    if not shown:
        return style.empty(TITLE, "No measurement has a number yet.", notes)
    picture, axes = style.grid(len(shown), 4, 0.95, lone=6.0)
    for axis, row in zip(axes, shown, strict=True):
        draws = panels.saved(folder, row, axis)
        if draws:
            panel(axis, row, draws["energy"])
    mixing = [rf"$\hat R$ {wording.three(row.rhat)},  ESS {wording.three(row.ess)}" for row in shown]
    panels.titles(axes, shown, every, mixing, 38)
    style.outer_labels(axes, "quantile of Gamma(mean, 1)", r"quantile of $n\beta K$   [nats]")
    return style.finish(picture, TITLE, notes, KEYS)


def panel(axis: Axes, row: Row, energy: np.ndarray) -> None:
    """All chains together as dots, each chain as a line, for energies [C, T]."""
    mean = float(energy.mean())
    if not mean > 0:
        return panels.blank(axis, "the mean is not positive:\nthere is no such Gamma law")
    law = gammaincinv(mean, LEVELS)
    axis.plot(law, np.quantile(energy, LEVELS, axis=1), color=PALE, lw=0.6)
    pooled = np.quantile(energy, LEVELS)
    face = style.colour(row.sampler) if row.healthy else "none"
    axis.plot([law[0], law[-1]], [law[0], law[-1]], color=style.INK, lw=1.0, ls=(0, (4, 2)))
    axis.plot(law, pooled, ls="", marker="o", ms=3, mfc=face, mec=style.colour(row.sampler), mew=0.6)
