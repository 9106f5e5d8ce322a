"""Settings of task=mcl, and what is refused before anything runs.

An arm is what differs between machines that are compared: `applied` puts its choices in place, and everything else,
seeds included, is the same in all of them.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from llcx.settings import at_least, one_of, positive
from llcx.tasks.generic import with_value
from llcx.tasks.mcl import model_settings
from llcx.tasks.mcl.adapters import CUES, METHODS
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.model_settings import ENCODERS, Model, Sae, Share, Weights
from llcx.tasks.mcl.verdicts import Registered

FURTHER = {  # arms that differ in more than in weights: what their weights are those of
    "shuffled": "full",  # negative control: the groups of a batch dealt at random
    "alpha0": "full",  # a check: alpha = 0, to the last bit b1
    "recurrent": "b0",  # positive control: one application a step of the program, against
    "one_shot": "b0",  # all steps at once
}
ARMS = (*model_settings.ARMS, *FURTHER)
AXES = {"alpha": "weights.alpha", "k": "share.k", "encoder": "model.encoder"}  # of a study, beside its arms
PRECISIONS = ("float32", "bfloat16", "float16")
SCRATCH = "scratch"  # of few-shot adaptation: every weight, from the start
PARTS = ("bottleneck", "whole")


@dataclass(frozen=True)
class Fit:
    """AdamW with a warm-up; a step is `accumulate` batches of groups."""

    steps: int = 500
    learning_rate: float = 0.002
    weight_decay: float = 1e-4
    warmup: int = 100  # steps over which the learning rate comes in
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])  # of AdamW
    schedule: str = "cosine"  # constant | cosine: after it the learning rate falls to 0
    clip: float = 1.0  # of the gradient's norm
    accumulate: int = 1  # batches a step; the sharing loss is of each batch
    precision: str = "float32"  # float32 | bfloat16 | float16 (cuda alone): of what torch.autocast chooses
    every: int = 50  # steps between evaluations
    rows: int = 512  # of val_id, and of val_ood, at an evaluation
    checkpoints: list[int] = field(default_factory=list)  # steps whose weights are kept too; 0: the start

    def __post_init__(self) -> None:
        one_of("task.fit.schedule", self.schedule, ("constant", "cosine"))
        one_of("task.fit.precision", self.precision, PRECISIONS)
        at_least("task.fit", 1, steps=self.steps, accumulate=self.accumulate, every=self.every, rows=self.rows)
        at_least("task.fit", 0, weight_decay=self.weight_decay, warmup=self.warmup)
        positive("task.fit", learning_rate=self.learning_rate, clip=self.clip)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"task.fit.betas must be two numbers in [0, 1), got {list(self.betas)}")
        outside = [step for step in self.checkpoints if not 0 <= step < self.steps]
        if outside:
            raise ValueError(f"task.fit.checkpoints must be steps in 0..{self.steps - 1}, got {outside[0]}")

    unit: ClassVar[str] = "step"

    @property
    def length(self) -> int:
        """Steps."""
        return self.steps

    def moments(self) -> list[tuple[str, int]]:
        """(name, step) of each snapshot, in time; beside them stands `best`."""
        return [*((self.role(step), step) for step in sorted(set(self.checkpoints))), ("final", self.steps)]

    def role(self, step: int) -> str:
        """The name of the snapshot after so many steps."""
        return "init" if step == 0 else f"step={step}"


@dataclass(frozen=True)
class FewShot:
    """Adaptation of trained machines to compositions that they have never seen."""

    compositions: int = 6  # of test_len3, a program of each
    examples: list[int] = field(default_factory=lambda: [5, 10, 20])
    stop_rows: int = 16  # that decide when to stop
    query: int = 128  # rows that are scored
    methods: list[str] = field(default_factory=lambda: ["lora", "full"])  # lora | adapter | full | scratch
    cues: list[str] = field(default_factory=lambda: ["opaque"])  # opaque (the program is kept back) | program
    steps: int = 200
    patience: int = 50  # steps without a better score of the stop rows
    every: int = 10  # steps between scores
    learning_rate: float = 0.002
    rank: int = 4  # of lora
    scale: float = 8.0  # of lora, divided by the rank
    bottleneck: int = 16  # units of adapter
    cue_steps: int = 3  # learned tokens of an opaque cue

    def __post_init__(self) -> None:
        for method in self.methods:
            one_of("task.few_shot.methods", method, (*METHODS, SCRATCH))
        for cue in self.cues:
            one_of("task.few_shot.cues", cue, CUES)
        at_least("task.few_shot", 1, compositions=self.compositions, stop_rows=self.stop_rows, query=self.query)
        at_least("task.few_shot", 1, steps=self.steps, patience=self.patience, every=self.every, rank=self.rank)
        at_least("task.few_shot", 1, bottleneck=self.bottleneck, cue_steps=self.cue_steps)
        positive("task.few_shot", learning_rate=self.learning_rate, scale=self.scale)
        if not self.examples or min(self.examples) < 1:
            raise ValueError(f"task.few_shot.examples must be numbers of rows, got {list(self.examples)}")


@dataclass(frozen=True)
class Analysis:
    """What is looked at inside of trained machines."""

    rows: int = 256  # grids, the same under one program of each composition
    compositions: int = 6  # of those trained, and as many that were not
    splits: int = 8  # of a group into halves, for the floor of distances
    controls: int = 3  # probes of labels dealt at random
    permutations: int = 1000  # of labels, for the null of matched units
    random_draws: int = 32  # random subspaces that are removed beside the shared one
    pictures: int = 8  # rows of a sheet; 0: none
    bayes: int = 0  # draws of the best that can be guessed, with data.conditioning=none; 0: not computed

    def __post_init__(self) -> None:
        at_least("task.analysis", 2, rows=self.rows, compositions=self.compositions, splits=self.splits)
        at_least("task.analysis", 1, controls=self.controls, random_draws=self.random_draws)
        at_least("task.analysis", 0, pictures=self.pictures, bayes=self.bayes)
        at_least("task.analysis", 100, permutations=self.permutations)


@dataclass(frozen=True)
class Grid:
    """Axes of a study; an empty list is no axis."""

    arm: list[str] = field(default_factory=list)
    alpha: list[float] = field(default_factory=list)
    k: list[int] = field(default_factory=list)
    encoder: list[str] = field(default_factory=list)
    part: list[str] = field(default_factory=list)  # of the learning coefficient; one training serves all

    def __post_init__(self) -> None:
        for arm in self.arm:
            one_of("task.grid.arm", arm, ARMS)
        for part in self.part:
            one_of("task.grid.part", part, PARTS)
        for encoder in self.encoder:
            one_of("task.grid.encoder", encoder, ENCODERS)


@dataclass(frozen=True)
class MCL:
    """Machines that run programs on grids, with and without a loss that makes tasks share a subspace."""

    model: Model = field(default_factory=Model)
    sae: Sae = field(default_factory=Sae)
    share: Share = field(default_factory=Share)
    weights: Weights = field(default_factory=Weights)
    data: Data = field(default_factory=Data)
    fit: Fit = field(default_factory=Fit)
    few_shot: FewShot = field(default_factory=FewShot)
    analysis: Analysis = field(default_factory=Analysis)
    verdicts: Registered = field(default_factory=Registered)
    grid: Grid = field(default_factory=Grid)
    arm: str = "full"  # b0 | b1 | b2 | b3 | full | shuffled | alpha0 | recurrent | one_shot
    moments: list[str] = field(default_factory=lambda: ["final"])  # of fit.checkpoints, where the LLC is asked
    part: str = "bottleneck"  # of the machine, whose LLC is asked: bottleneck (all else frozen) | whole
    llc_rows: int = 512  # of the training stream that it is measured on, the same for all arms of a seed
    seeds: int = 1
    name: str = "mcl"
    STAGES: ClassVar[tuple[str, ...]] = ("zero_shot", "few_shot", "analysis")

    def __post_init__(self) -> None:
        one_of("task.arm", self.arm, ARMS)
        one_of("task.part", self.part, PARTS)
        at_least("task", 1, seeds=self.seeds)
        at_least("task", 2, llc_rows=self.llc_rows)
        for moment in self.moments:
            one_of("task.moments", moment, tuple(name for name, _ in self.fit.moments()))


def applied(cfg: MCL) -> MCL:
    """`cfg` with its arm's choices in place of its own."""
    weights = model_settings.applied(cfg.weights, FURTHER.get(cfg.arm, cfg.arm))
    share, model = cfg.share, cfg.model
    if cfg.arm == "shuffled":
        share = replace(share, labels="shuffled")
    if cfg.arm == "alpha0":
        weights = replace(weights, alpha=0.0)
    if cfg.arm in ("recurrent", "one_shot"):
        model = replace(model, encoder="recurrent" if cfg.arm == "recurrent" else "transformer")
    sae = model_settings.in_effect(cfg.sae, weights)
    return replace(cfg, model=model, sae=sae, share=share, weights=weights)


def touched(arm: str) -> tuple[str, ...]:
    """The axes that make a difference to an arm: b0 has no alpha, recurrent an encoder of its own."""
    values = {"alpha": (0.1, 0.2), "k": (4, 8), "encoder": ENCODERS[:2]}
    cfg = MCL(arm=arm)
    both = {axis: [applied(with_value(cfg, AXES[axis], value)) for value in pair] for axis, pair in values.items()}
    return tuple(axis for axis, (one, other) in both.items() if one != other)
