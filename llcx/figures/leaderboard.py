"""leaderboard.png: a lane a sampler, its errors on all problems; beside it its line of analysis/leaderboard.csv."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import blended_transform_factory

from llcx.artifacts import RunFolder
from llcx.figures import rows, style, wording
from llcx.figures.rows import Row

FEW = 4  # problems with a known value: fewer say nothing about a sampler
LEAST, MOST = 1e-4, 10.0  # relative errors at the edges of the panel
OFF = 0.15  # beyond it a number is wrong
COLUMNS = {  # of analysis/leaderboard.csv: what stands above them, and where they end, as a share of the width
    **{"median_abs_at": ("median\n|error|", 0.06), "mean_abs_at": ("mean\n|error|", 0.125)},
    **{
        "p95_abs_at": ("95 %\n|error|", 0.19),
        "bias_at": ("median\nerror", 0.265),
        "covered_at": ("in\ninterval", 0.335),
    },
    **{"median_abs": ("median\nof \u03bb", 0.4), "p95_abs": ("95 %\nof \u03bb", 0.465)},
    **{"covered": ("\u03bb in\ninterval", 0.535), "half_width": ("half\nwidth", 0.6)},
    **{"order_preservation": ("order\nkept", 0.66), "problems": ("n", 0.69), "failed": ("failed", 0.742)},
    **{"flagged": ("flagged", 0.803), "silent": ("silent", 0.855), "gradients": ("gradients", 0.933)},
    **{"seconds": ("seconds", 1.0)},
}
COUNTS = ("problems", "failed", "flagged", "silent")
Lane = tuple[Mapping[str, str], list[Row]]  # a line of the table, and its rows with an error


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """None before the table is there, and where fewer than FEW problems have a known value."""
    every = [row for row in rows.read(folder) if not row.combination]
    scored = [row for row in every if not row.failed and np.isfinite(error(row))]
    if len({row.point for row in scored}) < FEW:
        return None
    try:
        table = folder.analysis("leaderboard")
    except FileNotFoundError:
        return None
    lanes = [(line, [row for row in scored if of(row, line)]) for line in table]
    picture = Figure(figsize=(style.WIDTH + 3, 2.3 + 0.42 * max(3, len(lanes))), layout="constrained")
    left, right = picture.subplots(1, 2, width_ratios=[1, 1.6])
    errors(left, lanes)
    numbers(right, table)
    problems = len({row.point for row in every})
    title = f"Leaderboard: {problems} problems of known \u03bb"
    return style.finish(picture, title, notes(every), keys())


def error(row: Row) -> float:
    """Relative error against the value at this n*beta and gamma, where that is unknown against lambda."""
    return rows.known_or(rows.number(row.raw.get("rel_error_at", "")), row.rel_error)


def of(row: Row, line: Mapping[str, str]) -> bool:
    return (row.sampler, row.target) == (line["sampler"], line["target"])


def errors(axis: Axes, lanes: Sequence[Lane]) -> None:
    """A lane a sampler, the first on top: triangles to the side of the error's sign, hollow if flagged."""
    rng = np.random.default_rng(0)  # sideways jitter, so that points are told apart
    axis.axvspan(OFF, MOST * 1.3, color=style.ALERT, alpha=0.06, lw=0, zorder=0)
    for place, (line, group) in enumerate(lanes):
        lane(axis, place, group, style.colour(line["sampler"]), rng)
    axis.hlines(np.arange(1, len(lanes)) - 0.5, LEAST / 1.3, MOST * 1.3, color=style.RULE, lw=0.5, zorder=0)
    several = len({line["target"] for line, _ in lanes}) > 1
    names = [f"{line['sampler']}\n{line['target']}" if several else line["sampler"] for line, _ in lanes]
    axis.set_yticks(range(len(lanes)), [wording.plain(name) for name in names])
    axis.tick_params(axis="y", length=0, labelcolor=style.INK, labelsize=9)
    axis.set(xscale="log", xlim=(LEAST / 1.3, MOST * 1.3), ylim=(len(lanes) - 0.5, -0.5))
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(False, axis="y")
    axis.set_xlabel(r"|relative error| against the known value at this $n\beta$ and $\gamma$")


def lane(axis: Axes, place: int, group: Sequence[Row], colour: str, rng: np.random.Generator) -> None:
    """The rows of one sampler around the height `place`, their median and their 95 % quantile."""
    sizes = np.clip(np.abs([error(row) for row in group]), LEAST, MOST)
    heights = place + rng.uniform(-0.26, 0.26, len(group))
    for up in (True, False):
        for hollow in (False, True):
            here = [(error(row) >= 0) == up and row.healthy != hollow for row in group]
            if any(here):
                spots = list(zip(sizes[here], heights[here], strict=True))
                style.dots(axis, spots, colour, "^" if up else "v", hollow=hollow, s=44)
    if len(sizes):
        for share, width in ((0.5, 2.6), (0.95, 1.1)):
            axis.vlines(np.quantile(sizes, share), place - 0.38, place + 0.38, color=style.INK, lw=width, zorder=2)


def numbers(axis: Axes, table: Sequence[Mapping[str, str]]) -> None:
    """The table, each line at the height of its lane."""
    axis.set_axis_off()
    axis.set_ylim(len(table) - 0.5, -0.5)
    across = blended_transform_factory(axis.transAxes, axis.transData)
    for key, (head, x) in COLUMNS.items():
        axis.text(x, 1.0, head, transform=axis.transAxes, ha="right", va="bottom", fontsize=8, color=style.MUTED)
        for place, line in enumerate(table):
            axis.text(x, place, cell(key, line.get(key, "")), transform=across, ha="right", va="center", fontsize=8)


def cell(key: str, text: str) -> str:
    """A number of the table as a reader wants it."""
    if key in COUNTS:
        return text
    if key in ("gradients", "seconds"):
        value = rows.number(text)
        return f"{value / 1000:,.0f}k" if value >= 1e4 else wording.three(value)
    return wording.percent(rows.number(text), signed=key == "bias_at")


def notes(every: Sequence[Row]) -> list[str]:
    """What the columns mean, and what is not drawn."""
    unknown = [row for row in every if not row.failed and not np.isfinite(error(row))]
    return [
        "Errors are against the value expected at this n\u03b2 and \u03b3; of \u03bb: against \u03bb itself, by which "
        f"the order is judged too. Silent: beyond {OFF:.0%} (shaded) and not flagged. Gradients of all chains, and "
        f"seconds: medians. Errors below {LEAST:.2%} and above {MOST:.0%} stand at the edges.",
        wording.conditions([row for row in every if not row.failed]),
        wording.absent("Without a known value, not drawn", unknown, every),
        wording.failures(every),
    ]


def keys() -> dict[str, Line2D]:
    """The legend: what shape, filling and lines say."""
    return {
        "too high": style.key("^"),
        "too low": style.key("v"),
        "flagged": style.key("^", hollow=True),
        "median, and (thin) 95 %": style.key(line="-"),
    }
