"""What a run folder of task=parity tells of its trainings: curves of each member, moments, kernels, how it was set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from llcx.artifacts import RunFolder
from llcx.figures import over_time, rows, style, trajectories, wording

Cells = Mapping[str, str]  # a line of a table
Curve = tuple[np.ndarray, np.ndarray]  # x, y
CUT = ("max_steps", "max_wall")  # ends at which a training had not arrived where it was to go
INSIDE: Any = {"loc": "best", "borderaxespad": 0.7}  # a legend in its panel
COLOURS = [colour for colour in style.CYCLE if colour != style.KNOWN]
AXES = ("h", "encoding", "bias_column")  # what is trained apart
SHORT = {"bias_column": "bias column"}


class Member(NamedTuple):
    """One network of an ensemble."""

    training: str
    name: str  # within its training; empty where it is alone

    @property
    def said(self) -> dict[str, str]:
        """What the names say: {"h": "30", "seed": "0", "alpha": "0.3"}."""
        return trajectories.named(self.training) | trajectories.named(self.name)


@dataclass(frozen=True)
class Course:
    """The metrics of one member along its training."""

    values: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)  # (split, name) -> step -> value

    def has(self, name: str, split: str = "train") -> bool:
        return (split, name) in self.values

    def curve(self, name: str, split: str = "train", against: str = "step") -> Curve:
        """Steps, or the metric `against` of the training rows at them, and values; empty where there are none."""
        found, clock = self.values.get((split, name), {}), self.values.get(("train", against), {})
        steps = [step for step in sorted(found) if against == "step" or step in clock]
        x = steps if against == "step" else [clock[step] for step in steps]
        return np.array(x, float), np.array([found[step] for step in steps], float)

    def error(self, split: str, against: str = "step") -> Curve:
        """Shares of wrong rows from the first step on: before it F = 0 up to rounding, and its sign says nothing."""
        steps, values = self.curve("err", split)
        x, _ = self.curve("err", split, against)
        return x[steps > 0], values[steps > 0]

    def at(self, step: float, name: str, split: str = "train") -> float:
        """The value at the checkpoint nearest below a step; nan where there is none."""
        found = self.values.get((split, name), {})
        before = [known for known in found if known <= step]
        return found[max(before)] if before else np.nan


class Group(NamedTuple):
    """Members of one training: one width, one encoding."""

    training: str
    label: str  # what tells it from the others
    colour: str
    cells: dict[str, str]  # of the axes


@dataclass(frozen=True)
class Study:
    """A run folder, each file of it read once at most."""

    folder: RunFolder

    @cached_property
    def task(self) -> dict[str, Any]:
        """The task's part of config.yaml."""
        return dict(self.folder.config.get("task", {}))

    def setting(self, part: str, name: str, default: Any = None) -> Any:
        """`part.name` of the task, the part a dotted path."""
        found: Any = self.task
        for key in part.split("."):
            found = found.get(key) or {}
        return found.get(name, default)

    @cached_property
    def moments(self) -> list[Cells]:
        return self.table("moments")

    @cached_property
    def kernels(self) -> list[Cells]:
        return self.table("kernels")

    @cached_property
    def rows(self) -> list[rows.Row]:
        """Of metrics_summary.csv."""
        return rows.read(self.folder)

    def table(self, stem: str) -> list[Cells]:
        """analysis/<stem>.csv; no lines where it is not there."""
        return trajectories.analysis(self.folder, stem)

    @cached_property
    def courses(self) -> dict[Member, Course]:
        """Of metrics.csv, in the order of their first lines."""
        frame = self.folder.metrics()
        if frame.empty:
            return {}
        found: dict[Member, Course] = {}
        for labels, part in frame.groupby(["training", "split", "name"], sort=False):
            training, split, name = map(str, labels)
            kind, _, member = split.partition(" ")
            course = found.setdefault(Member(training, member), Course())
            course.values[kind, name] = dict(zip(part["step"], part["value"], strict=True))
        return found

    @cached_property
    def groups(self) -> list[Group]:
        """Trainings in their order, named by the axes in which they differ."""
        first = {cells["training"]: dict(cells) for cells in reversed(self.moments)}
        names = list(dict.fromkeys(cells["training"] for cells in self.moments))
        differ = [axis for axis in AXES if len({first[name].get(axis) for name in names}) > 1]
        many = len(names) > len(COLOURS)
        colours = over_time.hues(len(names)) if many else COLOURS
        labels = [", ".join(f"{SHORT.get(axis, axis)} = {first[name][axis]}" for axis in differ) for name in names]
        return [Group(*each, first[each[0]]) for each in zip(names, labels, colours, strict=False)]

    @property
    def reduced(self) -> str:
        """The name of the axis on which widths fall together."""
        narrow = self.setting("model", "out_scale") == "ntk"
        return r"reduced output scale $\alpha\sqrt{h}$" if narrow else r"output scale $\alpha$"


