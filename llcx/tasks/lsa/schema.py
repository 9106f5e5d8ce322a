"""Settings of task=lsa, and what is refused before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from llcx.settings import at_least, one_of
from llcx.tasks.attention.prompts import check_covariance

W_STARS = ("alpha", "simple")
OUTPUTS = ("matrix", "scalar")
MODES = ("population", "noise_free", "noisy")
REDUCTIONS = ("mean", "sum")
ALPHAS = (0, 1, 2)
DEFAULT_RANK = 2


@dataclass(frozen=True)
class Model:
    """One layer of attention, B = W_Q W_K^T [d+1, d+1] with the block M [d, d], and its w*."""

    d: int = 6  # of x; a token is (x, y)
    d_l: int = 4  # columns of W_Q and W_K
    rank: int | None = None  # of M, with w_star=simple of B; null: 2 or the most that fits, or drawn by task.size
    alpha: int | None = None  # rank(B) - rank(M); null: the axis task.grid.alpha, or drawn by task.size
    w_star: str = "alpha"  # alpha: ranks of M and B as asked for | simple: B of the rank asked for
    output: str = "matrix"  # matrix: X B X^T | scalar: its entry of the query with itself, x_q^T M x_q
    name: str = "lsa"

    def __post_init__(self) -> None:
        one_of("task.model.w_star", self.w_star, W_STARS)
        one_of("task.model.output", self.output, OUTPUTS)
        at_least("task.model", 1, d=self.d, d_l=self.d_l)
        _check_alpha(self)
        if self.rank is not None and not 0 <= self.rank <= most(self):
            raise ValueError(
                f"task.model.rank must be in 0..{most(self)} for {_told(self)}, got {self.rank}; lower it or raise d_l"
            )


@dataclass(frozen=True)
class PromptData:
    """Prompts of linear regression, one task m ~ N(0, I) each, and what the loss averages over."""

    mode: str = "population"  # population: the expectation, rows only for minibatches | noise_free | noisy: the rows
    n: int | None = None  # prompts; null: what task.size says, 100000 without one
    context: int = 100  # N, examples (x, m.x) in a prompt, before the query
    noise_std: float = 1.0  # of an entry of the output given the prompt; fixes the unit of the loss in every mode
    covariance: Any = None  # of x: eigenvalues [d] or a matrix [d, d]; null: I
    name: str = "prompts"

    def __post_init__(self) -> None:
        one_of("task.data.mode", self.mode, MODES)
        at_least("task.data", 1, context=self.context, n=1 if self.n is None else self.n)
        if not 0 < self.noise_std < inf:
            raise ValueError(
                f"task.data.noise_std must be > 0, got {self.noise_std}; for clean labels task.data.mode=noise_free"
            )


@dataclass(frozen=True)
class Loss:
    """How a prompt's squared errors, over 2 noise_std^2, become its loss."""

    reduction: str = "mean"  # over the (N+1)^2 entries of the output | sum: as independent predictions

    def __post_init__(self) -> None:
        one_of("task.loss.reduction", self.reduction, REDUCTIONS)


@dataclass(frozen=True)
class Draw:
    """How the random problems of a class are drawn, beside their d."""

    ratio: list[float] = field(default_factory=lambda: [0.5, 1.5])  # d_l = floor(d * ratio), at least 1
    bottleneck: bool = True  # only rank <= d_l <= 2 d - rank, where d_l decides the theory of M
    alpha: list[int] = field(default_factory=lambda: [0, 1, 2])  # problem i has the (i mod length)-th

    def __post_init__(self) -> None:
        _check_ends("task.draw.ratio", self.ratio)
        if not self.alpha or not set(self.alpha) <= set(ALPHAS):
            raise ValueError(f"task.draw.alpha must be some of 0, 1, 2, got {list(self.alpha)}")


@dataclass  # not frozen: OmegaConf would close the entries of `LSA.sizes` to the presets that fill them
class Size:
    """A class of random problems: d uniform on a range, both ends included."""

    d: list[int] = field(default_factory=list)  # [least, most]
    n: int = 100_000  # prompts

    def __post_init__(self) -> None:
        _check_ends("task.sizes.*.d", self.d)
        at_least("task.sizes.*", 1, n=self.n)


