"""What trained VAEs make of images, and what they make up: test rows, their reconstructions, samples of the prior."""

from collections.abc import Sequence

import torch
from torch import Tensor

from llcx.tasks.generic import Arm
from llcx.tasks.vae.trained import Trained

ARMS = 12  # that have pictures, at most


def chosen(arms: Sequence[Arm]) -> list[str]:
    """Names of arms of the first seed: all, or ARMS of them, evenly apart, the first and the last among them."""
    first = [arm.name for arm in arms if arm.streams.seed == arms[0].streams.seed]
    if len(first) <= ARMS:
        return first
    return [first[round(place * (len(first) - 1) / (ARMS - 1))] for place in range(ARMS)]


@torch.no_grad()
def pictures(trained: Trained, count: int) -> dict[str, Tensor]:
    """x, <training>/reconstruction and <training>/samples, each [n, c, h, w], as means of pixels.

    Reconstructions are at the mean of q(z | x); samples are at z = d u, u from N(0, I), the same u for all arms: draws
    of the prior itself, not of N(0, I).
    """
    vae, x = trained.vae, trained.test[:count]
    normals = torch.randn(count, len(vae.scale), generator=trained.streams.generator("pictures")).to(x)
    made = {"reconstruction": vae.decode(vae.encode(x)[0]), "samples": vae.decode_whitened(normals)}
    name = trained.about["training"]
    return {"x": x, **{f"{name}/{key}": vae.images(output) for key, output in made.items()}}
