"""What a run folder of task=full_attn tells of each training: losses, spectra, ranks and measurements over time."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from llcx.artifacts import RunFolder
from llcx.figures import flags, rows, wording
from llcx.figures.rows import Row

Cells = Mapping[str, str]  # a line of a table
UNITS = ("epoch", "step")
VIEWS = {
    "lsa": "W_Q W_K^T as linear attention",
    "full": "the trained model against itself",
    "data": "the trained model on its labels",
}


class Key(NamedTuple):
    """What tells trainings apart; -1 where a run does not say it."""

    d: int
    d_l: int
    rank: int
    context: int
    seed: int


@dataclass(frozen=True)
class Trajectory:
    """One training; each part may be empty."""

    key: Key
    loss: dict[int, float] = field(default_factory=dict)  # time -> loss
    spectra: dict[int, list[Cells]] = field(default_factory=dict)  # time -> index, sigma_B, sigma_U
    ranks: dict[int, Cells] = field(default_factory=dict)  # time -> rank_B, rank_M, rank_U, sigma_rank
    tolerances: dict[int, list[Cells]] = field(default_factory=dict)  # time -> tolerance, rank_B, rank_M, rank_U
    rows: list[Row] = field(default_factory=list)

    @property
    def times(self) -> list[int]:
        """Checkpoints: all that something was measured at."""
        return sorted({*self.spectra, *self.ranks, *map(time_at, self.rows)})

    @property
    def losses(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and losses [K]."""
        return np.array(sorted(self.loss)), np.array([self.loss[time] for time in sorted(self.loss)])

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Times and values [K] of a column of the table of ranks."""
        times = sorted(self.ranks)
        return np.array(times), np.array([rows.number(self.ranks[time].get(name, "")) for time in times])

    def singular(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Times [K] and singular values [K, S], nan where a matrix has fewer."""
        times = sorted(self.spectra)
        values = np.full((len(times), max((len(found) for found in self.spectra.values()), default=0)), np.nan)
        for place, time in enumerate(times):
            found = [rows.number(line.get(name, "")) for line in self.spectra[time]]
            values[place, : len(found)] = found
        return np.array(times), values[:, ~np.isnan(values).all(0)]


@dataclass(frozen=True)
class Study:
    """All trainings of a run."""

    trajectories: list[Trajectory]
    every: list[Row]
    unit: str  # of time: epoch | step
    view: str  # of rows that do not say theirs

    @property
    def alive(self) -> list[Row]:
        """Rows with a number and a time."""
        return [row for trajectory in self.trajectories for row in trajectory.rows if not row.failed]

    @property
    def views(self) -> list[str]:
        """Those measured, in the order of the rows."""
        return list(dict.fromkeys(view(row, self.view) for row in self.alive))

    def of_view(self, trajectory: Trajectory, name: str) -> list[Row]:
        """Rows with a number that look at a training in one way."""
        return [row for row in trajectory.rows if not row.failed and view(row, self.view) == name]


def read(folder: RunFolder) -> Study:
    """The trainings in order of their rows; none where rows have no time, as those of a model that was not trained."""
    every, defaults = rows.read(folder), key_of_config(folder)
    timed = [row for row in every if unit_of(coordinates(row))]
    found: dict[Key, Trajectory] = {}
    for row in timed:
        key = key_of(coordinates(row), defaults)
        found.setdefault(key, Trajectory(key)).rows.append(row)
    for trajectory, line in matched(found, analysis(folder, "spectra"), defaults):
        trajectory.spectra.setdefault(time_of(line), []).append(line)
    for trajectory, line in matched(found, analysis(folder, "ranks"), defaults):
        trajectory.ranks[time_of(line)] = line
    for trajectory, line in matched(found, analysis(folder, "tolerances"), defaults):
        trajectory.tolerances.setdefault(time_of(line), []).append(line)
    for trajectory, line in matched(found, losses(folder), defaults):
        trajectory.loss[time_of(line)] = float(line["value"])
    unit = unit_of(coordinates(timed[0])) if timed else "epoch"
    return Study(list(found.values()), every, unit, folder.config.get("task", {}).get("view", "full"))


