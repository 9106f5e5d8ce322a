"""full_attn_multi.png: several trainings side by side, a colour a shape, mean and range over seeds.

Above: ranks, the smallest singular value kept, the loss. Below, a line of panels a view: theory, the estimates of each
sampler, and the last estimates against theory.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from llcx.figures import over_seeds, over_time, style, trajectories, wording
from llcx.figures.over_seeds import Curve, Group
from llcx.figures.rows import Row
from llcx.figures.trajectories import Study, Trajectory, time_at

APART = 0.06  # between curves of whole numbers
CEILING = "theory at full rank"
Panel = Callable[[Axes, list[Group]], None]


@style.look
def figure(study: Study) -> Figure | None:
    """All trainings with two checkpoints; None where there are fewer than two of them."""
    members = [found for found in study.trajectories if len(found.times) > 1]
    if len(members) < 2:
        return None
    groups, samplers = over_seeds.groups(members), list(dict.fromkeys(row.sampler for row in study.alive))
    across = max(3, 2 + len(samplers))
    lines = [tops(across), *(of_view(study, view, samplers) for view in study.views)]
    picture = Figure(figsize=(max(style.WIDTH, 2.9 * across), 2.7 * len(lines) + 1.8), layout="constrained")
    axes = picture.subplots(len(lines), across, squeeze=False)
    for line, panels in zip(axes, lines, strict=True):
        for axis, panel in zip(line, panels, strict=False):
            axis.set_xlabel(study.unit)
            over_time.stretch(axis, members[0].times)
            panel(axis, groups)
        for spare in line[len(panels) :]:
            spare.remove()
    legend = keys(groups, samplers) | style.entries(list(picture.axes))
    return style.finish(picture, "Full attention along several trainings", notes(study, members), legend)


def tops(across: int) -> list[Panel]:
    """What needs no measurement; the ranks of B and U in one panel where there is no room for two."""
    of_u = partial(whole, columns=("rank_U", "directions"), title="rank of U, dotted: directions seen")
    ranks = [partial(whole, columns=("rank_B",), title="rank of B"), of_u]
    both = partial(whole, columns=("rank_B", "rank_U"), title="rank of B, dotted: of U")
    return [*(ranks if across > 3 else [both]), smallest, losses]


def whole(axis: Axes, groups: list[Group], columns: Sequence[str], title: str) -> None:
    """Ranks, a little apart."""
    drawn = [
        over_seeds.curves(axis, groups, partial(Trajectory.column, name=column), apart=APART, dashes=dashes)
        for column, dashes in zip(columns, ("-", ":"), strict=False)
    ]
    values = np.concatenate(drawn)
    if values.size:
        axis.set_ylim(values.min() - 0.6, values.max() + 0.6)
    axis.set_title(title)
    axis.yaxis.set_major_locator(MaxNLocator(6, integer=True))


def smallest(axis: Axes, groups: list[Group]) -> None:
    over_time.logarithmic(axis, over_seeds.curves(axis, groups, partial(Trajectory.column, name="sigma_rank")))
    axis.set_title("smallest singular value of B that counts")


def losses(axis: Axes, groups: list[Group]) -> None:
    over_time.logarithmic(axis, over_seeds.curves(axis, groups, lambda member: member.losses))
    axis.set_title("training loss [nats]")


def of_view(study: Study, view: str, samplers: Sequence[str]) -> list[Panel]:
    """Theory, estimates and the last estimates against theory."""
    found = [row for trajectory in study.trajectories for row in study.of_view(trajectory, view)]
    ends = over_time.frame(found)
    seen = [partial(estimates, study=study, view=view, sampler=sampler, ends=ends) for sampler in samplers]
    return [partial(theory, study=study, view=view, ends=ends), *seen, partial(last, study=study, view=view)]


def theory(axis: Axes, groups: list[Group], study: Study, view: str, ends: tuple[float, float]) -> None:
    """What is expected at each checkpoint."""

    def of(member: Trajectory) -> Curve:
        return curve({time_at(row): over_time.theory_of(row) for row in study.of_view(member, view)})

    over_seeds.curves(axis, groups, of, apart=APART * 0.03 * (ends[1] - ends[0]))
    frame(axis, groups, view, ends)
    axis.set_title(f"theory, view {view}")


def estimates(
    axis: Axes, groups: list[Group], study: Study, view: str, *, sampler: str, ends: tuple[float, float]
) -> None:
    """Estimates of one sampler; a hollow marker where a seed is flagged."""

    def of(member: Trajectory) -> Curve:
        return curve({time_at(row): row.llc for row in study.of_view(member, view) if row.sampler == sampler})

    over_seeds.curves(axis, groups, of)
    for group in groups:
        of_group = [row for member in group.members for row in study.of_view(member, view) if row.sampler == sampler]
        for hollow in (False, True):
            at = [(float(time_at(row)), row.llc) for row in of_group if row.healthy != hollow]
            if at:
                style.dots(axis, at, group.colour, style.marker(sampler), hollow=hollow, s=16, lw=0.8)
    frame(axis, groups, view, ends)
    axis.set_title(rf"$\hat\lambda$, sampler {wording.plain(sampler)}, view {view}")


def curve(found: dict[int, float]) -> Curve:
    return np.array(sorted(found)), np.array([found[time] for time in sorted(found)])


def frame(axis: Axes, groups: Sequence[Group], view: str, ends: tuple[float, float]) -> None:
    """The limits of all panels of a view, and the theory of the whole model at full rank where all groups share it."""
    d = {group.members[0].key.d for group in groups}
    axis.set_ylim(*ends)
    if len(d) == 1 and min(d) > 0 and "where" not in view:
        size = d.pop()
        ceiling = (size + 1) ** 2 / 2 if view == "lsa" else size * (size + 2) / 2
        axis.axhline(ceiling, color=style.INK, lw=1.1, ls=":", zorder=1.5, label=CEILING)


def last(axis: Axes, groups: list[Group], study: Study, view: str) -> None:
    """The last checkpoint's estimates against theory, a marker a sampler."""
    found = [(group, row) for group in groups for member in group.members for row in final(study.of_view(member, view))]
    ends = over_time.frame([row for _, row in found])
    for group, row in found:
        place = over_time.theory_of(row) + 0.012 * (ends[1] - ends[0]) * group.shift
        axis.vlines(place, row.low, row.high, color=group.colour, lw=0.9, alpha=0.6)
        style.dots(axis, [(place, row.llc)], group.colour, style.marker(row.sampler), hollow=not row.healthy, s=30)
    axis.plot(ends, ends, color=style.INK, lw=1, ls=(0, (4, 2)), zorder=1, label="estimate = theory")
    axis.set(xscale="linear", xlim=ends, ylim=ends, xlabel="theory")
    axis.set_title(rf"last $\hat\lambda$ against theory, view {view}")


