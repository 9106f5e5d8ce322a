"""Settings of task=dln, and what is refused before anything runs."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

from llcx.fit import Fit
from llcx.settings import one_of
from llcx.tasks.rows import check_covariance

W_STARS = ("balanced", "layerwise", "random_svd", "zero", "trained")
OWN_RANK = ("layerwise", "zero")  # kinds whose rank comes out of the draw
MODES = ("population", "noise_free", "noisy")
INPUTS = ("gaussian", "uniform")


@dataclass(frozen=True)
class Model:
    """The network and its w*."""

    widths: list[int] = field(default_factory=lambda: [5, 3, 5])  # input, hidden..., output
    rank: int | None = None  # of the true map; null: 2 or the narrowest width, or drawn with the widths of task.size
    w_star: str = "balanced"  # balanced | layerwise | random_svd | zero | trained; weights.py says what they are
    name: str = "dln"

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(
                f"task.model.widths must be two or more positive widths, got {list(self.widths)}; "
                "input, hidden..., output, for example [5,3,5]"
            )
        one_of("task.model.w_star", self.w_star, W_STARS)


@dataclass(frozen=True)
class Teacher:
    """Rows x, y = A x + noise, and what the loss averages over."""

    mode: str = "population"  # population: the expectation, rows only for minibatches | noise_free | noisy: the rows
    n: int | None = None  # rows; null: what task.size says, 100000 without one
    noise_std: float = 1.0  # of y given x; fixes the unit of the loss also where labels are noise-free
    inputs: str = "gaussian"  # gaussian | uniform on [-10, 10]
    covariance: Any = None  # of x: eigenvalues [H0] or a matrix [H0, H0]; null: the inputs' own, I or 100/3 I
    name: str = "teacher"

    def __post_init__(self) -> None:
        one_of("task.data.mode", self.mode, MODES)
        one_of("task.data.inputs", self.inputs, INPUTS)
        if self.n is not None and self.n < 1:
            raise ValueError(f"task.data.n must be >= 1, got {self.n}; null: what task.size says")
        if not 0 < self.noise_std < inf:
            raise ValueError(
                f"task.data.noise_std must be > 0, got {self.noise_std}; for clean labels task.data.mode=noise_free"
            )


@dataclass  # not frozen: OmegaConf would close the entries of `DLN.sizes` to the presets that fill them
class Size:
    """A class of random networks: depth and every width uniform on a range, both ends included."""

    layers: list[int] = field(default_factory=list)  # number of weight matrices, [least, most]
    widths: list[int] = field(default_factory=list)  # [least, most]
    n: int = 100_000  # rows

    def __post_init__(self) -> None:
        for key, ends in (("layers", self.layers), ("widths", self.widths)):
            if len(ends) != 2 or not 1 <= ends[0] <= ends[1]:
                raise ValueError(f"task.sizes.*.{key} must be [least, most] with 1 <= least <= most, got {list(ends)}")
        if self.n < 1:
            raise ValueError(f"task.sizes.*.n must be >= 1, got {self.n}")


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis."""

    rank: list[int] = field(default_factory=list)
    n: list[int] = field(default_factory=list)
    noise_std: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class DLN:
    """Random deep linear networks: one, or `nets` of every class in `sizes`."""

    model: Model = field(default_factory=Model)
    data: Teacher = field(default_factory=Teacher)
    fit: Fit = field(default_factory=Fit)  # of w_star=trained
    sizes: dict[str, Size] = field(default_factory=dict)  # filled by task/size=[1k,10k]
    nets: int = 1  # random networks of each class; without a size: random w* of the same widths
    grid: Grid = field(default_factory=Grid)
    seeds: int = 1
    name: str = "dln"

    def __post_init__(self) -> None:
        for key, least in (("nets", self.nets), ("seeds", self.seeds)):
            if least < 1:
                raise ValueError(f"task.{key} must be >= 1, got {least}")
        for size, drawn in self.sizes.items():
            _check_rank(self.model, drawn.widths[0], f"the narrowest layer that size {size} may draw")
        if not self.sizes:
            widths = self.model.widths
            _check_rank(self.model, min(widths), f"the narrowest of the widths {list(widths)}")
        if self.sizes and self.data.covariance is not None:
            raise ValueError(
                "task.data.covariance must be null where task.size draws the widths, "
                f"got {self.data.covariance}; set task.model.widths instead"
            )
        check_covariance(self.data.covariance, self.model.widths[0], "task.model.widths[0]")


def _check_rank(model: Model, narrowest: int, where: str) -> None:
    rank = model.rank
    if rank is None:
        return
    if model.w_star in OWN_RANK and not (model.w_star == "zero" and rank == 0):
        raise ValueError(
            f"task.model.rank must be null with w_star={model.w_star}, got {rank}; its rank is the draw's own, "
            "choose task.model.w_star=balanced to fix it"
        )
    if not 0 <= rank <= narrowest:
        raise ValueError(
            f"task.model.rank must be in 0..{narrowest}, {where}, got {rank}; lower the rank or widen the layers"
        )