@dataclass(frozen=True)
class Theories:
    """What analysis/gap.csv compares: both theories at one d, every rank of M and d_l = 1..d_l."""

    d: int | None = None  # null: no table
    ranks: list[int] = field(default_factory=lambda: [1, 5, 10, 14])  # of M, the panels of the figure
    d_l: int = 60

    def __post_init__(self) -> None:
        at_least("task.theory", 1, d=1 if self.d is None else self.d, d_l=self.d_l)
        wrong = [rank for rank in self.ranks if self.d is not None and not 0 <= rank <= self.d]
        if wrong:
            raise ValueError(f"task.theory.ranks must be in 0..{self.d}, task.theory.d, got {wrong[0]}")


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis."""

    alpha: list[int] | None = None  # null: [0, 1, 2], unless task.model.alpha, task.size or w_star=simple decides it
    rank: list[int] = field(default_factory=list)
    d_l: list[int] = field(default_factory=list)
    n: list[int] = field(default_factory=list)
    context: list[int] = field(default_factory=list)
    noise_std: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class LSA:
    """Linear self-attention: one problem, or `nets` of every class in `sizes`."""

    model: Model = field(default_factory=Model)
    data: PromptData = field(default_factory=PromptData)
    loss: Loss = field(default_factory=Loss)
    draw: Draw = field(default_factory=Draw)
    sizes: dict[str, Size] = field(default_factory=dict)  # filled by task/size=small, task/size=[small,medium]
    theory: Theories = field(default_factory=Theories)
    nets: int = 1  # random problems of each class, without one random w* of the same shape; 0: the theory alone
    grid: Grid = field(default_factory=Grid)
    seeds: int = 1
    name: str = "lsa"

    def __post_init__(self) -> None:
        at_least("task", 0, nets=self.nets)
        at_least("task", 1, seeds=self.seeds)
        if self.model.alpha is not None and self.grid.alpha:
            raise ValueError(
                f"task.model.alpha must be null where task.grid.alpha={list(self.grid.alpha)} is an axis, "
                f"got {self.model.alpha}"
            )
        if self.sizes:
            _check_drawn(self)
        else:
            check_covariance(self.data.covariance, self.model.d)


def most(model: Model) -> int:
    """The largest rank that the model can be given: of M beside its alpha, or of B."""
    if model.w_star == "simple":
        return min(model.d_l, model.d + 1)
    alpha = model.alpha or 0
    return min(model.d_l - alpha, model.d - (alpha > 0))


def _check_alpha(model: Model) -> None:
    """Raise ValueError unless the model can have its alpha with some rank of M."""
    if model.alpha is None:
        return
    if model.w_star == "simple":
        raise ValueError(
            f"task.model.alpha must be null with w_star=simple, got {model.alpha}; task.model.w_star=alpha fixes it"
        )
    if model.alpha not in ALPHAS:
        raise ValueError(f"task.model.alpha must be one of 0, 1, 2, got {model.alpha}")
    if most(model) < 0:
        raise ValueError(f"task.model.alpha must be <= d_l={model.d_l}, got {model.alpha}; raise task.model.d_l")


def _check_drawn(cfg: LSA) -> None:
    """Raise ValueError where a setting contradicts what task.size draws."""
    given = {
        "task.model.rank": cfg.model.rank,
        "task.model.alpha": cfg.model.alpha,
        "task.data.covariance": cfg.data.covariance,
        **{f"task.grid.{key}": list(getattr(cfg.grid, key) or []) or None for key in ("alpha", "rank", "d_l")},
    }
    for key, value in given.items():
        if value is not None:
            cure = "task.draw.alpha chooses it" if key.endswith("alpha") else "leave task.size out"
            raise ValueError(f"{key} must be left out where task.size draws the problems, got {value}; {cure}")


def _told(model: Model) -> str:
    """What the largest rank goes by."""
    alpha = "" if model.w_star == "simple" else f" and alpha={model.alpha or 0}"
    return f"d={model.d}, d_l={model.d_l}{alpha}"


def _check_ends(key: str, ends: Sequence[float]) -> None:
    if len(ends) != 2 or not 0 < ends[0] <= ends[1]:
        raise ValueError(f"{key} must be [least, most] with 0 < least <= most, got {list(ends)}")
