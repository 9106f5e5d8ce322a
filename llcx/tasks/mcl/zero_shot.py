"""How well a machine does on every split as it is, composition by composition, and how it came there.

zero_shot  a row a split and composition: macro and micro IoU, accuracy, exact match, accuracy in cells that change;
           beside them what copying the input and leaving all background score
runs       a row a training: what gates ask, and what it cost
course     a row an evaluation
sheets     <training>/<split>/input, target, predicted [n, 8, 8] and composition [n]
"""

from math import isfinite

import numpy as np
import torch
from torch import Tensor

from llcx.tasks.mcl import losses, machine, projectors
from llcx.tasks.mcl.batches import Sample
from llcx.tasks.mcl.built import inputs, machine_of
from llcx.tasks.mcl.leakage import overlap
from llcx.tasks.mcl.losses import Scores
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.trained import Row, Trained, named
from llcx.types import Tables

VALIDATION = "val_id"
REFERENCES = {  # columns of what needs no machine
    "copy": ("iou", "exact", "accuracy"),
    "background": ("iou", "accuracy"),
}
COURSE = {  # column -> what a training told
    **{"seconds": "seconds", "iou": "val_id/iou", "ood": "val_ood/iou", "exact": "val_id/exact"},
    **{"ood_exact": "val_ood/exact", "accuracy": "val_id/accuracy", "erank": "h/rank"},
    **{"share_norm": "h/norm", "share_floor": "h/floor"},
}


def tables(trained: Trained) -> Tables:
    found = {split: trained.predicted(sample) for split, sample in trained.sets.evaluation.items()}
    evaluated = rows(trained, found)
    made = {"zero_shot": evaluated, "runs": [run(trained, found[VALIDATION])], "course": course(trained)}
    pictured = sheets(trained, found)
    return Tables(made, {"sheets": pictured} if pictured else {})


def rows(trained: Trained, predicted: dict[str, Tensor]) -> list[Row]:
    """Means over the rows of each composition."""
    made = []
    for split, sample in trained.sets.evaluation.items():
        colours = trained.cfg.data.colours
        scores = losses.scores(predicted[split], sample.target, sample.input, colours)
        others = losses.references(sample.target, sample.input, colours)
        for code in sample.composition_id.unique().tolist():
            mine = sample.composition_id == code
            length = int(sample.length[mine][0])
            row = {"split": split, "composition": named(code), "length": length, "rows": int(mine.sum())}
            row |= means(scores, mine)
            for name, columns in REFERENCES.items():
                told = means(others[name], mine)
                row |= {f"{name}_{column}": told[column] for column in columns}
            made.append({**trained.about, **row})
    return made


def means(scores: Scores, rows: Tensor) -> Row:
    """Over some rows; iou is the macro IoU."""
    told = Scores(*(each[rows] for each in scores)).means()
    return {"iou": told.pop("macro_iou"), **told}


def run(trained: Trained, predicted: Tensor) -> Row:
    """What the gates of verdicts ask of a training, and what it cost."""
    sample, colours, told = trained.sets.evaluation[VALIDATION], trained.cfg.data.colours, trained.course
    every = torch.ones(len(sample.input), dtype=torch.bool)
    own = means(losses.scores(predicted, sample.target, sample.input, colours), every)
    copied = means(losses.scores(sample.input, sample.target, sample.input, colours), every)
    steps, ious = told.values("at"), told.values("val_id/iou")
    best = max(range(len(ious)), key=lambda place: ious[place] if steps[place] > 0 else -1, default=None)
    h, on = hidden(trained.machine, trained, sample)
    start = hidden(machine_of(trained.cfg, trained.streams).eval(), trained, sample)[0]
    return {
        **trained.about,
        "parameters": machine.parameters(trained.machine)["all"],
        "steps": len(told.values("loss")),
        "seconds": told.last("seconds"),
        "val_iou": own["iou"],
        "copy_iou": copied["iou"],
        "val_exact": own["exact"],
        "overlap": overlap(trained.sets),
        "erank": projectors.effective_rank(h)[0],
        "erank_initial": projectors.effective_rank(start)[0],
        "shares": int(trained.cfg.weights.alpha > 0),
        "groups_min": told.least("share/groups_min"),
        "gradient_min": told.least("gradient/share_min"),
        "share_norm": told.last("h/norm"),
        "share_floor": told.last("h/floor"),
        "rate": on if trained.coded else None,
        "best_step": None if best is None else int(steps[best]),
    }


@torch.no_grad()
def hidden(of: Machine, trained: Trained, sample: Sample) -> tuple[Tensor, float]:
    """h of rows, and the share of sparse units that are on."""
    found = [of(inputs(block, trained.cfg.data.conditioning)) for block in trained.blocks(sample)]
    on = torch.cat([out.z > 0 for out in found])
    return torch.cat([out.h for out in found]), float(on.double().mean())


def course(trained: Trained) -> list[Row]:
    """None where a number was not told, or is none."""
    told = {column: trained.course.values(name) for column, name in COURSE.items()}
    made: list[Row] = []
    for place, step in enumerate(trained.course.values("at")):
        numbers = {column: values[place] if place < len(values) else None for column, values in told.items()}
        cells = {column: value if value is not None and isfinite(value) else None for column, value in numbers.items()}
        made.append({**trained.about, "step": int(step), **cells})
    return made


def sheets(trained: Trained, predicted: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """The first rows of each split; they are of different compositions, as many as there are."""
    made: dict[str, np.ndarray] = {}
    for split, sample in trained.sets.evaluation.items():
        some = sample.at(slice(trained.cfg.analysis.pictures))
        grids = {"input": some.input, "target": some.target, "predicted": predicted[split][: len(some.input)]}
        if len(some.input):
            made |= {f"{trained.name}/{split}/{key}": each.to(torch.int8).numpy() for key, each in grids.items()}
            made[f"{trained.name}/{split}/composition"] = np.array(
                [named(code) for code in some.composition_id.tolist()]
            )
    return made
