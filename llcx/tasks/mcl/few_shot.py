"""Adapting a trained machine to programs of compositions that it was never trained on, from a few of their rows.

Adam on the task's loss of n rows, all at once. Other rows of the same program, which nothing is fitted to, decide when
to stop; a third set is scored. The first n of 20 rows are the n rows, so that more examples are more of the same.

few_shot    a row a composition, method, cue and n: scores where the stop rows did best
adaptation  a row a score along the way

scratch starts from the weights that training started from. What does not move before the bottleneck is worked out once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.mcl import adapters, losses
from llcx.tasks.mcl.adapters import Adaptation
from llcx.tasks.mcl.batches import Sample
from llcx.tasks.mcl.built import inputs, machine_of
from llcx.tasks.mcl.losses import Scores
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.model_settings import Weights
from llcx.tasks.mcl.programs import Composition, name
from llcx.tasks.mcl.prompts import Inputs, trimmed
from llcx.tasks.mcl.schema import SCRATCH, FewShot
from llcx.tasks.mcl.trained import Row, Trained
from llcx.types import Tables

Logits = Float[Tensor, "B C 8 8"]
Predict = Callable[[slice], Logits]  # of those rows of an episode


class Check(NamedTuple):
    """Scores after so many steps."""

    step: int
    stop: float  # macro IoU of the rows that decide
    query: dict[str, float]  # means of losses.Scores


@dataclass(frozen=True)
class Episode:
    """Rows of one program: those to learn from first, then those that decide, then those that are scored."""

    rows: Sample
    most: int  # rows to learn from
    stop: int  # rows that decide
    seen: Inputs
    colours: int

    def check(self, predict: Predict, step: int) -> Check:
        held, cut = slice(self.most, None), self.stop
        with torch.no_grad():
            predicted = predict(held).argmax(1)
        scores = losses.scores(predicted, self.rows.target[held], self.rows.input[held], self.colours)
        query = Scores(*(each[cut:] for each in scores)).means()
        return Check(step, float(scores.macro_iou[:cut].mean()), query)

    def copied(self) -> float:
        """Macro IoU of the query's inputs."""
        query = slice(self.most + self.stop, None)
        return float(losses.macro_iou(self.rows.input[query], self.rows.target[query], self.colours).mean())


def tables(trained: Trained) -> Tables:
    """Of every composition, method, cue and number of examples."""
    cfg, fits, paths = trained.cfg.few_shot, list[Row](), list[Row]()
    for composition in compositions(trained):
        of = episode(trained, composition)
        for method, cue, n in product(cfg.methods, cfg.cues, cfg.examples):
            about = {**trained.about, "composition": name(composition), "method": method, "cue": cue, "n": n}
            machine = movable(trained, composition, method, cue)
            checks = adapted(machine, of, n, cfg, trained.cfg.weights)
            fits.append({**about, **told(checks), "copy_iou": of.copied(), "trainable": adapters.trainable(machine)})
            paths += [{**about, "step": each.step, "iou": each.query["macro_iou"]} for each in checks]
    return Tables({"few_shot": fits, "adaptation": paths} if fits else {})


def compositions(trained: Trained) -> list[Composition]:
    """Some that were never trained, the same for all arms of a seed."""
    there = trained.sets.splits[trained.unseen]
    order = torch.randperm(len(there), generator=trained.streams.generator("few_shot/compositions"))
    return [there[place] for place in sorted(order[: trained.cfg.few_shot.compositions].tolist())]


def episode(trained: Trained, composition: Composition) -> Episode:
    cfg, data = trained.cfg.few_shot, trained.cfg.data
    most = max(cfg.examples)
    rows = trained.sets.episode(composition, 0, most + cfg.stop_rows + cfg.query)
    return Episode(rows, most, cfg.stop_rows, trimmed(inputs(rows, data.conditioning)), data.colours)


def movable(trained: Trained, composition: Composition, method: str, cue: str) -> Machine:
    """A copy of the machine, of which what the method says may move; what is new in it is the same for all arms."""
    cfg, scratch = trained.cfg.few_shot, method == SCRATCH
    what = "full" if scratch else method
    asked = Adaptation(what, cue, rank=cfg.rank, scale=cfg.scale, bottleneck=cfg.bottleneck, cue_steps=cfg.cue_steps)
    start = machine_of(trained.cfg, trained.streams).eval() if scratch else trained.machine
    generator = trained.streams.generator(f"few_shot/{name(composition)}/{what}/{cue}")
    return adapters.adapted(start, asked, generator)


def adapted(machine: Machine, of: Episode, n: int, cfg: FewShot, weights: Weights) -> list[Check]:
    """Scores from step 0 on, until `patience` steps brought no better one of the stop rows; the machine has moved."""
    predict, learned = predictor(machine, of.seen), slice(n)
    optimizer = torch.optim.Adam(list(adapters.moving(machine).values()), lr=cfg.learning_rate, fused=True)
    checks = [of.check(predict, 0)]
    for step in range(1, cfg.steps + 1):
        optimizer.zero_grad()
        losses.task(weights, predict(learned), of.rows.target[learned]).backward()
        optimizer.step()
        if step % cfg.every == 0 or step == cfg.steps:
            checks.append(of.check(predict, step))
            if step - best(checks).step >= cfg.patience:
                break
    return checks


def predictor(machine: Machine, seen: Inputs) -> Predict:
    """Logits of rows as the machine is now."""
    if any(p.requires_grad for part in (machine.prompt, machine.encoder) for p in part.parameters()):
        return lambda rows: machine.predict(_some(seen, rows))
    with torch.no_grad():
        pooled = machine.encode(seen).pooled
    return lambda rows: machine.decoder(machine.latent(pooled[rows]))


def best(checks: list[Check]) -> Check:
    """The first of the best."""
    return max(checks, key=lambda check: check.stop)


def told(checks: list[Check]) -> Row:
    """Of an adaptation: scores where it was best, those of the query, and how long it went on."""
    found = best(checks)
    scores = {"iou": found.query["macro_iou"], "exact": found.query["exact"], "accuracy": found.query["accuracy"]}
    return {**scores, "stop_iou": found.stop, "best_step": found.step, "steps": checks[-1].step}


def _some(seen: Inputs, rows: slice) -> Inputs:
    of = {name: leaf[rows] for name, leaf in seen._asdict().items() if leaf is not None}
    return seen._replace(**of)
