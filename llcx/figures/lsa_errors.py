"""lsa_errors.png: relative errors against either theory by alpha and sampler, and the table of analysis/errors.csv."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from llcx.artifacts import RunFolder
from llcx.figures import rows, scaling, style, tables, theories, wording
from llcx.figures.rows import Row
from llcx.figures.theories import Study

COLOURS = {"lambda_matrix": "#D55E00", "lambda_full": "#0072B2"}
COORDINATES = {"d": "d", "d_l": "d_l", "rank_m": "rank M", "rank_b": "rank B"}
MOST = 24  # lines of the table
NAMES = {"class": "class", "alpha": "\u03b1", "sampler": "sampler", "target": "target", "against": "against"}
HEADS = {**NAMES, **scaling.HEADS, "nets": "problems"}
Strips = Mapping[tuple[str, str], Mapping[str, Sequence[Row]]]  # (alpha, sampler) -> theory -> rows


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """A pair of strips an (alpha, sampler) above the table; None where no theory has three problems."""
    study = theories.read(folder)
    if len({row.point for row in study.known}) < 3:
        return None
    try:
        table = folder.analysis("errors")
    except FileNotFoundError:
        table = []
    shown, below = table[:MOST], 0.5 + 0.24 * max(1, len(table[:MOST]))
    picture = Figure(figsize=(style.WIDTH, 5.0 + below), layout="constrained")
    upper, lower = picture.subplots(2, 1, height_ratios=[3.6, below])
    chart(upper, strips_of(study))
    write(lower, shown)
    more = f"{len(table) - MOST} more lines of the table stand in analysis/errors.csv." if len(table) > MOST else ""
    notes = [wording.conditions(study.known), drawn(study), more, wording.flagged(study.every)]
    notes.append(wording.failures(study.every))
    return style.finish(picture, "Linear self-attention: relative error against either theory", notes, keys(study))


def strips_of(study: Study) -> Strips:
    """In order of alpha, then of the samplers' appearance."""
    samplers = dict.fromkeys(row.sampler for row in study.known)
    pairs = [(alpha, sampler) for alpha in study.alphas for sampler in samplers]
    found: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for alpha, sampler in pairs:
        group = [row for row in study.alphas[alpha] if row.sampler == sampler]
        of_theory = {name: theories.against(group, name) for name in study.names}
        found[alpha, sampler] = {name: group for name, group in of_theory.items() if group}
    return {key: of_theory for key, of_theory in found.items() if of_theory}


def drawn(study: Study) -> str:
    """What the problems of each alpha are like."""
    spans = []
    for alpha, group in study.alphas.items():
        problems = list({row.point: row.raw for row in group}.values())
        ranges = [
            f"{name} {wording.span([rows.number(raw.get(f'at.{key}', '')) for raw in problems])}"
            for key, name in COORDINATES.items()
            if problems[0].get(f"at.{key}")
        ]
        named = f"\u03b1 = {alpha}: " if alpha else ""
        spans.append(f"{named}{len(problems)} problem{'s' * (len(problems) > 1)}, {', '.join(ranges)}")
    return ";  ".join(spans)


def chart(axis: Axes, strips: Strips) -> None:
    """|relative error|, logarithmic; the two theories side by side in their colours."""
    rng = np.random.default_rng(0)  # sideways jitter, so that points are told apart
    width, middles = 0.0, []
    for of_theory in strips.values():
        for place, (name, group) in enumerate(of_theory.items()):
            scaling.strip(axis, width + place, group, COLOURS[name], rng)
        middles.append(width + 0.5 * (len(of_theory) - 1))
        width += len(of_theory) + 0.6
    said = [(rf"$\alpha$ = {alpha}" + "\n" if alpha else "", wording.plain(sampler)) for alpha, sampler in strips]
    axis.set_xticks(middles, [first + second for first, second in said])
    scaling.axes_of_errors(axis)
    axis.set_ylabel("|relative error|")


def keys(study: Study) -> dict[str, Line2D]:
    """The legend: theories by colour, then what shape and filling say."""
    of_theory = {f"against {theories.NAMES[name]}": style.key("^", color=COLOURS[name]) for name in study.names}
    return of_theory | scaling.keys()


def write(axis: Axes, table: Sequence[Mapping[str, str]]) -> None:
    """analysis/errors.csv, without the columns that it lacks and those names that are the same on all lines."""
    if not table:
        tables.absent(axis, "analysis/errors.csv is not there yet")
        return
    heads = [key for key in HEADS if key in table[0]]
    same = [key for key in ("class", "target") if len({line.get(key) for line in table}) == 1]
    heads = [key for key in heads if key not in same]
    cells = [[cell(key, line.get(key, "")) for key in heads] for line in table]
    tables.draw(axis, [HEADS[key] for key in heads], cells, sum(key in NAMES for key in heads), head=1.6)


def cell(key: str, text: str) -> str:
    """The name of a theory, or what scaling makes of it."""
    return theories.NAMES.get(text.removeprefix("known."), text) if key == "against" else scaling.cell(key, text)
