"""Where training starts, the solution that is known, and the conversion to linear attention.

    trained    all entries N(0, init_scale^2); init_value v adds sqrt(v) to W_V[d, 0] and W_O[d, 0], so that o = v e_y
    icl        U = c [I_r, 0] and o = c e_y, c^2 context = 1: prediction x_q . (1/N sum_i y_i x_i) in the first r
               coordinates, by balanced factors, the deepest point of its fibre
    lsa        the leading singular directions of B = W_Q W_K^T as balanced factors, W_V and W_O dropped

From a small start the directions of U are learned one after the other, a plateau of the loss before each: Zhang, Singh,
Latham and Saxe (2025), "Training dynamics of in-context learning in linear attention", arXiv:2501.16265.
"""

import torch
from torch import Tensor, nn

from llcx.tasks.attention.modules import FullAttention, LinearAttention, balanced
from llcx.tasks.full_attn.schema import FullAttn
from llcx.types import Streams

NAMES = ("W_Q", "W_K", "W_V", "W_O")


def initial(cfg: FullAttn, streams: Streams) -> FullAttention:
    """The module at w* where that is known, else where training starts."""
    p, d_l = shape(cfg)
    if cfg.model.w_star == "icl":
        return FullAttention(*_icl(p, d_l, rank(cfg), cfg.data.context**-0.25))
    generator = streams.generator("weights")
    factors = [cfg.model.init_scale * torch.randn(p, d_l, generator=generator, dtype=torch.float64) for _ in NAMES]
    for factor in factors[2:]:
        factor[-1, 0] += cfg.model.init_value**0.5
    return FullAttention(*factors)


def shape(cfg: FullAttn) -> tuple[int, int]:
    """(p, d_l) of every factor, p = d + 1."""
    assert cfg.model.d_l is not None  # task.with_axis filled it in
    return cfg.model.d + 1, cfg.model.d_l


def rank(cfg: FullAttn) -> int:
    """Of U at w_star=icl."""
    p, d_l = shape(cfg)
    return min(p - 1, d_l) if cfg.model.rank is None else cfg.model.rank


def trained_part(module: nn.Module) -> tuple[Tensor, Tensor]:
    """U [d, p] and o [p], all that a prediction depends on: W_Q's last row and W_O's others have no gradient."""
    W_Q, W_K, W_V, W_O = (module.get_parameter(name).detach().double() for name in NAMES)
    return W_Q[:-1] @ W_K.T, W_V @ W_O[-1]


def key_query(module: nn.Module) -> Tensor:
    """B = W_Q W_K^T [p, p]."""
    W_Q, W_K = (module.get_parameter(name).detach().double() for name in NAMES[:2])
    return W_Q @ W_K.T


def counted(values: Tensor, tolerance: float) -> int:
    """How many of the descending singular values exceed `tolerance` times the first."""
    return int((values > tolerance * values[0]).sum())


def linear(module: nn.Module, tolerance: float) -> LinearAttention:
    """Linear attention with the B of `module`, cut to its rank at the relative `tolerance`, in balanced factors."""
    B, d_l = key_query(module), module.get_parameter("W_Q").shape[1]
    return LinearAttention(*balanced(B, min(counted(torch.linalg.svdvals(B), tolerance), d_l), d_l))


def _icl(p: int, d_l: int, rank: int, root: float) -> list[Tensor]:
    """`root` = sqrt(c)."""
    inner, value = torch.zeros(p, d_l, dtype=torch.float64), torch.zeros(p, d_l, dtype=torch.float64)
    inner.fill_diagonal_(root)
    inner[:, rank:] = 0
    value[-1, 0] = root
    return [inner, inner, value, value]
