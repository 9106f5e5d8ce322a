"""Grids with a panel a measurement: which rows get one, and what stands above it."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np
from matplotlib.axes import Axes

from llcx.artifacts import RunFolder
from llcx.figures import flags, rows, style, wording
from llcx.figures.rows import Row

MOST = 12


def choose(every: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Rows that get a panel, and the notes that account for all others."""
    alive = [row for row in every if not row.failed]
    shown = rows.worst(alive, MOST)
    return shown, [wording.conditions(alive), left_out(alive, shown), wording.failures(every)]


def saved(folder: RunFolder, row: Row, axis: Axes) -> Mapping[str, np.ndarray] | None:
    """The row's draws; where their file is missing or damaged, None, and the panel says so."""
    try:
        return folder.draws(row.raw)
    except (OSError, ValueError, BadZipFile):
        blank(axis, "draws not found in draws/")
        return None


def blank(axis: Axes, why: str) -> None:
    """A panel that says why there is nothing in it."""
    axis.text(0.5, 0.5, why, transform=axis.transAxes, ha="center", va="center", color=style.MUTED)
    axis.set(xticks=[], yticks=[])


def left_out(alive: Sequence[Row], shown: Sequence[Row]) -> str:
    """How many rows have no panel, and how they are."""
    hidden = [row for row in alive if not any(row is other for other in shown)]
    if not hidden:
        return ""
    ill = sum(not row.healthy for row in hidden)
    state = f"{ill} of them flagged" if ill else "all of them healthy"
    return f"{len(shown)} of {len(alive)} measurements shown, flagged and worst first; {len(hidden)} are not, {state}."


def titles(axes: Sequence[Axes], shown: Sequence[Row], every: Sequence[Row], below: Sequence[str], width: int) -> None:
    """Name and a line `below` it above each panel, which has room for `width` letters; then, coloured, the flags.

    The titles of one line of panels stand at one height.
    """
    flagged = [textwrap.wrap(said(row), width) for row in shown]
    columns = style.columns(axes)
    for index, (axis, row, second) in enumerate(zip(axes, shown, below, strict=True)):
        start = index - index % columns
        room = max(len(lines) for lines in flagged[start : start + columns])
        name = wording.brief(row, every, int(0.8 * width))  # larger letters than the flags'
        axis.set_title(f"{name}\n{second}", linespacing=1.35, pad=5 + 10.5 * room)
        place: Any = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (0, 4), "textcoords": "offset points"}
        lines = flagged[index] + [""] * (room - len(flagged[index]))
        note = axis.annotate("\n".join(lines), **place, fontsize=8, color=style.ALERT, va="bottom")
        note.set_parse_math(False)


def said(row: Row) -> str:
    """The flags of a row in words; nothing where it is healthy."""
    return "" if row.healthy else ", ".join(map(flags.short, row.flags)) or "unhealthy"
