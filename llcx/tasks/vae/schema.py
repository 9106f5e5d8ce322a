"""Settings of task=vae, and what is refused before anything runs.

Every variant of the literature is one choice of a prior p = N(0, d_i^2), of the posterior q and of a penalty. VARIANTS
holds those choices, and `applied` puts one in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from llcx.fit import Fit
from llcx.settings import at_least, one_of, positive

ARCHS = ("mlp", "conv", "resnet18", "linear")
NORMS = ("batch", "group", "none")
LIKELIHOODS = ("mse", "gaussian_learned_sigma", "bernoulli")
PARAMETRISATIONS = ("raw", "whitened")
WIDTHS = {"mlp": 256, "conv": 32, "resnet18": 64, "linear": 1}
KINDS = ("ones", "power", "power_clip", "exp", "linear", "data_pca", "custom")
NORMALISATIONS = ("none", "trace", "geomean", "last")
DIVERGENCES = ("kl", "w2_diag", "mmd")
REDUCTIONS = ("seed", "elbo")
SOURCES = ("digits", "fashion_mnist", "mnist", "cifar10", "patches", "powerlaw")
BINARISATIONS = ("none", "static", "dynamic")
BASES = ("pixel", "dct2", "haar", "toeplitz")
CHANNEL_MODES = ("shared", "independent")
COORDINATES = ("standard", "own")


@dataclass(frozen=True)
class Model:
    """Encoder, posterior q, decoder and the density of a pixel given its reconstruction."""

    arch: str = "mlp"  # mlp | conv | resnet18 | linear (affine encoder and decoder, log variance not amortised)
    latent_dim: int = 16  # D
    width: int | None = None  # units of a hidden layer, channels of the first stage; null: 256, conv 32, resnet18 64
    layers: int = 1  # hidden ones of mlp's encoder, and of its decoder
    norm: str = "batch"  # of resnet18: batch (the original; frozen after training) | group | none
    likelihood: str = "mse"  # mse (fixed noise_std) | gaussian_learned_sigma (one for all pixels) | bernoulli (logits)
    noise_std: float | None = None  # of a pixel, Gaussian; null: 1, with loss.reduction=seed what its kl_coeff implies
    parametrisation: str = "raw"  # what the encoder gives as mean: raw (that of z) | whitened (that of z / d)
    scaled: bool = True  # standard deviation of q: exp(logvar / 2) d | false: exp(logvar / 2)
    min_std: float = 0.0  # exp(logvar / 2) is no smaller; 0: not clamped
    name: str = "vae"

    def __post_init__(self) -> None:
        one_of("task.model.arch", self.arch, ARCHS)
        one_of("task.model.norm", self.norm, NORMS)
        one_of("task.model.likelihood", self.likelihood, LIKELIHOODS)
        one_of("task.model.parametrisation", self.parametrisation, PARAMETRISATIONS)
        at_least("task.model", 1, latent_dim=self.latent_dim, layers=self.layers, width=self.units)
        at_least("task.model", 0, min_std=self.min_std)
        if self.noise_std is not None:
            positive("task.model", noise_std=self.noise_std)
            if self.likelihood == "bernoulli":
                raise ValueError(f"task.model.noise_std must be null with likelihood=bernoulli, got {self.noise_std}")

    @property
    def units(self) -> int:
        """`width`, or the architecture's own."""
        return WIDTHS[self.arch] if self.width is None else self.width


@dataclass(frozen=True)
class Prior:
    """The standard deviations d_i of p = N(0, d_i^2), i = 1..D; the law of `kind` gives d_i, or d_i^2."""

    kind: str = "power"  # ones | power i^-gamma | power_clip min(i, clip_dim)^-gamma | exp e^(-rate (i - 1)) |
    # linear (from 1 to 1 - rate) | data_pca (roots of the data's eigenvalues) | custom (values)
    gamma: float = 0.0  # of power and power_clip
    min_scale: float = 0.0  # d_i is no smaller, before it is normalised; not of power_clip
    clip_dim: int = 100  # of power_clip: the law is flat from there on
    rate: float | None = None  # of exp and linear
    exponent_of: str = "std"  # the law gives std (d_i) | var (d_i^2)
    normalise: str = "none"  # none | trace (mean d^2 = 1) | geomean (product 1) | last (power's law is 1 at i = D)
    values: list[float] | None = None  # of custom, D of them

    def __post_init__(self) -> None:
        one_of("task.prior.kind", self.kind, KINDS)
        one_of("task.prior.exponent_of", self.exponent_of, ("std", "var"))
        one_of("task.prior.normalise", self.normalise, NORMALISATIONS)
        at_least("task.prior", 0, gamma=self.gamma, min_scale=self.min_scale)
        at_least("task.prior", 1, clip_dim=self.clip_dim)
        if self.kind in ("exp", "linear") and self.rate is None:
            raise ValueError(f"task.prior.rate must be a number with kind={self.kind}, got null")
        if self.rate is not None:
            at_least("task.prior", 0, rate=self.rate)
        if (self.kind == "custom") != (self.values is not None):
            raise ValueError(
                f"task.prior.values must be given with kind=custom alone, got {self.values} of {self.kind}"
            )
        if self.kind == "power_clip" and self.min_scale > 0:
            raise ValueError(
                f"task.prior.min_scale must be 0 with kind=power_clip, got {self.min_scale}; clip_dim bounds the scale"
            )
        if self.normalise == "last" and self.kind not in ("power", "power_clip"):
            raise ValueError(f"task.prior.normalise must not be last with kind={self.kind}; choose trace or geomean")


