"""task=dln: how model, rows, exact loss and answer key make a point."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from llcx.fit import Objective, empirical
from llcx.likelihoods import Gaussian
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.dln import answer, nets, weights
from llcx.tasks.dln.data import build_rows, raw_variance
from llcx.tasks.dln.loss import Moments, Quadratic, of_law, of_rows
from llcx.tasks.dln.schema import DLN, Model, Teacher
from llcx.tasks.generic import GenericTask, Recipe
from llcx.tasks.rows import batches, covariance
from llcx.tasks.summary import errors, leaderboard
from llcx.types import Data, Snapshots, StatModel, Streams, Tables

AXES = {"rank": "model.rank", "n": "data.n", "noise_std": "data.noise_std"}


@TASKS.register("dln", DLN)
def build(cfg: DLN, streams: Streams) -> GenericTask:
    return GenericTask(
        cfg,
        streams,
        Recipe(
            model=build_model,
            data=build_data,
            axes=AXES,
            replicas=nets.replicas,
            coords=nets.coordinates,
            trained=lambda cfg: cfg.model.w_star == "trained",
            objective=objective,
            finish=with_closed_forms,
            known=answer.known,
            restricted=answer.restricted,
            analyse=errors_by_class,
        ),
    )


@MODELS.register("dln", Model)
def build_model(cfg: DLN, streams: Streams) -> StatModel:
    """A single network at w*, or where its training starts."""
    likelihood = Gaussian(cfg.data.noise_std)
    return StatModel(weights.module(weights.initial(cfg.model, streams)), likelihood, likelihood.kl)


@DATA.register("teacher", Teacher)
def build_data(cfg: DLN, streams: Streams) -> Data:
    return build_rows(cfg.data, weights.true_map(cfg.model, streams), streams)


def errors_by_class(rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
    """analysis/: errors.csv by class, leaderboard.csv by sampler, bias_by_multiplicity.csv."""
    del snapshot
    found = leaderboard(rows)
    return found._replace(tables={"errors": errors(rows, {"class": "at.class"}), **found.tables})


def with_closed_forms(cfg: DLN, streams: Streams, model: StatModel, data: Data) -> StatModel:
    """The model with K of the targets `data` and `self` as functions of its flat parameters."""
    centre = weights.product([layer.detach().double() for layer in model.module.parameters()])
    model = replace(model, blocks=blocks_of(cfg.model.widths))
    of_self = _quadratic(cfg, data, centre, None)
    if cfg.model.w_star != "trained" and cfg.data.mode != "noisy":  # w* labels the rows itself
        return replace(model, closed={"data": of_self, "self": of_self})
    of_data = _quadratic(cfg, data, centre, weights.true_map(cfg.model, streams))
    return replace(model, closed={"data": of_data, "self": of_self})


def blocks_of(widths: Sequence[int]) -> tuple[Tensor, ...]:
    """A block a layer, in which K is quadratic; the rows of the last one are independent under any moments of x."""
    sizes = [out * into for into, out in pairwise(widths)]
    parts = torch.arange(sum(sizes)).split(sizes)
    return (*(part.unsqueeze(0) for part in parts[:-1]), parts[-1].unflatten(0, (widths[-1], widths[-2])))


def objective(cfg: DLN, streams: Streams) -> Objective:
    """What a training minimises: the exact loss above the true map's, or the rows' where it has a batch size."""
    data = build_data(cfg, streams)
    if cfg.fit.batch_size is not None:
        return empirical(build_model(cfg, streams), data)
    centre = weights.true_map(cfg.model, streams)
    exact = _quadratic(cfg, data, centre, centre if cfg.data.mode == "noisy" else None)

    def loss(module: nn.Module, rows: Tensor | None) -> Tensor:
        del rows
        return exact(torch.cat([layer.reshape(1, -1) for layer in module.parameters()], 1)).sum()

    return Objective(loss, 0)


def _quadratic(cfg: DLN, data: Data, centre: Tensor, labels: Tensor | None) -> Quadratic:
    """K around the map `centre` [H_L, H_0]; `labels` is the map behind y, None where it is `centre`, without noise."""
    return Quadratic(cfg.model.widths, centre, cfg.data.noise_std, partial(_moments, cfg, data, centre, labels))


def _moments(cfg: DLN, data: Data, centre: Tensor, labels: Tensor | None) -> Moments:
    if cfg.data.mode == "population":
        second = covariance(cfg.data.covariance, cfg.model.widths[0])
        gap = None if labels is None else centre - labels
        return of_law(raw_variance(cfg.data) if second is None else second, gap)
    return of_rows(batches(data), None if labels is None else centre)
