"""mcl_zero_shot.png: scores on every split without any adaptation, beside what needs no machine."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import mcl_panels, mcl_study, style
from llcx.figures.mcl_study import SPLITS, Cells, Study, number

METRICS = {"iou": "macro IoU", "exact": "exact match [share of grids]", "changed": "accuracy in cells that change"}
REFERENCES = {"copy": (0, (1, 1.2)), "background": (0, (4, 1.6))}
SAID = {"copy": "the input itself", "background": "all background"}
FEW = 5  # arms that leave room for panels side by side


@style.look
def figure(study: Study) -> Figure | None:
    """A panel a metric, a place a split, arms side by side on it; None without analysis/zero_shot.csv."""
    table = study.table("zero_shot")
    if not table:
        return None
    names = [name for name in METRICS if np.isfinite([number(cells, name) for cells in table]).any()]
    few = len(study.arms) <= FEW
    picture, axes = style.grid(len(names), 3 if few else 1, 0.85 if few else 0.26, lone=style.WIDTH)
    splits = [split for split in SPLITS if any(cells["split"] == split for cells in table)]
    for axis, name in zip(axes, names, strict=True):
        panel(axis, study, table, name, splits)
        ceiling(axis, study.table("ceiling"), name, splits)
        axis.set_ylim(bottom=0)
        axis.set_title(METRICS[name])
    return style.finish(picture, "Mutual concepts: zero-shot", notes(study, table), keys(study, table))


def panel(axis: Axes, study: Study, table: Sequence[Cells], name: str, splits: Sequence[str]) -> None:
    shifts = mcl_panels.offsets(len(study.arms))
    for place, split in enumerate(splits):
        of = mcl_study.where(table, split=split)
        for shift, arm in zip(shifts, study.arms, strict=True):
            width = 0.8 * mcl_panels.ROOM / len(shifts)
            mcl_panels.dots(axis, place + shift, mcl_study.by_seed(of, arm, name), arm.colour, width=width)
        for reference, dashes in REFERENCES.items():
            level = [number(cells, f"{reference}_{name}") for cells in of]
            if np.isfinite(level).any():
                mean = np.nanmean(list(mcl_study.means(of, f"{reference}_{name}", "seed").values()))
                axis.hlines(mean, place - 0.46, place + 0.46, color=style.MUTED, lw=1.3, ls=dashes)
    mcl_panels.places(axis, splits)


def ceiling(axis: Axes, table: Sequence[Cells], name: str, splits: Sequence[str]) -> None:
    """Where the program is not shown: between what was found and what cannot be beaten, the mean over seeds."""
    for place, split in enumerate(splits):
        of = mcl_study.where(table, split=split)
        ends = [[number(cells, f"{name}_{end}") for cells in of] for end in ("low", "high")]
        if np.isfinite(ends).any():
            low, high = np.nanmean(ends, 1)
            axis.fill_between([place - 0.46, place + 0.46], low, high, color=style.KNOWN, alpha=0.3, lw=0, zorder=1.5)


def keys(study: Study, table: Sequence[Cells]) -> dict[str, Any]:
    found = mcl_panels.key(study.arms)
    for reference, dashes in REFERENCES.items():
        if any(cells.get(f"{reference}_iou") for cells in table):
            found[SAID[reference]] = mcl_panels.dashed(dashes)
    return found | ({"the best that can be scored": mcl_panels.wide()} if study.table("ceiling") else {})


def notes(study: Study, table: Sequence[Cells]) -> list[str]:
    counts = [
        f"{split} {len({cells['composition'] for cells in of})}"
        for split in SPLITS
        if (of := [cells for cells in table if cells["split"] == split and cells["seed"] == table[0]["seed"]])
    ]
    told = f"Means over compositions ({', '.join(counts)}), none of them trained but for val_id. "
    told += "A dot a seed, a line their mean. " if study.seeds > 1 else ""
    lacking = "What leaves all background has no exact match."
    return [mcl_study.conditions(study), told + lacking]
