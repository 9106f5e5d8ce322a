"""Settings of task=parity, and what is refused before anything runs."""

from dataclasses import dataclass, field
from math import inf

from llcx.settings import at_least, one_of, positive

ENCODINGS = ("pm1", "01", "centred", "sphere")
SUPPORTS = ("first", "random")
ACTIVATIONS = ("softplus", "relu", "tanh", "silu")
SCALES = ("ntk", "mf")
LOSSES = ("softhinge", "hinge", "qhinge", "mse", "cross_entropy")
DYNAMICS = ("flow", "sgd", "adam", "sign_sgd")
DTYPES = ("float64", "float32")
MODES = ("data", "population")
MOMENTS = ("init", "fitted", "t1", "margin", "final")
ALL_STRINGS = 16  # bits up to which a population of all strings is taken


@dataclass(frozen=True)
class Strings:
    """Bit strings x in {0, 1}^d, all different, and y = prod_{j in S} (-1)^{x_j} over a support S of k bits."""

    d: int = 10  # bits
    k: int = 2  # of them in the support
    n_train: int = 128
    n_test: int = 512  # other strings, never trained on
    support: str = "first"  # first: the first k bits | random
    encoding: str = "pm1"  # of bit b: pm1 (1 - 2 b) | 01 (b) | centred (b - 1/2) | sphere (01 over its norm)
    bias_column: bool = False  # a further input that is always 1
    label_noise: float = 0.0  # share of training labels turned round; test labels are clean
    online: bool = False  # sgd, adam, sign_sgd: a fresh batch a step; n_train rows are then a second test set
    fixed: bool = False  # the strings of the first seed for all seeds, which then differ in initial weights alone
    mode: str = "data"  # of the learning coefficient: data (training rows) | population (all 2^d strings)
    name: str = "strings"

    def __post_init__(self) -> None:
        one_of("task.data.support", self.support, SUPPORTS)
        one_of("task.data.encoding", self.encoding, ENCODINGS)
        one_of("task.data.mode", self.mode, MODES)
        at_least("task.data", 1, d=self.d, n_train=self.n_train)
        at_least("task.data", 0, k=self.k, n_test=self.n_test)
        if self.k > self.d:
            raise ValueError(f"task.data.k must be in 0..{self.d} for d={self.d}, got {self.k}")
        if not 0 <= self.label_noise < 0.5:
            raise ValueError(f"task.data.label_noise must be in [0, 0.5), got {self.label_noise}")
        if self.mode == "population" and self.d > ALL_STRINGS:
            raise ValueError(f"task.data.d must be <= {ALL_STRINGS} with mode=population, got {self.d}; use mode=data")
        wanted = self.n_train + self.n_test
        if wanted > 2**self.d:
            raise ValueError(
                f"task.data.n_train + n_test must be <= 2^d = {2**self.d}, got {wanted}; "
                "strings are all different: raise d or ask for fewer"
            )

    @property
    def inputs(self) -> int:
        """Numbers that the network sees of a string."""
        return self.d + self.bias_column


@dataclass(frozen=True)
class Network:
    """A fully connected network f with one output, and F = alpha (f(w, x) - f(w0, x))."""

    h: int = 100  # units of a hidden layer
    layers: int = 1  # hidden ones
    act: str = "softplus"  # softplus | relu | tanh | silu
    act_beta: float = 5.0  # of softplus, log(1 + e^{beta z}) / beta
    normalise: bool = True  # act scaled so that E act(z)^2 = 1 for z ~ N(0, 1)
    bias: float = 1.0  # multiplier of the biases; 0: there are none
    bias_std: float = 0.0  # of the biases at the start
    out_scale: str = "mf"  # of the output layer: mf (1/h) | ntk (1/sqrt h)
    alpha: float = 1.0  # output scale, small: features are learned, large: lazy; task.grid.alpha is its axis
    subtract: bool = True  # f(w0, x) from f; false: F = alpha f(w, x)
    dtype: str = "float64"  # of the weights and of everything computed from them
    name: str = "fully_connected"

    def __post_init__(self) -> None:
        one_of("task.model.act", self.act, ACTIVATIONS)
        one_of("task.model.out_scale", self.out_scale, SCALES)
        one_of("task.model.dtype", self.dtype, DTYPES)
        at_least("task.model", 1, h=self.h, layers=self.layers)
        at_least("task.model", 0, bias=self.bias, bias_std=self.bias_std)
        positive("task.model", act_beta=self.act_beta, alpha=self.alpha)

    def reduced(self, alpha: float) -> float:
        """alpha of mf, sqrt(h) alpha of ntk: networks of every width turn lazy at about the same value of it."""
        return alpha if self.out_scale == "mf" else alpha * self.h**0.5


