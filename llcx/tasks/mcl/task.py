"""task=mcl: machines of several arms, their studies, and points at the bottleneck or at a whole machine.

A point is a machine in evaluation mode as a model of grids, -log p summed over the 64 cells of a row, in nats, against
itself. Of the bottleneck alone all other weights are frozen, so that its rows are what the encoder made of them.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from llcx.registry import DATA, MODELS, TASKS
from llcx.tasks.generic import Arm, GenericTask, Recipe, held_gamma
from llcx.tasks.mcl import schema, studies
from llcx.tasks.mcl.built import inputs, machine_of, sets_of
from llcx.tasks.mcl.data_settings import Data as Programs
from llcx.tasks.mcl.losses import Cells
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.pooled import pooled
from llcx.tasks.mcl.prompts import Inputs
from llcx.tasks.mcl.training import training
from llcx.types import Batch, Data, Point, Spec, State, StatModel, Streams, Study, Training

SHORT = {"chains": 4, "warmup": 30, "draws": 40}  # trajectories of a chain: half a minute a point, to about 6 per cent
AXES = {"arm": "arm", **schema.AXES}


class MCLTask(GenericTask):
    """Trained by its own loop, and studied in stages of its own."""

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        """Of the bottleneck, with what comes before it worked out once."""
        found = super().point(spec, snapshot)
        machine = found.model.module
        assert isinstance(machine, Machine)
        return found if any(p.requires_grad for p in machine.encoder.parameters()) else from_pooled(found, machine)

    def studies(self) -> tuple[Study, ...]:
        return studies.studies(self)

    def _training(self, arm: Arm) -> Training:
        return training(arm.name, arm.cfg, arm.streams)


@TASKS.register("mcl", schema.MCL, pooled=pooled)
def build(cfg: schema.MCL, streams: Streams) -> MCLTask:
    """Raises ValueError for settings that no machine can have."""
    recipe = Recipe(
        model=build_model,
        data=build_data,
        axes=AXES,
        views={"part": "part"},
        finish=as_asked,
        target=lambda cfg: "self",
        moments=lambda cfg: cfg.moments,
        alike=schema.applied,
        wishes=lambda cfg, streams: SHORT | held_gamma(of_part(machine_of(cfg, streams), cfg.part)),
    )
    return MCLTask(cfg, streams, recipe)


@MODELS.register("machine", schema.Model)
def build_model(cfg: schema.MCL, streams: Streams) -> StatModel:
    """The machine where its training starts."""
    loss = Cells()
    return StatModel(machine_of(cfg, streams), loss, loss.kl, forward=predicted, root=loss.root)


@DATA.register("programs", Programs)
def build_data(cfg: schema.MCL, streams: Streams) -> Data:
    """The first rows of the training stream, and their targets."""
    batch = sets_of(cfg, streams).train.take(torch.arange(cfg.llc_rows))
    seen = inputs(batch, cfg.data.conditioning)
    return Data((*(leaf for leaf in seen if leaf is not None), batch.target), cfg.llc_rows)


def predicted(machine: nn.Module, batch: Batch) -> Tensor:
    """Logits [B, C, 8, 8]."""
    assert isinstance(machine, Machine)
    return machine.predict(Inputs(*batch[:-1]))


def as_asked(cfg: schema.MCL, streams: Streams, model: StatModel, data: Data) -> StatModel:
    """The part that is asked for, with all else frozen."""
    del streams, data
    machine = model.module.eval()
    assert isinstance(machine, Machine)
    return replace(model, module=of_part(machine, cfg.part))


def from_pooled(point: Point, machine: Machine) -> Point:
    """The same point, its rows replaced by what the frozen encoder makes of them."""
    *seen, target = point.data.train
    with torch.no_grad():
        pooled = machine.encode(Inputs(*seen)).pooled
    model = replace(point.model, forward=_from_pooled)
    return replace(point, model=model, data=replace(point.data, train=(pooled, target)))


def _from_pooled(machine: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(machine, Machine)
    return machine.decoder(machine.latent(batch[0]))


def of_part(machine: Machine, part: str) -> Machine:
    """The machine itself, of whose weights only the part's are sampled. Raises ValueError for a part it has not."""
    machine.requires_grad_(part == "whole")
    for beside in (machine.sae, machine.head):  # no prediction depends on them
        beside.requires_grad_(False)
    if part == "bottleneck":
        machine.bottleneck.requires_grad_(True)
    elif part != "whole":
        raise ValueError(f"task.part must be bottleneck or whole, got {part}")
    return machine
