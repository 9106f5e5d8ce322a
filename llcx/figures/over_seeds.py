"""Trainings that differ in their seed alone as one curve: the mean over seeds, in a band from least to greatest."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from llcx.figures import over_time
from llcx.figures.trajectories import Trajectory

Curve = tuple[np.ndarray, np.ndarray]  # times, values [K]


class Group(NamedTuple):
    """What the seeds of one shape have in common."""

    name: str
    colour: str
    shift: float  # whole steps up or down, 0 in the middle of all groups
    members: list[Trajectory]


def groups(members: Sequence[Trajectory]) -> list[Group]:
    """By everything but the seed, in ascending order; named by what differs."""
    keys = sorted({member.key._replace(seed=0) for member in members})
    differ = [field for field in keys[0]._fields if len({getattr(key, field) for key in keys}) > 1] or ["d_l"]
    found = []
    for place, (key, colour) in enumerate(zip(keys, over_time.hues(len(keys)), strict=True)):
        name = ", ".join(f"{field} = {getattr(key, field)}" for field in differ).replace("d_l", "$d_l$")
        same = [member for member in members if member.key._replace(seed=0) == key]
        found.append(Group(name, colour, place - (len(keys) - 1) / 2, same))
    return found


def curves(
    axis: Axes, every: Sequence[Group], of: Callable[[Trajectory], Curve], *, apart: float = 0.0, dashes: Any = "-"
) -> np.ndarray:
    """A curve a group, those of whole numbers moved `apart`; returns all values drawn."""
    drawn = [np.empty(0)]
    for group in every:
        times, values = pooled([of(member) for member in group.members])
        if len(times) == 0:
            continue
        mean = np.nanmean(values, 0) + apart * group.shift
        axis.plot(times, mean, color=group.colour, lw=1.6, ls=dashes)
        if len(group.members) > 1:
            low, high = np.nanmin(values, 0) + apart * group.shift, np.nanmax(values, 0) + apart * group.shift
            axis.fill_between(times, low, high, color=group.colour, alpha=0.18, lw=0)
        drawn.append(values.ravel())
    return np.concatenate(drawn)


def pooled(found: Sequence[Curve]) -> Curve:
    """Times at which any curve has a value, and the values [curves, times], nan where one has none."""
    at = [dict(zip(times.tolist(), values.tolist(), strict=True)) for times, values in found]
    times = sorted({time for curve in at for time, value in curve.items() if np.isfinite(value)})
    return np.array(times), np.array([[curve.get(time, np.nan) for time in times] for curve in at])
