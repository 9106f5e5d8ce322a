"""The nouns of llcx, without logic. Shapes: C chains, P parameters, B minibatch, N rows, T kept draws, W warm-up."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, NamedTuple, Protocol

from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

Flat = Float[Tensor, " P"]
Chains = Float[Tensor, "C P"]
PerChain = Float[Tensor, " C"]
PerExample = Float[Tensor, " B"]
Index = Int[Tensor, "C B"]
Trace = Float[Tensor, "C T"]
OtherTrace = Float[Tensor, "D S"]  # of another run beside a Trace
Batch = Any  # a pytree (tuple, list, dict) of tensors with a common first axis
Value = Tensor | float | int | str | bool
State = dict[str, Value]  # flat: what may be written to disk and read back without executing anything


class Noise(Protocol):
    """Random numbers of C chains; row c comes from chain c's own stream, so grouping changes nothing."""

    def normal(self, like: Tensor) -> Tensor:
        """Standard normals [C, P] in the dtype and on the device of `like`."""

    def uniform(self) -> PerChain:
        """One uniform number in [0, 1) a chain, float64 [C]."""

    def shared(self) -> float:
        """One uniform number in [0, 1) for all chains together."""

    def indices(self, rows: int, batch: int) -> Index:
        """A minibatch a chain: [C, B] row numbers, drawn with replacement."""


Target = Callable[[Chains, Index | None], tuple[PerChain, Chains]]  # (w, minibatch) -> log density [C] and its gradient


class Conditionals(Protocol):
    """A target that knows Gaussian conditionals."""

    @property
    def blocks(self) -> tuple[Tensor, ...]:
        """Positions [G, b] of each block: G groups of b parameters, independent given all others."""

    def conditional(self, w: Chains, block: Tensor) -> tuple[Float[Tensor, "C G b b"], Float[Tensor, "C G b"]]:
        """Precision A of each group given all others, and A times its mean."""


class Tempered(Protocol):
    """A target that tells the loss from the localiser."""

    def __call__(self, w: Chains, batch: Index | None) -> tuple[PerChain, Chains]: ...

    def loss_gradient(self, w: Chains, grad: Chains) -> Chains:
        """The part of `grad`, which a call gave at w, that is the loss's own, in nats an example."""


class Kernel(NamedTuple):
    """A Markov kernel as two pure functions.

    `state.w` is the position [C, P]; Metropolis kernels keep `accept` [C], adapting ones `step_size`. What a state has
    of `grad`, `drift` and `noise` [C, P] belongs to the last step.
    """

    init: Callable[[Chains, Noise], Any]
    step: Callable[[Any, Index | None, Noise], Any]


class ExternalChain(NamedTuple):
    """One chain of a sampler that runs by itself."""

    w: Float[Tensor, "T P"]
    accept: float  # mean acceptance at kept draws
    step_size: float  # at the end of the warm-up


class External(NamedTuple):
    """A sampler of another library: chains in turn, not to be cut into chunks nor resumed in the middle."""

    run: Callable[[Flat, int, int, Generator], ExternalChain]  # (start, warm-up, draws, stream)


class Frozen(NamedTuple):
    """K on fixed rows, chain c's own, scaled to all rows; as Potential has them."""

    full: Callable[[Chains], tuple[PerChain, Chains]]
    value: Callable[[Chains], PerChain]
    slope: Callable[[Chains], Chains] | None = None


@dataclass(frozen=True)
class Potential:
    """K(w) = L(w) - L(w*) in nats, for all chains at once; K is float64 whatever the dtype of the weights."""

    at: Flat  # w*
    full: Callable[[Chains], tuple[PerChain, Chains]]  # K [C] and its gradient [C, P] on all data
    value: Callable[[Chains], PerChain]  # K [C] on all data
    mini: Callable[[Chains, Index], tuple[PerChain, Chains]] | None  # K and gradient on minibatches [C, B] of `rows`
    n: int  # data size of the posterior: rows, or predictions where a row holds several
    rows: int  # what minibatch indices run over; 0 where there are none
    exact: bool  # a closed form: the cost of a full gradient does not grow with n
    population: bool  # n*beta is free: the loss is an expectation, not a sample mean
    target: str  # data | self
    flops: float  # of one full gradient of one chain, counted
    blocks: tuple[Tensor, ...] = ()  # [G, b] each, as StatModel.blocks
    examples: Callable[[Chains, Int[Tensor, " R"]], Float[Tensor, "C R"]] | None = None  # K of single rows, unscaled
    frozen: Callable[[Index], Frozen] | None = None  # [C, n'] -> K of chain c on its rows alone
    factors: Callable[[Chains, Index], Float[Tensor, "C R P"]] | None = None  # rows g, E[g g^T]: Gauss-Newton per row
    slope: Callable[[Chains], Chains] | None = None  # the gradient of `full` in float32's digits, where that is faster
    memory: int = 2**30  # bytes that buffers of chains may take