def final(found: Sequence[Row]) -> list[Row]:
    """Rows of the last checkpoint."""
    return [row for row in found if time_at(row) == max(map(time_at, found))]


def keys(groups: Sequence[Group], samplers: Sequence[str]) -> dict[str, Any]:
    """The legend: groups by colour, what bands and hollow markers say, samplers by marker."""
    found: dict[str, Any] = {group.name: style.key(line="-", color=group.colour) for group in groups}
    if any(len(group.members) > 1 for group in groups):
        found["mean and range over seeds"] = Patch(color=style.MUTED, alpha=0.25)
    found |= {wording.plain(sampler): style.key(style.marker(sampler)) for sampler in samplers}
    return found | {"flagged": style.key("o", hollow=True)}


def notes(study: Study, members: Sequence[Trajectory]) -> list[str]:
    """Conditions of every view, and what is flagged or has no number."""
    seeds = len({member.key.seed for member in members})
    counted = f"{len(members)} trainings, {seeds} seed{'s' * (seeds > 1)}; equal values are drawn a little apart."
    of_views = {view: [row for member in members for row in study.of_view(member, view)] for view in study.views}
    told = ";  ".join(trajectories.conditions(view, found) for view, found in of_views.items())
    outside = sum(map(over_time.outside, of_views.values()))
    beyond = f"Estimates beyond the edge of their panel: {outside}." if outside else ""
    return [counted, beyond, told, trajectories.flagged(study.every), trajectories.failures(study.every)]
