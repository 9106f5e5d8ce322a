"""The model: a prompt and an encoder, the bottleneck h, a decoder, and beside them autoencoder and primitive head.

Each part is drawn from its own stream, so that models which differ in one part start alike in all others. In evaluation
mode all of it runs under torch.func.functional_call and torch.func.vmap.
"""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from llcx import rng
from llcx.tasks.mcl import decoders, encoders, prompts
from llcx.tasks.mcl.autoencoder import Codes, SparseAutoencoder
from llcx.tasks.mcl.bottleneck import Bottleneck
from llcx.tasks.mcl.encoders import Encoded
from llcx.tasks.mcl.model_settings import Model, Sae
from llcx.tasks.mcl.prompts import Inputs, Vocabulary, planes
from llcx.types import Streams

Logits = Float[Tensor, "B C 8 8"]
Latents = Float[Tensor, "B latent"]


class Outputs(NamedTuple):
    """Of B examples."""

    logits: Logits
    h: Latents
    codes: Codes
    primitives: Float[Tensor, "B primitives"]  # logits
    layers: dict[str, Tensor]  # of the encoder, [B, T, features] each

    @property
    def z(self) -> Float[Tensor, "B units"]:
        return self.codes.z

    @property
    def hhat(self) -> Latents:
        return self.codes.hhat

    def features(self) -> dict[str, Float[Tensor, "B features"]]:
        """Every layer as one vector an example: patch, enc1, .., h, z."""
        return {**{name: layer.flatten(1) for name, layer in self.layers.items()}, "h": self.h, "z": self.z}


class Machine(nn.Module):
    """Inputs -> Outputs. `adapter`, after h, is the identity until a few-shot adaptation puts something there."""

    def __init__(self, cfg: Model, sae: Sae, vocabulary: Vocabulary, part: Callable) -> None:
        """`part`: (name, what makes it) -> it, at its initial weights."""
        super().__init__()
        self.cfg, self.vocabulary = cfg, vocabulary
        self.prompt: nn.Module = part("prompt", lambda: prompts.build(vocabulary, cfg.width))
        self.encoder: nn.Module = part("encoder", lambda: encoders.build(cfg, vocabulary))
        self.bottleneck: Bottleneck = part("bottleneck", lambda: Bottleneck(cfg))
        self.adapter: nn.Module = nn.Identity()
        self.decoder: decoders.Decoder = part("decoder", lambda: decoders.build(cfg, vocabulary.colours))
        self.sae: SparseAutoencoder = part("sae", lambda: SparseAutoencoder(sae, cfg.latent))
        self.head: nn.Linear = part("head", lambda: nn.Linear(cfg.latent, len(vocabulary.tables)))

    def forward(self, inputs: Inputs) -> Outputs:
        found = self.encode(inputs)
        h = self.latent(found.pooled)
        return Outputs(self.decoder(h), h, self.sae(h), self.head(h), found.layers)

    def predict(self, inputs: Inputs) -> Logits:
        """The logits alone: what a prediction's loss depends on."""
        return self.decoder(self.latent(self.encode(inputs).pooled))

    def encode(self, inputs: Inputs) -> Encoded:
        """What comes before the bottleneck; frozen, it may be kept: `decoder(latent(pooled))` goes on from there."""
        grids = planes(inputs.grids, self.vocabulary.colours).to(self.head.weight.dtype)
        return self.encoder(grids, self.prompt(inputs))

    def latent(self, pooled: Float[Tensor, "B T features"]) -> Latents:
        """h."""
        return self.adapter(self.bottleneck(pooled))

    def randomised(self, inputs: Inputs, generator: Generator) -> Inputs:
        """Inputs to train on: of transformer, steps at random increasing positions; the same inputs of any other."""
        if self.cfg.encoder != "transformer" or self.vocabulary.conditioning != "program":
            return inputs
        drawn = prompts.positions(inputs.types, encoders.places(self.cfg, self.vocabulary), generator)
        return inputs._replace(positions=drawn)


def build(
    cfg: Model, sae: Sae, vocabulary: Vocabulary, streams: Streams, *, dtype: torch.dtype = torch.float32
) -> Machine:
    """A machine at its initial weights, each part drawn from its own stream `init/<part>`."""

    def part(name: str, make: Callable[[], nn.Module]) -> nn.Module:
        with rng.seeded(streams.generator(f"init/{name}")):
            return make()

    return Machine(cfg, sae, vocabulary, part).to(dtype)


def parameters(machine: Machine) -> dict[str, int]:
    """Numbers learned, of each part and of all."""
    counts = {name: sum(prod(p.shape) for p in part.parameters()) for name, part in machine.named_children()}
    return {**{name: count for name, count in counts.items() if count}, "all": sum(counts.values())}
