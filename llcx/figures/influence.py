"""influence.png, susceptibilities.png: rows whose losses move together along the chains, and what parts answer to rows.

From analysis/influence.npz, influence.csv and susceptibilities.csv.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_arrays, read_csv
from llcx.figures import style, wording
from llcx.figures.rows import number

PAIRS = 16  # listed
NAMED = 40  # rows whose numbers have room on an axis
COLOURS = "RdBu_r"
ALIKE, AGAINST = "#B2182B", "#2166AC"  # the ends of COLOURS, for bars
Line = dict[str, str]


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """The correlations of all rows, ordered, and the strongest pairs, of one measurement; None where none followed."""
    path = folder.path / "analysis" / "influence.npz"
    if not path.exists():
        return None
    arrays = read_arrays(path)
    named = [tuple(map(str, key)) for key in arrays["measurements"]]
    chosen = chosen_of(named)
    lines = [line for line in read(folder, "influence") if key_of(line) == named[chosen]]
    picture, (left, right) = style.grid(2, 2, 0.86)
    kept, data = arrays[f"index {chosen}"], arrays[f"data {chosen}"]
    order = ordered(arrays[f"correlation {chosen}"])
    shade = matrix(left, arrays[f"correlation {chosen}"], order, labels(data, kept))
    bar = picture.colorbar(shade, ax=left, shrink=0.8, aspect=30, pad=0.02)
    bar.set_label("correlation of losses over draws")
    pairs(right, lines[:PAIRS])
    title = "Losses of single rows along the chains: " + " \u00b7 ".join(named[chosen][:3])
    return style.finish(picture, wording.plain(title, 100), notes(lines, named, chosen))


def chosen_of(named: Sequence[Sequence[str]]) -> int:
    """The last measurement of all parameters, or of what there is: the end of a trajectory."""
    whole = [index for index, key in enumerate(named) if key[2].split(" on ")[0] == "all"]
    return (whole or range(len(named)))[-1]


def key_of(line: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(line[key] for key in ("point", "sampler", "where", "target"))


def read(folder: RunFolder, stem: str) -> list[Line]:
    """Rows of a table of the analysis; none where there is none."""
    return read_csv(folder.path / "analysis" / f"{stem}.csv")


def ordered(correlation: np.ndarray) -> np.ndarray:
    """Rows by their angle in the plane of the two leading eigenvectors: those that move alike stand together."""
    values, vectors = np.linalg.eigh(np.nan_to_num(correlation))
    plane = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    angle = np.arctan2(plane[:, 0], plane[:, 1])
    inside = np.argsort(angle, kind="stable")
    gaps = np.diff(np.append(angle[inside], angle[inside[0]] + 2 * np.pi))
    return np.roll(inside, -int(gaps.argmax()) - 1)  # the cut of the circle where it is emptiest


def labels(data: np.ndarray, rows: np.ndarray) -> list[str]:
    """Row numbers, with the name of the data where there are several."""
    several = len(set(data.tolist())) > 1
    return [f"{name} {row}" if several else str(row) for name, row in zip(data, rows, strict=True)]


def matrix(axis: Axes, values: np.ndarray, order: np.ndarray, names: Sequence[str]) -> AxesImage:
    """A square of colours, rows in `order`; what has no variance is grey."""
    axis.set_facecolor(style.RULE)
    shade = axis.imshow(values[np.ix_(order, order)], cmap=COLOURS, vmin=-1, vmax=1, interpolation="nearest")
    axis.grid(False)
    if len(order) <= NAMED:
        shown = [wording.plain(names[row], 14) for row in order]
        axis.set_xticks(range(len(order)), shown, rotation=90, fontsize=6)
        axis.set_yticks(range(len(order)), shown, fontsize=6)
    else:
        axis.set(xticks=[], yticks=[])
    axis.set_xlabel(f"{len(order)} rows, those that move alike together")
    return shade


def pairs(axis: Axes, lines: Sequence[Line]) -> None:
    """The strongest pairs from the top, covariance with its 95 % interval; hollow where it may be chance."""
    axis.axvline(0, color=style.MUTED, lw=0.7)
    for height, line in enumerate(lines):
        value, se = number(line["covariance"]), number(line["se"])
        colour = ALIKE if value > 0 else AGAINST
        if np.isfinite(se):
            axis.hlines(height, value - 2 * se, value + 2 * se, color=colour, lw=2.2, alpha=0.5)
        style.dots(axis, [(value, height)], colour, hollow=line["significant"] != "True", s=28)
    several = len({line[key] for line in lines for key in ("data", "other_data")}) > 1
    names = [" & ".join(pair(line, several)) for line in lines]
    axis.set_yticks(range(len(lines)), [wording.plain(name, 30) for name in names])
    axis.tick_params(axis="y", length=0, labelcolor=style.INK)
    axis.set_ylim(max(len(lines), 1) - 0.4, -0.6)
    axis.grid(False, axis="y")
    axis.set_xlabel(r"covariance of losses, nats$^2$, $\pm$ 2 standard errors")
    axis.set_title("the most correlated pairs of rows")


def pair(line: Line, several: bool) -> tuple[str, str]:
    first, second = (("data", "row"), ("other_data", "other_row"))
    return tuple(f"{line[a]} {line[b]}" if several else line[b] for a, b in (first, second))  # type: ignore[return-value]


def notes(lines: Sequence[Line], named: Sequence[Sequence[str]], chosen: int) -> list[str]:
    real = sum(line["significant"] == "True" for line in lines)
    found = [
        f"Target {named[chosen][3]}. Red: the posterior raises and lowers both losses together, so weight on one row "
        "lowers the other's loss (influence = \u2212n\u03b2/n covariance); blue: it raises it.",
        f"{real} of the {len(lines)} pairs in analysis/influence.csv are no chance at 5 % over all pairs.",
    ]
    left = len(named) - 1
    return [*found, f"{left} further measurements are in analysis/influence.npz." if left else ""]


@style.look
def responses(folder: RunFolder) -> Figure | None:
    """Parts by rows: how each part's loss answers to more of one row; None without parts."""
    lines = read(folder, "susceptibilities")
    points = list(dict.fromkeys((line["point"], line["sampler"]) for line in lines))
    if not points:
        return None
    own = [line for line in lines if (line["point"], line["sampler"]) == points[-1]]
    places = list(dict.fromkeys(line["where"] for line in own))
    if len(places) < 2:
        return None
    rows = list(dict.fromkeys((line["data"], line["row"]) for line in own))
    values = table(own, places, rows, "correlation")
    real = table(own, places, rows, "significant") > 0
    order = np.argsort(np.nan_to_num(values).T @ leading(values), kind="stable")
    picture, (axis,) = style.grid(1, 1, (0.8 + 0.3 * len(places)) / style.WIDTH, lone=style.WIDTH)
    axis.set_facecolor(style.RULE)
    look: Any = {"cmap": COLOURS, "vmin": -1, "vmax": 1, "aspect": "auto", "interpolation": "nearest"}
    shade = axis.imshow(np.where(real, values, np.nan)[:, order], **look)
    axis.grid(False)
    axis.set_yticks(range(len(places)), [wording.plain(place, 30) for place in places])
    axis.tick_params(axis="y", length=0, labelcolor=style.INK)
    several = len({name for name, _ in rows}) > 1
    names = [wording.plain(f"{rows[at][0]} {rows[at][1]}" if several else rows[at][1], 14) for at in order]
    axis.set_xticks(range(len(rows)) if len(rows) <= 2 * NAMED else [], names if len(rows) <= 2 * NAMED else [])
    axis.tick_params(axis="x", labelrotation=90, labelsize=6)
    axis.set_xlabel("row")
    bar = picture.colorbar(shade, ax=axis, aspect=15, pad=0.015)
    bar.set_label("\u2212correlation")
    left = f"{len(points) - 1} further points are in analysis/susceptibilities.csv." if len(points) > 1 else ""
    said = (
        "\u2212Corr(L, l \u2212 L) over the draws in which the part moves alone, l the row's loss and L the mean. Red: "
        "a shift of the data towards the row raises the part's \u03bb; blue: lowers it; grey: within noise (95 %)."
    )
    title = f"What each part answers to: {points[-1][0]} \u00b7 {points[-1][1]}"
    return style.finish(picture, wording.plain(title, 90), [said, left])


def table(lines: Sequence[Line], places: Sequence[str], rows: Sequence[tuple[str, str]], key: str) -> np.ndarray:
    """A column as [places, rows]; truth as 1 and 0, nan where a part has no such row."""
    found = np.full((len(places), len(rows)), np.nan)
    for line in lines:
        value = float(line[key] == "True") if line[key] in ("True", "False") else number(line[key])
        found[places.index(line["where"]), rows.index((line["data"], line["row"]))] = value
    return found


def leading(values: np.ndarray) -> np.ndarray:
    """The direction among places [places] that rows differ in most."""
    return np.linalg.svd(np.nan_to_num(values), full_matrices=False)[0][:, 0]
