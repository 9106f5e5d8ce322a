"""task=vae: how model, images, training and what is measured make a point.

A point is a trained VAE as a model of examples (x, eps), the noise of each row frozen, in nats an example. In
`coordinates=standard` its weights are those of the same function with the prior N(0, I), so that priors are compared in
one space of weights; the temperature and the localiser are the same for all arms of a seed.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from llcx import rng
from llcx.course import Watch
from llcx.fit import Objective
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.generic import GenericTask, Recipe, held_gamma
from llcx.tasks.vae import images, schema, tables
from llcx.tasks.vae.built import images_of, machine
from llcx.tasks.vae.model import VAE, standardised
from llcx.tasks.vae.objective import Frozen
from llcx.tasks.vae.watched import Watched
from llcx.types import Data, Snapshots, StatModel, Streams, Tables

AXES = {
    "variant": "variant",
    "gamma": "prior.gamma",
    "parametrisation": "model.parametrisation",
    "latent_dim": "model.latent_dim",
    "learning_rate": "fit.learning_rate",
}


@TASKS.register("vae", schema.VAE)
def build(cfg: schema.VAE, streams: Streams) -> GenericTask:
    """Raises ValueError for settings that no model can have."""

    def analyse(rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
        del rows
        return tables.analyse(made, snapshot)

    recipe = Recipe(
        model=build_model,
        data=build_data,
        axes=AXES,
        called={"gamma": "prior_gamma"},  # the localiser's strength is a gamma too
        views={"coordinates": "coordinates"},
        objective=objective,
        finish=as_asked,
        target=lambda cfg: "self",
        moments=lambda cfg: cfg.moments,
        watch=watch,
        wishes=lambda cfg, streams: held_gamma(machine(cfg, streams)[0]),
        analyse=analyse,
    )
    made = GenericTask(cfg, streams, recipe)
    return made


@MODELS.register("vae", schema.Model)
def build_model(cfg: schema.VAE, streams: Streams) -> StatModel:
    """The VAE where its training starts, as a model of (x, eps)."""
    vae, criterion = machine(cfg, streams)
    frozen = Frozen(criterion)
    return StatModel(vae, frozen, frozen.kl, forward=frozen.forward, root=frozen.root)


@DATA.register("images", schema.Images)
def build_data(cfg: schema.VAE, streams: Streams) -> Data:
    """What the learning coefficient is measured on: the first training rows, each with noise of its own that stays."""
    x = seen(cfg, streams)[: cfg.measures.llc_rows]
    eps = rng.counter_normal(streams.key("noise"), torch.arange(len(x)), cfg.model.latent_dim)
    return Data((x, eps.to(x)), len(x))


def seen(cfg: schema.VAE, streams: Streams) -> Tensor:
    """The training rows as they are measured: with binarise=dynamic, one draw of their pixels."""
    x = images_of(cfg, streams).train
    if cfg.data.binarise != "dynamic":
        return x
    return images.binary(x, streams.key("binarise/measured"), torch.arange(len(x)))


def objective(cfg: schema.VAE, streams: Streams) -> Objective:
    """The criterion at fresh noise, the same for all arms of a seed at each step, which seeds torch's generator."""
    cfg, generator = schema.applied(cfg), torch.default_generator
    train, criterion = images_of(cfg, streams).train, machine(cfg, streams)[1]

    def loss(module: nn.Module, rows: Tensor | None) -> Tensor:
        numbers = torch.arange(len(train)) if rows is None else rows
        x = train[numbers]
        if cfg.data.binarise == "dynamic":
            x = images.binary(x, int(torch.randint(2**62, (), generator=generator)), numbers)
        eps = torch.randn(len(x), cfg.model.latent_dim, generator=generator)
        prior = torch.randn(eps.shape, generator=generator) if cfg.loss.divergence == "mmd" else None
        return criterion(module(x, eps), x, prior)

    return Objective(loss, len(train))


def watch(cfg: schema.VAE, streams: Streams) -> Watch:
    """What an event tells of training and test rows."""
    rows = {"train": seen(cfg, streams), "test": images_of(cfg, streams).test}
    return Watched(machine(cfg, streams)[1], rows, streams.key("watch"))


def as_asked(cfg: schema.VAE, streams: Streams, model: StatModel, data: Data) -> StatModel:
    """In the coordinates that are asked for, with the statistics of batches frozen."""
    del streams, data
    vae = model.module.eval()
    assert isinstance(vae, VAE)
    return replace(model, module=standardised(vae) if cfg.coordinates == "standard" else vae)
