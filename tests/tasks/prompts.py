"""Prompts for tests, drawn the long way, and how their means are judged."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from llcx.tasks.attention.prompts import Law

DOUBLE = torch.float64


def mixed(d: int) -> Tensor:
    """A covariance with distinct eigenvalues, in no special basis."""
    return torch.diag(torch.arange(1, d + 1, dtype=DOUBLE) / 2) + 0.2


def raw(law: Law, rows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(X [rows, N+1, d+1], m.x_q [rows], m [rows, d]), token after token."""
    generator = Generator().manual_seed(seed)
    x = torch.randn(rows, law.context + 1, law.d, generator=generator, dtype=DOUBLE)
    m = torch.randn(rows, law.d, generator=generator, dtype=DOUBLE)
    if law.covariance is not None:
        x = x @ torch.linalg.cholesky(law.covariance).T
    y = x @ m.unsqueeze(-1)
    wanted = y[:, -1, 0].clone()
    y[:, -1] = 0
    return torch.cat([x, y], -1), wanted, m


def weights(*shape: int, seed: int = 1, size: float = 1.0) -> Tensor:
    return size * torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=DOUBLE)


def assert_means(each: Float[Tensor, "n q"], truth: Float[Tensor, " q"], unit: Float[Tensor, " q"]) -> None:
    """The means over n prompts agree with `truth`, many of whose entries may be 0, and are known to 5 % of `unit`.

    Prompts are independent, their products far from normal: 40 groups of them are nearly so.
    """
    samples = each.unflatten(0, (40, -1)).mean(1)
    mean, se = samples.mean(0), samples.std(0) / len(samples) ** 0.5
    assert (se / unit).max() < 0.05, f"too noisy to judge: se {(se / unit).max():.3g}"
    z = (mean - truth).abs() / (se + 1e-12 * unit)
    assert z.max() < 5, f"entry {int(z.argmax())} lies {z.max():.1f} standard errors away"
