"""What is measured of a trained VAE: its likelihood, which of its latents carry anything, and their spectrum.

Everything about latents is told in whitened units m = z / d, where d is the prior's standard deviation, so that numbers
compare across priors: with m, and the decoder's input d m, each of these models has the prior N(0, I).

N rows    D latents    p pixels    k samples
"""

from collections.abc import Callable
from math import log
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from llcx import rng
from llcx.tasks.vae import spectra

Rows = Shaped[Tensor, "N *image"]
ACTIVE = 1e-2  # variance over x of a latent's mean above which it counts: Burda et al. (2016), arXiv:1509.00519
SAMPLES = 2**32  # of the stream of noise that a row has to itself


class Machine(NamedTuple):
    """A VAE as functions; z is in the decoder's own units, in which the prior is N(0, scale^2)."""

    encode: Callable[[Tensor], tuple[Tensor, Tensor]]  # x [B, ...] -> mean [B, D], log variance [B, D] of q(z | x)
    decode: Callable[[Tensor], Any]  # z [B, D] -> what log_likelihood takes
    log_likelihood: Callable[[Tensor, Any], Tensor]  # (x [B, ...], decoded) -> log p(x | z) [B], nats, with constants
    scale: Float[Tensor, " D"]


class Posterior(NamedTuple):
    """q(m | x) = N(mean, exp(logvar)) of every row, in whitened units, float64."""

    mean: Float[Tensor, "N D"]
    logvar: Float[Tensor, "N D"]

    @property
    def kl(self) -> Float[Tensor, "N D"]:
        """KL(q(m_i | x) || N(0, 1)) of each row and latent, nats; no unit changes it."""
        return (self.logvar.expm1() - self.logvar + self.mean.square()) / 2

    @property
    def carried(self) -> Float[Tensor, " D"]:
        """Variance over rows of each latent's mean."""
        return self.mean.var(0, correction=0)

    def active(self, threshold: float = ACTIVE) -> int:
        """Latents whose mean moves with x."""
        return int((self.carried > threshold).sum())


class Importance(NamedTuple):
    """Of each row: the bound on -log p(x) in nats, and how many of the k samples its weights amount to."""

    nll: Float[Tensor, " N"]
    ess: Float[Tensor, " N"]


class Latents(NamedTuple):
    """Eigenvalues of covariances in the decoder's units, descending."""

    means: Float[Tensor, " D"]  # of the means alone
    aggregated: Float[Tensor, " D"]  # of z ~ q(z), averaged over rows: the prior's, d_i^2, where all has collapsed


@torch.no_grad()
def posterior(machine: Machine, x: Rows, *, chunk: int = 4096) -> Posterior:
    """Of every row, `chunk` of them at once."""
    parts = [_whitened(machine, part) for part in x.split(chunk)]
    return Posterior(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _whitened(machine: Machine, x: Tensor) -> Posterior:
    (mean, logvar), scale = machine.encode(x), machine.scale.double()
    return Posterior(mean.double() / scale, logvar.double() - 2 * scale.log())


@torch.no_grad()
def importance(machine: Machine, x: Rows, *, samples: int, key: int, chunk: int = 2**14) -> Importance:
    """-log (1/k) sum_j p(x | z_j) p(z_j) / q(z_j | x), z_j ~ q(z | x), with k = `samples`; `chunk` of them at once.

    In the mean over z no less than -log p(x), falling with k to it: Burda et al. (2016). k = 1 is the negative ELBO,
    one draw of it. Sample j of row n is a function of (key, n, j) alone, so that models, and several k, are paired; a
    stream's integer is `streams.key(role)`. Raises ValueError for samples < 1.
    """
    if samples < 1:
        raise ValueError(f"samples must be >= 1, got {samples}")
    rows = max(1, chunk // samples)
    numbers = torch.arange(len(x), device=x.device)
    blocks = zip(x.split(rows), numbers.split(rows), strict=True)
    parts = [_importance(machine, block, SAMPLES * at, samples, key, chunk) for block, at in blocks]
    return Importance(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _importance(machine: Machine, x: Tensor, at: Tensor, samples: int, key: int, chunk: int) -> Importance:
    """Of rows whose noise begins `at` [B] in the stream; few rows, or few of their samples at once."""
    dtype, own = machine.scale.dtype, _whitened(machine, x)
    first = second = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)  # log sums of w, w^2
    for drawn in torch.arange(samples, device=x.device).split(chunk):
        noise = rng.counter_normal(key, at[:, None] + drawn, own.mean.shape[-1])
        m = own.mean[:, None] + (own.logvar / 2).exp()[:, None] * noise
        each = x.repeat_interleave(len(drawn), 0)
        decoded = machine.decode((m * machine.scale.double()).flatten(0, 1).to(dtype))
        fit = machine.log_likelihood(each, decoded).double().reshape(len(x), len(drawn))
        weights = fit + (noise.square() - m.square() + own.logvar[:, None]).sum(-1) / 2
        first = torch.logaddexp(first, weights.logsumexp(1))
        second = torch.logaddexp(second, (2 * weights).logsumexp(1))
    return Importance(log(samples) - first, (2 * first - second).exp())


def latent_spectra(found: Posterior, scale: Float[Tensor, " D"]) -> Latents:
    """Of z = d m; the posterior's own variances enter exactly, not by draws."""
    scale = scale.double()
    means = spectra.moments([found.mean * scale]).covariance
    spread = found.logvar.exp().mean(0) * scale.square()
    return Latents(*(spectra.spectrum(matrix, len(scale)) for matrix in (means, means + spread.diag())))


def latent_exponent(found: Posterior, scale: Float[Tensor, " D"], window: spectra.Window | None = None) -> float:
    """a of the aggregated latents' eigenvalues ~ i^-a; all of them where no window is given.

    With d_i = i^-gamma and all latents collapsed it is 2 gamma. Raises ValueError as `spectra.power_law`.
    """
    values = latent_spectra(found, scale).aggregated
    return float(spectra.power_law(values, window or spectra.Window(1, len(values))).exponent)


def implied_noise(kl_coeff: float, pixels: int, latent_dim: int) -> float:
    """Variance s2 of the Gaussian decoder whose ELBO is mean squared error + kl_coeff * mean KL, up to its unit.

    Means over p pixels and D latents: 2 s2 / p times (sum of squares / (2 s2) + sum of KL), s2 = kl_coeff p / (2 D).
    """
    return kl_coeff * pixels / (2 * latent_dim)


def predicted_active(values: Float[Tensor, " K"], noise: float, latent_dim: int, *, threshold: float = 0.0) -> int:
    """Active latents of the best linear VAE on data of these eigenvalues: min(D, how many exceed s2).

    Its latent of eigenvalue lambda carries 1 - s2 / lambda (tasks.vae.linear), which `threshold` is for: with
    `ACTIVE` the count is what `Posterior.active` finds there. With beta in front of the KL, s2 is beta times the noise.
    """
    return min(latent_dim, int(spectra.above(values, noise / (1 - threshold))))


def bits_per_dimension(nll: float, dimensions: int, *, levels: int | None = None) -> float:
    """Of nats an example; `levels`: of a density on [0, 1]^dimensions, the bits of values in so many equal steps."""
    return nll / (dimensions * log(2)) + (0.0 if levels is None else log(levels) / log(2))
