"""From h to a logit of each colour in each cell.

    mlp     one hidden layer
    deconv  width x 2 x 2 from h, doubled twice by transposed convolutions of stride 2

Each begins with `first`, a linear layer, where a low-rank adaptation acts.
"""

from jaxtyping import Float
from torch import Tensor, nn

from llcx.tasks.mcl.model_settings import DECODERS, Model
from llcx.tasks.mcl.primitives import SIDE


class Decoder(nn.Module):
    """h [B, latent] -> logits [B, C, 8, 8]."""

    def __init__(self, first: nn.Linear, rest: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = first, rest

    def forward(self, h: Float[Tensor, "B latent"]) -> Float[Tensor, "B C 8 8"]:
        return self.rest(self.first(h))


def build(cfg: Model, colours: int) -> Decoder:
    """Raises ValueError for a decoder that there is not."""
    if cfg.decoder == "mlp":
        last = nn.Linear(cfg.decoder_hidden, colours * SIDE**2)
        rest = nn.Sequential(nn.GELU(), last, nn.Unflatten(1, (colours, SIDE, SIDE)))
        return Decoder(nn.Linear(cfg.latent, cfg.decoder_hidden), rest)
    if cfg.decoder == "deconv":
        half = max(1, cfg.width // 2)
        rest = nn.Sequential(
            *(nn.GELU(), nn.Unflatten(1, (cfg.width, 2, 2))),
            *(nn.ConvTranspose2d(cfg.width, half, 2, 2), nn.GELU()),
            nn.ConvTranspose2d(half, colours, 2, 2),
        )
        return Decoder(nn.Linear(cfg.latent, 4 * cfg.width), rest)
    raise ValueError(f"task.model.decoder must be one of {', '.join(DECODERS)}, got {cfg.decoder}")
