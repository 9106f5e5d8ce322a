"""What a run folder of task=mcl tells of its trainings: which arms they are of, their courses, how they were set."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_csv, read_json
from llcx.figures import over_time, rows, style, trajectories, wording

Cells = Mapping[str, str]  # a line of a table
Arrays = Mapping[str, np.ndarray]
Curve = tuple[np.ndarray, np.ndarray]  # steps, values
KINDS = {  # arm -> colour, what it is
    "b0": (style.INK, "the task alone"),
    "b1": ("#E69F00", "aids, no sharing"),
    "b2": ("#7A5195", "sharing, no aids"),
    "b3": ("#8C564B", "full, autoencoder not sparse"),
    "full": ("#0072B2", "sharing and aids"),
    "shuffled": ("#CC79A7", "full, groups dealt at random"),
    "alpha0": ("#56B4E9", "full with \u03b1 = 0"),
    "recurrent": ("#D55E00", "one application a step"),
    "one_shot": ("#6B6B00", "all steps at once"),
}
AXES = ("alpha", "k", "encoder")  # that a study may sweep beside the arm
SAID = {"alpha": "\u03b1"}
TABLES = ("runs", "course", "zero_shot", "few_shot", "geometry")  # any of which tells whose a training is
SPLITS = ("val_id", "val_ood", "test_pair", "test_len3", "test_len4")


class Arm(NamedTuple):
    """Trainings that differ in their seed alone."""

    name: str  # as tables have it: "full", or "full,alpha=0.2" where more than arms are swept
    colour: str

    @property
    def kind(self) -> str:
        return self.name.partition(",")[0]

    @property
    def values(self) -> dict[str, str]:
        """Of the axes that are swept: {"alpha": "0.2"}."""
        return trajectories.named(self.name)

    @property
    def short(self) -> str:
        """For a tick."""
        return ", ".join([self.kind, *(f"{SAID.get(axis, axis)} = {value}" for axis, value in self.values.items())])

    @property
    def label(self) -> str:
        """For a legend."""
        told = KINDS.get(self.kind, ("", ""))[1]
        return self.short if self.values or not told else f"{self.kind}: {told}"


@dataclass(frozen=True)
class Study:
    """A run folder, or one of several runs that were collected, with tables of all below analysis/."""

    folder: RunFolder

    @cached_property
    def task(self) -> dict[str, Any]:
        """The task's part of config.yaml; of several runs what they have in common."""
        return dict(self.folder.config.get("task") or self.document("settings").get("task") or {})

    def setting(self, part: str, name: str, default: Any = None) -> Any:
        """`part.name` of the task."""
        return (self.task.get(part) or {}).get(name, default)

    @cached_property
    def folders(self) -> list[tuple[str, RunFolder]]:
        """What stands before the names of its trainings, and the run folder: of several runs all that are pooled."""
        pooled = self.document("pooled").get("jobs", [])
        jobs = [job for job in read_csv(self.folder.path / "jobs.csv") if job["job"] in pooled]
        return [(f"{job['job']}:", RunFolder(self.folder.path / job["folder"])) for job in jobs] or [("", self.folder)]

    @cached_property
    def rows(self) -> list[rows.Row]:
        """Of metrics_summary.csv."""
        return [
            rows.parse({**cells, "point": f"{before}{cells['point']}"})
            for before, folder in self.folders
            for cells in folder.rows
        ]

    def table(self, stem: str) -> list[Cells]:
        """analysis/<stem>.csv; no lines where it is not there."""
        return trajectories.analysis(self.folder, stem)

    def arrays(self, stem: str) -> Arrays:
        """analysis/<stem>.npz; nothing where it is not there."""
        found: dict[str, np.ndarray] = {}
        for before, folder in self.folders:
            with suppress(FileNotFoundError):
                found |= {f"{before}{name}": values for name, values in folder.analysis(stem).items()}
        return found

    def document(self, stem: str) -> dict[str, Any]:
        """analysis/<stem>.json; nothing where it is not there."""
        return read_json(self.folder.path / "analysis" / f"{stem}.json")

    @cached_property
    def trainings(self) -> list[Cells]:
        """training, arm and seed of each, in their order; of a run that has no tables yet, what their names say."""
        told = next((lines for stem in TABLES if (lines := self.table(stem))), [])
        whose = dict.fromkeys((cells["training"], cells["arm"], cells["seed"]) for cells in told)
        found: list[Cells] = [dict(zip(("training", "arm", "seed"), each, strict=True)) for each in whose]
        named = [name for name in self.curves if name not in {cells["training"] for cells in found}]
        if self.folder.path not in [folder.path for _, folder in self.folders]:
            return found  # of several runs, what their tables count
        return [*found, *({"training": name, **self._named(name)} for name in named)]

    def _named(self, training: str) -> dict[str, str]:
        parts = trajectories.named(training)
        axes = [f"{axis}={parts[axis]}" for axis in AXES if axis in parts and len(self.setting("grid", axis, [])) > 1]
        arm = ",".join([parts.get("arm", str(self.task.get("arm", "full"))), *axes])
        return {"arm": arm, "seed": parts.get("seed", str(self.folder.config.get("seed", 0)))}

    @cached_property
    def arms(self) -> list[Arm]:
        """In the order of their first trainings."""
        names = list(dict.fromkeys(cells["arm"] for cells in self.trainings))
        known = all(name in KINDS for name in names)
        colours = [KINDS[name][0] for name in names] if known else over_time.hues(len(names))
        return [Arm(*each) for each in zip(names, colours, strict=True)]

    @property
    def seeds(self) -> int:
        """The most that an arm has."""
        return max((len(self.of(arm)) for arm in self.arms), default=0)

    def of(self, arm: Arm) -> list[str]:
        """The trainings of an arm."""
        return [cells["training"] for cells in self.trainings if cells["arm"] == arm.name]

    @property
    def registered(self) -> tuple[str, str]:
        """The arm that claims, and the one that it is compared with."""
        of = self.task.get("verdicts") or {}
        return str(of.get("treated", "full")), str(of.get("control", "b0"))

    @property
    def treated(self) -> Arm:
        """The arm that claims, the first of several; where there is no such one, the last."""
        return next((arm for arm in self.arms if arm.kind == self.registered[0]), self.arms[-1])

    @property
    def control(self) -> Arm:
        """The arm that it is compared with, the first of several; where there is no such one, the first of all."""
        return next((arm for arm in self.arms if arm.kind == self.registered[1]), self.arms[0])

    @cached_property
    def curves(self) -> dict[str, dict[str, Curve]]:
        """metrics.csv: training -> `split/name`, or `name` alone -> steps and values."""
        found: dict[str, dict[str, dict[int, float]]] = {}
        for before, folder in self.folders:
            for cells in read_csv(folder.path / "metrics.csv"):
                key = cells["name"] if cells["split"] == "train" else f"{cells['split']}/{cells['name']}"
                of = found.setdefault(f"{before}{cells['training']}", {}).setdefault(key, {})
                of[int(cells["step"])] = rows.number(cells["value"])
        return {name: {key: curve(points) for key, points in told.items()} for name, told in found.items()}

    def courses(self, arm: Arm, name: str) -> list[Curve]:
        """One a training that told it."""
        told = [self.curves.get(training, {}) for training in self.of(arm)]
        return [own[name] for own in told if name in own and np.isfinite(own[name][1]).any()]


