"""mcl_geometry.png: how alike tasks are inside, layer by layer: CKA, and distances of their leading subspaces.

The sharing loss acts on h, and what it makes of h proves nothing: that layer is shaded.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import mcl_panels, mcl_study, style, wording
from llcx.figures.mcl_study import Arm, Arrays, Cells, Study

MOST = 6  # arms with a heat map
SPLITS = {"unseen": "compositions never trained", "train": "trained pairs"}
FLOOR: Any = (0, (1, 1.3))
HEAT = 2.0  # inches of a heat map's height
LINE = 2.5  # of a panel


@style.look
def figure(study: Study) -> Figure | None:
    """Heat maps an arm above, panels a split below; None without analysis/geometry.csv."""
    table, arrays = study.table("geometry"), study.arrays("cka")
    if not table:
        return None
    maps = [(arm, told) for arm in study.arms if (told := heads(study, arm, arrays))][:MOST]
    splits = [split for split in SPLITS if any(cells["split"] == split for cells in table)]
    high = HEAT * bool(maps) + 2 * LINE + 1.5
    picture = Figure(figsize=(style.WIDTH, high), layout="constrained")
    across = max(len(maps), 1) * len(splits)
    grid = picture.add_gridspec(3, across, height_ratios=[HEAT if maps else 0.01, LINE, LINE])
    upper = [
        picture.add_subplot(grid[0, slice(place * len(splits), (place + 1) * len(splits))])
        for place in range(len(maps))
    ]
    for axis, (arm, head) in zip(upper, maps, strict=True):
        image = tasks(axis, arm, arrays, head, layers_of(table))
        axis.tick_params(labelleft=axis is upper[0])
    if upper:
        picture.colorbar(image, ax=upper, label="CKA with the others", fraction=0.03, pad=0.01)
    for place, split in enumerate(splits):
        columns = slice(place * across // len(splits), (place + 1) * across // len(splits))
        for line, draw in ((1, alike), (2, apart)):
            axis = picture.add_subplot(grid[line, columns])
            draw(axis, study, mcl_study.where(table, split=split))
            axis.set_title(f"{axis.get_title('left')}, {SPLITS[split]}")
    title = "Mutual concepts: what tasks have in common inside"
    return style.finish(picture, title, notes(study, maps), keys(study))


def heads(study: Study, arm: Arm, arrays: Arrays) -> str:
    """Of an arm's first training that has arrays of compositions never trained; empty where there is none."""
    told = [f"{training}/unseen" for training in study.of(arm)]
    return next((head for head in told if f"{head}/tasks" in arrays), "")


def layers_of(table: Sequence[Cells]) -> list[str]:
    """Of all arms: some have one more, the code of an autoencoder."""
    return list(dict.fromkeys(cells["layer"] for cells in sorted(table, key=lambda cells: cells["layer"] == "z")))


def tasks(axis: Axes, arm: Arm, arrays: Arrays, head: str, layers: Sequence[str]) -> Any:
    """Of each layer and task, the mean over the other tasks; nothing where an arm has not the layer."""
    names = [mcl_panels.code(str(each)) for each in arrays[f"{head}/compositions"]]
    values = np.full((len(layers), len(names)), np.nan)
    for layer, told in zip(arrays[f"{head}/layers"], arrays[f"{head}/tasks"], strict=True):
        values[layers.index(str(layer))] = told
    image = mcl_panels.heat(axis, values, (0.0, 1.0), {"x": names, "y": layers})
    axis.set_title(wording.plain(arm.short, 24), color=arm.colour)
    crowded = len(names) * (1 + max(map(len, names))) > mcl_panels.LETTERS_AN_INCH * (mcl_panels.inches(axis) - 0.8)
    axis.tick_params(axis="x", labelsize=7, rotation=60 if crowded else 0)
    return image


def alike(axis: Axes, study: Study, table: Sequence[Cells]) -> None:
    """Mean CKA between tasks."""
    against_layers(axis, study, table, "cka")
    axis.set_title("CKA")


def apart(axis: Axes, study: Study, table: Sequence[Cells]) -> None:
    """Mean distance beyond the floor, and the floor."""
    against_layers(axis, study, table, "floor", dotted=True)
    against_layers(axis, study, table, "grassmann")
    axis.axhline(0, color=style.INK, lw=0.8, zorder=1.5)
    axis.set_title("distance beyond the floor")


def against_layers(axis: Axes, study: Study, table: Sequence[Cells], value: str, *, dotted: bool = False) -> None:
    """A dot a seed and a line through the means."""
    layers = layers_of(table)
    shifts = mcl_panels.offsets(len(study.arms)) * 0.7
    for shift, arm in zip(shifts, study.arms, strict=True):
        found = [mcl_study.by_seed(mcl_study.where(table, layer=layer), arm, value) for layer in layers]
        at = [place + shift for place, values in enumerate(found) if len(values)]
        mean = [values.mean() for values in found if len(values)]
        axis.plot(at, mean, color=arm.colour, lw=1.0, ls=FLOOR if dotted else "-", alpha=0.9)
        for place, values in enumerate(found if not dotted else []):
            mcl_panels.dots(axis, place + shift, values, arm.colour, width=0.7 / len(shifts))
    acted = str(study.setting("verdicts", "hidden", "h"))
    if acted in layers and not dotted:
        axis.axvspan(layers.index(acted) - 0.5, layers.index(acted) + 0.5, color=style.RULE, alpha=0.5, lw=0, zorder=0)
    mcl_panels.places(axis, layers)


def keys(study: Study) -> dict[str, Any]:
    found = mcl_panels.key(study.arms)
    return found | {"distance of halves of one task (noise floor)": mcl_panels.dashed(FLOOR)}


def notes(study: Study, maps: Sequence[tuple[Arm, str]]) -> list[str]:
    layers = str(study.setting("verdicts", "layers", "enc"))
    told = "The same grids under one program of each composition. CKA is debiased. Distances are of the "
    told += f"{study.setting('share', 'k', '?')} leading directions of each task, relative to random subspaces (1). "
    told += f"Shaded: the layer that the sharing loss acts on; verdicts look at {layers}*."
    first = f" Heat maps: the first seed. {mcl_panels.letters()}" if maps else ""
    hidden = len(study.arms) - len(maps)
    more = f" {hidden} arms have no heat map." if maps and hidden > 0 else ""
    return [mcl_study.conditions(study), told + first + more]
