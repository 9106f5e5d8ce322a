"""The table of measurements: what each cell shows, and what its column is sorted by."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llcx.figures import flags, rows, wording
from llcx.figures.rows import Row

NAME, PICTURE, HEALTH, AT = "point", "picture", "health", "error at n\u03b2"
ALWAYS = (NAME, "sampler", "\u03bb\u0302", "95 % interval", "known", "error", HEALTH, "R\u0302", "ESS", "seconds")
SCALES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)  # half-widths of the interval pictures, as relative errors
MOST = 2000  # rows of one page; a browser sorts them at once


class Bar(NamedTuple):
    """An interval around the known value, which lies at 50: places from 0 to 100, cut at the edges."""

    low: float
    mid: float
    high: float
    outside: str  # "", "left" or "right": where an estimate beyond the edge lies


class Cell(NamedTuple):
    """What a table shows, and the number it is sorted by."""

    text: str
    sort: float | str | None = None  # "" where it is unknown, None where the text is as good
    kind: str = ""  # num, health or bar
    bar: Bar | None = None
    href: str = ""

    @property
    def by(self) -> str | None:
        """What the page's script sorts by where that is not the text itself."""
        if not isinstance(self.sort, float):
            return self.sort
        short = f"{self.sort:.6g}"
        return None if short == self.text else short


class Line(NamedTuple):
    state: str  # ok, flagged or failed
    cells: list[Cell]


class Table(NamedTuple):
    """`left_out`: rows beyond the most that a page shows."""

    heads: list[str]
    lines: list[Line]
    left_out: int = 0


def table(every: Sequence[Row], before: Sequence[Mapping[str, Cell]] = (), *, most: int = MOST) -> Table:
    """Heads and lines; a column that is the same in all rows, or empty, is left out.

    `before`: further cells of each row, which stand before its own and are never left out. Of more than `most` rows
    those are kept that are flagged or farthest from what is known.
    """
    further = {id(row): cells for row, cells in zip(every, before, strict=True)} if before else {}
    kept = rows.worst(every, most)
    scale = spread(every)
    lines = [{**further.get(id(row), {}), **line(row, scale)} for row in kept]
    told = columns(lines, kept, list(before[0]) if before else [])
    heads = [f"\u00b1{100 * scale:g} % of known" if head == PICTURE else head for head in told]
    body = [Line(state(row), [cells[head] for head in told]) for row, cells in zip(kept, lines, strict=True)]
    return Table(heads, body, len(every) - len(kept))


def columns(lines: Sequence[Mapping[str, Cell]], kept: Sequence[Row], always: Sequence[str]) -> list[str]:
    """The heads of what is worth a column, in order."""
    alive = [cells for row, cells in zip(kept, lines, strict=True) if not row.failed]
    wanted = (*always, *ALWAYS, *([PICTURE] if any(cells[PICTURE].bar for cells in lines) else []))
    again = (AT,) if all(cells[AT].text == cells["error"].text for cells in lines) else ()
    heads = [head for head in (lines[0] if lines else ()) if head not in again]
    return [head for head in heads if head in wanted or len({cells[head].text for cells in alive}) > 1]


def line(row: Row, scale: float) -> dict[str, Cell]:
    """All cells of a row, by the head of their column."""
    words = ", ".join(map(flags.short, row.flags)) or ("healthy" if row.healthy else "unhealthy")
    estimate, _, interval = wording.interval(row.llc, row.low, row.high).partition(" ")
    at_n_beta = rows.number(row.raw.get("rel_error_at", ""))
    return {
        NAME: Cell(row.point),
        "sampler": Cell(row.sampler),
        "\u03bb\u0302": Cell(estimate, order(row.llc), "num"),
        "95 % interval": Cell("\u2013" if row.failed else interval, order(row.high - row.low), "num"),
        PICTURE: Cell("", order(row.rel_error), "bar", bar(row, scale)),
        "known": number(row.known),
        "error": Cell(wording.percent(row.rel_error, signed=True), order(abs(row.rel_error)), "num"),
        AT: Cell(wording.percent(at_n_beta, signed=True), order(abs(at_n_beta)), "num"),
        HEALTH: Cell(words, None, "health"),
        "where": Cell(row.where),
        "target": Cell(row.target),
        "n\u03b2": number(row.nbeta),
        "\u03b3": three(row.gamma),
        "R\u0302": three(row.rhat),
        "ESS": three(row.ess),
        "gradients": number(rows.number(row.raw.get("gradients", ""))),
        "seconds": three(rows.number(row.raw.get("seconds", ""))),
    }


def number(value: float) -> Cell:
    return Cell(wording.number(value), order(value), "num")


def three(value: float) -> Cell:
    return Cell(wording.three(value), order(value), "num")


def order(value: float) -> float | str:
    """What a column is sorted by; unknown values last."""
    return "" if math.isnan(value) else value


def state(row: Row) -> str:
    """The class of a line: ok, flagged or failed."""
    return "failed" if row.failed else "ok" if row.healthy else "flagged"


def spread(every: Sequence[Row]) -> float:
    """The narrowest scale on which half of the intervals find room; the others are cut."""
    ends = [max(abs(row.low / row.known - 1), abs(row.high / row.known - 1)) for row in every if row.known > 0]
    known = sorted(end for end in ends if math.isfinite(end))
    if not known:
        return SCALES[2]
    wanted = known[math.ceil(0.5 * len(known)) - 1]
    return next((scale for scale in SCALES if scale >= wanted), SCALES[-1])


def bar(row: Row, scale: float) -> Bar | None:
    """The interval relative to the known value; None where one of them is unknown."""
    if row.failed or not row.known > 0:
        return None
    places = [50 + 50 * (value / row.known - 1) / scale for value in (row.low, row.llc, row.high)]
    outside = "left" if places[1] < 0 else "right" if places[1] > 100 else ""
    low, mid, high = (min(max(place, 0.0), 100.0) for place in places)
    return Bar(low, mid, high, outside)
