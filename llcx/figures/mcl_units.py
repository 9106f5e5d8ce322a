"""mcl_units.png: the sparse units that go with primitives: when they are active, and in which grids most."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import mcl_panels, mcl_study, style, wording
from llcx.figures.mcl_study import Arm, Arrays, Cells, Study, number

MOST = 5  # arms with a heat map
PAIRS = 7  # grids of a unit
LEVEL = 0.05  # false discovery rate
NAME = 1.75  # inches left of the grids
WIDE = 2 + 3 * mcl_panels.GAP  # of a pair, in sides of a grid
HEAT = 2.15  # inches of a heat map's height


@style.look
def figure(study: Study) -> Figure | None:
    """Heat maps an arm above, grids of one arm below; None where no autoencoder was trained."""
    arrays, table = study.arrays("units"), study.table("sparse")
    told = [(arm, name) for arm in study.arms if (name := first(study, arm, arrays))][:MOST]
    if not told:
        return None
    shown = next((each for each in told if each[0] == study.treated), told[0])
    pictured = f"{shown[1]}/grids" in arrays
    names = list(mcl_panels.LETTERS)
    side = (style.WIDTH - NAME) / (PAIRS * WIDE)
    low = len(names) * (side + 0.26) + 0.2 if pictured else 0.01
    picture = Figure(figsize=(style.WIDTH, HEAT + 0.5 + low + 1.6), layout="constrained")
    grid = picture.add_gridspec(2, 1, height_ratios=[HEAT + 0.5, low])
    above = grid[0].subgridspec(1, len(told) + 1, width_ratios=[*[1] * len(told), max(1.1, 0.4 * len(told))])
    axes = [picture.add_subplot(above[0, place]) for place in range(len(told) + 1)]
    for axis, (arm, training) in zip(axes, told, strict=False):
        image = activation(axis, arrays, training, names)
        axis.set_title(f"{wording.plain(arm.short, 20)}: {found(arm, table)}", color=arm.colour)
        axis.tick_params(labelleft=axis is axes[0])
    axes[0].set_ylabel("the unit of")
    picture.colorbar(image, ax=axes[: len(told)], label="activation / largest", fraction=0.03, pad=0.01)
    areas(axes[-1], study, table, names)
    if pictured:
        lines = grid[1].subgridspec(len(names), 2, width_ratios=[NAME, style.WIDTH - NAME])
        for place, name in enumerate(names):
            spots = [picture.add_subplot(lines[place, column]) for column in (0, 1)]
            about = mcl_study.where(table, training=shown[1], primitive=name)
            line(spots, arrays, shown[1], place, f"unit of {name}", about)
    return style.finish(picture, "Mutual concepts: sparse units and primitives", notes(study, shown[0], pictured))


def first(study: Study, arm: Arm, arrays: Arrays) -> str:
    """An arm's first training with an autoencoder; empty where there is none."""
    return next((each for each in study.of(arm) if f"{each}/activation" in arrays), "")


def activation(axis: Axes, arrays: Arrays, training: str, names: Sequence[str]) -> Any:
    """Of each primitive's unit, the mean over the compositions that hold each primitive, relative to its largest."""
    values = arrays[f"{training}/activation"]
    holds = np.array([[name in str(each).split("+") for each in arrays[f"{training}/compositions"]] for name in names])
    means = values @ holds.T / holds.sum(1).clip(1)
    scaled = means / np.maximum(means.max(1, keepdims=True), 1e-12)
    codes = [mcl_panels.code(name) for name in names]
    image = mcl_panels.heat(
        axis, scaled, (0.0, 1.0), {"x": codes, "y": [f"{c}  {n}" for c, n in zip(codes, names, strict=True)]}
    )
    axis.set_xlabel("compositions that hold")
    return image


def areas(axis: Axes, study: Study, table: Sequence[Cells], names: Sequence[str]) -> None:
    """How well each unit tells its primitive, a dot a seed."""
    coded = [arm for arm in study.arms if any(cells["arm"] == arm.name for cells in table)]
    for shift, arm in zip(mcl_panels.offsets(len(coded)), coded, strict=True):
        for place, name in enumerate(names):
            values = mcl_study.by_seed(mcl_study.where(table, primitive=name), arm, "auroc")
            mcl_panels.dots(axis, place + shift, values, arm.colour, width=0.7 / len(coded))
    axis.axhline(0.5, color=style.MUTED, lw=1.0, ls=(0, (1, 1.3)))
    mcl_panels.places(axis, [mcl_panels.code(name) for name in names])
    axis.set_title("AUROC of each unit (chance 0.5)")


def found(arm: Arm, table: Sequence[Cells]) -> str:
    """How many primitives have a unit, the mean over seeds."""
    share = mcl_study.by_seed(table, arm, "significant")
    return f"{wording.three(len(mcl_panels.LETTERS) * share.mean())} of {len(mcl_panels.LETTERS)}" if len(share) else ""


def line(axes: Sequence[Axes], arrays: Arrays, training: str, place: int, name: str, about: Sequence[Cells]) -> None:
    """A unit: which it is, and the rows in which it is most active, input and target."""
    label, grids = axes
    label.set_axis_off()
    look: Any = {"transform": label.transAxes, "ha": "left"}
    label.text(0.02, 0.52, name, va="bottom", **look)
    if about:
        cells = about[0]
        mark = "" if number(cells, "q") <= LEVEL else ", not significant"
        text = f"z{cells.get('unit', '')}, AUROC {number(cells, 'auroc'):.2f}{mark}"
        label.text(0.02, 0.46, text, va="top", fontsize=8, color=style.MUTED, **look)
    inputs, targets = (arrays[f"{training}/{key}"][place][:PAIRS] for key in ("grids", "targets"))
    colours = int(max(inputs.max(), targets.max())) + 1
    table = mcl_panels.palette(colours)
    codes = [mcl_panels.code(str(each)) for each in arrays[f"{training}/composition"][place][:PAIRS]]
    for each, (one, other) in enumerate(zip(inputs, targets, strict=True)):
        mcl_panels.strip(grids, [table[one.astype(int)], table[other.astype(int)]], each * WIDE)
        grids.text(each * WIDE, 1.06, codes[each], fontsize=7, color=style.MUTED, va="bottom")
    mcl_panels.bare(grids, PAIRS * WIDE)


def notes(study: Study, arm: Arm, pictured: bool) -> list[str]:
    told = "Each primitive has the unit of the sparse code z that is matched to it. "
    told += f"In the titles: primitives whose match holds at a false discovery rate of {LEVEL:g}, mean over seeds. "
    told += "Heat maps: first seed, every line relative to its largest. "
    below = f"Below, of {arm.short}: the rows in which each unit is most active, input and target. " if pictured else ""
    return [mcl_study.conditions(study), told + below + mcl_panels.letters()]
