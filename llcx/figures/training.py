"""training.png: the curves of metrics.csv, a panel a quantity."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import style, wording

DASHES = {"train": "-", "test": (0, (4, 2)), "val": (0, (1, 1))}
MOST = 12  # panels
NATS = ("loss", "nll")  # every loss of llcx is in nats
NAMED = 8  # trainings that get a colour and a line in the legend each


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """A panel a metric, a line a (training, split); None where nothing was trained."""
    frame = folder.metrics()
    if frame.empty:
        return None
    every = list(dict.fromkeys(frame["name"]))
    names = every[:MOST]
    trainings = list(dict.fromkeys(frame["training"]))
    picture, axes = style.grid(len(names), 3, 0.62)
    for axis, name in zip(axes, names, strict=True):
        panel(axis, frame[frame["name"] == name], trainings)
        axis.set_title(f"{wording.plain(name)} [nats]" if name in NATS else wording.plain(name))
    style.outer_labels(axes, "training step", "value")
    alike = f"{len(trainings)} trainings, drawn alike." if len(trainings) > NAMED else ""
    more = f"Not drawn: {wording.listing(every[MOST:])}" if every[MOST:] else ""
    return style.finish(picture, "Training curves", [alike, more], style.entries(axes))


def panel(axis: Axes, frame: Any, trainings: list[str]) -> None:
    """The curves of one metric; a logarithmic axis where the values ask for it."""
    few = len(trainings) <= NAMED
    lines: Any = {"lw": 1.3, "alpha": 1.0} if few else {"lw": 0.7, "alpha": 0.6}
    for (training, split), curve in frame.groupby(["training", "split"], sort=False, dropna=False):
        colour = style.CYCLE[trainings.index(training) % len(style.CYCLE)] if few else style.CYCLE[0]
        label = f"{wording.plain(training)}, {split}" if few else str(split)
        axis.plot(curve["step"], curve["value"], color=colour, ls=DASHES.get(split, "-"), label=label, **lines)
    values = frame["value"].to_numpy(float)
    if style.wide(values[np.isfinite(values)]):
        axis.set_yscale("log")