def curve(points: Mapping[int, float]) -> Curve:
    steps = sorted(points)
    return np.array(steps, float), np.array([points[step] for step in steps], float)


def number(cells: Cells, name: str) -> float:
    """The number in a cell; nan where it is empty or not there."""
    return rows.number(cells.get(name, ""))


def where(table: Sequence[Cells], **wanted: str) -> list[Cells]:
    """Lines whose cells are as wanted."""
    return [cells for cells in table if all(cells.get(key) == value for key, value in wanted.items())]


def means(table: Sequence[Cells], value: str, by: str) -> dict[str, float]:
    """Of each value of a column, the mean of another one; what is not finite is left out."""
    found: dict[str, list[float]] = {}
    for cells in table:
        if np.isfinite(each := number(cells, value)):
            found.setdefault(cells.get(by, ""), []).append(each)
    return {key: float(np.mean(some)) for key, some in found.items()}


def by_seed(table: Sequence[Cells], arm: Arm, value: str) -> np.ndarray:
    """Of each seed of an arm, the mean of a column [S]."""
    return np.array(list(means(where(table, arm=arm.name), value, "seed").values()))


def conditions(study: Study) -> str:
    """What was run, in one line."""
    of = study.setting
    groups, rows_of = of("data", "groups_per_batch"), of("data", "samples_per_group")
    batch = f"{groups} groups \u00d7 {rows_of} rows, " if groups and rows_of else ""
    encoder, latent = of("model", "encoder"), of("model", "latent")
    if not encoder:  # a folder of several runs has no settings of its own
        return ""
    swept = of("grid", "encoder") or [encoder]
    data = f"{of('data', 'colours')} colours, params {of('data', 'params')}, conditioning {of('data', 'conditioning')}"
    ks = wording.listing(list(map(str, of("grid", "k") or [of("share", "k")])))
    alphas = wording.listing(list(map(str, of("grid", "alpha") or [of("weights", "alpha")])))
    loss = f"\u03b1 = {alphas}, \u03b2 = {of('weights', 'beta')}, \u03b3 = {of('weights', 'gamma')}, k = {ks}"
    fit = f"{batch}{of('fit', 'steps')} steps at {of('fit', 'learning_rate')}"
    counted = f"{study.seeds} seeds" if study.seeds > 1 else "one seed"
    return f"Encoder {', '.join(swept)}, h of {latent};  {data};  {loss};  {fit};  {counted}."
