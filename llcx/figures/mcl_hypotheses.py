"""mcl_hypotheses.png: every comparison of H1 to H4 with its interval, what is of interest, and the verdict in words."""

import math
import textwrap
from collections.abc import Sequence
from string import ascii_letters
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from llcx.figures import mcl_study, style, wording
from llcx.figures.mcl_study import Study

COLOURS = {
    **{"SUPPORTED": "#007A5A", "REJECTED": style.INK, "REVERSED": style.ALERT},
    **{"INCONCLUSIVE": "#A66A00", "SPLIT": "#7A5195", "NOT TESTED": "#8A9097"},
}
MARKERS = {"primary": "o", "secondary": "o", "attribution": "D", "negative control": "s", "positive control": "^"}
ROLES = {"attribution": "what full has beyond another arm", "negative control": "groups dealt at random (no effect)",
         "positive control": "an effect that should be found"}  # fmt: skip
PALE = "#DCEBF5"  # from no effect to the smallest one of interest
LINE, HEAD, FOOT = 0.19, 0.52, 0.47  # inches: of a comparison, above a panel, below it
NAME, VERSUS, NUMBERS, VERDICT = 0.011, 0.3, 0.725, 0.875  # where columns begin, in widths of the figure
PANEL = (0.455, 0.712)  # where panels do
REACH = 3.0  # means, or effects of interest, that a panel shows at most
Part = dict[str, Any]


class Group(NamedTuple):
    """Comparisons of one hypothesis in one unit."""

    title: str
    verdict: str  # of the hypothesis; empty below its first group
    also: str
    unit: str
    parts: list[Part]

    @property
    def height(self) -> float:
        """Inches of its panel."""
        return LINE * len(self.parts)

    @property
    def head(self) -> float:
        """And above it."""
        return HEAD if self.title else 0.0


@style.look
def figure(study: Study) -> Figure | None:
    """Also of several runs together, wherever there is analysis/hypotheses.json; None where there is none."""
    told = study.document("hypotheses")
    groups = grouped(told)
    if not groups:
        return None
    reasons = dict(zip(every_reason(groups), ascii_letters, strict=False))
    below = notes(study, told, reasons)
    foot = 0.2 + 0.155 * sum(len(textwrap.wrap(note, int(style.WIDTH * 15))) for note in below)
    above = 0.62
    high = above + foot + sum(group.height + group.head + FOOT for group in groups)
    picture = Figure(figsize=(style.WIDTH, high))
    top = high - above
    for group in groups:
        top -= group.head + group.height
        axis = picture.add_axes((PANEL[0], top / high, PANEL[1] - PANEL[0], group.height / high))
        panel(axis, group, reasons)
        top -= FOOT
    return style.finish(picture, "Mutual concepts: hypotheses", below, keys(groups))


def grouped(told: Any) -> list[Group]:
    """By hypothesis and axis; of several variants the comparisons that decide alone, side by side."""
    saved = -math.log(1 - told.get("registered", {}).get("saved", 0.1))
    named: dict[str, list[Any]] = {}
    for each in told.get("hypotheses", []):
        named.setdefault(each["name"], []).append(each)
    found = []
    for name, variants in named.items():
        title, also = f"{name} {variants[0]['claim']}", beyond(variants[0])
        verdict = variants[0]["verdict"] if len({each["verdict"] for each in variants}) == 1 else ""
        parts = [dict(part, question=part["name"]) for part in variants[0]["parts"]]
        if len(variants) > 1:
            also = "; ".join(f"{each['variant']}: {each['verdict']}" for each in variants)
            parts = [part for each in variants for part in of_variant(each)]
        for (_, unit), some in by_axis(parts, saved).items():
            found.append(Group(title, verdict, also, unit, by_question(some)))
            title = verdict = also = ""
    return found


def of_variant(each: Any) -> list[Part]:
    """Comparisons that decide, under the variant's name."""
    primary = [{**part, "note": "; ".join(why(part))} for part in each["parts"] if part["role"] == "primary"]
    return [{**part, "question": part["name"], "name": f"{part['name']}, {each['variant']}"} for part in primary]


def beyond(each: Any) -> str:
    """What a hypothesis notes beside what its comparisons do."""
    return "; ".join(note for note in each["notes"] if all(note != part["note"] for part in each["parts"]))


def by_axis(parts: Sequence[Part], saved: float) -> dict[tuple[str, str], list[Part]]:
    """Comparisons that one axis can show: of one letter, where names have one, and of one unit."""
    found: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        letter = part["name"][: part["name"].find(": ") + 1]
        ratio = abs(part["sesoi"] - saved) < 1e-9  # times have a smallest effect of their own
        unit = "log ratio, above 0 where it takes less" if ratio else "difference"
        found.setdefault((letter if len(letter) == 2 else "", unit), []).append(part)
    return dict(sorted(found.items()))


def by_question(parts: Sequence[Part]) -> list[Part]:
    """Comparisons of one question one after the other, questions that decide first."""
    deciding = [part["question"] for part in parts if part["role"] == "primary"]
    order = list(dict.fromkeys([*deciding, *(part["question"] for part in parts)]))
    return sorted(parts, key=lambda part: order.index(part["question"]))


def every_reason(groups: Sequence[Group]) -> list[str]:
    """Why comparisons are not tested, each once."""
    return list(dict.fromkeys(reason for group in groups for part in group.parts for reason in why(part)))


def why(part: Part) -> list[str]:
    return part["note"].split("; ") if part["verdict"] == "NOT TESTED" and part["note"] else []


