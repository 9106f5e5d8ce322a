"""full_attn_staircase.png: loss, singular values of U and estimates of one training, above each other.

The learning coefficient climbs by a step for each direction that U learns,

    lambda(r) = lambda_DLN([d+1, d_l, d], r)    where W_Q and W_K alone are sampled,
                + d/2                           for r >= 1 where everything is.

At r = 0 all of it has the smaller of lambda_DLN([d+1, d_l, d], 0) and lambda_DLN([1, d_l, d+1], 0).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import theory
from llcx.figures import over_time, rows, style, trajectories, wording
from llcx.figures.rows import Row
from llcx.figures.trajectories import Key, Study, Trajectory, time_at
from llcx.theory import RLCT

FEWEST = 5  # checkpoints that make a staircase
SHADES = ("#e9f0f6", "#ffffff")  # of successive ranks
SAMPLED = {"all", "", "W_Q,W_K"}  # what `lambda(r)` is told for
DOTS = "Dots on the curves: checkpoints. Rank U: directions of U that the loss sees."
LEVELS = "Theory at the rank seen: \u03bb(r), named on the right, less (m \u2212 1) / log n\u03b2, m its multiplicity."


@style.look
def figure(study: Study) -> Figure | None:
    """Of a run with one training that the view full has seen at five checkpoints or more; None for all others."""
    if len(study.trajectories) != 1:
        return None
    (one,) = study.trajectories
    group = measured(study, one)
    if not group:
        return None
    picture = Figure(figsize=(style.WIDTH, 9.4), layout="constrained")
    axes = list(picture.subplots(3, 1, sharex=True, height_ratios=[1.0, 1.2, 1.8]))
    over_time.loss(axes[0], one)
    over_time.singular(axes[1], one, "sigma_U")
    found, nbeta = steps(one.key, group[0].where), group[0].nbeta
    at = {time_at(row): rank for row in group if (rank := seen(one, found, row)) is not None}
    over_time.estimates(axes[2], group, steps={time: expected(found[rank], nbeta) for time, rank in at.items()})
    levels(axes[2], found, nbeta)
    stretches(axes, at)
    name_axes(axes, study.unit, one.times)
    legend = style.entries(axes[2:]) | {"95 % interval": style.key(line="-", color=style.MUTED)}
    told = [DOTS, LEVELS if found else "", trajectories.conditions(trajectories.view(group[0], study.view), group)]
    notes = [*told, sampled(group), wording.flagged(group), wording.failures(one.rows)]
    shape = f"d = {one.key.d}, d_l = {one.key.d_l}, seed {one.key.seed}"
    return style.finish(picture, f"One direction after another: full attention, {shape}", notes, legend)


def measured(study: Study, one: Trajectory) -> list[Row]:
    """The first view of the model itself with enough checkpoints, in order of time."""
    views = [study.of_view(one, view) for view in study.views if view.split()[0] == "full"]
    enough = (group for group in views if len(set(map(time_at, group))) >= FEWEST)
    return sorted(next(enough, []), key=time_at)


def name_axes(axes: Sequence[Axes], unit: str, times: Sequence[int]) -> None:
    """What each panel shows, and its key."""
    names = ("training loss [nats]", "singular values of U", r"learning coefficient $\hat\lambda$")
    for axis, name in zip(axes, names, strict=True):
        axis.set_ylabel(name)
        axis.grid(False, axis="x")
    if axes[1].lines:
        axes[1].legend(**over_time.BESIDE)
    axes[-1].set_xlabel(unit)
    over_time.stretch(axes[-1], times)


def sampled(group: Sequence[Row]) -> str:
    """Which parameters move."""
    where = group[0].where
    return "" if where in ("", "all") else f"Sampled: {where}; all others stay at the checkpoint's values."


def steps(key: Key, where: str) -> list[RLCT]:
    """lambda(r) for r = 0..d; nothing where other parameters are sampled."""
    if where not in SAMPLED or min(key.d, key.d_l) < 1:
        return []
    widths = [key.d + 1, key.d_l, key.d]
    found = [theory.dln(widths, rank) for rank in range(min(key.d, key.d_l) + 1)]
    if where == "W_Q,W_K":
        return found
    bottom = min(found[0], theory.dln([1, key.d_l, key.d + 1], 0))
    return [bottom, *(theory.disjoint_sum(part, theory.regular(key.d)) for part in found[1:])]


def expected(step: RLCT, nbeta: float) -> float:
    """What an estimate at this temperature is near."""
    return step.at(nbeta) if nbeta > 1 else float(step.lam)


def levels(axis: Axes, found: Sequence[RLCT], nbeta: float) -> None:
    """A thin line a rank, named on the right; names that would touch are joined."""
    if not found:
        return
    values = [expected(step, nbeta) for step in found]
    low, high = axis.get_ylim()
    spare = 0.03 * (high - low)
    axis.set_ylim(min(low, min(values) - spare), max(high, max(values) + spare))
    for value in values:
        axis.axhline(value, color=style.KNOWN, lw=0.7, ls=(0, (4, 3)), alpha=0.7, zorder=1.2)
    place: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    for ranks in joined(values, 1.3 * spare):
        told = " to ".join(dict.fromkeys(str(rank) for rank in (ranks[0], ranks[-1])))
        lam = wording.span([float(found[rank].lam) for rank in ranks])
        axis.annotate(f"r = {told}:  {lam}", (1, values[ranks[0]]), (6, 0), fontsize=8, color=style.KNOWN, **place)


def joined(values: Sequence[float], apart: float) -> list[list[int]]:
    """Ranks in order of their values, those less than `apart` above the first of their group with it."""
    groups: list[list[int]] = []
    for rank in sorted(range(len(values)), key=lambda rank: values[rank]):
        if groups and values[rank] - values[groups[-1][0]] < apart:
            groups[-1].append(rank)
        else:
            groups.append([rank])
    return [sorted(group) for group in groups]


def seen(one: Trajectory, found: Sequence[RLCT], row: Row) -> int | None:
    """The rank whose lambda(r) is the row's theory; among equal ones that of the directions that the table counts."""
    truth = over_time.theory_of(row)
    if not found or not np.isfinite(truth):
        return None
    hot = bool(row.raw.get("known_at"))
    missed = np.abs([(expected(step, row.nbeta) if hot else float(step.lam)) - truth for step in found])
    counted = rows.number(one.ranks.get(time_at(row), {}).get("directions", ""))
    equal = np.flatnonzero(missed <= missed.min() + 1e-9)
    return int(min(equal, key=lambda rank: abs(rank - rows.known_or(counted, 0.0))))


def stretches(axes: Sequence[Axes], at: Mapping[int, int]) -> None:
    """Shade the time during which theory sees one rank, and name the rank above."""
    times, ranks = list(at), list(at.values())
    edges = [*times[:1], *((a + b) / 2 for a, b in pairwise(times)), *times[-1:]]
    starts = [i for i in range(len(ranks)) if i == 0 or ranks[i] != ranks[i - 1]]
    place: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
    for start, end in pairwise([*starts, len(ranks)]):
        left, right, rank = edges[start], edges[end], ranks[start]
        for axis in axes:
            axis.axvspan(left, right, color=SHADES[rank % 2], lw=0, zorder=0)
        if right - left > 0.03 * (times[-1] - times[0]):
            named = str(rank) if axes[0].texts else f"rank U = {rank}"
            axes[0].annotate(named, ((left + right) / 2, 1), (0, 4), **place)
