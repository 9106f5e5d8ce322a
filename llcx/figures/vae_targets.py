"""vae_targets.png: how long each gamma takes to the test loss that gamma = 0 has at its end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import style, vae_study, wording
from llcx.figures.vae_study import Cells, Series, Study, number

NEVER = "never"
PANELS = {
    "reached": "step at which it is reached",
    "ratio": "the same, over that of {}",
    NEVER: "share that never reach it",
}
ASIDE = 0.22  # of the distance between gammas: how far seeds spread sideways
FEW = 8  # seeds: of more the dots are small, and what never reaches the target is a share alone


@style.look
def figure(study: Study) -> Figure | None:
    """A dot a seed, and the median; None without analysis/targets.csv of two gammas or more."""
    table = [cells for cells in vae_study.different(study.table("targets")) if cells.get("gamma")]
    if not study.swept or not table:
        return None
    never = sum(not cells.get("reached") for cells in table)
    has = {"reached": True, "ratio": any(cells.get("ratio") for cells in table), NEVER: bool(never)}
    names = [name for name in PANELS if has[name]]
    picture, axes = style.grid(len(names), 3, 0.85 if len(names) > 2 else 0.7)
    zero = f"\u03b3 = {wording.number(study.gammas[0])}"
    for axis, name in zip(axes, names, strict=True):
        panel(axis, study, table, name)
        axis.set_title(PANELS[name].format(zero))
    style.outer_labels(axes, r"$\gamma$", "")
    notes = [vae_study.conditions(study), told(study, zero), counted(never, len(table)), vae_study.stopped(study)]
    edge = never > 0 and study.seeds <= FEW
    return style.finish(picture, "Autoencoders: time to a target", notes, keys(study, edge))


def panel(axis: Axes, study: Study, table: Sequence[Cells], name: str) -> None:
    """One column of every series, or the share of its trainings that have no number there."""
    for place, series in enumerate(study.series):
        of = [cells for cells in table if series.has(cells)]
        gammas = sorted({number(cells, "gamma") for cells in of})
        middle = missing if name == NEVER else median
        values = [middle([cells for cells in of if number(cells, "gamma") == gamma], name) for gamma in gammas]
        marks: Any = {"marker": "o", "ms": 4} if name == NEVER else {"marker": "_", "ms": 9, "mew": 1.8}
        axis.plot(gammas, values, color=series.colour, lw=1.6, **marks)
        if name != NEVER:
            dots(axis, study, of, name, series, place)
    spare = max(0.05 * (study.gammas[-1] - study.gammas[0]), 1.2 * ASIDE * float(min(np.diff(study.gammas))))
    axis.set_xlim(study.gammas[0] - spare, study.gammas[-1] + spare)
    if name == NEVER:
        axis.set_ylim(-0.03, 1.03)
        return
    known = [value for cells in table if np.isfinite(value := number(cells, name))]
    if name == "ratio":
        axis.axhline(1, color=style.INK, lw=0.9, zorder=1.5)
        ends = min([*known, 0.5]) / 1.15, max([*known, 2.0]) * 1.15
        axis.set(yscale="log", ylim=ends)
        style.plain_log(axis.yaxis, ends)
        return
    vae_study.scaled(axis, known)
    if axis.get_yscale() == "linear":
        axis.set_ylim(0, 1.06 * max(known, default=1.0))


def median(of: Sequence[Cells], name: str) -> float:
    """Over seeds, those that never reach it counted as later than all others; nan where it is one of them."""
    middle = float(np.median(np.nan_to_num([number(cells, name) for cells in of], nan=np.inf)))
    return middle if np.isfinite(middle) else np.nan


def missing(of: Sequence[Cells], name: str) -> float:
    """The share that never reach it."""
    del name
    return sum(not cells.get("reached") for cells in of) / len(of)


def dots(axis: Axes, study: Study, of: Sequence[Cells], name: str, series: Series, place: int) -> None:
    """Seeds side by side; at the upper edge those that never reach it, where seeds are few."""
    seeds = sorted({number(cells, "seed") for cells in of})
    gap = min(np.diff(study.gammas))
    reached, never = [], []
    for cells in of:
        among = (place + (seeds.index(number(cells, "seed")) + 0.5) / len(seeds)) / len(study.series) - 0.5
        x = number(cells, "gamma") + 2 * ASIDE * gap * among
        if np.isfinite(value := number(cells, name)):
            reached.append((x, value))
        elif not cells.get("reached"):
            never.append((x, 1.0))
    few = len(seeds) <= FEW
    if reached:
        style.dots(axis, reached, series.colour, hollow=False, s=24 if few else 7, lw=0.5 if few else 0.0)
    if never and few:
        look: Any = {"transform": axis.get_xaxis_transform(), "clip_on": False, "lw": 0.8, "s": 24}
        style.dots(axis, never, series.colour, "^", hollow=True, **look)


def told(study: Study, zero: str) -> str:
    """What the target is."""
    others = "(one for all parametrisations) " if len({series.key[2] for series in study.series}) > 1 else ""
    lines = " Lines: medians over seeds; what never reaches it is later than all others." if study.seeds > 1 else ""
    return f"Target: the test loss of {zero} with the same seed {others}at its last step; linear between events.{lines}"


def counted(never: int, every: int) -> str:
    return f"{never} of {every} trainings never reached it." if never else ""


def keys(study: Study, edge: bool) -> dict[str, Any]:
    """The legend."""
    several = len(study.series) > 1
    ink = style.INK if several else study.series[0].colour
    found = {each.label: style.key("o", line="-", color=each.colour) for each in study.series if several}
    found["seed"] = style.key("o", color=ink)
    return found | ({"never reached": style.key("^", hollow=True, color=ink)} if edge else {})
