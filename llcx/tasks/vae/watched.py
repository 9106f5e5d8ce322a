"""What a training tells of itself at its events: losses and latents of test and training rows, at noise that stays."""

import copy
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llcx import rng
from llcx.tasks.vae.measures import ACTIVE
from llcx.tasks.vae.model import VAE, Outputs
from llcx.tasks.vae.objective import Criterion, kl

MOST = 2000  # rows of a split
CHUNK = 500

Rows = Float[Tensor, "n c h w"]


class Watched:
    """module -> `split/loss`, mse, kl, nats (not of mmd) of each split, `test/active`, and of the test rows KL [D].

    loss: what is minimised; mse: of a pixel's mean; kl: nats an example; nats: the negative ELBO. Before the first step
    batch norm has seen nothing, and normalises by these rows' own statistics.
    """

    def __init__(self, criterion: Criterion, splits: Mapping[str, Rows], key: int) -> None:
        self.criterion, self.key = criterion, key
        self.splits = {split: rows[:MOST] for split, rows in splits.items()}

    @torch.no_grad()
    def __call__(self, module: nn.Module) -> dict[str, float | Tensor]:
        assert isinstance(module, VAE)
        vae = copy.deepcopy(module).train(_fresh(module))
        found: dict[str, float | Tensor] = {}
        for split, x in self.splits.items():
            out = self._outputs(vae, x)
            found |= {f"{split}/{name}": float(value) for name, value in self._losses(vae, out, x).items()}
            if split == "test":
                found["test/active"] = float((out.mean.var(0, correction=0) > ACTIVE).sum())
                found["kl"] = kl(out.mean, out.logvar).mean(0)
        return found

    def _losses(self, vae: VAE, out: Outputs, x: Rows) -> dict[str, Tensor]:
        mmd = self.criterion.loss.divergence == "mmd"
        told = {"loss": self.criterion(out, x, self._noise(len(x), out, 1) if mmd else None)}
        told |= {
            "mse": (vae.images(out.reconstruction) - x).square().mean(),
            "kl": kl(out.mean, out.logvar).sum(1).mean(),
        }
        return told if mmd else told | {"nats": self.criterion.nats(out, x).mean()}

    def _outputs(self, vae: VAE, x: Rows) -> Outputs:
        eps = rng.counter_normal(self.key, torch.arange(len(x)), vae.cfg.latent_dim).to(x)
        parts = [vae(*each) for each in zip(x.split(CHUNK), eps.split(CHUNK), strict=True)]
        return Outputs(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _noise(self, rows: int, out: Outputs, stream: int) -> Tensor:
        numbers = stream * MOST + torch.arange(rows)
        return rng.counter_normal(self.key, numbers, out.mean.shape[1]).to(out.mean)


def _fresh(module: nn.Module) -> bool:
    """Whether there is batch norm that has seen no batch."""
    norms = [each for each in module.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    return any(each.num_batches_tracked == 0 for each in norms)
