"""A run folder of task=mcl with made-up trainings: every file that figures read, and verdicts by the task's rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import log2, nan
from pathlib import Path
from typing import Any

import numpy as np

from llcx import rng
from llcx.artifacts.files import write_arrays, write_json, write_yaml
from llcx.tasks.mcl import claims
from llcx.tasks.mcl.primitives import NAMES
from llcx.tasks.mcl.verdicts import Registered
from tests.figures.run_folder import table

GAIN = {"b0": 0.0, "b1": 0.01, "b2": 0.02, "b3": 0.01, "full": 0.05, "shuffled": 0.01, "one_shot": -0.3}
CODED = ("b1", "b3", "full", "shuffled")
SHARES = ("b2", "b3", "full", "shuffled")
SPLITS = {"val_id": 1, "val_ood": 2, "test_pair": 2, "test_len3": 3}  # -> steps of its compositions
LAYERS = ("patch", "enc1", "enc2", "h", "z")
KINDS = {"shared": 0.4, "random": 0.05, "rows": 0.3, "total": 0.5, "splice": 0.1}
Row = dict[str, Any]


@dataclass(frozen=True)
class Training:
    """One arm of one seed."""

    arm: str
    seed: int
    values: Row  # of the axes that are swept
    seeds: int
    several: bool  # arms

    @property
    def name(self) -> str:
        own = {**({"arm": self.arm} if self.several else {}), **self.values}
        own |= {"seed": self.seed} if self.seeds > 1 else {}
        return ",".join(["mcl", *(f"{key}={value}" for key, value in own.items())])

    @property
    def label(self) -> str:
        return ",".join([self.arm, *(f"{key}={value}" for key, value in self.values.items())])

    @property
    def about(self) -> Row:
        given = {"alpha": 0.1 * (self.arm in SHARES), "k": 8, "encoder": "recurrent", **self.values}
        return {"training": self.name, "arm": self.label, "seed": self.seed, **given}

    @property
    def gain(self) -> float:
        """Of IoU over that of b0, with a part that is the seed's."""
        return GAIN.get(self.arm, 0.0) + 0.004 * self.seed

    @property
    def layers(self) -> tuple[str, ...]:
        return LAYERS if self.arm in CODED else LAYERS[:-1]


@dataclass(frozen=True)
class Made:
    """What a synthetic run was of."""

    arms: Sequence[str] = ("b0", "full")
    seeds: int = 2
    first: int = 0  # seed
    swept: tuple[str, Sequence[Any]] = ("", ())  # an axis and its values
    still: Sequence[str] = ()  # arms to which it makes no difference
    methods: Sequence[str] = ("lora", "full")
    cues: Sequence[str] = ("opaque",)
    examples: Sequence[int] = (5, 10, 20)
    parts: Sequence[str] = ("bottleneck",)  # whose learning coefficients there are
    moments: Sequence[int] = (600,)
    compositions: int = 3  # of each split
    pictures: int = 1
    judged: bool = False  # whether there are verdicts, which take a while

    @property
    def trainings(self) -> list[Training]:
        axis, values = self.swept
        choices: list[Row] = [{axis: value} for value in values] or [{}]
        every = [
            (seed, arm, own)
            for seed, arm in product(range(self.first, self.first + self.seeds), self.arms)
            for own in ([{}] if arm in self.still else choices)
        ]
        return [Training(arm, seed, own, self.seeds, len(self.arms) > 1) for seed, arm, own in every]


def write(path: Path, made: Made) -> Path:
    tables = {stem: [row for each in made.trainings for row in make(made, each)] for stem, make in TABLES.items()}
    for stem, rows in tables.items():
        if rows:
            table(path / "analysis" / f"{stem}.csv", tuple(rows[0]), rows)
    for stem, draw in ARRAYS.items():
        arrays = {f"{each.name}/{key}": value for each in made.trainings for key, value in draw(made, each).items()}
        write_arrays(path / "analysis" / f"{stem}.npz", arrays)
    if made.judged:
        judged = claims.tables(lambda stem: tables[stem], Registered(resamples=1000), rng.streams(0))
        write_json(path / "analysis" / "hypotheses.json", judged.documents["hypotheses"])
    metrics = [row for each in made.trainings for row in told(each)]
    table(path / "metrics.csv", tuple(metrics[0]), metrics)
    rows = list(measured(made))
    if rows:
        table(path / "metrics_summary.csv", tuple(dict.fromkeys(key for row in rows for key in row)), rows)
    write_json(path / "status.json", {"state": "completed"})
    write_yaml(path / "config.yaml", {"seed": 0, "task": config(made)})
    return path


