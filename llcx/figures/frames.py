"""A picture of what llcx.estimate_trajectory returned: the estimate over training, its changes marked, and the loss."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import over_time, style, wording

if TYPE_CHECKING:
    from pandas import DataFrame  # slow to import, and whoever has a frame has it

UP, DOWN = "change, up", "change, down"
MARKS = {UP: "^", DOWN: "v"}
TITLE = r"$\hat\lambda$ over training"


def draw(frame: "DataFrame", path: Path | str, *, title: str = TITLE) -> Path:
    """Write the figure of a frame of llcx.estimate_trajectory or llcx.Online as PNG."""
    return style.save(figure(frame, title), Path(path))


@style.look
def figure(frame: "DataFrame", title: str = TITLE) -> Figure:
    """Estimates with 95 % intervals, a colour a place, hollow where flagged; beside them L at each checkpoint.

    Triangles stand where the change from the checkpoint before is beyond its own interval, hollow where one of the two
    is flagged.
    """
    alive = frame[frame["llc"].notna()]
    notes = [_conditions(frame), _lost(frame)]
    if alive.empty:
        return style.empty(title, "No checkpoint has a number.", notes)
    whole = alive[alive["where"] == alive["where"].iloc[0]]
    picture, axes = style.grid(2 if whole["loss_at"].notna().any() else 1, 2, 0.62)
    for tone, (place, group) in zip(style.CYCLE * 9, alive.groupby("where", sort=False), strict=False):
        _estimates(axes[0], group, tone, wording.plain(str(place)))
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.08 * (high - low), high)
    marked = whole[whole["changed"].astype(bool)]
    for label in MARKS:
        _changes(axes[0], whole, marked[(marked["change"] > 0) == (label == UP)], label)
    axes[0].set_title(r"estimate $\hat\lambda$, 95 % interval")
    if len(axes) > 1:
        axes[1].plot(whole["step"], whole["loss_at"], color=style.INK, lw=1.4, marker="o", ms=3.5)
        over_time.logarithmic(axes[1], whole["loss_at"].to_numpy(dtype=float))
        axes[1].set_title("loss $L(w^*)$, nats an example")
    for axis in axes:
        axis.set_xlabel("step")
        if float(alive["step"].min()) >= 0:
            over_time.stretch(axis, alive["step"].tolist())
    return style.finish(picture, title, notes, style.entries(axes[:1]))


def _estimates(axis: Axes, group: "DataFrame", tone: str, label: str) -> None:
    axis.plot(group["step"], group["llc"], color=tone, lw=0.9, alpha=0.6)
    axis.vlines(group["step"], group["low"], group["high"], color=tone, lw=1.4)
    for hollow, those in group.groupby(~group["healthy"].astype(bool)):
        points = list(zip(those["step"].astype(float), those["llc"], strict=True))
        style.dots(axis, points, tone, hollow=bool(hollow), label=label + (", flagged" if hollow else ""))


def _changes(axis: Axes, whole: "DataFrame", those: "DataFrame", label: str) -> None:
    """Triangles at the lower edge, of the whole alone."""
    before = {later: bool(first) for (_, first), (later, _) in pairwise(whole["healthy"].items())}
    edge = axis.get_ylim()[0]
    for hollow in (False, True):
        sound = [bool(row["healthy"]) and before.get(index, True) for index, row in those.iterrows()]
        steps = [step for step, fine in zip(those["step"], sound, strict=True) if fine != hollow]
        if steps:
            points = [(float(step), edge) for step in steps]
            named = label + (", one of the two flagged" if hollow else "")
            style.dots(axis, points, style.ALERT, MARKS[label], hollow=hollow, label=named, clip_on=False)


def _conditions(frame: "DataFrame") -> str:
    """What the estimates are of."""
    alive = frame[frame["llc"].notna()]
    if alive.empty:
        return ""
    told = [f"target {', '.join(dict.fromkeys(alive['target']))}"]
    for name, column in {"n\u03b2": "nbeta", "\u03b3": "gamma", "n": "n", "chains": "chains"}.items():
        values = np.unique(alive[column].to_numpy(dtype=float))
        told.append(f"{name} {' to '.join(wording.number(value) for value in _ends(values))}")
    return f"Each number: {', '.join(told)}."


def _ends(values: np.ndarray) -> list[float]:
    return [float(values[0])] if len(values) < 2 else [float(values[0]), float(values[-1])]


def _lost(frame: "DataFrame") -> str:
    lost: Any = frame[frame["llc"].isna()]
    told = [f"{row['checkpoint']} ({row['flags']})" for _, row in lost.iterrows()]
    return f"Without a number: {wording.plain('; '.join(told), 300)}" if told else ""
