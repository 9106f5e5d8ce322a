"""What the layers of a machine are like, and whether they are used: geometry, probes, sparse units, removal.

Geometry and removal look at the same grids under one program of each of some compositions, of pairs that were trained
and of what was not. Probes and units look at rows of the evaluation sets, whose programs are as many. A layer of tokens
is averaged over them, but for CKA. z is left out where no autoencoder was trained.

geometry   a row a layer, split and composition (task): CKA with the others, mean; distances to them beyond the floor of
           their own halves (grassmann, geodesic), and without regard to it (projection); that floor
probes     a row a layer and primitive
sparse     a row a primitive: its unit, if any
causal     a row an unseen composition and kind of removal
cka        <training>/<split>/pairs [L, T, T], tasks [L, T], layers, compositions
grassmann  <training>/<split>/projection, crossed_projection [L, T, T], layers, compositions
units      <training>/activation [M, C] of the primitives' units, unit [M], compositions [C], and of the rows in which
           each is most active grids, targets [M, n, 8, 8] and composition [M, n]
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.mcl import causal, cka, grassmann, linear_probes, losses, matching
from llcx.tasks.mcl.batches import Sample
from llcx.tasks.mcl.built import inputs
from llcx.tasks.mcl.grassmann import Distances
from llcx.tasks.mcl.linear_probes import Examples
from llcx.tasks.mcl.occurrences import Occurrences
from llcx.tasks.mcl.primitives import NAMES
from llcx.tasks.mcl.programs import Composition, name
from llcx.tasks.mcl.trained import Row, Trained, named
from llcx.types import Tables

PROBED = 4  # rows that probes are fitted on, and as many that they are told of, in units of analysis.rows
Layers = dict[str, Tensor]
Arrays = dict[str, Any]


class Aligned(NamedTuple):
    """The same n grids under a program of each of T compositions."""

    split: str  # train | unseen
    compositions: tuple[str, ...]
    sample: Sample  # T times n rows
    layers: Layers  # [T, n, ..]


class Evaluated(NamedTuple):
    """Rows of an evaluation set."""

    sample: Sample
    layers: Layers  # [n, ..]

    @property
    def labels(self) -> Occurrences:
        return Occurrences(self.sample.primitives.bool(), self.sample.composition_id, self.sample.length)


def tables(trained: Trained) -> Tables:
    """Of one training; what cannot be computed, as subspaces of a layer of too low a rank, is left out."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # of BLAS that torch does not know of

    tasks = {split: found for split in ("train", "unseen") if (found := aligned(trained, split)) is not None}
    sets = [evaluated(trained, split) for split in ("val_id", trained.unseen) if split in trained.sets.evaluation]
    made: dict[str, list[Row]] = {"geometry": []}
    arrays: dict[str, Arrays] = {"cka": {}, "grassmann": {}}
    for each in tasks.values():
        rows, *found_arrays = geometry(trained, each)
        made["geometry"] += rows
        for stem, more in zip(arrays, found_arrays, strict=True):
            arrays[stem] |= more
    with threadpool_limits(torch.get_num_threads()):
        made["probes"] = probes(trained, *sets) if len(sets) == 2 else []
        made["sparse"], arrays["units"] = sparse(trained, sets)
    made["causal"] = removal(trained, tasks["train"], tasks["unseen"]) if len(tasks) == 2 else []
    return Tables({k: v for k, v in made.items() if v}, {k: v for k, v in arrays.items() if v})


@torch.no_grad()
def layers(trained: Trained, sample: Sample) -> Layers:
    """Every layer [rows, tokens, width], h and, where it was trained, z [rows, width]."""
    found = []
    for block in trained.blocks(sample):
        out = trained.machine(inputs(block, trained.cfg.data.conditioning))
        found.append({**out.layers, "h": out.h, **({"z": out.z} if trained.coded else {})})
    return {layer: torch.cat([each[layer] for each in found]) for layer in found[0]}


def aligned(trained: Trained, split: str) -> Aligned | None:
    """The same grids, programs and compositions for all arms of a seed; None where there are not two compositions."""
    cfg, splits = trained.cfg.analysis, trained.sets.splits
    there = splits[trained.unseen] if split == "unseen" else [each for each in splits["train"] if len(each) == 2]
    order = torch.randperm(len(there), generator=trained.streams.generator(f"analysis/{split}"))
    some: list[Composition] = [there[place] for place in sorted(order[: cfg.compositions].tolist())]
    if len(some) < 2:
        return None
    sample = trained.sets.aligned(some, cfg.rows)
    found = {layer: rows.unflatten(0, (len(some), -1)) for layer, rows in layers(trained, sample).items()}
    return Aligned(split, tuple(map(name, some)), sample, found)


def evaluated(trained: Trained, split: str) -> Evaluated:
    """The first rows of a split."""
    sample = trained.sets.evaluation[split].at(slice(2 * PROBED * trained.cfg.analysis.rows))
    return Evaluated(sample, layers(trained, sample))


def geometry(trained: Trained, of: Aligned) -> tuple[list[Row], Arrays, Arrays]:
    alike = cka.across_tasks(of.layers)
    apart = {layer: distances(trained, rows) for layer, rows in of.layers.items()}
    rows: list[Row] = []
    for place, layer in enumerate(alike.layers):
        told = _distances(apart[layer])
        for task, composition in enumerate(of.compositions):
            row = {"layer": layer, "split": of.split, "task": composition, "cka": float(alike.tasks[place, task])}
            own = {column: float(values[task]) for column, values in told.items()}
            rows.append({**trained.about, **row, **own})
    head = f"{trained.name}/{of.split}"
    similar: Arrays = {"pairs": alike.pairs.numpy(), "tasks": alike.tasks.numpy(), "layers": np.array(alike.layers)}
    known = {layer: found for layer, found in apart.items() if found is not None}
    distant: Arrays = {"layers": np.array(list(known))}
    for key in ("projection", "crossed_projection"):
        distant[key] = np.array([getattr(found, key).numpy() for found in known.values()])
    both = ({**each, "compositions": np.array(of.compositions)} for each in (similar, distant))
    one, other = ({f"{head}/{key}": value for key, value in each.items()} for each in both)
    return rows, one, other if known else {}