def coordinates(row: Row) -> Cells:
    """Of a row's point: `at.d_l` as `d_l`."""
    return {name.removeprefix("at."): cell for name, cell in row.raw.items() if name.startswith("at.")}


def view(row: Row, default: str) -> str:
    """How a row looks at its training, and at which of its parameters where not at all of them."""
    name = row.raw.get("at.view") or default
    return name if row.where in ("", "all") else f"{name} where {row.where}"


def unit_of(cells: Cells) -> str:
    """The name of the cell that holds a time; empty where there is none."""
    return next((unit for unit in UNITS if cells.get(unit)), "")


def time_at(row: Row) -> int:
    """Of a row that has a time."""
    return time_of(coordinates(row))


def time_of(cells: Cells) -> int:
    return int(float(cells[unit_of(cells)]))


def key_of_config(folder: RunFolder) -> Key:
    """What holds where a row says nothing else."""
    config = folder.config
    task = config.get("task", {})
    model, data = task.get("model", {}), task.get("data", {})
    found = [model.get("d"), model.get("d_l"), model.get("rank"), data.get("context"), config.get("seed")]
    return Key(*(-1 if value is None else value for value in found))


def key_of(cells: Cells, defaults: Key) -> Key:
    told = {name: int(float(cells[name])) for name in Key._fields if cells.get(name)}
    return defaults._replace(**told)


def matched(
    found: Mapping[Key, Trajectory], lines: Sequence[Cells], defaults: Key
) -> Iterator[tuple[Trajectory, Cells]]:
    """Each line of a table with its training, where that has rows."""
    keyed = ((found.get(key_of(line, defaults)), line) for line in lines)
    return ((trajectory, line) for trajectory, line in keyed if trajectory is not None and unit_of(line))


def analysis(folder: RunFolder, stem: str) -> list[Cells]:
    """A table under analysis/; no lines where it is not there."""
    try:
        return list(folder.analysis(stem))
    except FileNotFoundError:
        return []


def losses(folder: RunFolder) -> list[Cells]:
    """The training losses of metrics.csv, with the coordinates that the names of their trainings say."""
    frame = folder.metrics()
    if frame.empty:
        return []
    frame = frame[(frame["name"] == "loss") & (frame["split"] == "train")]
    told = zip(frame["training"], frame["step"], frame["value"], strict=True)
    return [{**named(training), "step": str(step), "value": str(value)} for training, step, value in told]


def named(training: str) -> dict[str, str]:
    """`full_attn,d_l=6,seed=0` -> {"d_l": "6", "seed": "0"}."""
    return dict(part.split("=", 1) for part in training.split(",") if "=" in part)


def conditions(view: str, group: Sequence[Row]) -> str:
    """What a view is, and the conditions of its rows."""
    said = wording.conditions(group)
    meaning = VIEWS.get(view.split()[0], view)
    return f"View {view}: {meaning}, {said[0].lower()}{said[1:]}" if said else ""


def flagged(every: Sequence[Row]) -> str:
    """How many rows of each sampler are flagged, and why: too many to be named one by one."""
    told = []
    for sampler in dict.fromkeys(row.sampler for row in every):
        alive = [row for row in every if row.sampler == sampler and not row.failed]
        ill = [row for row in alive if not row.healthy]
        reasons = Counter(flags.short(flag) for row in ill for flag in row.flags)
        listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        told += [f"{sampler} {len(ill)} of {len(alive)} ({listed})"] if ill else []
    return f"Flagged: {';  '.join(told)}" if told else ""


def failures(every: Sequence[Row]) -> str:
    """How many rows of each sampler have no number, with the message that most of them have."""
    told = []
    for sampler in dict.fromkeys(row.sampler for row in every):
        messages = Counter(", ".join(row.flags) for row in every if row.sampler == sampler and row.failed)
        told += [f"{sampler} {messages.total()} ({messages.most_common(1)[0][0]})"] if messages else []
    return f"Not drawn, no number: {';  '.join(told)}" if told else ""
