"""task=lsa: how model, prompts, exact loss and answer key make a point."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from llcx.likelihoods import Gaussian
from llcx.params import flatten
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.attention.form import Quadratic, key_query
from llcx.tasks.attention.modules import LinearAttention, balanced
from llcx.tasks.attention.moments import Moments, linear_of_law, linear_of_rows
from llcx.tasks.generic import GenericTask, Recipe
from llcx.tasks.lsa import answer, problems, tables, weights
from llcx.tasks.lsa.data import batches, build_rows, law
from llcx.tasks.lsa.schema import ALPHAS, LSA, Model, PromptData
from llcx.types import Data, StatModel, Streams

AXES = {
    "alpha": "model.alpha",
    "rank": "model.rank",
    "d_l": "model.d_l",
    "n": "data.n",
    "context": "data.context",
    "noise_std": "data.noise_std",
}


@TASKS.register("lsa", LSA)
def build(cfg: LSA, streams: Streams) -> GenericTask:
    """Raises ValueError for settings that no problem can have."""
    return GenericTask(
        with_axis(cfg),
        streams,
        Recipe(
            model=build_model,
            data=build_data,
            axes=AXES,
            replicas=problems.replicas,
            coords=problems.coordinates,
            finish=with_closed_forms,
            known=answer.known,
            restricted=answer.restricted,
            analyse=partial(tables.analyse, cfg),
        ),
    )


def with_axis(cfg: LSA) -> LSA:
    """The configuration with the axis of alpha filled in: all three values where nothing else decides it."""
    decided = cfg.sizes or cfg.model.alpha is not None or cfg.model.w_star == "simple"
    given = [] if decided else list(ALPHAS)
    return replace(cfg, grid=replace(cfg.grid, alpha=given)) if cfg.grid.alpha is None else cfg


@MODELS.register("lsa", Model)
def build_model(cfg: LSA, streams: Streams) -> StatModel:
    """A single problem at w*."""
    model = cfg.model
    factors = balanced(weights.teacher(model, streams), problems.ranks(model).of_b, model.d_l)
    likelihood = Gaussian(cfg.data.noise_std * (cfg.data.context + 1 if _mean(cfg) else 1))
    module = LinearAttention(*factors, model.output)
    return StatModel(module, likelihood, likelihood.kl, forward=_column if model.output == "scalar" else None)


@DATA.register("prompts", PromptData)
def build_data(cfg: LSA, streams: Streams) -> Data:
    return build_rows(cfg, weights.teacher(cfg.model, streams), streams)


def with_closed_forms(cfg: LSA, streams: Streams, model: StatModel, data: Data) -> StatModel:
    """The model with K of the targets `data` and `self`, as functions of flat parameters quadratic in each factor."""
    at = flatten(model.module)
    features = partial(key_query, p=cfg.model.d + 1)
    exact = partial(Quadratic, features, at, cfg.data.noise_std**-2)
    of_data = exact(partial(_moments, cfg, data, streams))
    of_self = exact(lambda: of_data.moments()._replace(cross=None))  # what w* labels itself has no residual there
    blocks = torch.arange(len(at)).unflatten(0, (2, 1, -1)).unbind()
    return replace(model, closed={"data": of_data, "self": of_self}, blocks=blocks)


def _moments(cfg: LSA, data: Data, streams: Streams) -> Moments:
    kind: dict[str, Any] = {"output": cfg.model.output, "reduction": cfg.loss.reduction}
    if cfg.data.mode == "population":
        return linear_of_law(law(cfg), **kind)
    return linear_of_rows(batches(cfg, weights.teacher(cfg.model, streams), data, streams), law(cfg), **kind)


def _mean(cfg: LSA) -> bool:
    """Whether a prompt's loss is a mean over entries; the scalar output has one."""
    return cfg.loss.reduction == "mean" and cfg.model.output == "matrix"


def _column(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Outputs [B, 1] of a module that gives [B]."""
    return module(batch[0]).unsqueeze(-1)
