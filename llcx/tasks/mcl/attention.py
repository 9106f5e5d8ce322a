"""A pre-norm Transformer layer, written out: it runs under torch.func.vmap over its weights.

x + attention(norm(x)),    then    x + W2 gelu(W1 norm(x))
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Tokens = Float[Tensor, "B T d"]
Mask = Bool[Tensor, "B T"]


class Attention(nn.Module):
    """Each token looks at all that are not padding."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tokens, mask: Mask) -> Tokens:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) * q.shape[-1] ** -0.5
        weights = scores.masked_fill(~mask[:, None, None], float("-inf")).softmax(-1)
        return self.out(torch.einsum("bhqk,bkhe->bqhe", weights, v).flatten(-2))


class Layer(nn.Module):
    """`mask` is True at tokens, False at padding; at least one token of each row must be one."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.before_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.before_mix = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tokens, mask: Mask) -> Tokens:
        x = x + self.dropout(self.attention(self.before_attention(x), mask))
        return x + self.dropout(self.mix(self.before_mix(x)))
