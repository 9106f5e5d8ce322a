"""The variational autoencoder: encoder, a posterior q that may be scaled by the prior, decoder.

    p(z) = N(0, d^2)    q(z | x) = N(mu, (s d)^2), or N(mu, s^2) where it is not scaled    z = mu + std eps

s = exp(logvar / 2). The mean head gives mu (parametrisation raw) or m = mu / d (whitened). In units of d, u = z / d is
N(0, 1) under the prior and N(m, e^r) under q, whatever the variant, and KL(q || p) is a function of (m, r) alone. The
same networks, rescaled, are then a standard VAE (`standardised`): scales change where a training starts and the way it
takes, but neither the functions that can be learned nor the best of them.
"""

import copy
from math import log, prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from llcx import rng
from llcx.tasks.vae.networks import Decoder, Offset, Shape, decoder, encoder
from llcx.tasks.vae.priors import Scale
from llcx.tasks.vae.schema import Model

Pixels = Float[Tensor, "B c h w"]
Latents = Float[Tensor, "B D"]


class Outputs(NamedTuple):
    """Of each example at one noise; mean and logvar are those of u = z / d under q."""

    reconstruction: Pixels  # as the decoder gives it: the mean, or logits with likelihood=bernoulli
    mean: Latents  # m
    logvar: Latents  # r
    z: Latents  # in the decoder's units
    sigma: Float[Tensor, " B"]  # standard deviation of a pixel, where it is learned; else 1


class VAE(nn.Module):
    """A model of images of one shape; noise is given, never drawn."""

    scale: Tensor
    log_scale: Tensor

    def __init__(self, cfg: Model, shape: Shape, scale: Scale) -> None:
        super().__init__()
        self.cfg, self.shape = cfg, shape
        body = encoder(cfg, shape)
        self.body = body.body
        self.mean = nn.Linear(body.features, cfg.latent_dim)
        self.logvar = Offset(cfg.latent_dim) if cfg.arch == "linear" else nn.Linear(body.features, cfg.latent_dim)
        self.decoder: Decoder = decoder(cfg, shape)
        if cfg.likelihood == "gaussian_learned_sigma":
            self.log_sigma = nn.Parameter(torch.tensor(0.0 if cfg.noise_std is None else log(cfg.noise_std)))
        self.register_buffer("scale", scale.clone(), persistent=False)
        self.register_buffer("log_scale", scale.log(), persistent=False)

    def forward(self, x: Pixels, eps: Latents) -> Outputs:
        """`eps`: standard normals."""
        mean, logvar = self._heads(x)
        std = (logvar / 2).exp()
        spread = std * self.scale if self.cfg.scaled else std
        z = self._centre(mean) + spread * eps
        output = self.decode(z)
        return Outputs(output, *self._whitened(mean, logvar), z, self._sigma(output))

    def encode(self, x: Pixels) -> tuple[Latents, Latents]:
        """Mean and log variance of q(z | x), in the decoder's units."""
        mean, logvar = self._heads(x)
        return self._centre(mean), logvar + 2 * self.log_scale if self.cfg.scaled else logvar

    def encode_whitened(self, x: Pixels) -> tuple[Latents, Latents]:
        """m and r: mean and log variance of u = z / d under q(. | x)."""
        return self._whitened(*self._heads(x))

    def decode(self, z: Latents) -> Pixels:
        """The mean of each pixel, or its logit with likelihood=bernoulli."""
        return self.decoder(z)

    def decode_whitened(self, u: Latents) -> Pixels:
        """`decode` at z = d u: of standard normals, samples of the prior itself."""
        return self.decoder(self.scale * u)

    def images(self, output: Tensor) -> Tensor:
        """What to look at: the mean of each pixel."""
        return output.sigmoid() if self.cfg.likelihood == "bernoulli" else output

    def _heads(self, x: Pixels) -> tuple[Latents, Latents]:
        """What the network gives: mu or m, and 2 log s."""
        features = self.body(x)
        logvar = self.logvar(features)
        if self.cfg.min_std > 0:
            logvar = logvar.clamp(min=2 * log(self.cfg.min_std))
        return self.mean(features), logvar

    def _centre(self, mean: Latents) -> Latents:
        return mean if self.cfg.parametrisation == "raw" else self.scale * mean

    def _whitened(self, mean: Latents, logvar: Latents) -> tuple[Latents, Latents]:
        m = mean / self.scale if self.cfg.parametrisation == "raw" else mean
        return m, logvar if self.cfg.scaled else logvar - 2 * self.log_scale

    def _sigma(self, output: Tensor) -> Tensor:
        if self.cfg.likelihood == "gaussian_learned_sigma":
            return self.log_sigma.exp().expand(len(output))
        return output.new_ones(len(output))


def build(cfg: Model, shape: Shape, scale: Scale, generator: Generator, *, dtype: torch.dtype = torch.float32) -> VAE:
    """A VAE at its initial weights, which are torch's own. Raises ValueError unless each latent has a scale."""
    if len(scale) != cfg.latent_dim:
        raise ValueError(f"scale must hold task.model.latent_dim={cfg.latent_dim} numbers, got {len(scale)}")
    with rng.seeded(generator):
        return VAE(cfg, shape, scale).to(dtype)


def standardised(vae: VAE) -> VAE:
    """The same function as a VAE with prior N(0, I): d moves into the mean head, its offset and the decoder's `first`.

    Equal reconstructions at equal noise, and equal KL divergences. Where q is not scaled, -2 log d moves into the
    offset of the log variance. Raises ValueError where the standard deviation is clamped then, for it is not equal.
    """
    cfg = vae.cfg
    if cfg.min_std > 0 and not cfg.scaled:
        raise ValueError(
            f"task.model.min_std must be 0 with scaled=false, got {cfg.min_std}; the clamp is not rescaled"
        )
    made = copy.deepcopy(vae)
    with torch.no_grad():
        made.decoder.first.weight.mul_(vae.scale)
        if cfg.parametrisation == "raw":
            made.mean.weight.div_(vae.scale.unsqueeze(1))
            made.mean.bias.div_(vae.scale)
        if not cfg.scaled:
            made.logvar.bias.sub_(2 * vae.log_scale)
        made.scale.fill_(1)
        made.log_scale.fill_(0)
    return made


def parameters(vae: VAE) -> dict[str, int]:
    """Numbers learned, of each part and of all."""
    parts = {"encoder": vae.body, "mean": vae.mean, "logvar": vae.logvar, "decoder": vae.decoder}
    counts = {name: sum(prod(p.shape) for p in part.parameters()) for name, part in parts.items()}
    return {**counts, "all": sum(prod(p.shape) for p in vae.parameters())}
