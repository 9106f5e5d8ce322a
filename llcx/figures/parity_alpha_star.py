"""parity_alpha_star.png: the output scale at which the kernel changes by a given share, against the width.

Expected is alpha* ~ h^(-1/2) for networks f / sqrt h, and no change with the width for f / h (Geiger et al. 2020,
arXiv:1906.08034).
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import parity_study, style
from llcx.figures.parity_study import COLOURS, Cells, Study, number

SLOPES = {"ntk": -0.5, "mf": 0.0}
SAID = {"ntk": "slope \u22121/2", "mf": "slope 0"}
PANELS = {
    "alpha_star": r"output scale $\alpha^*$ between features and lazy",
    "alpha_star_reduced": r"reduced output scale $\alpha^*\sqrt{h}$",
}


@style.look
def figure(study: Study) -> Figure | None:
    """Of two widths or more; None without analysis/alpha_star.csv."""
    table = [cells for cells in study.table("alpha_star") if number(cells, "alpha_star") > 0]
    if len({number(cells, "h") for cells in table}) < 2:
        return None
    scale = study.setting("model", "out_scale", "mf")
    slope = SLOPES[scale]
    names = list(PANELS) if scale == "ntk" else ["alpha_star"]
    picture, axes = style.grid(len(names), 2, 0.68)
    for axis, name in zip(axes, names, strict=True):
        panel(axis, table, name, slope if name == "alpha_star" else slope + 0.5)
    seeds = sorted({cells["seeds"] for cells in table if cells.get("seeds")})
    over = f" Means over {' or '.join(seeds)} seeds; bars: where the bisection ended." if seeds else ""
    notes = [parity_study.conditions(study), threshold(table) + over]
    legend = {SAID[scale] + ", and 0 where reduced" * (scale == "ntk"): style.key(line="-", color=style.KNOWN)}
    return style.finish(picture, "Sparse parity: where training turns lazy", notes, legend)


def panel(axis: Axes, table: Sequence[Cells], name: str, slope: float) -> None:
    """Values with intervals, and the expected slope through the largest width."""
    ordered = sorted(table, key=lambda cells: number(cells, "h"))
    h, values = (np.array([number(cells, key) for cells in ordered]) for key in ("h", name))
    share = values / np.array([number(cells, "alpha_star") for cells in ordered])
    ends = [np.array([number(cells, key) for cells in ordered]) * share for key in ("low", "high")]
    axis.plot(h, values, color=COLOURS[0], lw=1.4)
    axis.vlines(h, *ends, color=COLOURS[0], lw=1.6)
    style.dots(axis, list(zip(h.tolist(), values.tolist(), strict=True)), COLOURS[0], hollow=False)
    axis.plot(h, values[-1] * (h / h[-1]) ** slope, color=style.KNOWN, lw=1.1, zorder=1.5)
    axis.set(xscale="log", yscale="log", xlabel="width $h$")
    low, high = axis.get_ylim()
    middle, least = (low * high) ** 0.5, 2.5  # never so near that noise looks like a slope
    axis.set_ylim(min(low, middle / least), max(high, middle * least))
    for each, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
        style.plain_log(each, limits)
    axis.set_title(PANELS[name])


def threshold(table: Sequence[Cells]) -> str:
    """How much change is meant."""
    found = " or ".join(dict.fromkeys(cells["change"] for cells in table if cells.get("change")))
    share = f"log {found}" if found else "that of a given share"
    return f"\u03b1*: where the mean of log |\u0394\u0398| / |\u03980| at the end of training is {share}."
