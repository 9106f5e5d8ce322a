"""Settings of the model of task=mcl, its sparse autoencoder, the sharing loss and the weights of all terms.

An arm is a choice of which terms are on: ARMS says which weights it sets to 0, `applied` does it, all else is equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from llcx.settings import at_least, one_of, positive

ENCODERS = ("recurrent", "transformer", "looped", "gru")
CELLS = ("residual", "gru")
DECODERS = ("mlp", "deconv")
PATCHES = (1, 2, 4)
STATES = {"recurrent": 384, "gru": 256}
CODES = ("l1", "topk", "batchtopk", "jumprelu", "relu")
MODES = ("projector", "ridge", "residual")
STOPS = ("target", "none", "basis")
SCHEDULES = ("const", "linear", "cosine", "step")
TASK_LOSSES = ("ce", "soft_iou", "ce+soft_iou")


@dataclass(frozen=True)
class Model:
    """Encoder, bottleneck h and decoder."""

    encoder: str = "recurrent"  # recurrent (fastest) | transformer | looped (one block a step) | gru
    width: int = 128  # d of a token
    patch: int = 2  # cells a side: 1 | 2 | 4; not of recurrent
    layers: int = 2  # of transformer and gru, and of looped's block
    heads: int = 4
    feedforward: int = 2  # hidden units of a layer, in widths
    positions: int | None = None  # of steps, of transformer; null: as many as the longest program has steps
    state: int | None = None  # units of recurrent (null: 384) and gru (null: 256)
    cell: str = "residual"  # of recurrent: residual (two layers) | gru
    hidden: int = 512  # units between the two layers of a residual cell
    reduced: int = 32  # numbers a token on the way to h, of transformer and looped
    latent: int = 128  # numbers of h
    decoder: str = "mlp"  # mlp | deconv
    decoder_hidden: int = 256  # units of mlp
    dropout: float = 0.0  # in residual branches and before h

    def __post_init__(self) -> None:
        one_of("task.model.encoder", self.encoder, ENCODERS)
        one_of("task.model.cell", self.cell, CELLS)
        one_of("task.model.decoder", self.decoder, DECODERS)
        one_of("task.model.patch", self.patch, PATCHES)
        sizes = ("width", "layers", "heads", "feedforward", "hidden", "reduced", "latent", "decoder_hidden")
        at_least("task.model", 1, **{key: getattr(self, key) for key in sizes})
        for key in ("positions", "state"):
            if getattr(self, key) is not None:
                at_least("task.model", 1, **{key: getattr(self, key)})
        if self.width % self.heads:
            raise ValueError(f"task.model.width must be a multiple of heads={self.heads}, got {self.width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"task.model.dropout must be in [0, 1), got {self.dropout}")

    @property
    def units(self) -> int:
        """`state`, or the encoder's own."""
        return STATES.get(self.encoder, self.width) if self.state is None else self.state


@dataclass(frozen=True)
class Sae:
    """The sparse autoencoder h -> z -> h'."""

    kind: str = "l1"  # l1 | topk | batchtopk | jumprelu | relu (not sparse at all)
    units: int = 256  # of z
    k: int = 16  # units on, of topk; of batchtopk on average
    gradient: str = "joint"  # joint (it reaches h) | probe (h is detached)
    rate: float = 0.05  # share of units on that lambda is steered to, of l1 and jumprelu
    coefficient: float = 0.01  # lambda at the start
    warmup: int = 100  # steps over which lambda comes in; it is steered from then on
    gain: float = 0.2  # of log lambda, a step and unit of rate
    least: float = 1e-6  # of lambda
    most: float = 10.0  # of lambda
    threshold: float = 1.0  # of jumprelu at the start
    bandwidth: float = 0.1  # of jumprelu's pseudo-derivative
    dead_after: int = 200  # steps without being on
    auxiliary: int = 32  # dead units that explain what is left, of topk and batchtopk
    auxiliary_weight: float = 1 / 32

    def __post_init__(self) -> None:
        one_of("task.sae.kind", self.kind, CODES)
        one_of("task.sae.gradient", self.gradient, ("joint", "probe"))
        at_least("task.sae", 1, units=self.units, k=self.k, dead_after=self.dead_after, auxiliary=self.auxiliary)
        at_least("task.sae", 0, warmup=self.warmup, gain=self.gain, auxiliary_weight=self.auxiliary_weight)
        positive("task.sae", coefficient=self.coefficient, least=self.least, most=self.most)
        positive("task.sae", threshold=self.threshold, bandwidth=self.bandwidth)
        if not 0 < self.rate < 1:
            raise ValueError(f"task.sae.rate must be in (0, 1), got {self.rate}")
        if self.k > self.units:
            raise ValueError(f"task.sae.k must be <= units={self.units}, got {self.k}")
        if not self.least <= self.coefficient <= self.most:
            raise ValueError(f"task.sae.coefficient must be in [{self.least}, {self.most}], got {self.coefficient}")

    @property
    def steered(self) -> bool:
        """Whether lambda is, or the kind itself says how many units are on."""
        return self.kind in ("l1", "jumprelu")


