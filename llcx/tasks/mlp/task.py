"""task=mlp: how network, rows, likelihood, training and answer key make a point."""

from dataclasses import replace
from typing import Any

from llcx.fit import empirical
from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.generic import Arm, GenericTask, Recipe
from llcx.tasks.mlp import answer, descent, network, quadratic, sizes, tables
from llcx.tasks.mlp.data import Taught, teacher
from llcx.tasks.mlp.losses import likelihood
from llcx.tasks.mlp.schema import MLP, Labelled, Model
from llcx.tasks.rows import held, stored
from llcx.types import Data, Point, Snapshots, Spec, State, StatModel, Streams, Tables, Training

AXES = {
    "target_params": "model.target_params",
    "depth": "model.depth",
    "activation": "model.activation",
    "n": "data.n",
    "noise_std": "data.noise_std",
    "x_dist": "data.x_dist",
    "noise_model": "data.noise_model",
    "loss": "loss.kind",
}


class Networks(GenericTask):
    """Trainings that end in a minimum, and points that can be measured on rows they were not trained on."""

    def trainings(self) -> tuple[Training, ...]:
        return tuple(self._ended(arm) for arm in self.arms.values() if arm.cfg.trained)

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        found, arm = super().point(spec, snapshot), self._points[spec.name][1]
        if arm.cfg.data.n_test == 0 or arm.cfg.target == "quadratic":
            return found
        return replace(found, others={"test": unseen(arm.cfg, arm.streams)})

    def analyse(self, rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
        return tables.analysed(self, rows, snapshot)

    def _ended(self, arm: Arm) -> Training:
        fit = descent.settled(arm.cfg.fit, arm.cfg.data.n)

        def made() -> descent.Ends:
            model, data = build_model(arm.cfg, arm.streams), build_data(arm.cfg, arm.streams)
            return model, data, empirical(model, data)

        return descent.ended(self._training(arm._replace(cfg=replace(arm.cfg, fit=fit))), fit, made)


@TASKS.register("mlp", MLP)
def build(cfg: MLP, streams: Streams) -> Networks:
    """Raises ValueError for a combination of axes that no network has."""
    recipe = Recipe(
        model=build_model,
        data=build_data,
        axes=AXES,
        coords=coordinates,
        trained=lambda cfg: cfg.trained,
        known=answer.known,
    )
    return Networks(cfg, streams, recipe)


@MODELS.register("mlp", Model)
def build_model(cfg: MLP, streams: Streams) -> StatModel:
    """The network where its training starts, or at w* where there is none."""
    if cfg.target == "quadratic":
        return quadratic.model(cfg, streams)
    loss = likelihood(cfg)
    given = cfg.model.w_star == "teacher"
    module = teacher(cfg, streams) if given else network.build(cfg.model, streams.generator("init"))
    return StatModel(module, loss, loss.kl, root=loss.root)


@DATA.register("labelled", Labelled)
def build_data(cfg: MLP, streams: Streams) -> Data:
    if cfg.target == "quadratic":
        return quadratic.rows(cfg, streams)
    return held(Taught(cfg, streams), cfg.data.n, cfg.data.mode)


def unseen(cfg: MLP, streams: Streams) -> Data:
    """The rows after those that are trained on."""
    taught, n = Taught(cfg, streams), cfg.data.n
    return Data(stored(lambda rows: taught(rows + n), cfg.data.n_test), cfg.data.n_test, cfg.data.mode)


def coordinates(cfg: MLP, streams: Streams) -> dict[str, int]:
    """The number of parameters, and the width of the widest hidden layer."""
    del streams
    if cfg.target == "quadratic":
        return {"parameters": quadratic.parameters(cfg)}
    return {"width": max(sizes.hidden(cfg.model), default=0), "parameters": sizes.parameters(cfg.model)}
