"""Full attention along its training: ranks, singular values, losses, and estimates beside theory.

full_attn_trajectory.png of the first training, full_attn_multi.png where there are several, full_attn_staircase.png
where there is one.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import full_attn_multi, over_time, rows, staircase, style, trajectories, wording
from llcx.figures.trajectories import Study, Trajectory

RANKS = {
    "rank_B": ("rank B", "#0072B2"),
    "rank_M": ("rank M", "#E69F00"),
    "rank_U": ("rank U", "#CC79A7"),
    "directions": ("directions of U seen by the loss", style.KNOWN),
}
Panel = Callable[[Axes, Trajectory], None]
COLUMNS = {4: 2, 6: 3, 7: 4}  # panels -> how many side by side


def draw(folder: RunFolder) -> list[Path]:
    """Write the figures that this run's trainings give."""
    study = trajectories.read(folder)
    pictures = {
        "full_attn_trajectory.png": first(study),
        "full_attn_multi.png": full_attn_multi.figure(study),
        "full_attn_staircase.png": staircase.figure(study),
    }
    return [style.save(picture, folder.path / name) for name, picture in pictures.items() if picture is not None]


@style.look
def first(study: Study) -> Figure | None:
    """Ranks, loss, estimates of each view and singular values of one training; None without two checkpoints."""
    chosen = next((found for found in study.trajectories if len(found.times) > 1), None)
    if chosen is None:
        return None
    panels = panels_of(study, chosen)
    across = COLUMNS.get(len(panels), 3)
    picture, axes = style.grid(len(panels), across, 0.95 if across == 4 else 0.72)
    for axis, panel in zip(axes, panels, strict=True):
        over_time.stretch(axis, chosen.times)
        axis.set_xlabel(study.unit)
        panel(axis, chosen)
    count = len(study.trajectories)
    told = (f"The first of {count} trainings. " if count > 1 else "") + "Singular values: the darker the larger."
    legend = {name: entry for name, entry in style.entries(axes).items() if not name.startswith(r"$\sigma")}
    title = f"Full attention along its training: {label(chosen)}"
    return style.finish(picture, title, [told, *remarks(study, chosen)], legend)


def panels_of(study: Study, chosen: Trajectory) -> list[Panel]:
    """Four with a single view; with more the singular values of U too."""
    views = [view for view in study.views if study.of_view(chosen, view)]
    seen: list[Panel] = [partial(estimates, study=study, view=view) for view in views]
    of_b: Panel = partial(singular, name="sigma_B")
    of_u: Panel = partial(singular, name="sigma_U")
    if len(views) == 1:
        return [ranks, loss, *seen, of_b]
    return [ranks, loss, of_b, *seen, of_u] if len(views) == 2 else [ranks, loss, of_b, of_u, *seen]


def label(chosen: Trajectory) -> str:
    """Shape and seed."""
    key = chosen.key
    shape = [f"{field} = {value}" for field, value in zip(("d", "d_l"), key[:2], strict=True) if value >= 0]
    return ", ".join([*shape, f"seed {key.seed}"])


def remarks(study: Study, chosen: Trajectory) -> list[str]:
    """Conditions of the rows drawn, and what is flagged or has no number."""
    told = [trajectories.conditions(view, study.of_view(chosen, view)) for view in study.views]
    return [";  ".join(filter(None, told)), wording.flagged(chosen.rows), wording.failures(chosen.rows)]


def ranks(axis: Axes, chosen: Trajectory) -> None:
    """Ranks of B, M and U, a little apart, and how far that of B depends on the tolerance."""
    for place, (column, (named, colour)) in enumerate(RANKS.items()):
        times, values = chosen.column(column)
        if np.isfinite(values).any():
            axis.plot(times, values + 0.07 * (1.5 - place), color=colour, lw=1.8, marker="o", ms=4, label=named)
    tolerance_band(axis, chosen)
    for value, letter, dashes in ((chosen.key.d + 1, "d+1", "--"), (chosen.key.d_l, "d_l", ":")):
        if value > 0:
            axis.axhline(value, color=style.MUTED, lw=1.2, ls=dashes, label=rf"${letter} = {value}$")
    axis.set_ylim(bottom=-0.4)
    axis.set_title("rank")


def tolerance_band(axis: Axes, chosen: Trajectory) -> None:
    """Ranks of B over the middle of the sweep, without its two ends."""
    times = sorted(time for time, lines in chosen.tolerances.items() if len(lines) > 2)
    if not times:
        return
    swept = [sorted(rows.number(line.get("rank_B", "")) for line in chosen.tolerances[time])[1:-1] for time in times]
    ends = [min(found) for found in swept], [max(found) for found in swept]
    axis.fill_between(times, *ends, color="#0072B2", alpha=0.15, lw=0, label="rank B, other tolerances")


def loss(axis: Axes, chosen: Trajectory) -> None:
    over_time.loss(axis, chosen)
    axis.set_title("training loss [nats]")


def estimates(axis: Axes, chosen: Trajectory, study: Study, view: str) -> None:
    over_time.estimates(axis, study.of_view(chosen, view))
    axis.set_title(rf"$\hat\lambda$ with 95 % intervals, view {view}")


def singular(axis: Axes, chosen: Trajectory, name: str) -> None:
    over_time.singular(axis, chosen, name)
    axis.set_title(f"singular values of {name[-1]}")
