"""Potentials with exact answers, for tests of everything above the kernels."""

import torch

from llcx import gradients
from llcx.types import Chains, PerChain, Potential


def quadratic(curvatures: torch.Tensor, at: float = 0.0) -> Potential:
    """K = sum h (w - w*)^2 / 2: lambda = P/2 at every n*beta, for gamma = 0."""
    start = torch.full_like(curvatures, at)
    return gradients.of_function(lambda w: 0.5 * (curvatures * (w - at).square()).sum(1), start, n=10_000)


def powers(*exponents: int) -> Potential:
    """K = sum |w_i|^p_i / 2: lambda = sum 1/p_i at every n*beta (equipartition), for gamma = 0."""

    def value(w: Chains) -> PerChain:
        return 0.5 * torch.stack([w[:, i].abs().pow(p) for i, p in enumerate(exponents)], 1).sum(1)

    return gradients.of_function(value, torch.zeros(len(exponents), dtype=torch.float64), n=10_000)


def noisy_line(n: int = 400, noise: float = 0.5) -> tuple[torch.nn.Linear, tuple[torch.Tensor, torch.Tensor]]:
    """A linear regression at its least-squares solution: regular, lambda = P/2 = 2."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(n, 4, generator=generator)
    y = x @ torch.tensor([[1.0], [-1.0], [0.5], [2.0]]) + noise * torch.randn(n, 1, generator=generator)
    model = torch.nn.Linear(4, 1, bias=False)
    model.weight.data = torch.linalg.lstsq(x, y).solution.T.contiguous()
    return model, (x, y)