@dataclass(frozen=True)
class Loss:
    """What is minimised: a function of F y over alpha, so that f starts to move at the same speed at every alpha."""

    kind: str = "softhinge"  # softhinge | hinge | qhinge | mse | cross_entropy
    beta: float = 20.0  # of softhinge, softplus_beta(margin - F y)
    margin: float = 1.0  # where hinges end and mse aims at, and F y of all training rows at the role `margin`
    name: str = "margin_loss"

    def __post_init__(self) -> None:
        one_of("task.loss.kind", self.kind, LOSSES)
        positive("task.loss", beta=self.beta, margin=self.margin)


@dataclass(frozen=True)
class Flow:
    """Gradient flow w' = v with momentum, in steps as large as the gradient and the outputs allow."""

    tau_over_h: float = 1e-3  # memory of v over h, in time; 0: none; < 0: it grows with time, t / |tau|
    tau_alpha_crit: float | None = 1e3  # tau falls as 1 / alpha from this alpha on; null: it never does
    max_dgrad: float | None = 1e-3  # a step's |g - g'|^2 / (|g| |g'|); null: no limit, 1e-4: the reference
    max_dout: float | None = 0.1  # a step's largest change of F; null: no limit
    dt0: float = 1.0  # the first step tried

    def __post_init__(self) -> None:
        if not -inf < self.tau_over_h < inf:
            raise ValueError(f"task.fit.flow.tau_over_h must be finite, got {self.tau_over_h}")
        for key in ("tau_alpha_crit", "max_dgrad", "max_dout"):
            if getattr(self, key) is not None:
                positive("task.fit.flow", **{key: getattr(self, key)})
        positive("task.fit.flow", dt0=self.dt0)

    def tau(self, h: int, alpha: float) -> float:
        """tau at width h."""
        fall = 1.0 if self.tau_alpha_crit is None else min(1.0, self.tau_alpha_crit / alpha)
        return self.tau_over_h * h * fall


@dataclass(frozen=True)
class Descent:
    """First-order methods in discrete steps, t = learning_rate steps."""

    learning_rate: float = 0.1
    batch_size: int | None = None  # rows a step, epoch after epoch; null: all of them. With data.online: fresh rows
    momentum: float = 0.0  # sgd alone
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])  # adam alone
    weight_decay: float = 0.0  # adds weight_decay w to the gradient; sign_sgd: shrinks w by learning_rate weight_decay
    l1: float = 0.0  # adds l1 sign(w) to the gradient; sign_sgd: before the sign is taken

    def __post_init__(self) -> None:
        positive("task.fit.descent", learning_rate=self.learning_rate)
        at_least("task.fit.descent", 0, weight_decay=self.weight_decay, l1=self.l1)
        if self.batch_size is not None:
            at_least("task.fit.descent", 1, batch_size=self.batch_size)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"task.fit.descent.momentum must be in [0, 1), got {self.momentum}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"task.fit.descent.betas must be two numbers in [0, 1), got {list(self.betas)}")


@dataclass(frozen=True)
class Stop:
    """Where a training ends; each member of an ensemble by itself, and stays where it is."""

    margin: float | None = 1.0  # F y of the training rows is at least this; null: no such stop
    share: float = 1.0  # of the rows that must have it, here and at the role `margin`
    aloss: float | None = None  # alpha loss, as a share of that at the start, at most this
    max_t: float | None = None
    max_t1: float | None = None  # time in units of t1, when alpha loss was first below half of that at the start
    max_steps: int = 10_000  # steps tried, those rejected included
    max_wall: float | None = None  # s; where it ends a training no other run ends at the same place

    def __post_init__(self) -> None:
        for key in ("margin", "aloss", "max_t", "max_wall"):
            if getattr(self, key) is not None:
                positive("task.fit.stop", **{key: getattr(self, key)})
        at_least("task.fit.stop", 1, max_steps=self.max_steps)
        if self.max_t1 is not None:
            at_least("task.fit.stop", 1, max_t1=self.max_t1)
        if not 0 < self.share <= 1:
            raise ValueError(f"task.fit.stop.share must be in (0, 1], got {self.share}")