def config(made: Made) -> Row:
    axis, values = made.swept
    grid: Row = {"arm": list(made.arms) if len(made.arms) > 1 else [], "alpha": [], "k": [], "encoder": []}
    grid |= {axis: list(values)} if axis else {}
    data = {"colours": 4, "params": "fixed", "conditioning": "program", "groups_per_batch": 8, "samples_per_group": 32}
    parts = {"model": {"encoder": "recurrent", "latent": 128}, "sae": {"rate": 0.05}, "share": {"k": 8}, "data": data}
    parts |= {"weights": {"alpha": 0.1, "beta": 0.1, "gamma": 0.5}, "fit": {"steps": 600, "learning_rate": 0.002}}
    verdicts: Row = {
        "treated": "full",
        "control": "b0",
        "method": "lora",
        "cue": "opaque",
        "layers": "enc",
        "hidden": "h",
    }
    verdicts |= {"resamples": 1000}
    more: Row = {"name": "mcl", "arm": made.arms[0], "part": "bottleneck", "llc_rows": 512, "seeds": made.seeds}
    return {**parts, "verdicts": verdicts, "grid": grid, **more}


def named(made: Made, length: int) -> list[str]:
    """Compositions of so many steps."""
    return [
        "+".join(NAMES[(place + step) % len(NAMES)] for step in range(length)) for place in range(made.compositions)
    ]


def runs(made: Made, of: Training) -> Iterator[Row]:
    del made
    row = {**of.about, "parameters": 776454, "steps": 600, "seconds": 30.0, "val_iou": 0.7 + of.gain, "copy_iou": 0.3}
    row |= {"val_exact": 0.1, "overlap": 0, "erank": 20.0, "erank_initial": 45.0, "shares": int(of.arm in SHARES)}
    yield row | {"groups_min": 8, "gradient_min": 0.01, "share_norm": 0.2, "share_floor": 0.1, "rate": 0.05}


def course(made: Made, of: Training) -> Iterator[Row]:
    del made
    for step in range(0, 601, 50):
        iou = (0.7 + of.gain) * (1 - np.exp(-(step + 20) / 120))
        yield {**of.about, "step": step, "seconds": 0.05 * step, "iou": iou, "ood": 0.85 * iou, "exact": 0.1 * iou}


def zero_shot(made: Made, of: Training) -> Iterator[Row]:
    for (split, length), place in product(SPLITS.items(), range(made.compositions)):
        iou = 0.72 + of.gain - 0.07 * length + 0.01 * place
        row = {**of.about, "split": split, "composition": named(made, length)[place], "length": length, "rows": 8}
        row |= {
            "iou": iou,
            "accuracy": iou + 0.2,
            "exact": iou / 8,
            "changed": iou + 0.1,
            "copy_iou": 0.3 - 0.02 * length,
        }
        yield row | {"copy_exact": 0.02, "copy_accuracy": 0.6, "background_iou": 0.2, "background_accuracy": 0.65}


def ways(made: Made) -> Iterator[tuple[int, str, str, int]]:
    return product(range(made.compositions), made.methods, made.cues, made.examples)


def final(of: Training, n: int, place: int) -> float:
    """IoU of an adaptation at its end."""
    return 0.3 + 0.05 * log2(n) + of.gain + 0.01 * place


def few_shot(made: Made, of: Training) -> Iterator[Row]:
    for place, method, cue, n in ways(made):
        row = {**of.about, "composition": named(made, 3)[place], "method": method, "cue": cue, "n": n}
        row |= {"iou": final(of, n, place), "exact": 0.05, "steps": 100, "best_step": 50, "copy_iou": 0.25}
        yield row | {"trainable": 3968}


def adaptation(made: Made, of: Training) -> Iterator[Row]:
    for (place, method, cue, n), step in product(ways(made), range(0, 101, 20)):
        iou = 0.22 + (final(of, n, place) - 0.22) * (1 - np.exp(-step / 25))
        row = {**of.about, "composition": named(made, 3)[place], "method": method, "cue": cue, "n": n}
        yield row | {"step": step, "iou": iou}


def geometry(made: Made, of: Training) -> Iterator[Row]:
    for split, (depth, layer), task in product(("train", "unseen"), enumerate(of.layers), named(made, 3)):
        row = {**of.about, "layer": layer, "split": split, "task": task, "cka": 1 - 0.1 * depth + of.gain}
        yield row | {"grassmann": 0.1 * depth - of.gain, "geodesic": 0.1, "projection": 0.2, "floor": 0.3}


def probes(made: Made, of: Training) -> Iterator[Row]:
    del made
    for layer, name in product(of.layers, NAMES):
        yield {**of.about, "layer": layer, "primitive": name, "auroc": 0.7 + of.gain}


def sparse(made: Made, of: Training) -> Iterator[Row]:
    del made
    for place, name in enumerate(NAMES if of.arm in CODED else ()):
        row = {**of.about, "primitive": name, "unit": 10 * place, "correlation": 0.6, "auroc": 0.7 + 0.04 * place}
        yield row | {"p": 0.001, "q": 0.2 if place == 5 else 0.001, "significant": int(place < 5), "null": 0.01}


