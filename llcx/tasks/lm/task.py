"""task=lm: how model, sequences, training and scores make a point.

A point is the model after some steps, in nats a scored prediction, against itself (target=self): along a training it is
at no minimum of the loss. The localiser is that of the training's start, so that it is the model that changes.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from llcx import rng
from llcx.course import Watch
from llcx.fit import Objective
from llcx.likelihoods import NextToken
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.generic import GenericTask, Recipe, held_gamma
from llcx.tasks.lm import pretrained, scores, tables
from llcx.tasks.lm.bigrams import Tokens, repeated
from llcx.tasks.lm.corpus import corpus
from llcx.tasks.lm.schema import LM, SCORED, Network, Sequences
from llcx.tasks.lm.transformer import Transformer
from llcx.types import Data, Point, Snapshots, Spec, State, StatModel, Streams, Tables

AXES = {key: f"model.{key}" for key in ("d", "layers", "heads", "mlp")} | {
    "triggers": "data.triggers",
    "learning_rate": "fit.learning_rate",
}


@TASKS.register("lm", LM)
class LanguageTask(GenericTask):
    """Raises ValueError for settings that no model can have."""

    def __init__(self, cfg: LM, streams: Streams) -> None:
        recipe = Recipe(
            model=build_model,
            data=build_data,
            axes=AXES,
            views={"scored": "data.scored"},
            trained=lambda cfg: cfg.model.folder is None,
            objective=objective,
            target=lambda cfg: "self",
            watch=watch,
            wishes=wishes,
        )
        super().__init__(cfg, streams, recipe)

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        """With the predictions of each kind as data sets of their own, for estimator.measure_on."""
        found = super().point(spec, snapshot)
        cfg, streams = self._points[spec.name][1][2:]
        others = {kind: scored(cfg, streams, kind) for kind in SCORED}
        return replace(found, others={kind: data for kind, data in others.items() if data.n})

    def analyse(self, rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
        del rows
        return tables.analyse(self, snapshot)


@MODELS.register("transformer", Network)
def build_model(cfg: LM, streams: Streams) -> StatModel:
    """The model where its training starts, or the one that is given."""
    likelihood = NextToken(mask=1)
    net, tokens = cfg.model, corpus(cfg, streams).vocabulary
    if net.folder is not None:
        module = pretrained.load(net.folder, tokens, cfg.data.context)
    else:
        with rng.seeded(streams.generator("init")):
            size = {"d": net.d, "layers": net.layers, "heads": net.heads, "mlp": net.mlp}
            module = Transformer(tokens, cfg.data.context, **size)
    return StatModel(module, likelihood, likelihood.kl, forward=likelihood.forward, root=likelihood.root)


@DATA.register("sequences", Sequences)
def build_data(cfg: LM, streams: Streams) -> Data:
    """What the learning coefficient is measured on: the first training rows; n counts scored predictions."""
    found = scored(cfg, streams, cfg.data.scored)
    if not found.n:
        raise ValueError(f"task.data.scored must leave predictions, got none with {cfg.data.scored}; use all")
    return found


def scored(cfg: LM, streams: Streams, kind: str) -> Data:
    """The measured rows with the predictions of a kind scored."""
    tokens = corpus(cfg, streams).train(torch.arange(cfg.data.n))
    again = repeated(tokens)
    mask = {"all": torch.ones_like(again), "repeated": again, "new": ~again}[kind]
    return Data((tokens, mask), int(mask.sum()))


def objective(cfg: LM, streams: Streams) -> Objective:
    """Mean nats a prediction, all of them scored."""
    rows_of, likelihood = corpus(cfg, streams).train, NextToken()

    def loss(module: nn.Module, rows: Tensor | None) -> Tensor:
        batch = (rows_of(torch.arange(cfg.data.n_train) if rows is None else rows),)
        return likelihood.each(likelihood.forward(module, batch), batch).mean()

    return Objective(loss, cfg.data.n_train)


def watch(cfg: LM, streams: Streams) -> Watch:
    """What an event tells of the test rows: losses, and where each head looks."""
    return partial(watched, corpus(cfg, streams).test(torch.arange(cfg.data.n_test)))


def watched(tokens: Tokens, module: nn.Module) -> Mapping[str, float | Tensor]:
    """`test/<name>` of scores.losses; `previous` and `induction`, a number a head."""
    found: dict[str, float | Tensor] = {f"test/{key}": value for key, value in scores.losses(module, tokens).items()}
    if isinstance(module, Transformer):
        looks = scores.heads(module, tokens)
        found |= {name: torch.tensor([getattr(head, name) for head in looks]) for name in scores.HEADS}
    return found


def wishes(cfg: LM, streams: Streams) -> Mapping[str, Any]:
    """Of a training: the strength of the localiser at its start. Of a model that is given: none."""
    return {} if cfg.model.folder is not None else held_gamma(build_model(cfg, streams).module)