@dataclass(frozen=True)
class Checkpoints:
    """Steps at which a training is measured: s -> int(s + 1 + spacing (1 - e^(-s rate / spacing))), dense at first."""

    rate: float = 0.1  # growth of the distance between two; 0.01: every step for the first 100
    spacing: int = 100  # steps between two in the end
    fourier: bool = False  # what F is made of and what pulls at its inputs, each time (llcx/tasks/parity/probes.py)

    def __post_init__(self) -> None:
        positive("task.fit.checkpoints", rate=self.rate)
        at_least("task.fit.checkpoints", 1, spacing=self.spacing)


@dataclass(frozen=True)
class Fit:
    """How the network is trained."""

    dynamics: str = "flow"  # flow | sgd | adam | sign_sgd
    flow: Flow = field(default_factory=Flow)
    descent: Descent = field(default_factory=Descent)  # of sgd, adam and sign_sgd
    stop: Stop = field(default_factory=Stop)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    losses: list[float] = field(default_factory=list)  # shares of the loss at the start, each a snapshot `loss=F`

    def __post_init__(self) -> None:
        one_of("task.fit.dynamics", self.dynamics, DYNAMICS)
        outside = [share for share in self.losses if not 0 < share < 1]
        if outside or len(set(self.losses)) < len(self.losses):
            raise ValueError(f"task.fit.losses must be different numbers in (0, 1), got {list(self.losses)}")


@dataclass(frozen=True)
class Kernel:
    """Tangent kernels that are taken along a training; none cost nothing."""

    kinds: list[str] = field(default_factory=list)  # init | final | headless | features | delta | stretch | running=F
    rows: int = 256  # training rows, at most, on which the change of the kernel along a training is taken

    def __post_init__(self) -> None:
        at_least("task.kernel", 0, rows=self.rows)


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis. Seeds and alphas of one width are trained as one ensemble."""

    alpha: list[float] = field(default_factory=list)
    h: list[int] = field(default_factory=list)
    encoding: list[str] = field(default_factory=list)
    bias_column: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class Search:
    """The output scale alpha* at which the kernel changes by a given share, instead of trainings at given alphas."""

    change: float | None = None  # |Theta_end - Theta_0| / |Theta_0|; null: no search
    low: float = 1e-2  # alpha between which and `high` it is looked for
    high: float = 1e3
    rounds: int = 8  # bisections of log alpha

    def __post_init__(self) -> None:
        if self.change is not None:
            positive("task.search", change=self.change)
        positive("task.search", low=self.low, high=self.high)
        at_least("task.search", 1, rounds=self.rounds)
        if self.low >= self.high:
            raise ValueError(f"task.search.low must be below high={self.high}, got {self.low}")


@dataclass(frozen=True)
class Parity:
    """Sparse parity learned by fully connected networks, lazy or not, and the points along their training."""

    model: Network = field(default_factory=Network)
    data: Strings = field(default_factory=Strings)
    loss: Loss = field(default_factory=Loss)
    fit: Fit = field(default_factory=Fit)
    kernel: Kernel = field(default_factory=Kernel)
    grid: Grid = field(default_factory=Grid)
    search: Search = field(default_factory=Search)
    moments: list[str] = field(default_factory=lambda: ["init", "t1", "margin", "final"])  # where the LLC is asked
    seeds: int = 1
    name: str = "parity"

    def __post_init__(self) -> None:
        at_least("task", 1, seeds=self.seeds)
        for moment in self.moments:
            one_of("task.moments", moment, (*MOMENTS, *(f"loss={share:g}" for share in self.fit.losses)))
        if self.search.change is not None and (self.grid.alpha or self.moments):
            raise ValueError(
                f"task.grid.alpha and task.moments must be empty with task.search.change={self.search.change:g}, got "
                f"{list(self.grid.alpha)} and {list(self.moments)}; alpha is what is looked for"
            )
        if self.data.online and self.fit.dynamics == "flow":
            raise ValueError(
                "task.data.online must be false with task.fit.dynamics=flow, got true; a flow has one loss, "
                "choose sgd, adam or sign_sgd"
            )
