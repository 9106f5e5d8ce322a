"""What a run folder of task=vae tells of its trainings: which series they make, their courses, how they were set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from llcx.artifacts import RunFolder
from llcx.figures import over_time, rows, style, trajectories, wording

Cells = Mapping[str, str]  # a line of a table
Arrays = Mapping[str, np.ndarray]
Curve = tuple[np.ndarray, np.ndarray]  # steps, values
Key = tuple[str, ...]  # cells of SERIES
SERIES = ("variant", "kind", "parametrisation", "latent_dim", "learning_rate")  # what trainings of a series share
SAID = {"latent_dim": "D = {}", "learning_rate": "learning rate {}"}
SKY = style.OTHERS[1]  # beside blue the last choice
COLOURS = [*(colour for colour in style.CYCLE if colour not in (style.KNOWN, SKY)), SKY, style.INK]
INSIDE: Any = {"loc": "best", "borderaxespad": 0.7}  # a legend in its panel
NAMED = 10  # gammas that have a line in the legend each


class Series(NamedTuple):
    """Trainings that differ in gamma and seed alone."""

    key: Key
    label: str  # what tells it from the others; empty where it is alone
    colour: str

    def has(self, cells: Cells) -> bool:
        """Whether a line of a table is of this series."""
        return key_of(cells) == self.key


@dataclass(frozen=True)
class Study:
    """A run folder, each file of it read once at most."""

    folder: RunFolder

    @cached_property
    def task(self) -> dict[str, Any]:
        """The task's part of config.yaml."""
        return dict(self.folder.config.get("task", {}))

    def setting(self, part: str, name: str, default: Any = None) -> Any:
        """`part.name` of the task."""
        return (self.task.get(part) or {}).get(name, default)

    @cached_property
    def rows(self) -> list[rows.Row]:
        """Of metrics_summary.csv."""
        return rows.read(self.folder)

    def table(self, stem: str) -> list[Cells]:
        """analysis/<stem>.csv; no lines where it is not there."""
        return trajectories.analysis(self.folder, stem)

    def arrays(self, stem: str) -> Arrays:
        """analysis/<stem>.npz; nothing where it is not there."""
        try:
            return self.folder.analysis(stem)
        except FileNotFoundError:
            return {}

    @cached_property
    def networks(self) -> list[Cells]:
        """A line a training, in their order, each once."""
        return different(self.table("networks"))

    @cached_property
    def courses(self) -> Arrays:
        return self.arrays("curves")

    def curve(self, training: str, name: str) -> Curve:
        """Steps and values of a course's metric, `loss` and `gradient` at every step; empty where there is none."""
        values = self.courses.get(f"{training}/{name}", np.empty(0))
        at = self.courses.get(f"{training}/at", np.empty(0))
        steps = np.arange(len(values)) if name in ("loss", "gradient") else at[: len(values)]
        return np.asarray(steps, float), np.asarray(values, float)

    @cached_property
    def series(self) -> list[Series]:
        """In the order of their first trainings, named by what differs."""
        keys = list(dict.fromkeys(map(key_of, self.networks)))
        differ = [place for place in range(len(SERIES)) if len({key[place] for key in keys}) > 1]
        if 0 in differ and 1 in differ:
            differ.remove(1)  # the variant says the kind of its prior
        labels = [", ".join(said(SERIES[place], key[place]) for place in differ) for key in keys]
        colours = COLOURS if len(keys) <= len(COLOURS) else over_time.hues(len(keys))
        return [Series(*each) for each in zip(keys, labels, colours, strict=False)]

    @cached_property
    def gammas(self) -> list[float]:
        """All different ones, ascending; of a prior without one there is none."""
        return sorted({number(cells, "gamma") for cells in self.networks if cells.get("gamma")})

    @cached_property
    def shades(self) -> dict[float, str]:
        """A colour for each gamma, from dark to light."""
        return dict(zip(self.gammas, over_time.hues(len(self.gammas)), strict=True))

    @property
    def swept(self) -> bool:
        """Whether a series has two gammas or more."""
        return any(len({cells.get("gamma") for cells in self.of(series)}) > 1 for series in self.series)

    def of(self, series: Series) -> list[Cells]:
        """The trainings of a series."""
        return [cells for cells in self.networks if series.has(cells)]

    @property
    def seeds(self) -> int:
        return int(self.task.get("seeds") or 1)

    @property
    def unit(self) -> str:
        """Of the loss that is minimised."""
        if self.setting("loss", "reduction", "seed") == "elbo":
            return "nats an example"
        penalty = {"kl": "KL", "w2_diag": "W\u2082\u00b2", "mmd": "MMD"}.get(self.setting("loss", "divergence"), "KL")
        fit = "MSE" if self.setting("model", "likelihood", "mse") == "mse" else "nats of a pixel"
        share = "" if penalty == "MMD" else " of a latent"
        return f"{fit} + {self.setting('loss', 'kl_coeff', 0.1):g} \u00d7 {penalty}{share}"

    def titled(self, metric: str) -> str:
        """A course's metric as a panel names it."""
        split, _, name = metric.partition("/")
        told = {
            "loss": f"loss [{self.unit}]",
            "mse": "reconstruction error [mean square of a pixel]",
            "kl": "KL(q || p) [nats an example]",
            "nats": "negative ELBO [nats an example]",
            "active": "active latents",
        }
        return f"{split} {told[name]}" if name == "loss" else f"{told[name]}, {split} rows"


