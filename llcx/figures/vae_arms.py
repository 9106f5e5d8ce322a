"""Which trainings of a task=vae study get a panel or a line of their own, and what stands above it."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from matplotlib.lines import Line2D

from llcx.figures import wording
from llcx.figures.vae_study import Arrays, Cells, Series, Study, number

Item = TypeVar("Item")
PALE = "#99D8C7"  # known values as a wide band behind what is measured
ACTIVE = 1e-2  # variance over images of a latent's mean above which it counts as active


def chosen(study: Study, most: int) -> list[Cells]:
    """Lines of networks.csv of the first seed, at most `most`: of each series as many, their gammas far apart."""
    series = study.series[:most]
    each = most // max(len(series), 1)
    return [line for one in series for line in spread(of_first_seed(study, one), each)]


def of_first_seed(study: Study, series: Series) -> list[Cells]:
    """A line a gamma, ascending."""
    lines = study.of(series)
    seeds = [number(line, "seed") for line in lines]
    first = [line for line, seed in zip(lines, seeds, strict=True) if not seed > min(seeds)]
    return ascending(first)


def ascending(lines: Sequence[Cells]) -> list[Cells]:
    """In the order of gamma."""
    return sorted(lines, key=lambda line: number(line, "gamma"))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of them, the first and the last too."""
    if len(items) <= most:
        return list(items)
    places = np.linspace(0, len(items) - 1, most).round().astype(int)
    return [items[place] for place in dict.fromkeys(places.tolist())]


def named(study: Study, cells: Cells) -> str:
    """Series and gamma of a training, as far as the study has several."""
    label = next((series.label for series in study.series if series.has(cells)), "")
    gamma = f"\u03b3 = {wording.number(number(cells, 'gamma'))}" if study.swept and cells.get("gamma") else ""
    return ", ".join(part for part in (label, gamma) if part) or "the model"


def colour(study: Study, cells: Cells) -> str:
    """That of its gamma where gammas are swept, else that of its series."""
    if study.swept and cells.get("gamma"):
        return study.shades[number(cells, "gamma")]
    return next(series.colour for series in study.series if series.has(cells))


def wide_key() -> Line2D:
    """The legend entry of PALE."""
    return Line2D([], [], color=PALE, lw=5, solid_capstyle="butt")


def finite(lines: Sequence[Cells], column: str) -> np.ndarray:
    """The numbers of a column, as far as there are any."""
    found = np.array([number(line, column) for line in lines], float)
    return found[np.isfinite(found)]


def eigenvalues(study: Study) -> Arrays:
    """analysis/eigenvalues.npz; nothing where it is not there."""
    return study.arrays("eigenvalues")


def left_out(study: Study, shown: Sequence[Cells]) -> str:
    """How many trainings have no panel, in a footnote's words."""
    return f"{len(shown)} of {len(study.networks)} trainings are drawn." if len(shown) < len(study.networks) else ""
