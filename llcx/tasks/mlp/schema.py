"""Settings of task=mlp, and what is refused before anything runs."""

from dataclasses import dataclass, field
from math import inf

from llcx.fit import Fit
from llcx.settings import at_least, one_of, positive

TARGETS = ("mlp", "quadratic")
ACTIVATIONS = ("relu", "tanh", "gelu", "silu", "sigmoid", "softplus", "identity")
INITS = ("he", "xavier", "lecun", "orthogonal", "torch")
W_STARS = ("trained", "teacher")
INPUTS = ("gauss_iso", "gauss_aniso", "mixture", "lowdim_manifold", "heavy_tail")
NOISES = ("gauss", "hetero", "student_t", "outliers")
MODES = ("noisy", "noise_free")
LOSSES = ("mse", "t_regression")


@dataclass(frozen=True)
class Model:
    """The network and its w*."""

    in_dim: int = 4
    out_dim: int = 1
    depth: int = 2  # hidden layers; 0: linear regression
    target_params: int | None = 200  # about so many parameters: one width of all hidden layers is found for it
    widths: list[int] | None = None  # of the hidden layers, in place of depth and target_params
    activation: str = "tanh"  # relu | tanh | gelu | silu | sigmoid | softplus | identity
    bias: bool = True
    layernorm: bool = False  # before each activation
    init: str = "he"  # he | xavier | lecun | orthogonal (biases 0) | torch (torch's own)
    w_star: str = "trained"  # trained | teacher: the weights that label the rows, where the shapes are the same
    name: str = "mlp"

    def __post_init__(self) -> None:
        at_least("task.model", 1, in_dim=self.in_dim, out_dim=self.out_dim)
        at_least("task.model", 0, depth=self.depth)
        one_of("task.model.activation", self.activation, ACTIVATIONS)
        one_of("task.model.init", self.init, INITS)
        one_of("task.model.w_star", self.w_star, W_STARS)
        check_shape("task.model", self.target_params, self.widths)
        if self.target_params is None and self.widths is None:
            raise ValueError(
                "task.model.target_params must be a number where task.model.widths is null, got null; "
                "for example target_params=200 or widths=[16,16]"
            )


@dataclass(frozen=True)
class Teacher:
    """The network that labels the rows; null: as the model. Its outputs have unit variance over the inputs."""

    depth: int | None = None
    target_params: int | None = None
    widths: list[int] | None = None
    activation: str | None = None
    dropout: float = 0.0  # share of its outputs that are 0, the others raised to keep the mean

    def __post_init__(self) -> None:
        if self.activation is not None:
            one_of("task.data.teacher.activation", self.activation, ACTIVATIONS)
        if self.depth is not None:
            at_least("task.data.teacher", 0, depth=self.depth)
        check_shape("task.data.teacher", self.target_params, self.widths)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"task.data.teacher.dropout must be in [0, 1), got {self.dropout}")

    @property
    def of_the_model(self) -> bool:
        """Whether it has the model's own shape and nothing is dropped."""
        return self == Teacher()


@dataclass(frozen=True)
class Labelled:
    """Rows x, y = teacher(x) + noise."""

    n: int = 1000  # rows
    n_test: int = 0  # other rows, for estimator.measure_on=test
    mode: str = "noisy"  # noisy | noise_free: labels are the teacher's outputs
    x_dist: str = "gauss_iso"  # gauss_iso | gauss_aniso | mixture | lowdim_manifold | heavy_tail
    condition: float = 100.0  # of gauss_aniso: greatest over least variance, geometric in between
    components: int = 4  # of mixture: normals around centres, drawn once
    separation: float = 3.0  # of mixture: distance of the centres from 0
    manifold_dim: int = 2  # of lowdim_manifold: normals on a random plane of so many dimensions
    tail_df: int = 4  # of heavy_tail: Student's t, one scale a row
    noise_model: str = "gauss"  # gauss | hetero | student_t | outliers
    noise_std: float = 0.1  # scale of the label noise; fixes the unit of the loss, also where labels are noise-free
    hetero: float = 1.0  # of hetero: the scale is noise_std (1 + hetero |x| / sqrt(in_dim))
    noise_df: int = 4  # of student_t
    outlier_share: float = 0.05  # of outliers: labels whose noise is
    outlier_scale: float = 10.0  # so many times larger
    teacher: Teacher = field(default_factory=Teacher)
    name: str = "labelled"

    def __post_init__(self) -> None:
        one_of("task.data.mode", self.mode, MODES)
        one_of("task.data.x_dist", self.x_dist, INPUTS)
        one_of("task.data.noise_model", self.noise_model, NOISES)
        at_least("task.data", 2, n=self.n)
        at_least("task.data", 0, n_test=self.n_test, hetero=self.hetero, separation=self.separation)
        at_least("task.data", 1, condition=self.condition, components=self.components, manifold_dim=self.manifold_dim)
        at_least("task.data", 3, tail_df=self.tail_df, noise_df=self.noise_df)  # below, no finite variance
        positive("task.data", outlier_scale=self.outlier_scale)
        if not 0 <= self.outlier_share <= 1:
            raise ValueError(f"task.data.outlier_share must be in [0, 1], got {self.outlier_share}")
        if not 0 < self.noise_std < inf:
            raise ValueError(
                f"task.data.noise_std must be > 0, got {self.noise_std}; for clean labels task.data.mode=noise_free"
            )