@dataclass(frozen=True)
class StatModel:
    """A module at w* and its likelihood, in nats an example."""

    module: nn.Module
    nll: Callable[[Any, Batch], PerExample]  # (output, batch) -> -log p, constants may be dropped
    kl: Callable[[Any, Any], PerExample] | None = None  # (output at w*, output) -> KL(p* || p) an example
    closed: Mapping[str, Callable[[Chains], PerChain]] = field(default_factory=dict)  # target -> K of flat parameters
    forward: Callable[[nn.Module, Batch], Any] | None = None  # (module, batch) -> output; None: module(batch[0])
    blocks: tuple[Tensor, ...] = ()  # [G, b] positions in w: given all others K is a quadratic in the G groups
    root: Callable[[Any, Tensor], Any] | None = None  # (output, z like it) -> (KL's Hessian there)^(1/2) z; None: found


class Rows(NamedTuple):
    """Data that is computed, not stored."""

    take: Callable[[Tensor], Batch]  # index [..] -> the batch of those rows
    total: int


@dataclass(frozen=True)
class Data:
    train: Batch | Rows  # tensors with a common first axis, rows made on demand; None: a closed form alone
    n: int  # data size of the posterior
    mode: str = "data"  # population | noise_free | noisy | data


@dataclass(frozen=True)
class Known:
    """The answer key of a point: real log canonical thresholds and their source."""

    lam: float | None = None  # global
    mult: int | None = None  # multiplicity of the pole that `at` uses
    local: float | None = None  # at this very w*
    at: Callable[[float, float], float | None] | None = None  # (n*beta, gamma) -> estimate expected there, if known
    reference: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)  # further theories, one column `known.<name>` each


@dataclass(frozen=True)
class Point:
    """A place at which the LLC is asked."""

    name: str
    coords: Mapping[str, float | int | str]
    model: StatModel
    data: Data
    known: Known = Known()
    target: str = "data"  # the target where the configuration leaves it open: data | self
    restricted: Callable[[frozenset[str]], Known] | None = None  # (names sampled) -> the answer with all others frozen
    wishes: Mapping[str, Any] = field(default_factory=dict)  # settings of the estimator where it leaves them open
    unsuited: Mapping[str, str] = field(default_factory=dict)  # kernel -> why it is not asked here
    others: Mapping[str, Data] = field(default_factory=dict)  # further data sets that L may be taken on, by name


Progress = Callable[[str, int, int, Mapping[str, float]], None]  # (stage, done, total, what to show)


class Spec(NamedTuple):
    """A point as the configuration alone knows it."""

    name: str
    coords: Mapping[str, float | int | str]
    training: str | None = None  # whose snapshot it needs
    role: str = "final"  # init, epoch=50, t1, final, ...
    moment: str = ""  # the coordinate that is time: points that differ in it alone are one trajectory, in order
    certain: bool = True  # False: the training may end without this role, and then there is no such point


class Event(NamedTuple):
    """What a training yields: its whole state, so that it can go on from here, and what happened."""

    state: State
    step: int
    metrics: Mapping[str, float] = {}
    snapshots: Mapping[str, State] = {}  # role -> weights


class Streams(Protocol):
    """Named random streams of one seed: changing the sampler does not change the data."""

    @property
    def seed(self) -> int: ...

    def generator(self, role: str) -> Generator:
        """A fresh generator for `role`: data, init, fit, chains or one of the caller's own."""

    def key(self, role: str) -> int:
        """The integer behind a stream: the key of rows that are functions of (key, row)."""

    def replicate(self, index: int) -> "Streams":
        """The streams of the index-th repetition of the same study."""


