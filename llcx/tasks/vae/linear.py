"""The linear VAE, in closed form: its exact ELBO, and where that is largest.

    p(x | z) = N(W z + mean, s2 I),    z ~ N(0, I),    q(z | x) = N(V (x - mean), diag(exp(l)))

With S = U diag(lambda) U^T the data's covariance, the ELBO is largest at

    W = U_D (diag(lambda_1..D) - s2 I)_+^(1/2),    V = (W^T W + s2 I)^-1 W^T,    exp(l_i) = min(1, s2 / lambda_i)

unique, where eigenvalues differ, up to the order and the signs of the latents. It is then the log likelihood of
probabilistic PCA at its maximum: W has orthogonal columns, so that the true posterior is diagonal and the bound is
tight; a rotation of z, which leaves p(x) alone, costs ELBO. Latent i carries information only where lambda_i > s2, and
then the variance 1 - s2 / lambda_i.

A prior N(0, d^2) is this model in other units (`Linear.in_units`): it moves no optimum.

Tipping and Bishop (1999), doi:10.1111/1467-9868.00196; Lucas, Tucker, Grosse, Norouzi (2019), arXiv:1911.02469.
"""

from math import log, pi
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Covariance = Float[Tensor, "p p"]
Scalar = Float[Tensor, ""]


class Linear(NamedTuple):
    """A linear VAE of centred rows; the biases of its two maps only add the mean."""

    decoder: Float[Tensor, "p D"]  # W
    encoder: Float[Tensor, "D p"]  # V
    logvar: Float[Tensor, " D"]  # l

    def in_units(self, scale: Float[Tensor, " D"]) -> "Linear":
        """The same model of z' = scale z, whose prior is N(0, scale^2)."""
        return Linear(self.decoder / scale, self.encoder * scale[:, None], self.logvar + 2 * scale.log())

    def carried(self, covariance: Covariance) -> Float[Tensor, " D"]:
        """Variance over x of the mean of each latent."""
        return (self.encoder @ covariance * self.encoder).sum(1)


def loss(model: Linear, covariance: Covariance, noise: float) -> Scalar:
    """The negative ELBO, mean over rows and over z, in nats an example; `noise` is s2.

    With beta in front of the KL the optimum is that of noise * beta.
    """
    W, V, logvar = model
    VS = V @ covariance
    squares = covariance.trace() - 2 * (W * VS.mT).sum() + ((W @ VS) * (W @ V)).sum()
    squares = squares + W.square().sum(0) @ logvar.exp()
    kl = ((V * VS).sum() + (logvar.expm1() - logvar).sum()) / 2
    return squares / (2 * noise) + len(covariance) / 2 * log(2 * pi * noise) + kl


def nll(decoder: Float[Tensor, "p D"], covariance: Covariance, noise: float) -> Scalar:
    """-log p(x), mean over rows, in nats an example: x ~ N(mean, W W^T + s2 I)."""
    p, D = decoder.shape
    inner = decoder.mT @ decoder + noise * torch.eye(D).to(decoder)
    explained = torch.linalg.solve(inner, decoder.mT @ covariance @ decoder).trace()
    logdet = (p - D) * log(noise) + inner.logdet()
    return (p * log(2 * pi) + logdet + (covariance.trace() - explained) / noise) / 2


def optimum(covariance: Covariance, latent_dim: int, noise: float) -> Linear:
    """Where the loss is smallest; the largest eigenvalue is latent 0's, and latents beyond p carry nothing.

    Raises ValueError for latent_dim < 1 and for noise <= 0.
    """
    _check(latent_dim, noise)
    found = torch.linalg.eigh(covariance)
    values, vectors = found.eigenvalues.flip(0)[:latent_dim], found.eigenvectors.flip(1)[:, :latent_dim]
    variance = covariance.new_ones(latent_dim)
    variance[: len(values)] = noise / values.clamp(min=noise)
    decoder = covariance.new_zeros(len(covariance), latent_dim)
    decoder[:, : len(values)] = vectors * (values - noise).clamp(min=0).sqrt()
    return Linear(decoder, (decoder * (variance / noise)).mT, variance.log())


def optimal_loss(values: Float[Tensor, " p"], latent_dim: int, noise: float) -> float:
    """The smallest loss for data with these eigenvalues, descending, all p of them; Tipping and Bishop's likelihood.

    Raises ValueError as `optimum`.
    """
    _check(latent_dim, noise)
    active = torch.arange(len(values), device=values.device) < latent_dim
    active &= values > noise
    used, left = values[active], values[~active]
    logdet = float(used.log().sum()) + len(left) * log(noise)
    return (len(values) * log(2 * pi) + logdet + len(used) + float(left.sum()) / noise) / 2


def learned_noise(values: Float[Tensor, " p"], latent_dim: int) -> float:
    """s2 where it is learned too: the mean of the p - D eigenvalues that the latents leave.

    Raises ValueError where they leave none: the likelihood then grows without bound as s2 falls.
    """
    if not 1 <= latent_dim < len(values):
        raise ValueError(f"latent_dim must be in 1..{len(values) - 1} for a learned noise, got {latent_dim}")
    return float(values[latent_dim:].mean())


def descend(
    start: Linear, covariance: Covariance, noise: float, *, rate: float, steps: int, momentum: float = 0.98
) -> Linear:
    """Gradient descent on the loss, heavy ball.

    Stable for a rate of about noise / 10, where lambda_1 is near 1 and the start is small. The span is found first; the
    axes within it last, at the pace of the gaps between eigenvalues (Bao et al. 2020, arXiv:2007.06731), and until then
    more latents carry something than at the optimum. Raises FloatingPointError where the rate is too high.
    """
    model = Linear(*(part.detach().clone().requires_grad_() for part in start))
    optimizer = torch.optim.SGD(list(model), lr=rate, momentum=momentum)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, covariance, noise).backward()
        optimizer.step()
    if not all(part.isfinite().all() for part in model):
        raise FloatingPointError(f"rate must be lower, got {rate}: the descent diverged")
    return Linear(*(part.detach() for part in model))


def overlap(decoder: Float[Tensor, "p D"], vectors: Float[Tensor, "p A"]) -> float:
    """Cosine of the largest angle between the span of `vectors`, orthonormal, and the decoder's first A directions."""
    directions = torch.linalg.svd(decoder, full_matrices=False).U[:, : vectors.shape[1]]
    return float(torch.linalg.svdvals(directions.mT @ vectors)[-1])


def _check(latent_dim: int, noise: float) -> None:
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be >= 1, got {latent_dim}")
    if not noise > 0:
        raise ValueError(f"noise must be > 0, got {noise}; it is the decoder's variance")