@dataclass(frozen=True)
class Share:
    """The sharing loss: how far the leading subspaces of groups are from their mean."""

    mode: str = "projector"  # projector | ridge (no eigenvectors) | residual (variance outside the mean subspace)
    k: int = 8  # dimensions of a subspace
    min_rows: int | None = None  # of a group that eigenvectors are asked of; null: 2 k
    target: str = "batch"  # batch (mean over the batch's groups) | ema (moving average of it)
    momentum: float = 0.9  # of ema
    refresh: int = 1  # steps between two changes of the target
    stop_gradient: str = "target"  # target | none | basis (no gradient at all: the published code's)
    gap: float = 1e-3  # eigenvalue gaps are no smaller in the gradient, in units of the largest eigenvalue
    tolerance: float = 1e-6  # k-th eigenvalue below which a sketch takes over, in the same units
    ridge: float = 0.1  # rho of mode=ridge
    labels: str = "true"  # true | shuffled (negative control: the batch's group labels permuted)
    monitor: int = 50  # steps between two looks at what is reported but not minimised
    guard: int | None = None  # evaluations below half the first effective rank before alpha is halved; null: never

    def __post_init__(self) -> None:
        one_of("task.share.mode", self.mode, MODES)
        one_of("task.share.target", self.target, ("batch", "ema"))
        one_of("task.share.stop_gradient", self.stop_gradient, STOPS)
        one_of("task.share.labels", self.labels, ("true", "shuffled"))
        at_least("task.share", 1, k=self.k, refresh=self.refresh, monitor=self.monitor)
        positive("task.share", gap=self.gap, tolerance=self.tolerance, ridge=self.ridge)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"task.share.momentum must be in [0, 1), got {self.momentum}")
        if self.min_rows is not None:
            at_least("task.share", self.k + 1, min_rows=self.min_rows)
        if self.guard is not None:
            at_least("task.share", 1, guard=self.guard)
        if self.mode == "residual" and self.stop_gradient != "target":
            raise ValueError(
                f"task.share.stop_gradient must be target with mode=residual, got {self.stop_gradient}; "
                "its mean subspace is fixed"
            )

    @property
    def rows(self) -> int:
        """`min_rows`, or 2 k."""
        return 2 * self.k if self.min_rows is None else self.min_rows


@dataclass(frozen=True)
class Schedule:
    """The share of a weight at an optimiser step: `first` until `begin`, `last` from `end` on."""

    kind: str = "const"  # const (`last` throughout) | linear | cosine | step (`last` from `end`, `first` before)
    first: float = 0.0
    last: float = 1.0
    begin: int = 0
    end: int = 100

    def __post_init__(self) -> None:
        one_of("task.weights.*.kind", self.kind, SCHEDULES)
        at_least("task.weights.*", 0, first=self.first, last=self.last, begin=self.begin)
        if self.end <= self.begin:
            raise ValueError(f"task.weights.*.end must be above begin={self.begin}, got {self.end}")


@dataclass(frozen=True)
class Weights:
    """L = L_task + alpha L_share + beta L_sae + gamma L_primitives."""

    alpha: float = 0.1
    beta: float = 0.1
    gamma: float = 0.5
    sparsity: float = 1.0  # multiplies lambda; 0: the autoencoder is not sparse, whatever its kind
    task: str = "ce"  # ce | soft_iou | ce+soft_iou
    iou: float = 1.0  # weight of soft_iou in ce+soft_iou
    alpha_schedule: Schedule = field(default_factory=Schedule)
    beta_schedule: Schedule = field(default_factory=Schedule)
    gamma_schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        one_of("task.weights.task", self.task, TASK_LOSSES)
        at_least("task.weights", 0, alpha=self.alpha, beta=self.beta, gamma=self.gamma, sparsity=self.sparsity)
        positive("task.weights", iou=self.iou)


ARMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "b0": ("alpha", "beta", "gamma"),  # the task alone
        "b1": ("alpha",),  # aids without sharing
        "b2": ("beta", "gamma"),  # sharing without aids
        "b3": ("sparsity",),  # all, the autoencoder not sparse
        "full": (),
    }
)


def applied(weights: Weights, arm: str) -> Weights:
    """`weights` with those that are off in `arm` set to 0."""
    one_of("task.arm", arm, tuple(ARMS))
    off: dict[str, Any] = dict.fromkeys(ARMS[arm], 0.0)
    return replace(weights, **off)


def in_effect(sae: Sae, weights: Weights) -> Sae:
    """The autoencoder under these weights: without sparsity its units are on wherever they are positive."""
    return replace(sae, kind="relu") if weights.sparsity == 0 else sae
