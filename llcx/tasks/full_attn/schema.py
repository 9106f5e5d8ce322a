"""Settings of task=full_attn, and what is refused before anything runs."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

from llcx.fit import Fit
from llcx.settings import at_least, one_of
from llcx.tasks.attention.prompts import check_covariance

W_STARS = ("trained", "icl")
MODES = ("population", "noise_free")
VIEWS = ("full", "data", "lsa")


@dataclass(frozen=True)
class Model:
    """One layer of attention with values: prediction x_q^T U S o, U the first d rows of W_Q W_K^T, o = W_V W_O[d]."""

    d: int = 4  # of x; a token is (x, y)
    d_l: int | None = None  # columns of W_Q, W_K, W_V and W_O; null: the axis task.grid.d_l
    w_star: str = "trained"  # trained | icl: U = c [I_r, 0], o = c e_y, c^2 context = 1
    rank: int | None = None  # r of w_star=icl; null: min(d, d_l)
    init_scale: float = 0.01  # standard deviation of the weights before training
    init_value: float = 0.0  # length of o along e_y before training; 0: as small as everything else
    name: str = "full_attn"

    def __post_init__(self) -> None:
        one_of("task.model.w_star", self.w_star, W_STARS)
        at_least("task.model", 1, d=self.d, d_l=1 if self.d_l is None else self.d_l)
        at_least("task.model", 0, init_value=self.init_value)
        if not 0 < self.init_scale < inf:
            raise ValueError(f"task.model.init_scale must be > 0, got {self.init_scale}; zero weights never move")
        if self.rank is not None:
            self._check_rank(self.rank)

    def _check_rank(self, rank: int) -> None:
        if self.w_star != "icl":
            raise ValueError(
                f"task.model.rank must be null with w_star={self.w_star}, got {rank}; training decides it, "
                "choose task.model.w_star=icl to fix it"
            )
        most = self.d if self.d_l is None else min(self.d, self.d_l)
        if not 1 <= rank <= most:
            shape = f"d={self.d}" if self.d_l is None else f"d={self.d}, d_l={self.d_l}"
            raise ValueError(
                f"task.model.rank must be in 1..{most} for {shape}, got {rank}; lower it or raise d_l or d"
            )


@dataclass(frozen=True)
class RegressionPrompts:
    """Prompts of linear regression, one task m ~ N(0, I) each, and what the loss that is measured averages over."""

    mode: str = "population"  # population: the expectation, rows only for minibatches | noise_free: n fresh prompts
    n: int = 5_000  # prompts that the learning coefficient is measured on
    train: int = 10_000  # other prompts, the ones trained on
    context: int = 100  # N, examples (x, m.x) in a prompt, before the query
    covariance: Any = None  # of x: eigenvalues [d] or a matrix [d, d]; null: I
    noise_std: float = 1.0  # of the label given the prompt in the model; fixes the unit of the loss
    name: str = "regression_prompts"

    def __post_init__(self) -> None:
        one_of("task.data.mode", self.mode, MODES)
        at_least("task.data", 1, n=self.n, train=self.train, context=self.context)
        if not 0 < self.noise_std < inf:
            raise ValueError(
                f"task.data.noise_std must be > 0, got {self.noise_std}; labels are clean, it scales the loss"
            )


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis. A view asks again about the same training."""

    d: list[int] = field(default_factory=list)
    d_l: list[int] | None = None  # null: [d, 3 d / 2], unless task.model.d_l decides it
    rank: list[int] = field(default_factory=list)
    view: list[str] = field(default_factory=list)


def _fit() -> Fit:
    return Fit("adam", 1e-3, epochs=200, batch_size=500, every=1, checkpoints=[0, 5, 10, 25])


@dataclass(frozen=True)
class FullAttn:
    """Full attention along its training, or at weights that are known."""

    model: Model = field(default_factory=Model)
    data: RegressionPrompts = field(default_factory=RegressionPrompts)
    fit: Fit = field(default_factory=_fit)  # of w_star=trained; batch_size null: on the exact loss
    view: str = "full"  # full: the model against itself | data: on the labels | lsa: W_Q W_K^T as linear attention
    rank_tolerance: float = 1e-3  # of the largest singular value: ranks of B, M and U in the tables and the view lsa
    grid: Grid = field(default_factory=Grid)
    seeds: int = 2
    name: str = "full_attn"

    def __post_init__(self) -> None:
        at_least("task", 1, seeds=self.seeds)
        one_of("task.view", self.view, VIEWS)
        if not 0 < self.rank_tolerance < 1:
            raise ValueError(f"task.rank_tolerance must be in (0, 1), got {self.rank_tolerance}")
        if self.model.d_l is not None and self.grid.d_l:
            raise ValueError(
                f"task.model.d_l must be null where task.grid.d_l={list(self.grid.d_l)} is an axis, "
                f"got {self.model.d_l}"
            )
        if self.grid.d and self.data.covariance is not None:
            raise ValueError(
                f"task.data.covariance must be null where task.grid.d={list(self.grid.d)} is an axis, "
                f"got {self.data.covariance}"
            )
        check_covariance(self.data.covariance, self.model.d)
