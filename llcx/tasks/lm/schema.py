"""Settings of task=lm, and what is refused before anything runs."""

from dataclasses import dataclass, field

from llcx.fit import Fit
from llcx.settings import at_least, one_of, positive

SOURCES = ("bigrams", "text")
SCORED = ("all", "repeated", "new")


@dataclass(frozen=True)
class Network:
    """The model: a small transformer of our own, or a causal language model of a local folder."""

    d: int = 64  # width of the stream
    layers: int = 2
    heads: int = 2  # of a layer
    mlp: int = 0  # hidden units of a layer's perceptron; 0: attention alone
    folder: str | None = None  # of `save_pretrained`, GPT-2 style: measured as it is, not trained
    name: str = "transformer"

    def __post_init__(self) -> None:
        at_least("task.model", 1, d=self.d, layers=self.layers, heads=self.heads)
        at_least("task.model", 0, mlp=self.mlp)
        if self.d % self.heads:
            raise ValueError(f"task.model.d must be a multiple of task.model.heads={self.heads}, got {self.d}")


@dataclass(frozen=True)
class Sequences:
    """Rows of tokens, and which of their predictions are scored."""

    source: str = "bigrams"  # bigrams (synthetic, some of which repeat in a sequence) | text (documentation of Python)
    n: int = 8  # sequences that the learning coefficient is measured on, the first of the training ones
    n_train: int = 100_000  # different sequences to train on; of text: windows of it
    n_test: int = 256  # sequences of which a training tells its losses; of text: from its last tenth
    context: int = 48  # predictions of a sequence
    scored: str = "all"  # of the learning coefficient: all | repeated | new (whether the token before occurred earlier)
    vocabulary: int = 32  # of bigrams
    triggers: float = 0.3  # of bigrams: share of tokens that have a follower of the sequence's own
    concentration: float = 0.1  # of bigrams: Dirichlet's, of what follows a token otherwise; small: few tokens do
    name: str = "sequences"

    def __post_init__(self) -> None:
        one_of("task.data.source", self.source, SOURCES)
        one_of("task.data.scored", self.scored, SCORED)
        at_least("task.data", 1, n_train=self.n_train, n_test=self.n_test)
        at_least("task.data", 2, vocabulary=self.vocabulary)
        positive("task.data", concentration=self.concentration)
        if self.context < 10:
            raise ValueError(f"task.data.context must be >= 10 for an in-context score, got {self.context}")
        if not 1 <= self.n <= self.n_train:
            raise ValueError(f"task.data.n must be in 1..{self.n_train}, task.data.n_train, got {self.n}")
        if not 0 <= self.triggers < 1:
            raise ValueError(f"task.data.triggers must be in [0, 1), got {self.triggers}")


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis."""

    d: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    mlp: list[int] = field(default_factory=list)
    triggers: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)  # one training serves all


def _fit() -> Fit:
    return Fit("adam", 1e-3, steps=2000, batch_size=32, every=100)


@dataclass(frozen=True)
class LM:
    """Language models along their training, or one that is given."""

    model: Network = field(default_factory=Network)
    data: Sequences = field(default_factory=Sequences)
    fit: Fit = field(default_factory=_fit)
    grid: Grid = field(default_factory=Grid)
    seeds: int = 1
    name: str = "lm"

    def __post_init__(self) -> None:
        at_least("task", 1, seeds=self.seeds)
        axes = [key for key in ("d", "layers", "heads", "mlp", "learning_rate") if getattr(self.grid, key)]
        if self.model.folder is not None and axes:
            raise ValueError(
                f"task.grid.{axes[0]} must be empty with task.model.folder, got {list(getattr(self.grid, axes[0]))}; "
                "a model that is given has the size that it has"
            )
