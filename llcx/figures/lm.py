"""lm.png: what a language model learns in context along training, what its heads look at, and the LLC of both."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import over_time, panels, rows, style, trajectories, wording
from llcx.figures.rows import Row
from llcx.figures.trajectories import Cells

HEAD = re.compile(r"layers\.(\d+)\.heads\.(\d+)\.\*")  # places that are a head of the model
LOSSES = {"loss": ("all", style.INK), "repeated": ("repeated", style.CYCLE[0]), "new": ("new", style.CYCLE[1])}
LEVELS: Mapping[str, Any] = {"marginal": (0, (1, 1.5)), "ideal": (0, (5, 2))}
MEANING = {"marginal": "best without context", "ideal": "best with context"}
SHADES = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#6B6B00", "#CC79A7", "#7A5195")  # of heads


@dataclass(frozen=True)
class Study:
    """One training: the first of a run, with its estimates of one sampler and target."""

    name: str
    scores: list[Cells]  # one an event
    heads: list[Cells]  # one an event and head
    levels: dict[str, Cells]  # of the best predictions, by name
    rows: list[Row]  # with a time
    others: int  # trainings that are not drawn

    @property
    def places(self) -> dict[str, list[Row]]:
        """Estimates with a number by where they are of, in time; the whole model's first."""
        found: dict[str, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: (row.where != "all", row.where, trajectories.time_at(row))):
            if not row.failed:
                found.setdefault(row.where, []).append(row)
        return found

    @property
    def moments(self) -> list[int]:
        return sorted({trajectories.time_at(row) for row in self.rows})


def read(folder: RunFolder) -> Study | None:
    """None where nothing was trained."""
    lines = {stem: trajectories.analysis(folder, stem) for stem in ("scores", "heads", "levels")}
    trained = [line for line in lines["scores"] if line["step"]]
    names = list(dict.fromkeys(line["training"] for line in trained))
    if not names:
        return None
    name = names[0]
    mine = {stem: [line for line in each if line["training"] == name] for stem, each in lines.items()}
    every = [row for row in rows.read(folder) if row.raw.get("at.step") and owner(row.point, names) == name]
    first = next((row for row in every if not row.failed), None)
    every = [row for row in every if first and (row.sampler, row.target) == (first.sampler, first.target)]
    levels = {line["level"]: line for line in mine["levels"]}
    return Study(name, mine["scores"], mine["heads"], levels, every, len(names) - 1)


def owner(point: str, trainings: Sequence[str]) -> str:
    """The training whose name the point's begins with, the longest of them."""
    return max((name for name in trainings if f"{point},".startswith(f"{name},")), key=len, default="")


def draw(folder: RunFolder) -> list[Path]:
    study = read(folder)
    return [] if study is None else [style.save(figure(study), folder.path / "lm.png")]


@style.look
def figure(study: Study) -> Figure:
    """Above, what is learned; below, the learning coefficient of the model and of its parts."""
    places = study.places
    parts = {where: found for where, found in places.items() if where != "all"}
    picture = Figure(figsize=(style.WIDTH, 7.9 if places else 4.6), layout="constrained")
    grid = picture.add_gridspec(2 if places else 1, 6)
    losses, score, looks = (picture.add_subplot(grid[0, 2 * at : 2 * at + 2]) for at in range(3))
    nats(losses, study)
    in_context(score, study)
    attention(looks, study)
    if places:
        axes = [picture.add_subplot(grid[1, :3]), picture.add_subplot(grid[1, 3:])]
        estimates(axes[0], {"all": places.get("all", [])}, r"learning coefficient $\hat\lambda$ of the whole model")
        estimates(axes[1], parts, r"$\hat\lambda$ of each part, all others held")
    for axis in picture.axes:
        along(axis, study)
    return style.finish(picture, "Language model: what is learned in context", notes(study), keys(study, parts))


def steps(lines: Sequence[Cells]) -> np.ndarray:
    return np.array([int(line["step"]) for line in lines])


def column(lines: Sequence[Cells], name: str) -> np.ndarray:
    return np.array([rows.number(line[name]) for line in lines])


def nats(axis: Axes, study: Study) -> None:
    """Losses of test rows, with what the best predictions reach."""
    for name, (_, colour) in LOSSES.items():
        axis.plot(steps(study.scores), column(study.scores, name), color=colour, lw=1.5)
        for level, dash in LEVELS.items():
            if level in study.levels and (name, level) != ("new", "marginal"):  # of new ones both are the same
                axis.axhline(rows.number(study.levels[level][name]), color=colour, ls=dash, lw=1.0)
    axis.set_title("nats of a next token, test sequences")


