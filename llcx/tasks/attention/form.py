"""K of flat parameters as a quadratic form in features of them.

    K(w) = scale (1/2 delta^T G delta + delta^T c),    delta = phi(w) - phi(w*)

with G and c of moments.py and scale = 1 / noise_std^2, in nats. The outputs of modules.py are linear in such features.
K is formed from the difference delta, so that no digits are lost near w*.
"""

from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.attention.moments import Moments
from llcx.types import Chains, Flat, PerChain

SPARSE_BELOW = 0.1  # share of entries that are not zero; of a law's G it is a few in (d+1)^2
SPARSE_FROM = 400**2  # entries; smaller matrices are faster whole


class Quadratic:
    """K [C] float64 of flat weights [C, P], differentiable; features are formed in the weights' own dtype."""

    def __init__(
        self, features: Callable[[Chains], Tensor], at: Flat, scale: float, moments: Callable[[], Moments]
    ) -> None:
        self.features, self.scale = features, scale
        self.centre = features(at.detach().double().unsqueeze(0))
        self.moments = cache(moments)  # a pass over the rows where the loss is empirical, so only once it is asked for
        self._like: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor, Tensor | None]] = {}

    def __call__(self, w: Chains) -> PerChain:
        centre, half, cross = self._cast(w)
        delta = self.features(w) - centre
        inner = torch.sparse.mm(half, delta.T).T if half.is_sparse else delta @ half
        if cross is not None:
            inner = inner + cross
        return self.scale * (delta * inner).sum(1, dtype=torch.float64)

    def _cast(self, w: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features of w*, G / 2 and c in the dtype and on the device of w."""
        key = w.dtype, w.device
        if key not in self._like:
            second, cross = self.moments()
            half = (second / 2).to(w)
            if half.numel() >= SPARSE_FROM and half.count_nonzero() < SPARSE_BELOW * half.numel():
                half = half.to_sparse()
            self._like[key] = self.centre.to(w), half, None if cross is None else cross.to(w)
        return self._like[key]


def key_query(w: Chains, p: int) -> Float[Tensor, "C q"]:
    """vec B, row-major, q = p^2, for w = (W_Q, W_K) [C, 2 p d_l]: what LinearAttention is linear in."""
    W_Q, W_K = w.unflatten(1, (2, p, -1)).unbind(1)
    return torch.bmm(W_Q, W_K.mT).flatten(1)


def prediction(w: Chains, p: int) -> Float[Tensor, "C q"]:
    """theta, q = d p (p+1) / 2, for w = (W_Q, W_K, W_V, W_O) [C, 4 p d_l]: what FullAttention is linear in.

    With U the first d rows of W_Q W_K^T and o the last column of W_V W_O^T, the prediction sum_abc x_a U_ab S_bc o_c is
    sum theta_(a,bc) x_a S_bc over b <= c: theta_(a,bc) = U_ab o_c + U_ac o_b, and U_ab o_b for b = c.
    """
    W_Q, W_K, W_V, W_O = w.unflatten(1, (4, p, -1)).unbind(1)
    U = torch.bmm(W_Q[:, :-1], W_K.mT)
    o = torch.bmm(W_V, W_O[:, -1].unsqueeze(-1)).mT
    b, c = torch.triu_indices(p, p, device=w.device)
    both = U[..., b] * o[..., c] + U[..., c] * o[..., b]
    return torch.where(b == c, both / 2, both).flatten(1)
