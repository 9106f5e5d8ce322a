"""mcl_few_shot.png: adapting to programs of compositions never trained, from a few examples.

Columns are ways to adapt, a method and a cue. From above: the score that is come to, how many adaptations have come to
the level by which step (those that never do are what lacks to 1), and the mean course.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from llcx.figures import mcl_arrivals, mcl_panels, mcl_study, style, wording
from llcx.figures.mcl_arrivals import Levels, Path
from llcx.figures.mcl_study import Cells, Study, number

MOST = 4  # ways
FEWEST: Any = (0, (4, 1.6))  # dashes of the fewest examples
OTHER: Any = (0, (1, 1.3))
GRID = 201  # steps at which courses are averaged


class Way(NamedTuple):
    """How is adapted, and what came of it."""

    name: str
    fits: list[Cells]
    paths: list[Path]
    levels: Levels

    @property
    def examples(self) -> list[float]:
        """Ascending."""
        return sorted({number(cells, "n") for cells in self.fits})

    @property
    def ends(self) -> dict[float, Any]:
        """The most and the fewest examples, with their dashes."""
        return {self.examples[0]: FEWEST, self.examples[-1]: "-"}

    @property
    def steps(self) -> np.ndarray:
        return np.linspace(0, max((path.steps[-1] for path in self.paths), default=1.0), GRID)

    def of(self, arm: str, n: float) -> list[Path]:
        return [path for path in self.paths if path.arm == arm and path.n == n]


@style.look
def figure(study: Study) -> Figure | None:
    """None without analysis/few_shot.csv."""
    every = ways(study)
    if not every:
        return None
    shown = every[:MOST]
    across = len(shown)
    picture, axes = style.grid(3 * across, across, (0.5, 0.42, 0.62, 0.8)[across - 1], lone=8.0)
    for place, way in enumerate(shown):
        scores(axes[place], study, way)
        arrived(axes[across + place], study, way)
        along(axes[2 * across + place], study, way)
        axes[place].set_title(way.name)
    for line, told in enumerate(("macro IoU", "at the level [share]", "macro IoU")):
        axes[line * across].set_ylabel(told)
        same = axes[line * across : (line + 1) * across]
        ends = [axis.get_ylim() for axis in same]
        for axis in same:
            axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    title = "Mutual concepts: adaptation to compositions never trained"
    return style.finish(picture, title, notes(study, every), keys(study, shown))


def ways(study: Study) -> list[Way]:
    """The one that verdicts look at first, then the others of its cue."""
    fits, courses = study.table("few_shot"), study.table("adaptation")
    first, cue = (study.setting("verdicts", *each) for each in (("method", "lora"), ("cue", "opaque")))
    told = dict.fromkeys((cells["method"], cells["cue"]) for cells in fits)
    there = sorted(told, key=lambda way: (way[1] != cue, way[0] != first))
    found = []
    for method, cue in there:
        own, along = (mcl_study.where(table, method=method, cue=cue) for table in (fits, courses))
        known = mcl_arrivals.levels(study, mcl_study.where(fits, cue=cue))
        found.append(Way(f"{method}, cue {cue}", own, mcl_arrivals.paths(along), known))
    return found


def scores(axis: Axes, study: Study, way: Way) -> None:
    """Against the number of examples, a dot a seed."""
    width = 0.5 / max(len(study.arms), 1)
    for shift, arm in zip(mcl_panels.offsets(len(study.arms)) * 0.6, study.arms, strict=True):
        values = [mcl_study.by_seed(of_number(way.fits, n), arm, "iou") for n in way.examples]
        at = [place + shift for place, found in enumerate(values) if len(found)]
        axis.plot(at, [found.mean() for found in values if len(found)], color=arm.colour, lw=1.2)
        for place, found in enumerate(values):
            mcl_panels.dots(axis, place + shift, found, arm.colour, width=width)
    copied = [number(cells, "copy_iou") for cells in way.fits]
    axis.axhline(float(np.nanmean(copied)), color=style.MUTED, lw=1.1, ls=OTHER)
    axis.set_xticks(range(len(way.examples)), [wording.number(n) for n in way.examples])
    axis.set_xlim(-0.5, len(way.examples) - 0.5)
    axis.set_xlabel("examples")


def of_number(fits: Sequence[Cells], n: float) -> list[Cells]:
    return [cells for cells in fits if number(cells, "n") == n]


def arrived(axis: Axes, study: Study, way: Way) -> None:
    """The share of adaptations that have come to their level, by step."""
    for arm in study.arms:
        for n, dashes in way.ends.items():
            own = [path for path in way.of(arm.name, n) if path.unit in way.levels]
            if own:
                came = np.array([path.reached(way.levels[path.unit]) for path in own])
                share = (came[:, None] <= way.steps).mean(0)
                axis.plot(way.steps, share, color=arm.colour, ls=dashes, lw=1.4, drawstyle="steps-post")
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel("step")
    if not way.levels:
        axis.text(
            0.5,
            0.5,
            "no level: the control arm\nwas not fully fine-tuned",
            transform=axis.transAxes,
            ha="center",
            va="center",
            color=style.MUTED,
        )
        axis.xaxis.set_major_locator(NullLocator())


def along(axis: Axes, study: Study, way: Way) -> None:
    """The mean course; what stopped stays as it was."""
    for arm in study.arms:
        for n, dashes in way.ends.items():
            own = way.of(arm.name, n)
            if own:
                mean = np.mean([path.held(way.steps) for path in own], 0)
                axis.plot(way.steps, mean, color=arm.colour, ls=dashes, lw=1.4)
    axis.set_xlabel("step")


def keys(study: Study, shown: Sequence[Way]) -> dict[str, Any]:
    found = mcl_panels.key(study.arms) | {"the input itself": mcl_panels.dashed(OTHER)}
    if len(shown[0].ends) > 1:
        few, many = (wording.number(n) for n in shown[0].ends)
        found |= {f"below: {many} examples": style.key(line="-", color=style.MUTED)}
        found |= {f"{few} examples": mcl_panels.dashed(FEWEST)}
    return found


def notes(study: Study, every: Sequence[Way]) -> list[str]:
    way = every[0]
    compositions = len({(cells["seed"], cells["composition"]) for cells in way.fits})
    told = f"Means over {compositions} programs of compositions never trained, of all seeds together; scored on rows "
    told += "that neither learning nor stopping saw. "
    if way.levels:
        told += "Level: midway between copying the input and the control arm fully fine-tuned on the most examples, "
        told += f"in the mean {np.mean(list(way.levels.values())):.2f}. What stops early without it never comes. "
    hidden = f"Not drawn: {', '.join(each.name for each in every[MOST:])} (few_shot.csv)." if every[MOST:] else ""
    return [mcl_study.conditions(study), told, hidden]
