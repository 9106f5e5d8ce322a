"""vae_variants.png: what each variant starts from and comes to, a dot a seed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from llcx.figures import over_time, style, vae_study, wording
from llcx.figures.vae_study import COLOURS, SERIES, Cells, Study, number, said


class Panel(NamedTuple):
    """A column of networks.csv or, of all seeds together, of stability.csv."""

    column: str
    title: str
    table: str = "networks"
    less: str = ""  # the variant whose training of the same seed is subtracted


PANELS = (
    Panel("initial_loss", "loss before training"),
    Panel("test_mse", "reconstruction error [mean square of a pixel]"),
    Panel("test_kl", "KL(q || p) [nats an example]"),
    Panel("nll", "\u2212log p(x) [nats an example]"),
    Panel("active", "active latents"),
    Panel("jump", "largest rise of the loss, over its usual change", "stability"),
)
PAIRED = ("test_mse", "test_kl", "nll")  # drawn less those of the first variant, too
APART = 0.62  # of the height of a variant's line, over which its kinds of trainings lie
MARKERS = ("o", "s", "D", "^", "v", "P")


class Kind(NamedTuple):
    """What trainings of one variant differ in but for the seed."""

    gamma: str
    rest: tuple[str, ...]  # cells of parametrisation, latent_dim, learning_rate


class Look(NamedTuple):
    colour: str
    marker: str
    shift: float


@style.look
def figure(study: Study) -> Figure | None:
    """A line a variant; None where there is one alone."""
    names = variants(study.networks)
    if len(names) < 2:
        return None
    looks = drawn_as(study.networks)
    tables = {"networks": study.networks, "stability": study.table("stability")}
    shown = [panel for panel in PANELS if any(np.isfinite(number(c, panel.column)) for c in tables[panel.table])]
    less = [panel._replace(less=names[0]) for panel in shown if panel.column in PAIRED]
    picture, axes = style.grid(len(shown) + len(less), 3, 0.14 + 0.075 * len(names))
    for axis, panel in zip(axes, [*shown, *less], strict=True):
        draw(axis, tables[panel.table], panel, names, looks)
    for place, axis in enumerate(axes):
        axis.set_yticks(range(len(names)), [said("variant", name) for name in names] if place % 3 == 0 else [])
    notes = [vae_study.conditions(study), told(study), vae_study.stopped(study)]
    return style.finish(picture, "Autoencoders: the variants", notes, keys(looks))


def drawn_as(networks: Sequence[Cells]) -> dict[Kind, Look]:
    """Colours by gamma and markers by the rest; by the rest alone where every variant has one gamma."""
    kinds = list(dict.fromkeys(map(kind, networks)))
    gammas = sorted({each.gamma for each in kinds if each.gamma}, key=float)
    rests = list(dict.fromkeys(each.rest for each in kinds))
    many = any(len({kind(c).gamma for c in networks if c.get("variant") == name}) > 1 for name in variants(networks))
    shades = dict(zip(gammas, over_time.hues(len(gammas)), strict=True))
    found = {}
    for each in kinds:
        row = rests.index(each.rest)
        colour = shades.get(each.gamma, style.MUTED) if many else COLOURS[row % len(COLOURS)]
        place, places = row, len(rests)
        if many:
            column = gammas.index(each.gamma) if each.gamma else 0
            place, places = column * len(rests) + row, len(rests) * max(1, len(gammas))
        found[each] = Look(colour, MARKERS[row % len(MARKERS)], APART * ((place + 0.5) / places - 0.5))
    return found


def variants(networks: Sequence[Cells]) -> list[str]:
    return list(dict.fromkeys(cells.get("variant", "") for cells in networks))


def kind(cells: Cells) -> Kind:
    return Kind(cells.get("gamma", ""), tuple(cells.get(name, "") for name in SERIES[2:]))


def draw(axis: Axes, table: Sequence[Cells], panel: Panel, names: Sequence[str], looks: dict[Kind, Look]) -> None:
    """Seeds as dots, their mean as a bar; a line without a number says so."""
    seen = []
    values = numbers(table, panel)
    for row, name in enumerate(names):
        here = {each: found for (variant, each), found in values.items() if variant == name}
        for each, found in here.items():
            place(axis, row + (looks[each].shift if len(here) > 1 else 0.0), found, looks[each])
            seen += found
        if not here and name != panel.less:
            where: Any = {"transform": axis.get_yaxis_transform(), "va": "center", "fontsize": 8}
            axis.text(0.015, row, "no number", color=style.MUTED, **where)
    if panel.less:
        axis.axvline(0, color=style.INK, lw=0.9, zorder=1.5)
    elif style.wide(np.array(seen)):
        vae_study.logarithmic(axis, "x")
    if axis.get_xscale() == "linear":
        whole = panel.column == "active"
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole, min_n_ticks=1 if whole else 2))
    axis.set_ylim(len(names) - 0.45, -0.55)
    axis.tick_params(axis="y", length=0, labelcolor=style.INK)
    axis.grid(False, axis="y")
    axis.set_title(panel.title.partition(" [")[0] + f", less that of {panel.less}" if panel.less else panel.title)


def numbers(table: Sequence[Cells], panel: Panel) -> dict[tuple[str, Kind], list[float]]:
    """Finite values of all seeds, of each variant and kind that has one."""
    first = {
        (cells.get("seed"), kind(cells).rest): at_the_end(cells, panel.column)
        for cells in table
        if cells.get("variant", "") == panel.less
    }
    found: dict[tuple[str, Kind], list[float]] = {}
    for cells in table:
        value, variant = at_the_end(cells, panel.column), cells.get("variant", "")
        if panel.less:
            value -= first.get((cells.get("seed"), kind(cells).rest), np.nan)
        if np.isfinite(value) and not (panel.less and variant == panel.less):
            found.setdefault((variant, kind(cells)), []).append(value)
    return found


def at_the_end(cells: Cells, column: str) -> float:
    """The number in a cell; nan where it is that of a training that ended early."""
    return number(cells, column) if vae_study.ended(cells) or column.startswith("initial") else np.nan


def place(axis: Axes, level: float, values: Sequence[float], look: Look) -> None:
    """The dots of one kind, and a bar at their mean where there are several."""
    small = 22 if len(values) < 8 else 12
    style.dots(axis, [(value, level) for value in values], look.colour, look.marker, hollow=False, s=small, lw=0.6)
    if len(values) > 1:
        mean = float(np.mean(values))
        axis.vlines(mean, level - 0.17, level + 0.17, color=look.colour, lw=1.8, zorder=3.5)


def told(study: Study) -> str:
    """What the panels do not say of themselves."""
    over = f"Dots: {study.seeds} seeds, bars: their means. " if study.seeds > 1 else ""
    return over + "Differences: of the same seed. Losses of variants with another penalty are other losses."


def keys(looks: dict[Kind, Look]) -> dict[str, Any]:
    """The legend: gammas by colour, what else differs by marker."""
    found: dict[str, Any] = {}
    rests = list(dict.fromkeys(each.rest for each in looks))
    differ = [i for i in range(len(SERIES) - 2) if len({rest[i] for rest in rests}) > 1]
    coloured = len({look.colour for look in looks.values()}) > len(rests)
    for each, look in sorted(looks.items(), key=lambda pair: float(pair[0].gamma or "inf")):
        if coloured:
            label = f"\u03b3 = {wording.number(float(each.gamma))}" if each.gamma else "no \u03b3"
            found.setdefault(label, style.key("o", color=look.colour))
    for each, look in looks.items():
        if differ:
            label = ", ".join(said(SERIES[i + 2], each.rest[i]) for i in differ)
            found.setdefault(label, style.key(look.marker, color=style.INK if coloured else look.colour))
    return found
