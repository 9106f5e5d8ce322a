"""Numbers and names as a reader of a figure or a report wants them."""

import math
from collections.abc import Sequence

from llcx.figures import flags
from llcx.figures.rows import Row

LISTED = 6  # names spelled out in a footnote; the others are counted


def number(value: float) -> str:
    """Four significant digits: 9.48, 72380, 3e6; a dash where it is unknown."""
    if not math.isfinite(value):
        return "\u2013" if math.isnan(value) else str(value)
    text = f"{float(f'{value:.4g}'):.6g}"
    return text.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def three(value: float) -> str:
    """Three significant digits, for numbers with an interval beside them."""
    return number(float(f"{value:.3g}")) if math.isfinite(value) else number(value)


def interval(value: float, low: float, high: float, *, most: int = 6) -> str:
    """9.32 [8.84, 9.80]: as many decimals, at most `most`, as give half the interval two digits."""
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return f"{number(value)} [{number(low)}, {number(high)}]"
    decimals = min(max(0, 1 - math.floor(math.log10(half))), most)
    ends = [round(end, decimals) + 0.0 for end in (value, low, high)]  # + 0.0: never -0.0
    value, low, high = ends
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]".replace("-", "\u2212")


def percent(share: float, *, signed: bool = False) -> str:
    """0.0142 -> 1.4 %; two significant digits below 1 %, one decimal below 100 %."""
    if not math.isfinite(share):
        return number(share)
    value = 100 * share
    text = (
        f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.1f}" if abs(value) >= 1 else f"{float(f'{value:.2g}'):g}"
    )
    return f"{'+' if signed and value > 0 else ''}{text} %".replace("-", "\u2212")


def plain(text: str, longest: int = 34) -> str:
    """A name as matplotlib takes it: no mathematics in it, its middle cut out where it is long."""
    if len(text) > longest:
        tail = longest // 3
        text = f"{text[: longest - tail - 1]}\u2026{text[-tail:]}"
    return text.replace("$", r"\$")


def label(row: Row, rows: Sequence[Row]) -> str:
    """Point and sampler; `where` unless it is everything; the target where `rows` differ in it."""
    return " \u00b7 ".join([row.point, *series(row, rows)])


def series(row: Row, rows: Sequence[Row]) -> list[str]:
    """What tells a row's series from the others': the sampler, `where` and target where they say something."""
    place = [] if row.where in ("", "all") else [row.where]
    target = [row.target] if len({other.target for other in rows} - {""}) > 1 else []
    return [row.sampler, *place, *target]


def brief(row: Row, rows: Sequence[Row], longest: int) -> str:
    """The label for a title of at most `longest` letters: long parts shortened, no mathematics."""
    parts = [plain(part, 14) for part in series(row, rows)]
    room = longest - sum(len(part) + 3 for part in parts)
    return " \u00b7 ".join([plain(row.point, max(room, 8)), *parts])


def span(values: Sequence[float]) -> str:
    """One number, or the range that several make."""
    known = sorted({value for value in values if math.isfinite(value)})
    if not known:
        return "unknown"
    alike = math.isclose(known[0], known[-1], rel_tol=1e-4)  # as of one number in two precisions
    return number(known[0]) if alike else f"{number(known[0])} to {number(known[-1])}"


def conditions(rows: Sequence[Row]) -> str:
    """Target, n*beta and gamma of `rows`, with a warning where they differ: such rows are not one experiment."""
    if not rows:
        return ""
    names = {
        "": " and ".join(sorted({row.target for row in rows})),
        "n\u03b2": span([row.nbeta for row in rows]),
        "\u03b3": span([row.gamma for row in rows]),
    }
    differ = [name or "target" for name, text in names.items() if " and " in text or " to " in text]
    text = "Target " + ", ".join(f"{name} {value}".strip() for name, value in names.items())
    return f"{text} (rows of different {' and '.join(differ)} stand together here)" if differ else text


def listing(items: Sequence[str], most: int = LISTED) -> str:
    """The first few, and how many more there are."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def flagged(rows: Sequence[Row]) -> str:
    """Footnote of the hollow markers: which rows, and why."""
    unhealthy = [row for row in rows if not row.failed and not row.healthy]
    items = [f"{label(row, rows)} ({', '.join(map(flags.short, row.flags)) or 'unhealthy'})" for row in unhealthy]
    return f"Flagged ({len(items)}): {listing(items)}" if items else ""


def absent(why: str, missing: Sequence[Row], rows: Sequence[Row]) -> str:
    """Footnote of rows that have a number but no place in this figure."""
    items = [label(row, rows) for row in missing if not row.failed]
    return f"{why} ({len(items)}): {listing(items)}" if items else ""


def failures(rows: Sequence[Row]) -> str:
    """Footnote of the rows that have no number to draw."""
    failed = [row for row in rows if row.failed]
    items = [f"{label(row, rows)} ({', '.join(row.flags) or 'no number'})" for row in failed]
    return f"Not drawn, no number ({len(items)}): {listing(items)}" if items else ""
