"""mcl_sheet.png: rows of every split: the grid, what its program makes of it, what machines do, and the difference."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from llcx.figures import mcl_panels, mcl_study, style
from llcx.figures.mcl_study import SPLITS, Arm, Arrays, Study

MOST = 8  # rows of a split
ACROSS = 2  # splits side by side
STEP = 1 + mcl_panels.GAP  # from one grid to the next, in sides of one
NAME, HEAD = 2.1, 0.4  # left of a block and above it, in sides of a grid
PALE, WRONG = "#E9ECEF", style.ALERT  # cells that are right, and wrong


class Line(NamedTuple):
    """A line of grids in a block."""

    label: str
    colour: str
    images: list[np.ndarray]  # RGB


@style.look
def figure(study: Study) -> Figure | None:
    """A block a split, of one seed and at most two arms; None without analysis/sheets.npz."""
    arrays = study.arrays("sheets")
    shown = chosen(study, arrays)
    if not shown:
        return None
    splits = [split for split in SPLITS if f"{shown[0][1]}/{split}/input" in arrays]
    unit = (style.WIDTH / ACROSS - 0.15) / (NAME + MOST * STEP)  # inches of a grid's side
    high = unit * ((2 + 2 * len(shown)) * STEP + HEAD)
    down = -(-len(splits) // ACROSS)
    picture = Figure(figsize=(style.WIDTH, down * (high + 0.35) + 1.0), layout="constrained")
    axes = picture.subplots(down, ACROSS, squeeze=False)
    for axis, split in zip(axes.flat, splits, strict=False):
        block(axis, arrays, shown, split)
    for axis in axes.flat[len(splits) :]:
        axis.remove()
    return style.finish(picture, "Mutual concepts: inputs, targets and predictions", notes(study, shown))


def chosen(study: Study, arrays: Arrays) -> list[tuple[Arm, str]]:
    """The arm that claims and the one that it is compared with, each with a training that has sheets, of one seed."""
    found: dict[str, list[tuple[Arm, str]]] = {}
    for arm in dict.fromkeys([study.control, study.treated] if study.arms else []):
        for cells in mcl_study.where(study.trainings, arm=arm.name):
            if any(key.startswith(f"{cells['training']}/") for key in arrays):
                found.setdefault(cells["seed"], []).append((arm, cells["training"]))
    return max(found.values(), key=len, default=[])


def block(axis: Axes, arrays: Arrays, shown: Sequence[tuple[Arm, str]], split: str) -> None:
    """Examples side by side, each with its lines below one another."""
    first = shown[0][1]
    told = {key: arrays[f"{first}/{split}/{key}"][:MOST] for key in ("input", "target", "composition")}
    table = mcl_panels.palette(
        int(max(arrays[f"{t}/{split}/{key}"].max() for _, t in shown for key in ("input", "target", "predicted"))) + 1
    )
    lines = [Line(key, style.INK, list(table[told[key].astype(int)])) for key in ("input", "target")]
    for arm, training in shown:
        made = arrays[f"{training}/{split}/predicted"][:MOST]
        lines += [Line(arm.short, arm.colour, list(table[made.astype(int)]))]
        lines += [Line("wrong cells", style.MUTED, list(differences(made, told["target"])))]
    for place, line in enumerate(lines):
        bottom = (len(lines) - 1 - place) * STEP
        for number, image in enumerate(line.images):
            mcl_panels.picture(axis, image, number * STEP, bottom)
        axis.text(-0.15, bottom + 0.5, line.label, ha="right", va="center", color=line.colour, fontsize=8)
    for number, name in enumerate(told["composition"]):
        look: Any = {"fontsize": 7, "color": style.MUTED, "va": "bottom"}
        axis.text(number * STEP, len(lines) * STEP - 0.03, mcl_panels.code(str(name)), **look)
    axis.set(xlim=(-NAME, MOST * STEP), ylim=(-0.05, len(lines) * STEP + HEAD - 0.05), aspect="equal")
    axis.set_axis_off()
    axis.set_title(f"{split}: {right(arrays, shown, split)}", loc="left")


def differences(made: np.ndarray, target: np.ndarray) -> np.ndarray:
    """RGB [n, 8, 8, 3] of which cells are wrong."""
    return np.where((made != target)[..., None], to_rgb(WRONG), to_rgb(PALE))


def right(arrays: Arrays, shown: Sequence[tuple[Arm, str]], split: str) -> str:
    """How many of the grids that are drawn each arm has all right."""
    told, count = [], 0
    for arm, training in shown:
        made, target = (arrays[f"{training}/{split}/{key}"][:MOST] for key in ("predicted", "target"))
        count = len(made)
        told.append(f"{arm.kind} {int((made == target).all((1, 2)).sum())}")
    return f"all right {', '.join(told)} of {count}"


def notes(study: Study, shown: Sequence[tuple[Arm, str]]) -> list[str]:
    told = "The first rows of each split, of one seed. " if study.seeds > 1 else "The first rows of each split. "
    others = [arm.short for arm in study.arms if all(arm != each for each, _ in shown)]
    hidden = f"Not drawn: {', '.join(others)} (sheets.npz). " if others else ""
    return [mcl_study.conditions(study), told + hidden + mcl_panels.letters()]
