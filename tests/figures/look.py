"""What a figure shows, read back from it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure


def notes(figure: Figure) -> str:
    """The footnote, its line breaks undone."""
    return figure.texts[1].get_text().replace("\n", " ")


def dots(axis: Axes, label: str | None = None) -> list[tuple[float, float]]:
    """Places of the markers of an axis, those with `label` alone where it is given."""
    found = [c for c in axis.collections if isinstance(c, PathCollection) and label in (None, c.get_label())]
    return [(float(x), float(y)) for collection in found for x, y in np.asarray(collection.get_offsets())]


def hollow(axis: Axes) -> int:
    """How many markers are white inside a coloured edge."""
    count = 0
    for collection in (c for c in axis.collections if isinstance(c, PathCollection)):
        faces, edges = collection.get_facecolors(), collection.get_edgecolors()  # type: ignore[attr-defined]
        if len(faces) and to_hex(faces[0]) == "#ffffff" and to_hex(edges[0]) != "#ffffff":
            count += len(np.asarray(collection.get_offsets()))
    return count


def apart(figure: Figure) -> bool:
    """Whether no panel reaches into another, into the title, the legend or the footnote, or out of the figure."""
    figure.draw_without_rendering()
    above, below = figure.legends[0].get_window_extent().y0, figure.texts[1].get_window_extent().y1
    boxes = [box.padded(-1) for panel in figure.axes if (box := panel.get_tightbbox()) is not None]
    inside = [below < box.y0 and box.y1 < above and box.x0 > 0 and box.x1 < figure.bbox.x1 for box in boxes]
    return all(inside) and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