def number(cells: Cells, name: str) -> float:
    """The number in a cell; nan where it is empty or not there."""
    return rows.number(cells.get(name, ""))


def logarithmic(axis: Axes) -> None:
    """A logarithmic y axis; plain numbers where it spans few decades."""
    axis.set_yscale("log", nonpositive="mask")
    low, high = axis.get_ylim()
    if high < 300 * low:
        style.plain_log(axis.yaxis, (low, high))


def alphas(cells: Sequence[Cells]) -> list[float]:
    """All different output scales, ascending."""
    return sorted({number(each, "alpha") for each in cells})


def conditions(study: Study) -> str:
    """What was run, in one line."""
    of = study.setting
    d, k, n, tested = (of("data", name, "?") for name in ("d", "k", "n_train", "n_test"))
    fresh = "fresh batches" if of("data", "online") else f"{n} training rows"
    strings = (
        f"Parity of k = {k} of d = {d} bits, {fresh}, {tested} test rows, inputs {axis(study, 'data', 'encoding')}"
    )
    layers = of("model", "layers", 1)
    shape = f"h = {axis(study, 'model', 'h')}, {layers} hidden layer{'s' * (layers != 1)}, {of('model', 'act', '')}"
    scale = {"mf": "f / h", "ntk": "f / \u221ah"}.get(of("model", "out_scale", ""), "")
    counted = study.task.get("seeds", 1)
    seeds = f"{counted} seeds" if counted > 1 else "one seed"
    return f"{strings};  {shape}, {scale};  loss {of('loss', 'kind', '')};  {dynamics(study)};  {seeds}."


def dynamics(study: Study) -> str:
    """How the weights moved."""
    named = study.setting("fit", "dynamics", "flow")
    if named == "flow":
        memory = study.setting("fit.flow", "tau_over_h", 0.0)
        return "gradient flow" + (f" with momentum, \u03c4/h = {wording.number(memory)}" if memory else "")
    told = {"learning_rate": "learning rate", "batch_size": "batch", "momentum": "momentum"}
    told |= {"weight_decay": "weight decay", "l1": "L1"}
    values = {key: study.setting("fit.descent", key) for key in told}
    return ", ".join([named, *(f"{told[key]} {value:g}" for key, value in values.items() if value)])


def axis(study: Study, part: str, name: str) -> str:
    """The value of a setting, or those of its axis."""
    swept = study.setting("grid", name) or []
    values = [str(value) for value in swept] or [str(study.setting(part, name, "?"))]
    return ", ".join(values) if len(values) < 5 else f"{values[0]} to {values[-1]}"


def stopped_by(study: Study) -> str:
    """Why networks stopped before they arrived; empty where none did."""
    return " or ".join(dict.fromkeys(cells["stopped"] for cells in finals(study) if cells.get("stopped") in CUT))


def finals(study: Study) -> list[Cells]:
    """Lines of moments.csv at the end of each training."""
    return [cells for cells in study.moments if cells["moment"] == "final"]


def cut(study: Study) -> str:
    """How many networks stopped before they arrived, in a footnote's words."""
    every, why = finals(study), stopped_by(study)
    early = sum(cells.get("stopped") in CUT for cells in every)
    if early == len(every):
        return f"Hollow: all networks were stopped by {why}." if why else ""
    return f"Hollow: stopped by {why}, before where the others end ({early} of {len(every)} networks)." if early else ""