def different(table: Sequence[Cells]) -> list[Cells]:
    """Lines of trainings; of those alike in all but their names, as without a gamma along an axis of it, the first."""
    found: dict[Key, Cells] = {}
    for cells in table:
        found.setdefault((cells.get("seed", ""), cells.get("gamma", ""), *key_of(cells)), cells)
    return list(found.values())


def key_of(cells: Cells) -> Key:
    return tuple(cells.get(name, "") for name in SERIES)


def said(name: str, cell: str) -> str:
    """The value of a field as a label has it."""
    return SAID.get(name, "{}").format(cell or "no variant")


def number(cells: Cells, name: str) -> float:
    """The number in a cell; nan where it is empty or not there."""
    return rows.number(cells.get(name, ""))


def ended(cells: Cells) -> bool:
    """Whether a training came to its last step."""
    return cells.get("ended") != "False"


def scaled(axis: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where positive values span more than a linear one can show."""
    found = np.array(values, float)
    if style.wide(found[np.isfinite(found)]):
        logarithmic(axis)


def logarithmic(axis: Axes, which: str = "y") -> None:
    """A logarithmic axis; plain numbers where it spans few decades."""
    one: Axis = axis.yaxis if which == "y" else axis.xaxis
    axis.set(**{f"{which}scale": "log"})
    low, high = one.get_view_interval()
    if high < 300 * low:
        style.plain_log(one, (float(low), float(high)))


def around_zero(axis: Axes, values: Sequence[float]) -> str:
    """An axis of differences: linear around zero, logarithmic beyond where they span much; what to say of it."""
    found = np.array([0.0, *(value for value in values if np.isfinite(value))])
    sizes = np.abs(found[found != 0])
    axis.axhline(0, color=style.INK, lw=0.9, zorder=1.5)
    if not sizes.size or sizes.max() < 30 * np.median(sizes):
        return ""
    straight = 10 ** float(np.floor(np.log10(np.median(sizes))))
    axis.set_yscale("symlog", linthresh=straight, linscale=0.6)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\u2212"))
    fill(axis, found)
    return f", linear within \u00b1{straight:g}"


def fill(axis: Axes, values: np.ndarray) -> None:
    """Limits of y just beyond values, in the axis's own scale."""
    scale = axis.yaxis.get_transform()
    low, high = scale.transform(np.array([values.min(), values.max()]))
    spare = 0.06 * (high - low)
    axis.set_ylim(*scale.inverted().transform(np.array([low - spare, high + spare])).tolist())


def stepwise(axis: Axes, steps: np.ndarray) -> None:
    """An axis of steps: the start, then logarithmic from the first step that has numbers."""
    later = steps[steps > 0]
    first = float(later.min()) if later.size else 1.0
    last = float(later.max()) if later.size else 1.0
    if last > 20 * first:
        axis.set_xscale("symlog", linthresh=first, linscale=0.35)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlim(-0.08 * first if last > 20 * first else -0.02 * last, 1.03 * last)
    axis.set_xlabel("step")


def conditions(study: Study) -> str:
    """What was run, in one line."""
    of = study.setting
    trained, binary = of("data", "n_train"), of("data", "binarise", "none")
    data = f"Data {of('data', 'source', '?')}" + (f", {trained} training rows" if trained else "")
    data += f", {binary} binary pixels" if binary != "none" else ""
    layers, width = of("model", "layers", 1), of("model", "width")
    shape = f"{of('model', 'arch', '')}" + (f" of width {width}" if width else "")
    shape += f", {layers} hidden layers" if layers > 1 else ""
    latents = f"D = {choice(study, 'model', 'latent_dim')}"
    ways = choice(study, "model", "parametrisation")
    likelihood = of("model", "likelihood", "mse")
    model = f"{shape}, {latents}, {ways}, {likelihood}"
    counted = f"{study.seeds} seeds" if study.seeds > 1 else "one seed"
    return f"{data};  {model};  {prior(study)};  loss: {study.unit};  {fit(study)};  {counted}."


def prior(study: Study) -> str:
    """Which scales the prior has."""
    variants = study.setting("grid", "variant") or []
    named = f"{len(variants)} variants" if variants else study.task.get("variant") or ""
    kind = study.setting("prior", "kind", "power")
    least = study.setting("prior", "min_scale", 0.0)
    own = f"prior {kind}" + (f", no scale below {least:g}" if least else "")
    gamma = several(list(map(wording.number, study.gammas)))
    return (named or own) + (f", \u03b3 = {gamma}" if gamma else "")


def fit(study: Study) -> str:
    """How the weights moved."""
    of, epochs = study.setting, study.setting("fit", "epochs")
    long = f"{epochs} epochs" if epochs else f"{of('fit', 'steps', '?')} steps"
    batch = of("fit", "batch_size")
    size = f", batches of {batch}" if batch else ""
    return f"{of('fit', 'optimizer', '')} {choice(study, 'fit', 'learning_rate')}{size}, {long}"


def choice(study: Study, part: str, name: str) -> str:
    """The value of a setting, or those of its axis."""
    swept = study.setting("grid", name) or [study.setting(part, name, "?")]
    return several(list(map(str, swept)))


def several(values: Sequence[str]) -> str:
    """Values of an axis, in order: two or three of them in full."""
    if len(values) > 3:
        return f"{values[0]} to {values[-1]}"
    return " and ".join(filter(None, [", ".join(values[:-1]), *values[-1:]]))


def stopped(study: Study) -> str:
    """Which trainings ended where their loss was not finite, in a footnote's words; empty where none did."""
    told = []
    for series in study.series:
        of = study.of(series)
        for cell in sorted({cells.get("gamma", "") for cells in of}, key=lambda cell: float(cell or "inf")):
            ends = [ended(cells) for cells in of if cells.get("gamma", "") == cell]
            where = " ".join(filter(None, [series.label, f"\u03b3 = {wording.number(float(cell))}" if cell else ""]))
            told += [f"{ends.count(False)} of {len(ends)}" + f" of {where}" * bool(where)] * (not all(ends))
    return f"Trainings that ended where their loss was not finite: {wording.listing(told)}." if told else ""