@dataclass(frozen=True)
class Loss:
    """The density of a label given the output, whose negative logarithm is the loss, in nats."""

    kind: str = "mse"  # mse: Gaussian | t_regression: Student's t
    scale: float | None = None  # of that density; null: task.data.noise_std
    df: float = 4.0  # of t_regression

    def __post_init__(self) -> None:
        one_of("task.loss.kind", self.kind, LOSSES)
        positive("task.loss", df=self.df)
        if self.scale is not None:
            positive("task.loss", scale=self.scale)


@dataclass(frozen=True)
class Descent(Fit):
    """How w* is found: by the optimiser, and towards the end of it by Newton's method."""

    learning_rate: float = 1e-3
    steps: int = 5000
    batch_size: int | None = None  # rows a step; null: all of them, of more than 5000 rows 512 (not with lbfgs)
    schedule: str = "cosine"
    every: int = 250
    early_stop: float | None = None  # end where the loss of all rows fell by less, relatively, between two entries
    finish: int = 40  # Newton steps on all rows at the end, of networks of at most 500 parameters; 0: none

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("task.fit", 0, finish=self.finish)
        if self.early_stop is not None:
            at_least("task.fit", 0, early_stop=self.early_stop)


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis."""

    target_params: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    activation: list[str] = field(default_factory=list)
    n: list[int] = field(default_factory=list)
    noise_std: list[float] = field(default_factory=list)
    x_dist: list[str] = field(default_factory=list)
    noise_model: list[str] = field(default_factory=list)
    loss: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MLP:
    """A network trained on rows that another one labelled."""

    target: str = "mlp"  # mlp | quadratic: the mean of target_params normals, whose loss is a quadratic
    model: Model = field(default_factory=Model)
    data: Labelled = field(default_factory=Labelled)
    loss: Loss = field(default_factory=Loss)
    fit: Descent = field(default_factory=Descent)
    grid: Grid = field(default_factory=Grid)
    seeds: int = 1
    name: str = "mlp"

    def __post_init__(self) -> None:
        at_least("task", 1, seeds=self.seeds)
        one_of("task.target", self.target, TARGETS)
        if self.data.x_dist == "lowdim_manifold" and self.data.manifold_dim > self.model.in_dim:
            raise ValueError(
                f"task.data.manifold_dim must be at most task.model.in_dim={self.model.in_dim}, "
                f"got {self.data.manifold_dim}"
            )
        if self.model.w_star == "teacher" and not self.data.teacher.of_the_model:
            raise ValueError(
                "task.data.teacher must be left as the model's with task.model.w_star=teacher, got "
                f"{self.data.teacher}; task.model.w_star=trained learns from any teacher"
            )
        if self.model.widths is not None and (self.grid.target_params or self.grid.depth):
            raise ValueError(
                f"task.model.widths must be null where target_params or depth is an axis, got {self.model.widths}"
            )
        if self.target == "quadratic" and (self.loss.kind != "mse" or self.model.target_params is None):
            raise ValueError(
                "task.loss.kind must be mse and task.model.target_params a number with task.target=quadratic, got "
                f"{self.loss.kind} and {self.model.target_params}"
            )

    @property
    def trained(self) -> bool:
        """Whether a training finds w*."""
        return self.target == "mlp" and self.model.w_star == "trained"

    @property
    def scale(self) -> float:
        """Of the density of a label."""
        return self.data.noise_std if self.loss.scale is None else self.loss.scale


def check_shape(group: str, target_params: int | None, widths: list[int] | None) -> None:
    """Raise ValueError unless both are null or positive."""
    if target_params is not None:
        at_least(group, 1, target_params=target_params)
    if widths is not None and any(width < 1 for width in widths):
        raise ValueError(f"{group}.widths must be positive widths of the hidden layers, got {list(widths)}")
