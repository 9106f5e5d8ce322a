"""vae_llc.png: the learning coefficient against gamma, along training, and beside the loss that was come to."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import over_time, style, trajectories, vae_arms, vae_study, wording
from llcx.figures.rows import Row
from llcx.figures.vae_study import Cells, Study, number

SIDE = 3  # groups side by side
UNITS = ("step", "epoch")


class Measured(NamedTuple):
    """An estimate, and the training that it is of."""

    row: Row
    cells: Cells
    time: float  # in the unit of task.fit; nan where the study has one moment alone

    @property
    def gamma(self) -> float:
        return number(self.cells, "gamma")


class Group(NamedTuple):
    """What stands in one column of panels."""

    label: str
    found: list[Measured]


Panel = Callable[[Axes, Group], None]


@style.look
def figure(study: Study) -> Figure | None:
    """A column a series and coordinates, of the first sampler; None where no VAE has a number."""
    every = measured(study)
    if not every:
        return None
    groups = grouped(study, every)
    kinds = panels(study, every)
    across = len(groups) if len(groups) > 1 else len(kinds)
    ratio = 0.56 if across == 2 else 0.78 if study.swept else 0.9
    picture, axes = style.grid(len(groups) * len(kinds), across, ratio)
    places = [(panel, group) for panel in kinds for group in groups]
    for axis, (panel, group) in zip(axes, places, strict=True):
        panel(axis, group)
        axis.set_title(wording.plain(", ".join(filter(None, [axis.get_title("left"), group.label])), 60))
        axis.set_ylabel(r"learning coefficient $\hat\lambda$" if axis in axes[::across] else "")
    alike(axes, [group for _, group in places])
    return style.finish(picture, "VAE: the learning coefficient", notes(study, every, groups), keys(study, every))


def measured(study: Study) -> list[Measured]:
    """Rows with a number of the first sampler, each with its training."""
    alive = [row for row in study.rows if not row.failed]
    lines = sorted(study.networks, key=lambda cells: -len(cells["training"]))
    found = []
    for row in (row for row in alive if row.series == alive[0].series):
        of = next((cells for cells in lines if f"{row.point},".startswith(f"{cells['training']},")), None)
        if of is not None:
            found.append(Measured(row, of, moment(row)))
    return found


def moment(row: Row) -> float:
    """When it was, in steps or epochs."""
    return next((number(row.raw, f"at.{unit}") for unit in UNITS if row.raw.get(f"at.{unit}")), np.nan)


def grouped(study: Study, every: Sequence[Measured]) -> list[Group]:
    """By series where gammas are swept, and by the coordinates of the weights; at most SIDE of them."""
    apart = study.series if study.swept else [None]
    spaces = list(dict.fromkeys(each.row.raw.get("at.coordinates", "") for each in every))
    found = []
    for space in spaces:
        for series in apart:
            own = [each for each in every if series is None or series.has(each.cells)]
            own = [each for each in own if each.row.raw.get("at.coordinates", "") == space]
            label = ", ".join(filter(None, [series.label if series else "", f"{space} coordinates" if space else ""]))
            known = series is None or any(np.isfinite(each.gamma) for each in own)
            found += [Group(label, own)] if own and known else []
    return found[:SIDE]


def panels(study: Study, every: Sequence[Measured]) -> list[Panel]:
    """What there are numbers for."""

    def against(axis: Axes, group: Group) -> None:
        (against_gamma if study.swept else by_series)(axis, study, group)

    def time(axis: Axes, group: Group) -> None:
        along(axis, study, group)

    def loss(axis: Axes, group: Group) -> None:
        beside_loss(axis, study, group)

    several = len({each.time for each in every if np.isfinite(each.time)}) > 1
    told = any(np.isfinite(loss_of(study, each)) for each in every)
    placed = study.swept or len(study.series) > 1 or not (several or told)
    return [*[against] * placed, *[time] * several, *[loss] * told]


def times(found: Sequence[Measured]) -> list[float]:
    """All different ones, ascending; nan where there is one alone that is not said."""
    known = sorted({each.time for each in found if np.isfinite(each.time)})
    return known or [np.nan]


def of_time(found: Sequence[Measured], time: float) -> list[Measured]:
    return [each for each in found if each.time == time or not np.isfinite(time)]


def against_gamma(axis: Axes, study: Study, group: Group) -> None:
    """A line a moment through the means over seeds, every estimate with its interval."""
    shades = tones(group.found)
    apart = 0.03 * (study.gammas[-1] - study.gammas[0]) / len(shades)
    for place, (time, colour) in enumerate(shades.items()):
        found = [each for each in of_time(group.found, time) if np.isfinite(each.gamma)]
        shift = apart * (place - (len(shades) - 1) / 2)
        levels = sorted({each.gamma for each in found})
        means = [float(np.mean([each.row.llc for each in found if each.gamma == level])) for level in levels]
        axis.plot(np.array(levels) + shift, means, color=colour, lw=1.4)
        dots(axis, found, [each.gamma + shift for each in found], [colour] * len(found))
    axis.set_xlabel(r"$\gamma$")
    axis.set_title("against \u03b3")


def by_series(axis: Axes, study: Study, group: Group) -> None:
    """A place a series, moments side by side."""
    shades = tones(group.found)
    for place, series in enumerate(study.series):
        for number_of, (time, colour) in enumerate(shades.items()):
            found = [each for each in of_time(group.found, time) if series.has(each.cells)]
            shift = 0.5 * (number_of - (len(shades) - 1) / 2) / len(shades)
            dots(axis, found, [place + shift] * len(found), [colour] * len(found))
    labels = [wording.plain(series.label or "model", 24) for series in study.series]
    slanted: Any = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(labels) > 4 else {}
    axis.set_xticks(range(len(labels)), labels, **slanted)
    axis.set_xlim(-0.6, len(labels) - 0.4)
    axis.set_title("of each variant" if len(labels) > 1 else "of the model")


def along(axis: Axes, study: Study, group: Group) -> None:
    """A line a training of the first seed, the estimates of all of them as dots."""
    lines: dict[str, list[Measured]] = {}
    for each in group.found:
        lines.setdefault(each.cells["training"], []).append(each)
    for found in lines.values():
        colour = vae_arms.colour(study, found[0].cells)
        ordered = sorted(found, key=lambda each: each.time)
        axis.plot([each.time for each in ordered], [each.row.llc for each in ordered], color=colour, lw=1.1)
        dots(axis, ordered, [each.time for each in ordered], [colour] * len(ordered))
    vae_study.stepwise(axis, np.array(times(group.found)))
    axis.set_xlabel(unit(group.found))
    axis.set_title("along training")


def unit(found: Sequence[Measured]) -> str:
    return next((unit for unit in UNITS if found[0].row.raw.get(f"at.{unit}")), UNITS[0])


def beside_loss(axis: Axes, study: Study, group: Group) -> None:
    """Every estimate against the test loss at its moment."""
    found = [each for each in group.found if np.isfinite(loss_of(study, each))]
    x = [loss_of(study, each) for each in found]
    dots(axis, found, x, [vae_arms.colour(study, each.cells) for each in found])
    if style.wide(np.array(x)):
        vae_study.logarithmic(axis, "x")
    axis.set_xlabel(f"test loss [{study.unit}]")
    axis.set_title("beside the test loss")


def loss_of(study: Study, each: Measured) -> float:
    """The test loss at the moment of an estimate; that of the end where the study has no other moment."""
    if not np.isfinite(each.time):
        return number(each.cells, "test_loss")
    steps, values = study.curve(each.cells["training"], "test/loss")
    if not len(steps):
        return np.nan
    epochs = study.setting("fit", "epochs")
    step = each.time * steps[-1] / epochs if epochs else each.time
    return float(np.interp(step, steps, values)) if step <= steps[-1] else np.nan


def dots(axis: Axes, found: Sequence[Measured], x: Sequence[float], colours: Sequence[str]) -> None:
    """Estimates with 95 % intervals, hollow where flagged."""
    for each, place, colour in zip(found, x, colours, strict=True):
        axis.vlines(place, each.row.low, each.row.high, color=colour, lw=1.1)
        style.dots(axis, [(place, each.row.llc)], colour, hollow=not each.row.healthy, s=26)


def tones(found: Sequence[Measured]) -> dict[float, str]:
    """A colour a moment."""
    moments = times(found)
    return dict(zip(moments, vae_study.COLOURS if len(moments) <= SIDE else over_time.hues(len(moments)), strict=False))


def alike(axes: Sequence[Axes], groups: Sequence[Group]) -> None:
    """One range of values for all panels of the same coordinates, logarithmic where it is wide."""
    spaces = [group.found[0].row.raw.get("at.coordinates", "") for group in groups]
    for space in dict.fromkeys(spaces):
        same = [axis for axis, own in zip(axes, spaces, strict=True) if own == space]
        found = [
            each.row.llc for group, own in zip(groups, spaces, strict=True) if own == space for each in group.found
        ]
        low, high = (pick(axis.get_ylim()[end] for axis in same) for end, pick in ((0, min), (1, max)))
        for axis in same:
            if style.wide(np.array(found)):
                axis.set_ylim(0.8 * min(found), 1.25 * max(found))
                vae_study.logarithmic(axis)
            else:
                axis.set_ylim(low, high)


def keys(study: Study, every: Sequence[Measured]) -> dict[str, Any]:
    """The legend: moments, then gammas or series, then what hollow means."""
    found: dict[str, Any] = {}
    shades = tones(every)
    if len(shades) > 1:
        name, last = unit(every), max(shades)
        found = {said(time, name, last): style.key("o", color=colour) for time, colour in shades.items()}
    if study.swept:
        shown = vae_arms.spread(study.gammas, vae_study.NAMED)
        found |= {f"\u03b3 = {wording.number(each)}": style.key(line="-", color=study.shades[each]) for each in shown}
    elif len(study.series) > 1:
        found |= {one.label: style.key(line="-", color=one.colour) for one in study.series}
    flagged = any(not each.row.healthy for each in every)
    return found | ({"flagged": style.key("o", hollow=True)} if flagged else {})


def said(time: float, unit: str, last: float) -> str:
    if time == 0:
        return "before training"
    return "at the end" if time == last else f"{unit} {wording.number(time)}"


def notes(study: Study, every: Sequence[Measured], groups: Sequence[Group]) -> list[str]:
    """What was run and measured, and what is not drawn."""
    rows = [each.row for each in every]
    others = list(dict.fromkeys(row.sampler for row in study.rows if row.sampler != rows[0].sampler))
    more = f" Not drawn: {', '.join(others)} (metrics_summary.csv)." if others else ""
    hidden = len(every) - sum(len(group.found) for group in groups)
    more += f" {hidden} more estimates stand in metrics_summary.csv." if hidden > 0 else ""
    asked = wording.conditions(rows).replace("\u03b3 ", "localisation ").replace("and \u03b3", "and localisation")
    seeds = " Lines: means over seeds against \u03b3, single trainings elsewhere." if study.seeds > 1 else ""
    measured_on = study.setting("measures", "llc_rows") or "all"
    told = f"Each VAE against itself on {measured_on} training rows: KL of q and of p(x | z), noise of a row frozen; "
    told += f"{rows[0].sampler}, 95 % intervals.{seeds}{more}"
    return [vae_study.conditions(study), told, asked, trajectories.flagged(rows), wording.failures(study.rows)]
