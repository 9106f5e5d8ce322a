"""What a VAE is trained on, and what its examples cost in nats.

With u = z / d, q = N(m, e^r) in its units, each latent dimension costs

    kl       (e^r + m^2 - 1 - r) / 2                 KL(q || p), the same for z and u
    w2_diag  d^2 (m^2 + (1 - e^{r/2})^2)             squared 2-Wasserstein distance of q and p, in units of z

and an example, in nats, -log p(x | z) + beta sum_i penalty_i: with kl and beta = 1 the negative evidence lower bound at
one noise. `seed` is the same thing in other units, mean over pixels + kl_coeff mean over latents: as a Gaussian
likelihood, its variance is kl_coeff pixels / (2 D), and the loss kl_coeff / D times the nats but for a constant.

mmd is of a batch: the discrepancy of its u from as many draws of N(0, I), under inverse multiquadratic kernels
(Tolstikhin et al. 2018, arXiv:1711.01558).
"""

from dataclasses import dataclass
from math import log, pi

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from llcx.likelihoods import Bernoulli
from llcx.tasks.vae.model import Latents, Outputs, Pixels
from llcx.tasks.vae.networks import Shape
from llcx.tasks.vae.priors import Scale
from llcx.tasks.vae.schema import Loss, Model
from llcx.types import Batch, PerExample

BANDWIDTHS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of mmd's kernels, in units of 2 D

_BERNOULLI = Bernoulli()


@dataclass(frozen=True)
class Criterion:
    """The loss of a model of `shape` under a prior of scales d, and the same in nats an example."""

    model: Model
    loss: Loss
    shape: Shape
    scale: Scale

    def __call__(self, out: Outputs, x: Pixels, prior: Latents | None = None) -> Tensor:
        """What is minimised, a scalar. `prior`: standard normals [B, D], which mmd compares u with."""
        penalty = self._penalty(out, prior)
        if self.loss.reduction == "seed":
            return self._per_pixel(out, x) + self.loss.kl_coeff * penalty
        size = self.model.latent_dim if self.loss.divergence != "mmd" else 1
        return self.reconstruction(out, x).mean() + self.loss.beta * size * penalty

    def nats(self, out: Outputs, x: Pixels) -> PerExample:
        """-log p(x | z) + beta penalty of each example. Raises ValueError for mmd, which is of a batch."""
        return self.reconstruction(out, x) + self.beta * self.penalties(out).sum(1)

    def reconstruction(self, out: Outputs, x: Pixels) -> PerExample:
        """-log p(x | z) of each example in nats, constants included."""
        return -self.log_density(x, out.reconstruction, out.sigma)

    def log_density(self, x: Pixels, output: Pixels, sigma: Tensor | None = None) -> PerExample:
        """log p(x | z) of each example at the decoder's output; `sigma` [B] or a scalar: where it is learned."""
        if self.model.likelihood == "bernoulli":
            return -F.binary_cross_entropy_with_logits(output, x, reduction="none").flatten(1).sum(1)
        square = (x - output).square().flatten(1).sum(1)
        if self.model.likelihood == "mse":
            return -square / (2 * self.variance) - self.shape.pixels / 2 * log(2 * pi * self.variance)
        if sigma is None:
            raise ValueError("sigma must be given with likelihood=gaussian_learned_sigma, got none")
        return -square / (2 * sigma.square()) - self.shape.pixels * (sigma.log() + log(2 * pi) / 2)

    def penalties(self, out: Outputs) -> Latents:
        """Of each example and latent dimension. Raises ValueError for mmd, which is of a batch."""
        if self.loss.divergence == "kl":
            return kl(out.mean, out.logvar)
        if self.loss.divergence == "w2_diag":
            return self.scale.to(out.mean).square() * (out.mean.square() + (out.logvar / 2).expm1().square())
        raise ValueError(
            f"task.loss.divergence must be kl or w2_diag for a loss of one example, got {self.loss.divergence}"
        )

    @property
    def beta(self) -> float:
        """What a penalty weighs beside -log p(x | z) in nats."""
        if self.loss.reduction == "elbo":
            return self.loss.beta
        if self.model.likelihood == "mse":
            return 1.0
        return self.loss.kl_coeff * self.shape.pixels / self.model.latent_dim

    @property
    def variance(self) -> float:
        """Of a pixel given z, with likelihood=mse."""
        if self.loss.reduction == "seed":
            return self.loss.kl_coeff * self.shape.pixels / (2 * self.model.latent_dim)
        return 1.0 if self.model.noise_std is None else self.model.noise_std**2

    def _per_pixel(self, out: Outputs, x: Pixels) -> Tensor:
        if self.model.likelihood == "mse":
            return F.mse_loss(out.reconstruction, x)
        return self.reconstruction(out, x).mean() / self.shape.pixels

    def _penalty(self, out: Outputs, prior: Latents | None) -> Tensor:
        """Mean over examples and latent dimensions; mmd: of the batch."""
        if self.loss.divergence != "mmd":
            return self.penalties(out).mean()
        if prior is None:
            raise ValueError("prior must be standard normals [B, D] with task.loss.divergence=mmd, got none")
        return mmd(out.z / self.scale.to(out.z), prior)


def kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, e^logvar) || N(0, 1)), elementwise, in nats."""
    return (logvar.expm1() - logvar + mean.square()) / 2


def mmd(u: Float[Tensor, "B D"], v: Float[Tensor, "A D"]) -> Tensor:
    """Unbiased squared discrepancy of two samples: 0 on average, and as often below, where their laws agree."""
    b, a = len(u), len(v)
    if min(a, b) < 2:
        raise ValueError(f"mmd must have two rows or more of each sample, got {b} and {a}; raise task.fit.batch_size")
    within = (_kernel(u, u).sum() - b * len(BANDWIDTHS)) / (b * (b - 1))
    beside = (_kernel(v, v).sum() - a * len(BANDWIDTHS)) / (a * (a - 1))
    return within + beside - 2 * _kernel(u, v).mean()


def _kernel(u: Tensor, v: Tensor) -> Tensor:
    """sum_c c / (c + |u - v|^2), of each pair; 1 a bandwidth where they are equal."""
    square = (u.unsqueeze(1) - v.unsqueeze(0)).square().sum(-1)
    return torch.stack([c / (c + square) for c in (2 * u.shape[1] * width for width in BANDWIDTHS)]).sum(0)


@dataclass(frozen=True)
class Frozen:
    """A VAE as a model of examples (x, eps), the noise of each frozen: what the learning coefficient is asked of.

    The output [B, F] is (m, r, the decoder's output, log sigma where it is learned). A call gives nats an example;
    `kl(output at w*, output)` is KL(q* || q) + KL(p*(x | z*) || p(x | z)), both z from the noise given, and `root` the
    square root of its Hessian. Not of mmd.
    """

    criterion: Criterion

    def forward(self, module: nn.Module, batch: Batch) -> Tensor:
        """(module, (x, eps)) -> [B, F]."""
        return self._packed(module(batch[0], batch[1]))

    def __call__(self, output: Tensor, batch: Batch) -> PerExample:
        return self.criterion.nats(self.outputs(output), batch[0])

    def kl(self, at_minimum: Tensor, output: Tensor) -> PerExample:
        (m0, r0, x0, s0), (m, r, x, s) = self._parts(at_minimum), self._parts(output)
        encoded = (((r0 - r).expm1() + (m0 - m).square() * (-r).exp() + r - r0) / 2).sum(1)
        if self._likelihood == "bernoulli":
            return encoded + _BERNOULLI.kl(x0, x)
        square = (x0 - x).square().sum(1)
        if self._likelihood == "mse":
            return encoded + square / (2 * self.criterion.variance)
        pixels, ratio = self.criterion.shape.pixels, 2 * (s0 - s).squeeze(1)
        return encoded + (pixels * (ratio.expm1() - ratio) + square * (-2 * s.squeeze(1)).exp()) / 2

    def root(self, output: Tensor, z: Tensor) -> Tensor:
        """S z, where S S^T is the Hessian of kl(output, .) at the output."""
        (_, r, x, s), (zm, zr, zx, zs) = self._parts(output), self._parts(z)
        if self._likelihood == "bernoulli":
            decoded = _BERNOULLI.root(x, zx)
        elif self._likelihood == "mse":
            decoded = zx / self.criterion.variance**0.5
        else:
            decoded = zx * (-s).exp()
        rest = zs * (2 * self.criterion.shape.pixels) ** 0.5
        return torch.cat([zm * (-r / 2).exp(), zr / 2**0.5, decoded, rest], 1)

    def outputs(self, output: Tensor) -> Outputs:
        """What was packed; z, which is not, is nan."""
        m, r, x, s = self._parts(output)
        sigma = s.squeeze(1).exp() if s.shape[1] else torch.ones_like(m[:, 0])
        return Outputs(x.unflatten(1, self.criterion.shape), m, r, torch.full_like(m, torch.nan), sigma)

    @property
    def _likelihood(self) -> str:
        return self.criterion.model.likelihood

    def _packed(self, out: Outputs) -> Tensor:
        own = [out.sigma.log().unsqueeze(1)] if self._likelihood == "gaussian_learned_sigma" else []
        return torch.cat([out.mean, out.logvar, out.reconstruction.flatten(1), *own], 1)

    def _parts(self, output: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """m, r, the decoder's output and log sigma, which has no columns where it is not learned."""
        latents, pixels = self.criterion.model.latent_dim, self.criterion.shape.pixels
        learned = int(self._likelihood == "gaussian_learned_sigma")
        m, r, x, s = output.split([latents, latents, pixels, learned], 1)
        return m, r, x, s
