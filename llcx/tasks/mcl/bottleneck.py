"""From what an encoder found to h.

    h = norm(W [reduce(token_1); ..; reduce(token_T)])

One token is not reduced. `linear` is where a low-rank adaptation acts.
"""

from jaxtyping import Float
from torch import Tensor, nn

from llcx.tasks.mcl.encoders import size
from llcx.tasks.mcl.model_settings import Model


class Bottleneck(nn.Module):
    """[B, T, features] -> h [B, latent]."""

    def __init__(self, cfg: Model) -> None:
        super().__init__()
        tokens, width = size(cfg)
        self.reduce = nn.Linear(width, cfg.reduced) if tokens > 1 else nn.Identity()
        self.linear = nn.Linear(tokens * (cfg.reduced if tokens > 1 else width), cfg.latent)
        self.norm = nn.LayerNorm(cfg.latent)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, pooled: Float[Tensor, "B T features"]) -> Float[Tensor, "B latent"]:
        return self.norm(self.linear(self.dropout(self.reduce(pooled).flatten(1))))
