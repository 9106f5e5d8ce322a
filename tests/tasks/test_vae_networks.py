"""Encoders and decoders: shapes, numbers of parameters, examples that do not meet, and many weights at once."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from llcx.tasks.vae import model, networks
from llcx.tasks.vae.networks import Shape
from llcx.tasks.vae.schema import ARCHS, Model

SMALL = {"mlp": 12, "conv": 3, "resnet18": 2, "linear": None}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def built(arch: str, shape: Shape, norm: str = "group", latent_dim: int = 3) -> model.VAE:
    cfg = Model(arch, latent_dim, SMALL[arch], layers=2, norm=norm)
    return model.build(cfg, shape, torch.ones(latent_dim, dtype=torch.float64), seeded(), dtype=torch.float64)


def images(rows: int, shape: Shape, seed: int = 1) -> Tensor:
    return torch.rand((rows, *shape), generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("shape", [Shape(1, 8, 8), Shape(1, 25, 28), Shape(3, 32, 32)])
def test_a_decoder_gives_back_the_shape_that_its_encoder_took(arch: str, shape: Shape) -> None:
    vae = built(arch, shape)
    mean, logvar = vae.encode(images(2, shape))
    assert mean.shape == logvar.shape == (2, 3)
    assert vae.decode(mean).shape == (2, *shape)


def test_every_weight_is_used() -> None:
    """Small images leave no weight of a larger image's network idle."""
    for arch in ARCHS:
        vae, x = built(arch, Shape(1, 8, 8), "none"), images(5, Shape(1, 8, 8))
        out = vae(x, torch.randn(5, 3, generator=seeded(), dtype=torch.float64))
        (out.reconstruction.square().sum() + out.mean.sum() + out.logvar.square().sum()).backward()
        for name, p in vae.named_parameters():
            assert p.grad is not None and (p.grad != 0).any(), (arch, name)
        if arch == "resnet18":  # it resizes what its first layer gives, and must not throw any of it away
            slope = vae.decoder.first.bias.grad
            assert slope is not None and slope.abs().min() > 0


def _stage(before: int, after: int, second: int, shortcut: bool) -> int:
    """Weights of a stage of two blocks: `second` channels between the convolutions of the first one."""
    first = 9 * before * second + 9 * second * after + 2 * (second + after)
    beside = before * after + 2 * after if shortcut else 0
    return first + beside + 2 * (9 * after * after + 2 * after)


def test_resnet18_has_as_many_parameters_as_the_original() -> None:
    """Stages of 64, 128, 256 and 512 channels and 256 latents; 11.2 and 8.6 million, 20.1 in all."""
    scale = torch.ones(256, dtype=torch.float64)
    counts = model.parameters(model.VAE(Model("resnet18", latent_dim=256), Shape(3, 32, 32), scale))
    down = [(64, 64), (64, 128), (128, 256), (256, 512)]
    up = [(512, 256), (256, 128), (128, 64), (64, 64)]
    encoder = 9 * 3 * 64 + 2 * 64 + sum(_stage(a, b, b, a != b) for a, b in down)
    decoder = 257 * 512 * 16 + sum(_stage(a, b, a, a != b) for a, b in up) + 9 * 64 * 3
    assert counts == {
        "encoder": encoder,
        "mean": 513 * 256,
        "logvar": 513 * 256,
        "decoder": decoder,
        "all": encoder + decoder + 2 * 513 * 256,
    }
    assert (encoder, decoder, counts["all"]) == (11_168_832, 8_625_600, 20_057_088)


def test_the_original_resizes_by_two_and_starts_from_four_pixels() -> None:
    decoder = networks.decoder(Model("resnet18", latent_dim=2), Shape(3, 96, 96))
    sizes = [part.size for part in decoder.rest.modules() if isinstance(part, networks.Resize)]
    assert sizes == [(12, 12), (24, 24), (48, 48), (96, 96)]
    assert decoder.first.out_features == 512 * 4 * 4


@pytest.mark.parametrize(("norm", "mixes"), [("group", False), ("none", False), ("batch", True)])
def test_only_batch_norm_lets_examples_meet(norm: str, mixes: bool) -> None:
    shape = Shape(1, 8, 8)
    vae = built("resnet18", shape, norm)
    x, eps = images(3, shape), torch.zeros(3, 3, dtype=torch.float64)
    other = torch.cat([x[:1], images(2, shape, seed=7)])
    with torch.no_grad():
        first, beside = vae(x, eps).reconstruction[0], vae(other, eps).reconstruction[0]
        assert torch.allclose(first, beside, rtol=1e-9) != mixes
        vae.eval()
        assert torch.allclose(vae(x, eps).reconstruction[0], vae(other, eps).reconstruction[0], rtol=1e-9)


def several(vae: nn.Module, copies: int) -> dict[str, Tensor]:
    """Weights [copies, ...] around the module's own."""
    generator = seeded(3)
    return {
        name: p.detach() + 0.1 * torch.randn((copies, *p.shape), generator=generator, dtype=p.dtype)
        for name, p in vae.named_parameters()
    }


@pytest.mark.parametrize(
    ("arch", "norm"),
    [
        ("mlp", "none"),
        ("conv", "none"),
        ("linear", "none"),
        *(("resnet18", norm) for norm in ("group", "none", "batch")),
    ],
)
def test_many_weights_at_once_are_each_by_itself(arch: str, norm: str) -> None:
    """Outputs and gradients under torch.func.vmap, batch norm in evaluation mode."""
    shape = Shape(1, 8, 8)
    vae = built(arch, shape, norm).eval()
    x, eps = images(2, shape), torch.randn(2, 3, generator=seeded(5), dtype=torch.float64)
    weights = {name: w.requires_grad_() for name, w in several(vae, 2).items()}

    def cost(named: dict[str, Tensor]) -> Tensor:
        out = functional_call(vae, named, (x, eps))
        return out.reconstruction.square().sum() + out.mean.sum() + out.logvar.square().sum()

    together = vmap(cost)(weights)
    apart = torch.stack([cost({name: w[i] for name, w in weights.items()}) for i in range(2)])
    torch.testing.assert_close(together, apart, rtol=1e-11, atol=0)
    assert float((together[0] - together[1]).detach().abs()) > 1e-3
    slopes = (torch.autograd.grad(cost.sum(), list(weights.values())) for cost in (together, apart))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10 * float(other.abs().max()))


def test_a_network_that_there_is_not_is_refused() -> None:
    cfg = replace(Model(), norm="none")
    object.__setattr__(cfg, "arch", "transformer")
    for make in (networks.encoder, networks.decoder):
        with pytest.raises(ValueError, match=r"task.model.arch must be mlp, conv, resnet18 or linear"):
            make(cfg, Shape(1, 8, 8))
