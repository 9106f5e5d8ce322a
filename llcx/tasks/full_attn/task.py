"""task=full_attn: how model, prompts, training, exact losses and answer key make a point."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from llcx.fit import Objective
from llcx.likelihoods import Gaussian
from llcx.params import flatten
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.full_attn import answer, loss, spectra, weights
from llcx.tasks.full_attn.schema import FullAttn, Grid, Model, RegressionPrompts
from llcx.tasks.generic import Arm, GenericTask, Recipe
from llcx.tasks.rows import held
from llcx.types import Batch, Data, PerExample, Snapshots, StatModel, Streams, Tables

AXES = {"d": "model.d", "d_l": "model.d_l", "rank": "model.rank"}


@TASKS.register("full_attn", FullAttn)
def build(cfg: FullAttn, streams: Streams) -> GenericTask:
    """Raises ValueError for settings that no model can have."""

    def analyse(rows: list[dict[str, object]], snapshot: Snapshots) -> Tables:
        del rows
        return spectra.analyse(made, snapshot)

    made = GenericTask(
        with_axis(cfg),
        streams,
        Recipe(
            model=build_model,
            data=build_data,
            axes=AXES,
            views={"view": "view"},
            replicas=single,
            coords=coordinates,
            trained=lambda cfg: cfg.model.w_star == "trained",
            objective=objective,
            finish=as_seen,
            known=answer.known,
            restricted=answer.restricted,
            target=lambda cfg: "data" if cfg.view == "data" else "self",
            analyse=analyse,
        ),
    )
    return made


def with_axis(cfg: FullAttn) -> FullAttn:
    """The configuration with the axis of d_l filled in: d and 3 d / 2 where nothing else decides it."""
    d = cfg.model.d
    given = [] if cfg.model.d_l is not None else [d, 3 * d // 2]
    return replace(cfg, grid=replace(cfg.grid, d_l=given)) if cfg.grid.d_l is None else cfg


def single(cfg: FullAttn, streams: Streams) -> Iterator[Arm]:
    """The one problem of a seed, as the configuration of a single one."""
    yield Arm(cfg.name, {}, replace(cfg, grid=Grid(d_l=[]), seeds=1), streams)


def coordinates(cfg: FullAttn, streams: Streams) -> dict[str, int | str]:
    """Shape, number of parameters, and how the model is looked at."""
    del streams
    p, d_l = weights.shape(cfg)
    found: dict[str, int | str] = {"d": cfg.model.d, "d_l": d_l, "parameters": 4 * p * d_l, "view": cfg.view}
    return found if cfg.model.w_star == "trained" else found | {"rank": weights.rank(cfg)}


@MODELS.register("full_attn", Model)
def build_model(cfg: FullAttn, streams: Streams) -> StatModel:
    """The model itself at w*, or where its training starts."""
    likelihood = Gaussian(cfg.data.noise_std)
    return StatModel(weights.initial(cfg, streams), likelihood, likelihood.kl, forward=_column)


@DATA.register("regression_prompts", RegressionPrompts)
def build_data(cfg: FullAttn, streams: Streams) -> Data:
    """What the learning coefficient is measured on, other prompts than those trained on."""
    return held(loss.Labelled(cfg, streams, "measure"), cfg.data.n, cfg.data.mode)


def objective(cfg: FullAttn, streams: Streams) -> Objective:
    return loss.objective(cfg, streams, build_model(cfg, streams))


def as_seen(cfg: FullAttn, streams: Streams, model: StatModel, data: Data) -> StatModel:
    """The model of the view, with K of both targets in closed form, a quadratic in each factor."""
    del streams
    if cfg.view == "lsa":
        model = as_linear(cfg, model.module)
    of_self = loss.quadratic(cfg, model.module, data, labels=False)
    of_data = of_self if cfg.view == "lsa" else loss.quadratic(cfg, model.module, data, labels=True)
    parameters, factors = len(flatten(model.module)), len(list(model.module.parameters()))
    blocks = torch.arange(parameters).unflatten(0, (factors, 1, -1)).unbind()
    return replace(model, closed={"self": of_self, "data": of_data}, blocks=blocks)


def as_linear(cfg: FullAttn, module: nn.Module) -> StatModel:
    """Linear attention with the key-query part of `module`, taught by itself."""
    linear = weights.linear(module, cfg.rank_tolerance)
    teacher = (linear.W_Q @ linear.W_K.T).detach()
    likelihood = Gaussian(cfg.data.noise_std * (cfg.data.context + 1))  # a mean over the entries of the output

    def nll(output: Tensor, batch: Batch) -> PerExample:
        X = batch[0]
        return likelihood.kl(X @ teacher.to(X) @ X.mT, output)

    return StatModel(linear, nll, likelihood.kl)


def _column(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Predictions [B, 1]."""
    return module(batch[0]).unsqueeze(-1)
