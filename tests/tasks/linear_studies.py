"""Studies of linear VAEs at weights at which likelihood, latents and spectra are known."""

from collections.abc import Callable

import torch
from torch import Tensor

from llcx import rng
from llcx.fit import Fit, weights
from llcx.tasks.generic import Arm, GenericTask
from llcx.tasks.vae import linear, schema, spectra, tables, task
from llcx.tasks.vae.built import images_of, machine
from llcx.tasks.vae.model import VAE
from llcx.tasks.vae.schema import Grid, Images, Loss, Measures, Model
from llcx.types import State, Tables

D, NOISE = 6, 0.06
SETTINGS = schema.VAE(
    model=Model(arch="linear", latent_dim=D, noise_std=NOISE**0.5),
    loss=Loss(reduction="elbo"),
    data=Images(source="powerlaw", side=4, exponent=1.0, n_train=400, n_test=60),
    fit=Fit(steps=20, every=10),
    grid=Grid(gamma=[0.0, 0.7]),
    measures=Measures(importance=5, rows=20, resamples=20, pictures=3),
)
At = Callable[[Arm, VAE], None]  # puts weights in place


def made(cfg: schema.VAE = SETTINGS) -> GenericTask:
    return task.build(cfg, rng.streams(0))


def covariance(arm: Arm) -> tuple[Tensor, Tensor]:
    """Of the training rows, and their mean."""
    found = spectra.moments([images_of(arm.cfg, arm.streams).train])
    return found.covariance, found.mean


def optimum(arm: Arm, vae: VAE) -> None:
    """Probabilistic PCA, in the units of the prior."""
    found, mean = covariance(arm)
    best = linear.optimum(found, D, NOISE)
    placed = best.in_units(vae.scale.double())
    with torch.no_grad():
        vae.mean.weight.copy_(placed.encoder)
        vae.mean.bias.copy_(-placed.encoder @ mean)
        vae.logvar.bias.copy_(best.logvar)
        vae.decoder.first.weight.copy_(placed.decoder)
        vae.decoder.first.bias.copy_(mean)


def collapsed(arm: Arm, vae: VAE) -> None:
    """The posterior is the prior, but for a trace of x that keeps eigenvalues apart from rounding."""
    optimum(arm, vae)
    with torch.no_grad():
        vae.mean.weight.mul_(1e-4)
        vae.mean.bias.zero_()
        vae.logvar.bias.zero_()


def narrower(arm: Arm, vae: VAE) -> None:
    """Of later latents, the more so."""
    collapsed(arm, vae)
    with torch.no_grad():
        vae.logvar.bias.copy_(torch.linspace(0, -3, D))


def course(*, ended: bool = True) -> State:
    at = torch.tensor([0, 10, 20]) if ended else torch.tensor([0])
    seen = {f"{split}/{name}": 1.0 / (1 + at) for split in ("test", "train") for name in ("loss", "mse", "kl", "nats")}
    steps = {"loss": torch.ones(20 if ended else 5), "gradient": torch.ones(20 if ended else 5)}
    return {**steps, "at": at, **seen, "kl": torch.ones(len(at), D), "ended": ended}


def analysed(study: GenericTask, at: At = optimum, failed: str = "", absent: str = "") -> Tables:
    """Of trainings that ended there; one of which failed, and one that was not run."""

    def snapshot(training: str, role: str) -> State | None:
        arm = study.arms[training]
        if training == absent or (training == failed and role == "final"):
            return None
        if role == "course":
            return course(ended=training != failed)
        vae, _ = machine(arm.cfg, arm.streams)
        at(arm, vae)
        return weights(vae)

    return tables.analyse(study, snapshot)
