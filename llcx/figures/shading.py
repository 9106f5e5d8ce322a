"""Markers coloured by log10 parameters, and the colour bar that tells them."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure

from llcx.figures import scatter, style
from llcx.figures.rows import Row


def shades() -> Colormap:
    """Magma without its palest end, which a white page swallows."""
    return ListedColormap(matplotlib.colormaps["magma"](np.linspace(0.0, 0.88, 256)))


def norm(rows: Sequence[Row]) -> Normalize:
    """Range of log10 parameters, never empty."""
    logs = np.log10([row.parameters for row in rows if row.parameters > 0] or [1.0])
    low, high = float(logs.min()), float(logs.max())
    return Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)


def paint(axis: Axes, group: Sequence[Row], hollow: bool, norm: Normalize, marker: str = "o", size: float = 46) -> None:
    """Markers at (known, estimate) with a white edge; hollow ones have their colour on the edge."""
    colours = shades()(norm(np.log10([row.parameters for row in group])))
    style.dots(axis, scatter.places(group), colours, marker, hollow=hollow, label=scatter.kind(hollow), s=size)


def bar(figure: Figure, axes: Sequence[Axes], norm: Normalize) -> None:
    """The colour bar, right of all panels."""
    scale = ScalarMappable(norm, shades())
    figure.colorbar(scale, ax=axes, label=r"$\log_{10}$ parameters", shrink=0.8, aspect=30, pad=0.015)
