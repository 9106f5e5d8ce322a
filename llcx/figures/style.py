"""The shared look: type, colours, markers, grids of panels, footnotes, and the saving of a picture.

Colours are Okabe and Ito's, told apart by colour-blind readers too; a sampler has one colour and marker everywhere.
Sizes are for a picture shown at 100 CSS pixels an inch: 8 pt is the smallest type.
"""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, ScalarFormatter

from llcx.artifacts.files import replace

INK, MUTED, RULE = "#222222", "#5f6368", "#d9dce0"
KNOWN, ALERT = "#009E73", "#A01C2C"  # the known value; what is flagged
SAMPLERS = {
    "auto": "#0072B2",
    "sgld": "#D55E00",
    "hmc": "#CC79A7",
    "gibbs": "#3A3A3A",
    "mala": "#5D8A00",
    "mclmc": "#56B4E9",
    "nuts": "#8C564B",
    "rmsprop_sgld": "#E69F00",
    "adam_sgld": "#6B6B00",
    "sghmc": "#7A5195",
    "sgnht": "#A0522D",
}
OTHERS = ("#E69F00", "#56B4E9", "#7A5195", "#6B6B00", "#8C564B")
MARKERS = {
    "auto": "o",
    "sgld": "s",
    "hmc": "D",
    "gibbs": "p",
    "mala": "^",
    "mclmc": "v",
    "nuts": "P",
    "rmsprop_sgld": "X",
    "adam_sgld": "<",
    "sghmc": ">",
    "sgnht": "h",
}
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", *OTHERS)  # things that have no colour of their own
WIDTH = 11.0  # inches of a figure of several panels
MARGIN = 0.12  # inches between text and the edge of a figure
DPI = 150

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
    "legend.columnspacing": 1.6,
    "legend.handlelength": 1.8,
    "legend.handletextpad": 0.6,
    "text.color": INK,
    "figure.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}
NOTE: Any = {"fontsize": 8, "color": MUTED, "linespacing": 1.25}
look = matplotlib.rc_context(RC)  # a decorator of what draws


def colour(sampler: str) -> str:
    """The sampler's own colour; unnamed samplers take one of the others by their name."""
    return SAMPLERS.get(sampler) or OTHERS[sum(sampler.encode()) % len(OTHERS)]


class Tone(NamedTuple):
    """How one series is drawn."""

    colour: str
    marker: str


def tones(series: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Tone]:
    """A tone for each (sampler, where, target): a sampler's first series has its own, the others what is left."""
    found: dict[tuple[str, str, str], Tone] = {}
    for key in series:
        first = all(key[0] != other[0] for other in found)
        used = {tone.colour for tone in found.values()}
        spare = next((tone for tone in CYCLE if tone not in used and tone not in SAMPLERS.values()), OTHERS[0])
        found[key] = Tone(colour(key[0]) if first else spare, marker(key[0]) if first else "^")
    return found


def marker(sampler: str) -> str:
    """The sampler's own marker."""
    return MARKERS.get(sampler, "^")


def dots(
    axis: Axes, points: Sequence[tuple[float, float]], colour: Any, marker: str = "o", *, hollow: bool, **more: Any
) -> None:
    """Markers at (x, y): filled with a white edge, or hollow for what is flagged."""
    x, y = zip(*points, strict=True)
    faces, edges = ("white", colour) if hollow else (colour, "white")
    look = {"s": 38, "lw": 1.2, "zorder": 4 if hollow else 3, "facecolors": faces, "edgecolors": edges}
    axis.scatter(x, y, marker=marker, **{**look, **more})


