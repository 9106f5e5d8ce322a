"""Gaussian images whose spectrum is known.

    x = 1/2 + U diag(lambda)^(1/2) z,    z ~ N(0, I),    lambda_i = C i^-a,  i = 1..side^2

C makes the variance of a pixel `variance` on average. The columns of U are the basis, in the order of the eigenvalues:

    pixel     raster order: no correlation, the variance falls from the first row to the last
    dct2      two-dimensional cosines by frequency: images like textures
    haar      uniform among all orthogonal matrices: every pixel alike, no scale
    toeplitz  eigenvectors of |i - j|^(a - 1) over the raster, by modulus: Levi and Oz (2023), arXiv:2306.14975, whose
              eigenvalues fall as i^-a too, as far as the matrix is large; here they are exact

Nothing is cut off at 0 and 1, as that would change the spectrum: pixels are numbers, not grey values. Row k is a
function of (seed, k), whatever the number of rows.
"""

from collections.abc import Iterator
from math import ceil, pi, sqrt

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from llcx.tasks.vae import schema
from llcx.types import Streams

MEAN = 0.5
BLOCK = 256  # rows drawn together


def draw(cfg: schema.Images, n: int, split: str, streams: Streams) -> Float[Tensor, "n c h w"]:
    """`n` images, float32; the splits (train, test) are independent and share the basis."""
    roots, u = law(cfg).sqrt().float(), basis(cfg, streams).float()
    channels = cfg.channels if cfg.channel_mode == "independent" else 1
    blocks = _normals(n * channels, cfg.side**2, streams.generator(f"powerlaw/{split}"))
    flat = torch.cat([MEAN + (z * roots) @ u.mT for z in blocks])[: n * channels]
    return flat.reshape(n, channels, cfg.side, cfg.side).expand(-1, cfg.channels, -1, -1).contiguous()


def law(cfg: schema.Images) -> Float[Tensor, " p"]:
    """lambda_i of one channel, p = side^2."""
    size = cfg.side**2
    fall = torch.arange(1, size + 1, dtype=torch.float64) ** -cfg.exponent
    return fall * (cfg.variance * size / fall.sum())


def eigenvalues(cfg: schema.Images) -> Float[Tensor, " K"]:
    """All K = channels side^2 of whole images, descending: the answer to what is measured on rows.

    Independent channels repeat each lambda_i; channels that are alike multiply it by their number, and leave zeros.
    """
    one = law(cfg)
    if cfg.channel_mode == "independent":
        return one.repeat_interleave(cfg.channels)
    return torch.cat([cfg.channels * one, one.new_zeros((cfg.channels - 1) * len(one))])


def basis(cfg: schema.Images, streams: Streams) -> Float[Tensor, "p p"]:
    """U: orthonormal columns, float64."""
    size = cfg.side**2
    if cfg.basis == "pixel":
        return torch.eye(size, dtype=torch.float64)
    if cfg.basis == "dct2":
        return _cosines(cfg.side)
    if cfg.basis == "haar":
        return _rotation(size, streams.generator("powerlaw/basis"))
    if cfg.basis == "toeplitz":
        return _stationary(size, cfg.exponent)
    raise ValueError(f"task.data.basis must be one of {', '.join(schema.BASES)}, got {cfg.basis}")


def _normals(rows: int, columns: int, generator: Generator) -> Iterator[Float[Tensor, "block columns"]]:
    """At least so many rows, in whole blocks: the length of a draw, or of a product, changes its numbers."""
    for _ in range(ceil(rows / BLOCK)):
        yield torch.randn(BLOCK, columns, generator=generator)


def _cosines(side: int) -> Float[Tensor, "p p"]:
    """Products of two columns of the orthonormal DCT-II, by the square of their frequency."""
    k = torch.arange(side, dtype=torch.float64)
    one = sqrt(2 / side) * torch.cos(pi / side * (k[:, None] + 0.5) * k)
    one[:, 0] /= sqrt(2)
    order = (k[:, None].square() + k.square()).flatten().argsort(stable=True)
    return torch.kron(one, one)[:, order]


def _rotation(size: int, generator: Generator) -> Float[Tensor, "p p"]:
    """QR of Gaussian entries, with the signs that make it uniform: Mezzadri (2007), arXiv:math-ph/0609050."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()


def _stationary(size: int, exponent: float) -> Float[Tensor, "p p"]:
    """Raises ValueError where there is no power law: at odd exponents the rank is finite, below 1 the matrix is not."""
    if exponent <= 1 or exponent % 2 == 1:
        raise ValueError(
            f"task.data.exponent must be > 1 and no odd integer with basis=toeplitz, got {exponent}; choose basis=dct2"
        )
    i = torch.arange(size, dtype=torch.float64)
    values, vectors = torch.linalg.eigh((i[:, None] - i).abs() ** (exponent - 1))
    return vectors[:, values.abs().argsort(descending=True, stable=True)]
