"""A task for tests of the runner: quadratic losses, whose learning coefficient is P/2, and failures on demand.

`python -m tests.toys ...` is `python train.py ...` with it; TOY_KILL=point=2 or TOY_KILL=step=3 kills it there.
"""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from llcx.registry import TASKS
from llcx.types import (
    Data,
    Event,
    Known,
    Left,
    Point,
    Snapshots,
    Spec,
    State,
    StatModel,
    Streams,
    Study,
    Tables,
    Training,
)


@dataclass(frozen=True)
class ToyModel:
    width: int = 3
    name: str = "toy"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"task.model.width must be >= 1, got {self.width}")


@dataclass(frozen=True)
class Toy:
    """`nets` points, or those of `trainings` trainings, each an ensemble of `members`."""

    model: ToyModel = ToyModel()
    nets: int = 1
    fails: list[int] = field(default_factory=list)  # points that cannot be built
    trainings: int = 0
    breaks: list[int] = field(default_factory=list)  # trainings that stop after the first snapshot
    members: int = 1
    steps: int = 6
    grid: dict[str, list[float]] = field(default_factory=dict)
    scale: float | None = None
    name: str = "toy"
    STAGES: ClassVar[tuple[str, ...]] = ("first", "second")

    def __post_init__(self) -> None:
        if self.nets < 1:
            raise ValueError(f"task.nets must be >= 1, got {self.nets}")


class ToyTask:
    name = "toy"

    def __init__(self, cfg: Toy, streams: Streams) -> None:
        self.cfg, self.streams = cfg, streams

    def trainings(self) -> tuple[Training, ...]:
        return tuple(self._training(k) for k in range(self.cfg.trainings))

    def points(self) -> tuple[Spec, ...]:
        if not self.cfg.trainings:
            return tuple(Spec(f"net={k}", {"net": k}) for k in range(self.cfg.nets))
        return tuple(
            Spec(f"training={k},member={m},{role}", {"training": k, "member": m}, f"training={k}", f"{role}/{m}")
            for k in range(self.cfg.trainings)
            for role in ("init", "final")
            for m in range(self.cfg.members)
        )

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        kill(spec.name.replace("net", "point"))
        if spec.coords.get("net") in self.cfg.fails:
            raise ArithmeticError(f"net {spec.coords['net']} cannot be built; it was told not to")
        module = nn.Linear(self.cfg.model.width, 1, bias=False)
        if snapshot is None:
            at = torch.randn(1, self.cfg.model.width, generator=self.streams.generator(spec.name))
        else:
            at = torch.as_tensor(snapshot["w"])
        module.load_state_dict({"weight": at.reshape(1, -1)})
        x = torch.zeros(4, self.cfg.model.width)
        half = self.cfg.model.width / 2
        known = Known(half, 1, at=lambda nbeta, gamma: half * nbeta / (nbeta + gamma), reference="P/2")
        model = StatModel(module, nll, closed={"data": lambda w: 0.5 * (w - at.reshape(1, -1).to(w)).square().sum(1)})
        return Point(spec.name, spec.coords, model, Data((x, x), 4, "population"), known)

    def studies(self) -> tuple[Study, ...]:
        """The second counts what the first left."""

        def first(part: str, snapshot: Snapshots, left: Left) -> Tables:
            kill(f"part={part}")
            final = snapshot("training=0", "final/0")
            row = {"part": part, "trained": final is not None, "before": len(left("first"))}
            return Tables({"first": [row]}, {"parts": {part: [1]}}, documents={"parts": {part: {"held": [1, None]}}})

        def second(part: str, snapshot: Snapshots, left: Left) -> Tables:
            return Tables({part: [{"rows": len(left("first"))}]})

        return Study("first", ("a", "b"), first), Study("second", ("counts",), second)

    def analyse(self, rows: list[dict[str, str]], snapshot: Snapshots) -> Tables:
        table = [{"point": row["point"], "llc": row["llc"]} for row in rows]
        return Tables({"points": table}, {"sizes": {"n": [len(rows)]}})

    def _training(self, k: int) -> Training:
        def start() -> State:
            w = torch.randn(self.cfg.members, self.cfg.model.width, generator=self.streams.generator(f"init {k}"))
            return {"w": w, "step": 0}

        def steps(state: State) -> Iterator[Event]:
            w, step = torch.as_tensor(state["w"]), int(state["step"])
            while step < self.cfg.steps:
                if step == 0:
                    yield Event({"w": w, "step": 0}, 0, {}, members("init", w))
                step += 1
                if k in self.cfg.breaks:
                    raise FloatingPointError(f"training {k} diverged at step {step}")
                kill(f"step={step}")
                noise = torch.randn(w.shape, generator=self.streams.generator(f"fit {k} {step}"))
                w = 0.9 * w + 0.1 * noise
                last = step == self.cfg.steps
                metrics = {"train/loss": float(w.square().sum()), "norm": float(w.norm())}
                yield Event({"w": w, "step": step}, step, metrics, members("final", w) if last else {})

        return Training(f"training={k}", self.cfg.steps, start, steps)


def members(role: str, w: Tensor) -> dict[str, State]:
    """One snapshot a member of the ensemble."""
    return {f"{role}/{m}": {"w": row} for m, row in enumerate(w)}


def nll(output: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
    return (output - batch[1][..., :1]).square().sum(-1)


def kill(here: str) -> None:
    if os.environ.get("TOY_KILL") == here:
        os.kill(os.getpid(), signal.SIGKILL)


def build(cfg: Toy, streams: Streams) -> ToyTask:
    return ToyTask(cfg, streams)


if __name__ == "__main__":
    from llcx.main import main
    from tests import toys  # by its name: pickles and schemas refer to it

    TASKS.register("toy", toys.Toy)(toys.build)
    sys.exit(main())
