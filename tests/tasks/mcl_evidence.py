"""Tables of runs of task=mcl as they would be if the effects were known."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np
from numpy.random import Generator

from llcx.tasks.mcl.contrasts import Evidence

Row = dict[str, Any]
COMPOSITIONS = [f"c{number:02d}" for number in range(12)]
LAYERS = ("patch", "enc1", "enc2", "h", "z")


@dataclass(frozen=True)
class World:
    """What each arm has beyond b0; arms that are not named have nothing."""

    iou: dict[str, float]  # of zero-shot IoU and exact match
    adapts: dict[str, float]  # of few-shot IoU; and as a share of steps saved
    trains: dict[str, float]  # share of steps saved
    dearer: dict[str, float]  # share of seconds a step more
    alike: dict[str, float]  # of CKA, and less of distance, at every layer
    probe: dict[str, float]
    units: dict[str, float]  # probability that a primitive has one
    used: dict[str, float]  # drop of the shared subspace beyond a random one's
    noise: float = 0.02


def world(**beyond: dict[str, float]) -> World:
    usual: dict[str, Any] = {name: {} for name in World.__annotations__ if name != "noise"}
    usual["units"] = {"full": 0.3, "b1": 0.3}
    return World(**(usual | beyond))


def evidence(
    of: World,
    *tables: str,
    arms: tuple[str, ...] = ("b0", "b1", "full"),
    seeds: int = 5,
    start: int = 0,
) -> Evidence:
    """Of one study: these tables and the runs, or all tables; another `start`, another study."""
    made = _Study(of, np.random.default_rng(start))
    runs = [(arm, seed) for seed in range(seeds) for arm in arms]
    names = ("runs", *tables) if tables else Evidence.__annotations__
    return Evidence(**{name: [row for run in runs for row in getattr(made, name)(*run)] for name in names})


class _Study:
    def __init__(self, of: World, generator: Generator) -> None:
        self.of, self.generator = of, generator

    def normal(self, scale: float | None = None) -> float:
        return float(self.generator.normal()) * (self.of.noise if scale is None else scale)

    def runs(self, arm: str, seed: int) -> Iterator[Row]:
        shares = {"shares": 1, "groups_min": 4, "gradient_min": 0.01} if arm in ("full", "shuffled") else {"shares": 0}
        rank = {"erank": 20 + self.normal()}
        yield {"arm": arm, "seed": seed, "val_iou": 0.8, "copy_iou": 0.3, "overlap": 0, **rank, **shares}

    def zero_shot(self, arm: str, seed: int) -> Iterator[Row]:
        own = self.of.iou.get(arm, 0) + self.normal(self.of.noise / 2)
        for split in ("test_len3", "test_pair"):
            for composition in COMPOSITIONS:
                row = {"arm": arm, "seed": seed, "split": split, "composition": composition}
                yield row | {"iou": 0.5 + own + self.normal(), "exact": 0.1 + own + self.normal()}

    def few_shot(self, arm: str, seed: int) -> Iterator[Row]:
        for row in self._fits(arm, seed):
            gain = {5: 0.0, 10: 0.1, 20: 0.2}[row["n"]] * (1 if row["method"] == "lora" else 0.5)
            yield row | {"iou": 0.5 + gain + self.of.adapts.get(arm, 0) + self.normal(), "copy_iou": 0.3}

    def adaptation(self, arm: str, seed: int) -> Iterator[Row]:
        """They come to .65 at 100 steps, or earlier by what is saved."""
        for row in self._fits(arm, seed):
            speed = 1 / (1 - self.of.adapts.get(arm, 0)) * exp(self.normal())
            for step in (0, 50, 100, 150, 200, 300, 500):
                yield row | {"step": step, "iou": min(0.3 + 0.35 * speed * step / 100, 0.7)}

    def course(self, arm: str, seed: int) -> Iterator[Row]:
        speed = 1 / (1 - self.of.trains.get(arm, 0)) * exp(self.normal())
        for step in range(0, 1001, 100):
            iou = 0.3 + 0.5 * (1 - exp(-speed * step / 300))
            row = {"arm": arm, "seed": seed, "step": step, "iou": iou, "ood": 0.9 * iou + self.of.iou.get(arm, 0)}
            yield row | {"seconds": 0.05 * step * (1 + self.of.dearer.get(arm, 0))}

    def geometry(self, arm: str, seed: int) -> Iterator[Row]:
        own = self.of.alike.get(arm, 0) + self.normal()
        for layer in LAYERS:
            for split in ("train", "unseen"):
                for task in range(6):
                    row = {"arm": arm, "seed": seed, "layer": layer, "split": split, "task": task}
                    yield row | {"cka": 0.4 + own + self.normal(), "grassmann": 0.5 - own + self.normal()}

    def probes(self, arm: str, seed: int) -> Iterator[Row]:
        for layer in LAYERS:
            for primitive in range(6):
                row = {"arm": arm, "seed": seed, "layer": layer, "primitive": primitive}
                yield row | {"auroc": 0.8 + self.of.probe.get(arm, 0) + self.normal()}

    def sparse(self, arm: str, seed: int) -> Iterator[Row]:
        for primitive in range(6 * (arm != "b0")):
            found = self.generator.uniform() < self.of.units.get(arm, 0)
            yield {"arm": arm, "seed": seed, "primitive": primitive, "significant": int(found), "null": 0.01}

    def causal(self, arm: str, seed: int) -> Iterator[Row]:
        for composition in COMPOSITIONS:
            drops = {"random": 0.1, "shared": 0.1 + self.of.used.get(arm, 0), "rows": 0.2, "total": 0.3}
            for kind, drop in drops.items():
                row = {"arm": arm, "seed": seed, "composition": composition, "kind": kind}
                yield row | {"drop": drop + self.normal()}

    def _fits(self, arm: str, seed: int) -> Iterator[Row]:
        for composition in COMPOSITIONS[:3]:
            for method in ("lora", "full"):
                for n in (5, 10, 20):
                    fit = {"composition": composition, "method": method, "cue": "opaque", "n": n}
                    yield {"arm": arm, "seed": seed, **fit}