def panel(axis: Axes, group: Group, reasons: dict[str, str]) -> None:
    """A line a comparison, those that decide in bold."""
    limits = ends(group.parts)
    for place, part in enumerate(group.parts):
        bar(axis, part, place, limits)
        words(axis, part, place, reasons)
    axis.axvline(0, color=style.INK, lw=0.9, zorder=1.8)
    axis.set(xlim=limits, ylim=(len(group.parts) - 0.5, -0.5), yticks=[], xlabel=group.unit)
    axis.spines["left"].set_visible(False)
    figure = axis.figure
    assert figure is not None
    spot: Any = {"transform": blended_transform_factory(figure.transFigure, axis.transAxes), "va": "bottom"}
    up = 1 + (0.22 if group.also else 0.06) / group.height
    axis.text(NAME, up, group.title, fontsize=10, fontweight="bold", **spot)
    colour = COLOURS.get(group.verdict, style.INK)
    axis.text(VERDICT, up, group.verdict, fontsize=10, fontweight="bold", color=colour, **spot)
    axis.text(NAME, 1 + 0.06 / group.height, group.also, fontsize=8, color=style.MUTED, parse_math=False, **spot)


def ends(parts: Sequence[Part]) -> tuple[float, float]:
    """Limits that hold means and effects of interest; intervals may reach beyond."""
    means = [part["mean"] for part in parts if part["mean"] is not None]
    most = REACH * max([abs(mean) for mean in means] + [part["sesoi"] for part in parts], default=1.0) or 1.0
    lows = [part["low"] for part in parts if part["low"] is not None]
    highs = [part["high"] for part in parts if part["high"] is not None]
    low = max(min([0.0, *means, *lows]), -most)
    high = min(max([0.0, *means, *highs, *(part["sesoi"] for part in parts)]), most)
    spare = 0.06 * (high - low)
    return low - spare, high + spare


def bar(axis: Axes, part: Part, place: int, limits: tuple[float, float]) -> None:
    """Mean and interval, with an arrow where it goes on; behind them what is too small to be of interest."""
    axis.barh(place, part["sesoi"], height=0.86, color=PALE, zorder=1)
    if part["mean"] is None:
        return
    main, colour = part["role"] == "primary", COLOURS.get(part["verdict"], style.INK)
    if part["low"] is not None and part["high"] is not None:
        low, high = max(part["low"], limits[0]), min(part["high"], limits[1])
        axis.hlines(place, low, high, color=colour, lw=2.4 if main else 1.2, zorder=2.5)
        for end, edge, marker in ((part["low"], limits[0], "<"), (part["high"], limits[1], ">")):
            if end != min(max(end, limits[0]), limits[1]):
                axis.plot(edge, place, marker, color=colour, ms=4.5, clip_on=False)
    look: Any = {"s": 44 if main else 22, "hollow": part["verdict"] == "NOT TESTED"}
    style.dots(axis, [(part["mean"], place)], colour, MARKERS.get(part["role"], "o"), **look)


def words(axis: Axes, part: Part, place: int, reasons: dict[str, str]) -> None:
    """What is compared, in numbers, and the verdict."""
    figure, main = axis.figure, part["role"] == "primary"
    assert figure is not None
    ink = style.INK if part["role"] in ("primary", "secondary") else style.MUTED
    look: Any = {"transform": blended_transform_factory(figure.transFigure, axis.transData), "va": "center"}
    look |= {"fontsize": 8, "fontweight": "bold" if main else "normal", "parse_math": False}
    beside = f" ({part['note']})" if part["note"] and not why(part) else ""
    axis.text(NAME, place, part["name"] + beside, color=ink, **look)
    axis.text(VERSUS, place, f"{part['treated']} against {part['control']}", color=ink, **look)
    axis.text(NUMBERS, place, numbers(part), color=ink, **look)
    marks = "".join(sorted(reasons.get(reason, "+") for reason in why(part)))
    told = part["verdict"] + f" ({marks})" * bool(marks)
    axis.text(VERDICT, place, told, color=COLOURS.get(part["verdict"], style.INK), **look)


def numbers(part: Part) -> str:
    if part["mean"] is None:
        return "\u2013"
    if part["low"] is None or part["high"] is None:
        return f"{wording.three(part['mean'])} [one seed]".replace("-", "\u2212")
    return wording.interval(part["mean"], part["low"], part["high"], most=3)


def keys(groups: Sequence[Group]) -> dict[str, Any]:
    roles = {part["role"] for group in groups for part in group.parts}
    found: dict[str, Any] = {"decides (bold)": style.key("o", line="-")}
    found |= {told: style.key(MARKERS[role], color=style.MUTED) for role, told in ROLES.items() if role in roles}
    return found | {"too small to be of interest": Patch(facecolor=PALE)}


def notes(study: Study, told: Any, reasons: dict[str, str]) -> list[str]:
    runs = "; ".join(f"{arm} \u00d7 {count}" for arm, count in told.get("runs", {}).items())
    rule = (
        "95 % intervals over paired seeds and the compositions within them; + is good. SUPPORTED: above 0 and the mean "
    )
    rule += (
        "at least of interest. REVERSED: below 0. REJECTED: below what is of interest. Else INCONCLUSIVE. SPLIT: parts "
    )
    rule += f"that must all hold disagree. Runs: {runs}."
    lacking = "NOT TESTED: " + "; ".join(f"({mark}) {reason}" for reason, mark in reasons.items()) + "."
    return [mcl_study.conditions(study), rule, lacking if reasons else ""]
