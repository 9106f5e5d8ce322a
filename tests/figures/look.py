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
