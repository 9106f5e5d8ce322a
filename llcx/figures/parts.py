"""llc_parts.png: parts of the model, each sampled alone, with their sum beside the whole; from analysis/parts.csv."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_csv
from llcx.figures import style, wording
from llcx.figures.bars import KNOWN
from llcx.figures.rows import number

PANELS, PARTS = 6, 30  # points with samplers, and parts of each, that have room
PART, SUM, WHOLE = style.CYCLE[5], style.CYCLE[0], style.INK
Line = dict[str, str]  # of parts.csv


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """A panel a point and sampler; None where no part was asked for."""
    groups = measured(folder)
    if not groups:
        return None
    shown = [list(groups)[index] for index in spread(len(groups), PANELS)]
    most = max(min(len(drawn(groups[key])), PARTS + 2) for key in shown)
    across = min(len(shown), 3)
    picture, axes = style.grid(len(shown), 3, (0.5 + 0.24 * most) / ((style.WIDTH if across > 1 else 8.0) / across))
    several = len({sampler for _, sampler in groups}) > 1
    for axis, key in zip(axes, shown, strict=True):
        panel(axis, groups[key])
        axis.set_title(wording.plain(f"{key[0]} \u00b7 {key[1]}" if several else key[0], 40 // across + 20))
    style.outer_labels(axes, r"estimate $\hat\lambda$", "")
    return style.finish(picture, "Parts of the model, each sampled alone", notes(groups, shown), style.entries(axes))


def measured(folder: RunFolder) -> dict[tuple[str, str], list[Line]]:
    """(point, sampler) -> lines of the table; nothing without a table."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in read_csv(folder.path / "analysis" / "parts.csv"):
        groups.setdefault((line["point"], line["sampler"]), []).append(line)
    return groups


def spread(count: int, most: int) -> list[int]:
    """At most `most` of `count` indices, the first and the last among them."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, most))})


def drawn(lines: Sequence[Line]) -> list[Line]:
    """Parts, the largest where there are too many, in their order; then their sum and the whole."""
    parts = [line for line in lines if line["kind"] == "part"]
    largest = sorted(parts, key=lambda line: -number(line["llc"]))[:PARTS]
    return [line for line in parts if line in largest] + [of(lines, "sum of parts")] + list(whole(lines))


def of(lines: Sequence[Line], kind: str) -> Line:
    return next(line for line in lines if line["kind"] == kind)


def whole(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["kind"] == "whole"]


def panel(axis: Axes, lines: Sequence[Line]) -> None:
    """Bars from zero with 95 % intervals, top to bottom; a rule between the parts and what they are held against."""
    comparable = of(lines, "sum of parts")["comparable"] == "True"
    shown = drawn(lines)
    last = len([line for line in shown if line["kind"] == "part"])
    for height, line in enumerate(shown):
        y = height + (0.35 if height >= last else 0.0)
        kind = line["kind"]
        colour = {"part": PART, "sum of parts": SUM}.get(kind, WHOLE)
        hollow = bool(line["flags"]) or (kind == "sum of parts" and not comparable)
        value, low, high = (number(line[key]) for key in ("llc", "low", "high"))
        axis.barh(y, value, 0.72, color=colour, alpha=0.18)
        axis.hlines(y, low, high, color=colour, lw=2.2, alpha=0.7)
        if line["known"]:
            axis.scatter(
                number(line["known"]), y, s=130, color=style.KNOWN, marker="|", lw=2.2, zorder=2.5, label=KNOWN
            )
        style.dots(axis, [(value, y)], colour, hollow=hollow, label=f"{kind}{told(kind, hollow)}", s=30)
    axis.axhline(last - 0.325, color=style.MUTED, lw=0.6)
    heights = [height + (0.35 if height >= last else 0.0) for height in range(len(shown))]
    axis.set_yticks(heights, [wording.plain(name(line), 26) for line in shown])
    axis.tick_params(axis="y", length=0, labelcolor=style.INK)
    axis.set_ylim(heights[-1] + 0.6, -0.6)
    axis.axvline(0, color=style.MUTED, lw=0.7)
    axis.grid(False, axis="y")


def told(kind: str, hollow: bool) -> str:
    if not hollow:
        return ""
    return ", not comparable" if kind == "sum of parts" else ", flagged"


def name(line: Line) -> str:
    return line["where"] if line["kind"] == "part" else line["kind"]


def notes(groups: dict[tuple[str, str], list[Line]], shown: Sequence[tuple[str, str]]) -> list[str]:
    """What the bars are of, why sum and whole are not comparable, and what is left out."""
    every = [line for lines in groups.values() for line in lines if line["kind"] in ("part", "whole")]
    spans = {"n\u03b2": "nbeta", "\u03b3": "gamma"}
    text = ", ".join(f"{label} {wording.span([number(line[key]) for line in every])}" for label, key in spans.items())
    targets = " and ".join(sorted({line["target"] for line in every}))
    found = [
        f"Target {targets}, {text}. A part moves alone, all else is held at w*; the whole is no sum of them: what "
        "only moves together adds to it, what one part can undo of another takes from it."
    ]
    for key in shown:
        why = of(groups[key], "sum of parts")["why"]
        found += [f"Sum and whole of {key[0]} ({key[1]}) are not comparable: {why}."] if why else []
        many = sum(line["kind"] == "part" for line in groups[key])
        found += [f"{key[0]}: the {PARTS} largest of {many} parts are drawn."] if many > PARTS else []
    left = len(groups) - len(shown)
    return [*found, f"{left} further points are in analysis/parts.csv." if left else ""]