@dataclass(frozen=True)
class Loss:
    """What is minimised: reconstruction and a penalty on q."""

    divergence: str = "kl"  # kl | w2_diag (squared 2-Wasserstein of diagonal Gaussians) | mmd (of the batch's z / d)
    reduction: str = (
        "seed"  # seed (mean over pixels + kl_coeff mean over latents) | elbo (sums, in nats, KL times beta)
    )
    kl_coeff: float = 0.1  # of seed
    beta: float = 1.0  # of elbo

    def __post_init__(self) -> None:
        one_of("task.loss.divergence", self.divergence, DIVERGENCES)
        one_of("task.loss.reduction", self.reduction, REDUCTIONS)
        positive("task.loss", kl_coeff=self.kl_coeff, beta=self.beta)


@dataclass(frozen=True)
class Images:
    """Images in [0, 1], or a Gaussian whose spectrum is known."""

    source: str = "digits"  # digits | fashion_mnist | mnist | cifar10 | patches | powerlaw
    n_train: int | None = None  # rows; null: all there are, powerlaw and patches 5000
    n_test: int | None = None  # other rows; null: all there are, powerlaw and patches 1000
    root: str | None = None  # folder of the files; null: $DATA_DIR, then the system's
    binarise: str = "none"  # none | static (pixels drawn once) | dynamic (drawn again at each step)
    side: int = 32  # pixels, of patches and powerlaw
    channels: int = 1  # of patches and powerlaw: 1 | 3
    exponent: float = 1.0  # of powerlaw: eigenvalues fall as i^-exponent
    basis: str = "dct2"  # of powerlaw's eigenvectors: pixel | dct2 | haar | toeplitz
    channel_mode: str = "shared"  # of powerlaw: shared (all channels alike) | independent
    variance: float = 0.06  # of a pixel, powerlaw: the mean over pixels
    name: str = "images"

    def __post_init__(self) -> None:
        one_of("task.data.source", self.source, SOURCES)
        one_of("task.data.binarise", self.binarise, BINARISATIONS)
        one_of("task.data.basis", self.basis, BASES)
        one_of("task.data.channel_mode", self.channel_mode, CHANNEL_MODES)
        one_of("task.data.channels", self.channels, (1, 3))
        for key in ("n_train", "n_test"):
            if getattr(self, key) is not None:
                at_least("task.data", 1, **{key: getattr(self, key)})
        at_least("task.data", 2, side=self.side)
        at_least("task.data", 0, exponent=self.exponent)
        positive("task.data", variance=self.variance)
        if self.binarise != "none" and self.source == "powerlaw":
            raise ValueError(f"task.data.binarise must be none with source=powerlaw, got {self.binarise}; no pixels")


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis."""

    gamma: list[float] = field(default_factory=list)
    variant: list[str] = field(default_factory=list)
    parametrisation: list[str] = field(default_factory=list)
    latent_dim: list[int] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    coordinates: list[str] = field(default_factory=list)  # of the learning coefficient; one training serves all


@dataclass(frozen=True)
class Measures:
    """What is measured of trained networks beside what a training tells."""

    importance: int = 200  # samples a row of the bound on -log p(x); 0: none
    rows: int = 500  # test rows of it
    resamples: int = 100  # of the data, for the interval of its exponent
    window: list[int] | None = None  # first and last eigenvalue of the exponent; null: spectra.bulk's
    llc_rows: int | None = None  # training rows that the learning coefficient is measured on; null: all of them
    pictures: int = 10  # test rows drawn with their reconstructions, and as many samples of the prior; 0: none

    def __post_init__(self) -> None:
        at_least("task.measures", 0, importance=self.importance, pictures=self.pictures)
        at_least("task.measures", 1, rows=self.rows)
        if self.llc_rows is not None:
            at_least("task.measures", 2, llc_rows=self.llc_rows)
        at_least("task.measures", 2, resamples=self.resamples)
        if self.window is not None and not (len(self.window) == 2 and 1 <= self.window[0] < self.window[1]):
            raise ValueError(f"task.measures.window must be two numbers, 1 <= first < last, got {list(self.window)}")


def _fit() -> Fit:
    return Fit("adam", 1e-3, steps=2000, batch_size=64, every=50)


@dataclass(frozen=True)
class VAE:
    """Variational autoencoders at one prior or many."""

    model: Model = field(default_factory=Model)
    prior: Prior = field(default_factory=Prior)
    loss: Loss = field(default_factory=Loss)
    data: Images = field(default_factory=Images)
    fit: Fit = field(default_factory=_fit)
    grid: Grid = field(default_factory=Grid)
    measures: Measures = field(default_factory=Measures)
    variant: str | None = None  # a name of VARIANTS: it decides prior, posterior and divergence; gamma stays free
    moments: list[str] = field(default_factory=lambda: ["final"])  # of fit.checkpoints, where the LLC is asked
    coordinates: str = "standard"  # of the LLC: standard (as the same function with prior N(0, I)) | own
    seeds: int = 1
    name: str = "vae"

    def __post_init__(self) -> None:
        at_least("task", 1, seeds=self.seeds)
        one_of("task.coordinates", self.coordinates, COORDINATES)
        for moment in self.moments:
            one_of("task.moments", moment, tuple(name for name, _ in self.fit.moments()))
        for variant in self.grid.variant:
            one_of("task.grid.variant", variant, tuple(VARIANTS))
        for parametrisation in self.grid.parametrisation:
            one_of("task.grid.parametrisation", parametrisation, PARAMETRISATIONS)
        for coordinates in self.grid.coordinates:
            one_of("task.grid.coordinates", coordinates, COORDINATES)
        if self.variant is not None:
            one_of("task.variant", self.variant, tuple(VARIANTS))
            _check_free(self, self.variant)
        _check_unit(self)
        if self.model.likelihood == "bernoulli" and self.data.source == "powerlaw":
            raise ValueError(
                "task.model.likelihood must be mse or gaussian_learned_sigma with task.data.source=powerlaw, got "
                "bernoulli; its pixels are no probabilities"
            )
        if self.loss.divergence == "mmd" and self.moments:
            raise ValueError(
                f"task.moments must be empty with task.loss.divergence=mmd, got {list(self.moments)}; a discrepancy of "
                "the whole batch has no loss of one example"
            )


# Every variant decides all of these, so that one can follow another: what a row below does not name is as here.
_VANILLA: dict[str, Any] = {
    "prior.kind": "ones",
    "prior.min_scale": 0.0,
    "prior.exponent_of": "std",
    "prior.normalise": "none",
    "model.scaled": True,
    "model.min_std": 0.0,
    "loss.divergence": "kl",
}
_CLAMPED: dict[str, Any] = {"prior.kind": "power", "prior.min_scale": 1e-3}
_OWN: dict[str, dict[str, Any]] = {
    "vae": {},
    "scalefree": {"prior.kind": "power"},
    "scalefree_clamp": _CLAMPED,
    "scalefree_clipdim": {"prior.kind": "power_clip"},
    "not_decay_fc": {**_CLAMPED, "model.scaled": False},
    "w2": {**_CLAMPED, "loss.divergence": "w2_diag", "model.min_std": 1e-6},
    "exp": {"prior.kind": "exp", "prior.min_scale": 1e-3},
    "linear": {"prior.kind": "linear", "prior.min_scale": 1e-3},
    "stl_inverse": {"prior.kind": "power_clip", "prior.normalise": "last"},
}
VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType({name: {**_VANILLA, **own} for name, own in _OWN.items()})
RATES = {"exp": 0.1, "linear": 0.9}  # of a variant where prior.rate is null


def applied(cfg: VAE) -> VAE:
    """`cfg` with its variant's choices in place of its own, and no variant any more."""
    if cfg.variant is None:
        return cfg
    chosen = VARIANTS[cfg.variant]
    parts = {}
    for group in ("prior", "model", "loss"):
        own = {key.partition(".")[2]: value for key, value in chosen.items() if key.startswith(f"{group}.")}
        if group == "prior" and cfg.prior.rate is None and cfg.variant in RATES:
            own["rate"] = RATES[cfg.variant]
        parts[group] = replace(getattr(cfg, group), **own)
    return replace(cfg, variant=None, **parts)


def _check_free(cfg: VAE, variant: str) -> None:
    """Raise ValueError where a field that the variant decides was set to something else."""
    usual = {"prior": Prior(), "model": Model(), "loss": Loss()}
    for key, value in VARIANTS[variant].items():
        group, _, name = key.partition(".")
        got = getattr(getattr(cfg, group), name)
        if got not in (value, getattr(usual[group], name)):
            raise ValueError(
                f"task.{key} must be left out with task.variant={variant}, which sets {value}, got {got}; "
                "task.variant=null takes your own"
            )


def _check_unit(cfg: VAE) -> None:
    """Raise ValueError where two settings fix the noise of a pixel."""
    if cfg.loss.reduction == "seed" and cfg.model.likelihood == "mse" and cfg.model.noise_std is not None:
        raise ValueError(
            f"task.model.noise_std must be null with task.loss.reduction=seed, got {cfg.model.noise_std}; "
            "kl_coeff fixes it, or choose task.loss.reduction=elbo"
        )
