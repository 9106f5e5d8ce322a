"""Tables of numbers below the panels of a figure."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from llcx.figures import style


def draw(axis: Axes, heads: Sequence[str], cells: Sequence[Sequence[str]], names: int, *, head: float = 1.0) -> None:
    """Fill the axis with a table whose first `names` columns stand left, as text, and the others right.

    The line of heads is `head` times as high as the others.
    """
    axis.set_axis_off()
    drawn = axis.table(
        [list(line) for line in cells], colLabels=list(heads), cellLoc="right", bbox=Bbox.unit(), edges="horizontal"
    )
    drawn.auto_set_font_size(False)
    for (line, column), box in drawn.get_celld().items():
        box.set_height(head if line == 0 else 1.0)
        box.set_edgecolor(style.RULE)
        colour, side = style.MUTED if line == 0 else style.INK, "left" if column < names else "right"
        box.set_text_props(fontsize=8, color=colour, ha=side)


def absent(axis: Axes, why: str) -> None:
    """What stands in the place of a table that is not there."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, why, ha="center", va="center", color=style.MUTED)