def causal(made: Made, of: Training) -> Iterator[Row]:
    for composition, (kind, drop) in product(named(made, 3), KINDS.items()):
        if kind != "splice" or of.arm in CODED:
            row = {**of.about, "composition": composition, "kind": kind, "intact": 0.6, "score": 0.6 * (1 - drop)}
            yield row | {"drop": drop + of.gain, "variance": 1.2 * drop}


def cka(made: Made, of: Training) -> Row:
    found: Row = {}
    for split in ("train", "unseen"):
        tasks = np.array([[1 - 0.1 * depth - 0.01 * task for task in range(made.compositions)]
                          for depth in range(len(of.layers))])  # fmt: skip
        found |= {f"{split}/tasks": tasks, f"{split}/layers": np.array(of.layers)}
        found[f"{split}/compositions"] = np.array(named(made, 3))
    return found


def units(made: Made, of: Training) -> Row:
    """A unit of each primitive that is on with it, and half as much with the next one."""
    if of.arm not in CODED:
        return {}
    names = [*NAMES, *named(made, 3)]
    on = np.array([[(name in each.split("+")) + 0.5 * (NAMES[place - 5] in each.split("+")) for each in names]
                   for place, name in enumerate(NAMES)])  # fmt: skip
    noise = np.random.default_rng(of.seed)
    pictured = {key: noise.integers(0, 4, (len(NAMES), made.pictures, 8, 8)) for key in ("grids", "targets")}
    which = np.array([[name] * made.pictures for name in NAMES])
    return {"activation": on, "compositions": np.array(names), "unit": np.arange(6), **pictured, "composition": which}


def sheets(made: Made, of: Training) -> Row:
    """Of row i of a split, i cells are wrong."""
    found: Row = {}
    for split, length in SPLITS.items():
        target = np.random.default_rng(of.seed).integers(0, 4, (made.pictures, 8, 8))
        predicted = target.copy()
        for row in range(made.pictures):
            predicted[row].ravel()[:row] = (predicted[row].ravel()[:row] + 1) % 4
        names = [named(made, length)[row % made.compositions] for row in range(made.pictures)]
        told_of = {"input": target[:, ::-1], "target": target, "predicted": predicted, "composition": np.array(names)}
        found |= {f"{split}/{key}": value for key, value in told_of.items()}
    return found


def told(of: Training) -> Iterator[Row]:
    """metrics.csv: terms of the loss that the arm has, and what an evaluation tells."""
    terms = {"task": (1.0, 1.0)} | ({"share": (0.5, 0.1)} if of.arm in SHARES else {})
    terms |= {"sae": (0.6, 0.1), "prim": (0.4, 0.5)} if of.arm in CODED else {}
    for row in course(Made(), of):
        step, decay = row["step"], float(np.exp(-row["step"] / 200))
        values = {"val_id/iou": row["iou"], "val_ood/iou": row["ood"], "h/rank": 10 + 30 * decay}
        values |= {"h/norm": 0.3 + 0.4 * decay, "h/floor": 0.2 + 0.3 * decay}
        if of.arm in CODED:
            values |= {"sae/rate": 0.05 + 0.4 * decay}
        if step:
            values |= {f"loss/{term}": scale * decay for term, (scale, _) in terms.items()}
            values |= {f"weighted/{term}": scale * weight * decay for term, (scale, weight) in terms.items()}
        for name, value in values.items():
            split, _, last = name.rpartition("/")
            yield {"training": of.name, "step": step, "time": 0.05 * step, "split": split, "name": last, "value": value}


def measured(made: Made) -> Iterator[Row]:
    """lambda = 100 and 5 a step of 100, twice that of the whole machine; flagged at the first of several moments."""
    for of, step, part in product(made.trainings, made.moments, made.parts):
        llc = (100 + step / 20 - 200 * of.gain) * (1 + (part == "whole"))
        moved, of_part = f",step={step}" * (len(made.moments) > 1), f",part={part}" * (len(made.parts) > 1)
        ill = len(made.moments) > 1 and step == made.moments[0]
        row: Row = {"task": "mcl", "point": f"{of.name}{moved}{of_part}", "sampler": "auto", "where": "all"}
        row |= {"target": "self", "at.arm": of.arm, "at.seed": of.seed, **{f"at.{k}": v for k, v in of.values.items()}}
        row |= {"at.step": step if moved else None, "at.part": part if of_part else None, "seed": of.seed, "llc": llc}
        row |= {"low": 0.95 * llc, "high": 1.05 * llc, "nbeta": 82.0, "gamma": 1.0, "n": 512}
        yield row | {"healthy": not ill, "flags": "drift" if ill else "", "known_llc": nan}


TABLES = {
    **{"runs": runs, "course": course, "zero_shot": zero_shot, "few_shot": few_shot, "adaptation": adaptation},
    **{"geometry": geometry, "probes": probes, "sparse": sparse, "causal": causal},
}
ARRAYS = {"cka": cka, "units": units, "sheets": sheets}
