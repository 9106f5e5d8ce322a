"""What panels of task=mcl share: a dot a seed beside the mean, curves over seeds, grids of colours, short names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage

from llcx.figures import over_seeds, style, wording
from llcx.figures.mcl_study import Arm, Curve

LETTERS = {"rot90": "R", "flip": "F", "color_swap": "C", "draw_border": "B", "shift": "S", "fill_component": "L"}
INSIDE: Any = {"loc": "best", "borderaxespad": 0.7}  # a legend in its panel
LETTERS_AN_INCH = 13.5  # of ticks
ROOM = 0.78  # of a place, that is for what stands side by side on it
PAPER = "#F1F2F4"  # the background colour of grids
CELLS = (PAPER, "#0072B2", "#E69F00", "#009E73", *style.OTHERS[1:], "#D55E00", "#CC79A7")
GAP = 0.12  # between grids, in sides of one


def offsets(count: int) -> np.ndarray:
    """Where `count` things stand side by side around a place."""
    return ROOM * ((np.arange(count) + 0.5) / max(count, 1) - 0.5)


def dots(axis: Axes, x: float, values: Iterable[float], colour: str, *, width: float = 0.3, **more: Any) -> None:
    """A dot a seed, and their mean as a line `width` wide where there are two or more."""
    found = np.array([value for value in values if np.isfinite(value)], float)
    if not found.size:
        return
    many = found.size > 2
    at = x + 0.36 * width * np.linspace(-1, 1, found.size) if many else np.full(found.size, x)
    look: Any = {"s": 11, "lw": 0.4} if many else {"s": 22}
    style.dots(axis, list(zip(at.tolist(), found.tolist(), strict=True)), colour, hollow=False, **{**look, **more})
    if found.size > 1:
        axis.hlines(found.mean(), x - width / 2, x + width / 2, color=colour, lw=1.6, zorder=2.6)


def curves(axis: Axes, found: Sequence[Curve], colour: str, *, band: bool = True, **look: Any) -> np.ndarray:
    """The mean over seeds, in a band from least to greatest; returns the values drawn."""
    steps, values = over_seeds.pooled(found)
    if not len(steps):
        return np.empty(0)
    few = {"marker": "o", "ms": 3} if len(steps) < 3 else {}  # a line of one point is none
    axis.plot(steps, np.nanmean(values, 0), color=colour, **{"lw": 1.5, **few, **look})
    if band and len(values) > 1:
        axis.fill_between(steps, np.nanmin(values, 0), np.nanmax(values, 0), color=colour, alpha=0.13, lw=0)
    return values[np.isfinite(values)]


def places(axis: Axes, labels: Sequence[str], *, longest: int = 24) -> None:
    """Names at 0, 1, .. below an axis, slanted where they would touch."""
    slanted = sum(len(label[:longest]) + 2 for label in labels) > LETTERS_AN_INCH * (inches(axis) - 0.6)
    look: Any = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axis.set_xticks(range(len(labels)), [wording.plain(label, longest) for label in labels], **look)
    axis.tick_params(axis="x", length=0)
    axis.set_xlim(-0.55, len(labels) - 0.45)
    axis.grid(False, axis="x")


def inches(axis: Axes) -> float:
    """Width of an axis with what stands around it, before a layout."""
    spec, figure = axis.get_subplotspec(), axis.get_figure(root=True)
    assert figure is not None
    width = float(figure.get_figwidth())
    return width * len(spec.colspan) / spec.get_gridspec().ncols if spec else width


def key(arms: Sequence[Arm]) -> dict[str, Any]:
    """The legend entries of arms."""
    return {arm.label: style.key("o", line="-", color=arm.colour) for arm in arms}


def dashed(ls: Any, colour: str = style.MUTED) -> Any:
    """A legend entry of a dashed line."""
    found = style.key(line="-", color=colour)
    found.set_linestyle(ls)
    return found


def wide(colour: str = style.KNOWN) -> Any:
    """A legend entry of a wide pale line."""
    found = style.key(line="-", color=colour)
    found.set(linewidth=4, alpha=0.35)
    return found


def code(composition: str) -> str:
    """A letter a step, the first applied first: shift+flip is SF."""
    return "".join(LETTERS.get(each, each[:2]) for each in composition.split("+"))


def letters() -> str:
    """What the letters of `code` are."""
    return "Letters: " + ", ".join(f"{letter} {name}" for name, letter in LETTERS.items()) + "; the first comes first."


def palette(colours: int) -> np.ndarray:
    """RGB of each colour of a grid [C, 3]; beyond the named ones greys."""
    named = [to_rgb(each) for each in CELLS[:colours]]
    greys = [(level, level, level) for level in np.linspace(0.2, 0.8, max(colours - len(named), 0))]
    return np.array([*named, *greys])


def strip(axis: Axes, images: Iterable[np.ndarray], left: float = 0.0) -> None:
    """RGB images [8, 8, 3] side by side, a gap apart."""
    for place, image in enumerate(images):
        picture(axis, image, left + place * (1 + GAP))


def picture(axis: Axes, image: np.ndarray, left: float, low: float = 0.0) -> None:
    """One image of side 1, its cells told apart by thin lines."""
    at = np.linspace(0, 1, len(image) + 1)
    lines = [((left, low + each), (left + 1, low + each)) for each in at]
    lines += [((left + each, low), (left + each, low + 1)) for each in at]
    axis.add_collection(LineCollection(lines, colors="white", linewidths=0.35, zorder=3), autolim=False)
    axis.imshow(image, extent=(left, left + 1, low, low + 1), interpolation="nearest", zorder=2)


def bare(axis: Axes, width: float) -> None:
    """An axis of images: nothing but them."""
    axis.set(xlim=(-0.02, width + 0.02), ylim=(-0.03, 1.03), aspect="equal")
    axis.set_axis_off()


def heat(axis: Axes, values: np.ndarray, ends: tuple[float, float], ticks: Mapping[str, Sequence[str]]) -> AxesImage:
    """A heat map of values [rows, columns]; ticks: names of `x` and `y`."""
    image = axis.imshow(values, vmin=ends[0], vmax=ends[1], cmap="viridis", aspect="auto", interpolation="nearest")
    axis.set_xticks(range(len(ticks["x"])), list(ticks["x"]))
    axis.set_yticks(range(len(ticks["y"])), list(ticks["y"]))
    axis.tick_params(length=0)
    axis.grid(False)
    for side in axis.spines.values():
        side.set_visible(False)
    return image