def in_context(axis: Axes, study: Study) -> None:
    axis.plot(steps(study.scores), column(study.scores, "in_context"), color=style.INK, lw=1.6)
    for level, dash in LEVELS.items():
        if level in study.levels:
            axis.axhline(rows.number(study.levels[level]["in_context"]), color=style.INK, ls=dash, lw=1.0)
    axis.set_title("in-context score: late minus early [nats]")


def attention(axis: Axes, study: Study) -> None:
    """Where each head looks."""
    if not study.heads:
        panels.blank(axis, "no heads in analysis/heads.csv")
    for at, head in enumerate(heads(study)):
        mine = [line for line in study.heads if (line["layer"], line["head"]) == head]
        look: Any = {"color": SHADES[at % len(SHADES)], "lw": 1.5}
        axis.plot(steps(mine), column(mine, "induction"), **look)
        axis.plot(steps(mine), column(mine, "previous"), **look, ls=LEVELS["marginal"])
    axis.set_title("heads: copying (\u2014), looking back (\u00b7\u00b7\u00b7)")


def estimates(axis: Axes, places: Mapping[str, Sequence[Row]], title: str) -> None:
    """A line a place, intervals, hollow where flagged."""
    if not any(places.values()):
        panels.blank(axis, "not asked for: estimator.where_each")
    for found, colour in zip(places.values(), colours(places), strict=True):
        x = [trajectories.time_at(row) for row in found]
        axis.plot(x, [row.llc for row in found], color=colour, lw=1.4)
        axis.vlines(x, [row.low for row in found], [row.high for row in found], color=colour, lw=1.4)
        for hollow in (False, True):
            if at := [(float(trajectories.time_at(row)), row.llc) for row in found if row.healthy != hollow]:
                style.dots(axis, at, colour, hollow=hollow, s=34)
    axis.set_title(title)


def along(axis: Axes, study: Study) -> None:
    """Training steps below, and the moments that were measured as ticks at the edge."""
    if axis.has_data():
        axis.set_xlabel("training step")
        last = max(steps(study.scores))
        axis.set_xlim(-0.03 * last, 1.03 * last)
        for moment in study.moments:
            axis.axvline(moment, 0, 0.025, color=style.MUTED, lw=1.0)


def heads(study: Study) -> list[tuple[str, str]]:
    """(layer, head) in their order."""
    return list(dict.fromkeys((line["layer"], line["head"]) for line in study.heads))


def colours(places: Mapping[str, Any]) -> list[str]:
    """Of places: that of its head, else one of the others, in their order."""
    found = [HEAD.fullmatch(where) for where in places]
    per_layer = 1 + max((int(match[2]) for match in found if match), default=0)
    spare = iter(over_time.hues(len(places) + 1))
    return [
        style.INK if where == "all"
        else SHADES[(int(match[1]) * per_layer + int(match[2])) % len(SHADES)] if match
        else next(spare)
        for where, match in zip(places, found, strict=True)
    ]  # fmt: skip


def named(where: str) -> str:
    """A place in words."""
    match = HEAD.fullmatch(where)
    return f"layer {match[1]}, head {match[2]}" if match else wording.plain(where)


def keys(study: Study, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Losses, levels, heads and parts."""
    found = {f"predictions: {said}": style.key(line="-", color=colour) for said, colour in LOSSES.values()}
    for level, dash in LEVELS.items():
        if level in study.levels:
            found[MEANING[level]] = style.key(line="-", color=style.MUTED)
            found[MEANING[level]].set_linestyle(dash)
    shades = {f"layer {layer}, head {head}": SHADES[at % len(SHADES)] for at, (layer, head) in enumerate(heads(study))}
    shades |= dict(zip(map(named, parts), colours(parts), strict=True))
    found |= {label: style.key("o", line="-", color=colour) for label, colour in shades.items()}
    flagged = any(not row.healthy for each in study.places.values() for row in each)
    return found | ({"flagged": style.key("o", hollow=True)} if flagged else {})


def notes(study: Study) -> list[str]:
    alive = [row for row in study.rows if not row.failed]
    said = (
        "Repeated: the token before occurred earlier in the sequence; new: it did not. Heads, weight of attention: "
        "copying, on what came after earlier occurrences of the present token; looking back, on the token before."
    )
    many = f"{study.others} more trainings are in analysis/, not drawn." if study.others else ""
    return [said, wording.conditions(alive), many, wording.flagged(alive), wording.failures(study.rows)]