def distances(trained: Trained, rows: Float[Tensor, "T n *width"]) -> Distances | None:
    """Between the subspaces of tasks; None where half of a task's rows vary in fewer than k directions."""
    generator = trained.streams.generator("analysis/halves")
    try:
        return grassmann.distances(
            list(_pooled(rows)), trained.cfg.share.k, generator, splits=trained.cfg.analysis.splits
        )
    except ValueError:
        return None


def _distances(found: Distances | None) -> dict[str, Tensor]:
    """Columns, of each task."""
    if found is None:
        return {}
    return {
        "grassmann": grassmann.excess(found.crossed_projection),
        "geodesic": grassmann.excess(found.crossed_geodesic),
        "projection": grassmann.mean_of_others(found.projection),
        "floor": found.crossed_projection.diagonal(),
    }


def probes(trained: Trained, seen: Evaluated, unseen: Evaluated) -> list[Row]:
    """Fitted on the first half of the rows of trained compositions; nothing of a layer that is the same for all."""
    made: list[Row] = []
    fit, told = (slice(0, len(seen.sample.input) // 2), slice(len(seen.sample.input) // 2, None))
    other = slice(PROBED * trained.cfg.analysis.rows)
    for layer in (layer for layer, rows in seen.layers.items() if bool(rows[fit].std(0).any())):
        generator = trained.streams.generator(f"analysis/probes/{layer}")
        parts = ((seen, fit), (seen, told), (unseen, other))
        sets = linear_probes.Sets(*(_examples(of, layer, rows) for of, rows in parts))
        found = linear_probes.probes(sets, generator, controls=trained.cfg.analysis.controls)
        made += [{**trained.about, "layer": layer, **_by_name(row)} for row in found]
    return made


def sparse(trained: Trained, sets: list[Evaluated]) -> tuple[list[Row], Arrays]:
    """Over rows of trained and of unseen compositions; nothing where there are fewer units than primitives."""
    if not trained.coded or trained.machine.sae.cfg.units < len(NAMES):
        return [], {}
    sample = Sample(*map(torch.cat, zip(*(each.sample for each in sets), strict=True)))
    z, labels = torch.cat([each.layers["z"] for each in sets]), Evaluated(sample, {}).labels
    generator = trained.streams.generator("analysis/units")
    found = matching.match(z, labels, generator, permutations=trained.cfg.analysis.permutations)
    rows = [{**trained.about, **_by_name(row)} for row in matching.rows(z, labels, found)]
    return rows, pictures(trained, z[:, found.unit], sample) | {f"{trained.name}/unit": found.unit.numpy()}


def pictures(trained: Trained, z: Float[Tensor, "n M"], sample: Sample) -> Arrays:
    """Of the primitives' units: how active they are in each composition, and where most."""
    codes, place = sample.composition_id.unique(return_inverse=True)
    sums = z.new_zeros(len(codes), z.shape[1]).index_add_(0, place, z)
    top = z.topk(min(len(z), trained.cfg.analysis.pictures), 0).indices.mT
    made = {"activation": (sums / place.bincount()[:, None]).mT.numpy()}
    made["compositions"] = np.array([named(code) for code in codes.tolist()])
    if top.shape[1]:
        made |= {
            "grids": sample.input[top].to(torch.int8).numpy(),
            "targets": sample.target[top].to(torch.int8).numpy(),
        }
        made["composition"] = np.array([[named(code) for code in row] for row in sample.composition_id[top].tolist()])
    return {f"{trained.name}/{key}": value for key, value in made.items()}


def removal(trained: Trained, train: Aligned, other: Aligned) -> list[Row]:
    """Of what trained tasks share, from h of tasks that were not; nothing where h has too low a rank for it."""
    k, own = trained.cfg.share.k, train.layers["h"]
    unseen, h = other.sample, other.layers["h"].flatten(0, 1)
    if min(map(grassmann.rank, (*own, h))) < k:
        return []
    shared = causal.shared_basis(torch.stack([grassmann.basis(rows, k) for rows in own]))
    decode = partial(_scores, trained, unseen)
    with torch.no_grad():
        spliced = trained.machine.sae(h).hhat if trained.coded else None
        generator, draws = trained.streams.generator("analysis/removal"), trained.cfg.analysis.random_draws
        found = causal.removal(h, shared, decode, generator, draws=draws, spliced=spliced)
    rows = causal.rows(found, unseen.composition_id)
    return [{**trained.about, **row, "composition": named(row["composition"])} for row in rows]


def _scores(trained: Trained, sample: Sample, h: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Macro IoU of what is decoded from h."""
    predicted = trained.machine.decoder(h).argmax(1)
    return losses.macro_iou(predicted, sample.target, trained.cfg.data.colours)


def _examples(of: Evaluated, layer: str, rows: slice) -> Examples:
    labels = Occurrences(*(each[rows] for each in of.labels))
    return Examples(_pooled(of.layers[layer][rows].unsqueeze(0))[0], labels)


def _pooled(rows: Float[Tensor, "T n *width"]) -> Float[Tensor, "T n d"]:
    """Tokens averaged."""
    return rows.mean(2) if rows.ndim == 4 else rows


def _by_name(row: Row) -> Row:
    return {**row, "primitive": NAMES[row["primitive"]]}