def grid(count: int, most: int, ratio: float, *, lone: float = 8.0, square: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of `count` equal panels, each `ratio` times as high as wide, at most `most` side by side.

    A single panel is `lone` inches wide. `square` panels keep their shape in the layout.
    """
    across = max(1, min(count, most))
    lines = math.ceil(max(count, 1) / across)
    width = lone if across == 1 else WIDTH
    height = lines * ratio * (width / across) + 1.4
    figure = Figure(figsize=(width, height), layout="compressed" if square else "constrained")
    axes = list(figure.subplots(lines, across, squeeze=False).flat)
    for spare in axes[count or 1 :]:
        spare.remove()
    return figure, axes[: count or 1]


def columns(axes: Sequence[Axes]) -> int:
    """How many panels of a grid stand side by side."""
    spec = axes[0].get_subplotspec()
    return spec.get_gridspec().ncols if spec else 1


def outer_labels(axes: Sequence[Axes], x: str, y: str) -> None:
    """Name the axes on the left and lower edge of a grid only."""
    across = columns(axes)
    for index, panel in enumerate(axes):
        if index + across >= len(axes):
            panel.set_xlabel(x)
            panel.tick_params(labelbottom=True)
        if index % across == 0:
            panel.set_ylabel(y)


def wide(values: np.ndarray) -> bool:
    """Whether positive values span more than a linear axis can show."""
    return bool(values.size and values.min() > 0 and values.max() > 20 * values.min())


def plain_log(axis: Axis, ends: tuple[float, float]) -> None:
    """Ticks of a logarithmic axis as plain numbers; at 1, 2 and 5 where it spans few decades."""
    decades = math.log10(ends[1] / ends[0])
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.6 else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e+0", "e")))
    axis.set_minor_formatter(NullFormatter())


class PlainNumbers(ScalarFormatter):
    """Numbers at ticks as text, laid out far faster than as mathematics; the power of ten beside them stays that."""

    def __init__(self) -> None:
        super().__init__(useMathText=False)

    def get_offset(self) -> str:
        self.set_useMathText(True)
        offset = super().get_offset()
        self.set_useMathText(False)
        return offset


def plain_numbers(figure: Figure) -> None:
    """Have the ticks of linear axes as text, where nothing else was asked for."""
    for axis in (each for panel in figure.axes for each in (panel.xaxis, panel.yaxis)):
        if type(axis.get_major_formatter()) is ScalarFormatter:
            axis.set_major_formatter(PlainNumbers())


def key(marker: str = "", *, line: str = "", hollow: bool = False, color: str = INK) -> Line2D:
    """A legend entry that stands for all colours."""
    return Line2D([], [], color=color, ls=line, marker=marker, mfc="white" if hollow else color, ms=6, lw=1.2)


def entries(axes: Sequence[Axes]) -> dict[str, Any]:
    """Legend entries of all panels, each label once."""
    return {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}


def finish(figure: Figure, title: str, notes: Sequence[str], legend: Mapping[str, Any] | None = None) -> Figure:
    """Title and legend above; below, as text and never as mathematics, what is special, flagged or left out."""
    plain_numbers(figure)
    width, height = figure.get_size_inches()
    figure.text(MARGIN / width, 1 - MARGIN / height, title, va="top", fontsize=12, fontweight="bold")
    above = 0.42
    if legend:
        across = legend_columns(list(legend), width)
        place = MARGIN / width, 1 - above / height
        figure.legend(list(legend.values()), list(legend), loc="upper left", bbox_to_anchor=place, ncols=across)
        above += 0.08 + 0.19 * math.ceil(len(legend) / across)
    lines = [line for note in notes if note for line in textwrap.wrap(note, int(width * 15))]
    below = MARGIN + 0.155 * len(lines)
    figure.text(MARGIN / width, MARGIN / height, "\n".join(lines), va="bottom", parse_math=False, **NOTE)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, below / height, 1, 1 - (above + below) / height))  # type: ignore[call-arg]
    return figure


def legend_columns(labels: Sequence[str], width: float) -> int:
    """As many as stand side by side in `width` inches, with room for the longest label of each."""
    wide = [0.45 + 0.068 * len(label) for label in labels]
    for across in range(min(len(labels), int(width / 1.55)), 1, -1):
        if sum(max(column) for column in np.array_split(wide, across)) < width:
            return across
    return 1


def empty(title: str, why: str, notes: Sequence[str]) -> Figure:
    """A picture that says why there is nothing in it."""
    figure, (panel,) = grid(1, 1, 0.3)
    panel.set_axis_off()
    panel.text(0.5, 0.5, why, ha="center", va="center", fontsize=11, color=MUTED, transform=panel.transAxes)
    return finish(figure, title, notes)


@look
def save(figure: Figure, path: Path) -> Path:
    """Write a PNG whole or not at all."""
    content = io.BytesIO()
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(content)  # `savefig` gives the same bytes, and draws twice
    replace(path, content.getvalue())
    return path