class Training(NamedTuple):
    """A resumable training: `steps(state)` goes on from any state that an event carried."""

    name: str
    total: int  # steps, for the progress bar
    start: Callable[[], State]
    steps: Callable[[State], Iterator[Event]]


Snapshots = Callable[[str, str], State | None]  # (training, role) -> the weights that it left
Left = Callable[[str], list[dict[str, str]]]  # stem -> rows of analysis/<stem>.csv, none of no file


class Tables(NamedTuple):
    """What an analysis leaves under analysis/, by file stem."""

    tables: Mapping[str, list[dict[str, Any]]] = {}  # rows, for CSV files
    arrays: Mapping[str, Any] = {}  # for npz files
    shown: Mapping[str, list[dict[str, str]]] = {}  # title -> rows of text that the terminal prints at the end
    documents: Mapping[str, Any] = {}  # nested values, for JSON files


class Study(NamedTuple):
    """A part of the analysis that takes its time: a stage of its own, after `measure`."""

    name: str  # of the stage
    parts: tuple[str, ...]  # in their order
    work: Callable[[str, Snapshots, Left], Tables]  # of a part; rows, and arrays and documents by key, are put together


class Task(Protocol):
    """Data, models, points at which the LLC is asked, all known from the configuration. Pure: no disk, no clock."""

    name: str

    def trainings(self) -> tuple[Training, ...]: ...
    def points(self) -> tuple[Spec, ...]: ...

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        """The point itself, `snapshot` being what `spec.training` yielded for `spec.role`."""

    def studies(self) -> tuple[Study, ...]:
        """By the names in its schema's STAGES."""

    def analyse(self, rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
        """Tables over the rows of metrics_summary.csv and the weights that trainings left."""


@dataclass(frozen=True)
class Plan:
    """Every number a measurement needs: what calibration decided, written down before the first draw."""

    sampler: Any  # record of a concrete kernel, step size resolved
    nbeta: float
    gamma: float
    chains: int
    warmup: int  # kernel steps that are dropped
    draws: int  # kept draws a chain
    every: int  # kernel steps between kept draws
    notes: tuple[str, ...] = ()  # what was chosen and why, and the biases predicted
    gradients: int = 0  # spent on calibration, a chain
    seconds: float = 0.0  # spent on calibration
    target_se: float | None = None  # end where the standard error is below
    metric: str = ""  # "" | ggn | diagonal: the coordinates in which the kernel runs
    subset: int = 0  # rows a chain, frozen; 0: all
    usual: int = 0  # kernel steps that calibration by itself would take
    planned: float = nan  # lambda of the Gauss-Newton quadratic


@dataclass(frozen=True)
class Draws:
    """What the chains leave."""

    energy: Trace  # n*beta*K at kept draws, float64
    distance: Trace  # |w - w*|^2 at kept draws
    warmup: Float[Tensor, "C W"]  # n*beta*K along the warm-up
    last: Chains
    accept: PerChain | None  # mean acceptance at kept draws, Metropolis kernels only
    step_size: float  # at the end of the warm-up
    gradients: int  # evaluations a chain, warm-up included
    examples: int  # example gradients over all chains; 0 where the loss is a closed form
    seconds: float
    stopped_by: str = "draws"  # draws | budget | target_se
    observed: Mapping[str, Tensor] = field(default_factory=dict)  # name -> [C, T, ...]
    settling: Mapping[str, Float[Tensor, " W"]] = field(default_factory=dict)  # step_size, accept.. along the warm-up
    allowance: float = 0.0  # systematic half-width that the interval adds
    norms: Mapping[str, Trace] = field(default_factory=dict)  # of gradient, drift and noise of a step, at kept draws
    warm_seconds: float = 0.0  # of `seconds`, until the end of the warm-up
    warm_gradients: int = 0  # of `gradients`, until the end of the warm-up
    backend: str = ""  # on which gradients came about: compile | cuda_graph | fx | vmap | seq; "": closed form alone
