"""Generic training: first-order methods and L-BFGS on a module's loss, resumable at every event, bit for bit.

Minibatches and noise (dropout, a random loss) are functions of (seed, step): each epoch is a permutation from its own
stream, and each step seeds torch's global generator and restores it. So no generator needs to be saved: a state holds
the module's and the optimiser's tensors, the step, and of a training that is watched its course so far.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import cos, isfinite, pi
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from llcx import course, rng
from llcx.course import Course, Watch
from llcx.settings import one_of
from llcx.types import Data, Event, Rows, State, StatModel, Streams, Training

OPTIMIZERS = ("adam", "sgd", "lbfgs")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Fit:
    """How w* is found."""

    optimizer: str = "adam"  # adam | sgd | lbfgs
    learning_rate: float = 0.01  # of the first step; lbfgs: of its line search, 1 is natural
    steps: int = 2000
    epochs: int | None = None  # passes over the rows instead of steps; then every and checkpoints count epochs too
    batch_size: int | None = None  # rows a step; null: all of them, or the exact loss where there is one
    momentum: float = 0.9  # sgd alone
    schedule: str = "constant"  # constant | cosine: the learning rate falls to 0
    every: int = 100  # steps (or epochs) between entries of metrics.csv, at which a killed training goes on
    checkpoints: list[int] = field(default_factory=list)  # steps (or epochs) whose weights are points too; 0: the start

    def __post_init__(self) -> None:
        one_of("task.fit.optimizer", self.optimizer, OPTIMIZERS)
        one_of("task.fit.schedule", self.schedule, SCHEDULES)
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"task.fit.learning_rate must be > 0, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"task.fit.momentum must be in [0, 1), got {self.momentum}")
        for key in ("steps", "epochs", "every", "batch_size"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise ValueError(f"task.fit.{key} must be >= 1, got {getattr(self, key)}")
        if self.optimizer == "lbfgs" and self.batch_size is not None:
            raise ValueError(
                f"task.fit.batch_size must be null with lbfgs, got {self.batch_size}; it needs the whole loss"
            )
        outside = [moment for moment in self.checkpoints if not 0 <= moment < self.length]
        if outside:
            raise ValueError(
                f"task.fit.checkpoints must be {self.unit}s in 0..{self.length - 1}, got {outside[0]}; "
                f"the weights after the last {self.unit} are always kept"
            )

    @property
    def unit(self) -> str:
        """What `length`, `every` and `checkpoints` count: step or epoch."""
        return "step" if self.epochs is None else "epoch"

    @property
    def length(self) -> int:
        """Of the training, in its unit."""
        return self.steps if self.epochs is None else self.epochs

    def moments(self) -> list[tuple[str, int]]:
        """(name, time) of each snapshot, in time."""
        return [*((self.role(moment), moment) for moment in sorted(set(self.checkpoints))), ("final", self.length)]

    def role(self, moment: int) -> str:
        """The name of the snapshot after so many steps or epochs."""
        return "init" if moment == 0 else f"{self.unit}={moment}"


class Objective(NamedTuple):
    """What is minimised: nats an example, as a scalar."""

    loss: Callable[[nn.Module, Tensor | None], Tensor]  # (module, row numbers [B], None: all) -> mean over them
    rows: int  # how many there are; 0: the loss is exact and has none


def empirical(model: StatModel, data: Data) -> Objective:
    """The mean negative log likelihood over rows of `data`."""
    train = data.train
    count = train.total if isinstance(train, Rows) else len(torch.utils._pytree.tree_leaves(train)[0])

    def loss(module: nn.Module, rows: Tensor | None) -> Tensor:
        if isinstance(train, Rows):
            batch = train.take(torch.arange(count) if rows is None else rows)
        else:
            batch = train if rows is None else tree_map(lambda leaf: leaf.index_select(0, rows), train)
        output = module(batch[0]) if model.forward is None else model.forward(module, batch)
        return model.nll(output, batch).mean()

    return Objective(loss, count)


def training(
    name: str,
    module: Callable[[], nn.Module],
    objective: Callable[[], Objective],
    cfg: Fit,
    streams: Streams,
    *,
    watch: Callable[[], Watch] | None = None,
) -> Training:
    """The training of `module()`, its initial weights included, on `objective()`; all are built when it starts.

    Its snapshots are those of `cfg.moments()`; its events count in `cfg.unit`, and the loss of each is the mean over
    the last one. Raises FloatingPointError where the loss is no longer finite.

    One that is watched has an event at the start too, tells at each what `watch()` finds, and leaves its course as one
    more snapshot (llcx.course). A loss that is not finite is then its end, without a final snapshot.
    """

    def start() -> State:
        fresh = module()
        return saved(fresh, _optimizer(fresh, cfg), 0)

    def steps(state: State) -> Iterator[Event]:
        run = _Run(module(), objective(), cfg, streams, state, None if watch is None else watch())
        if run.clock == 0 and (0 in cfg.checkpoints if run.course is None else not run.course.begun):
            yield run.event({})
        while run.clock < cfg.length:
            losses = run.unit()
            if not isfinite(losses[-1]):
                if run.course is None:
                    raise FloatingPointError(
                        f"training {name}: loss {losses[-1]} at step {run.step}; lower task.fit.learning_rate"
                    )
                yield Event(run.state(), run.clock, {}, {course.ROLE: run.course.told(ended=False)})
                return
            if run.clock % cfg.every == 0 or run.clock in (moment for _, moment in cfg.moments()):
                yield run.event({"loss": fmean(losses), "gradient": _norm(run.module), "learning_rate": run.rate})

    return Training(name, cfg.length, start, steps)


class _Run:
    """A training under way, from where `state` left it."""

    def __init__(
        self, module: nn.Module, aim: Objective, cfg: Fit, streams: Streams, state: State, watch: Watch | None
    ) -> None:
        self.module, self.aim, self.cfg, self.streams = module, aim, cfg, streams
        self.optimizer = _optimizer(module, cfg)
        restore(state, module, self.optimizer)
        self.batches = _Batches(aim.rows, cfg.batch_size, streams)
        self.each = 1 if cfg.epochs is None else self.batches.per_epoch  # steps of a unit
        self.clock = int(state["step"])  # units
        self.step, self.rate = self.clock * self.each, 0.0
        self.course = None if watch is None else Course(watch, state)

    def unit(self) -> list[float]:
        """Losses of the steps of one unit, the last of them where one is not finite."""
        losses: list[float] = []
        while len(losses) < self.each and (not losses or isfinite(losses[-1])):
            with rng.seeded(self.streams.generator(f"fit/step/{self.step}")):
                self.rate = _rate(self.cfg, self.step / (self.each * self.cfg.length))
                loss = partial(self.aim.loss, self.module, self.batches(self.step))
                losses.append(_step(loss, self.optimizer, self.rate))
            self.step += 1
            if self.course:
                self.course.step(losses[-1], _norm(self.module))
        self.clock += 1
        return losses

    def event(self, told: Mapping[str, float]) -> Event:
        """Now: what is told, what the watch finds, and the snapshots that are due."""
        kept = {role: weights(self.module) for role, moment in self.cfg.moments() if moment == self.clock}
        if self.course:
            told = {**told, **self.course.event(self.module)}
            if self.clock == self.cfg.length:
                kept[course.ROLE] = self.course.told(ended=True)
        return Event(self.state(), self.clock, told, kept)

    def state(self) -> State:
        """Everything that the next step depends on."""
        return saved(self.module, self.optimizer, self.clock) | (self.course.state() if self.course else {})


def weights(module: nn.Module) -> State:
    """A copy of a module's parameters and buffers, by name."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _rate(cfg: Fit, done: float) -> float:
    """Learning rate after the share `done` of all steps."""
    return cfg.learning_rate * (1.0 if cfg.schedule == "constant" else 0.5 * (1 + cos(pi * done)))


def _norm(module: nn.Module) -> float:
    """Norm of the last step's gradient."""
    return float(torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm())


def _optimizer(module: nn.Module, cfg: Fit) -> torch.optim.Optimizer:
    trainable = [p for p in module.parameters() if p.requires_grad]
    if cfg.optimizer == "adam":
        return torch.optim.Adam(trainable, lr=cfg.learning_rate)
    if cfg.optimizer == "sgd":
        return torch.optim.SGD(trainable, lr=cfg.learning_rate, momentum=cfg.momentum)
    return torch.optim.LBFGS(  # a step is one iteration with its line search, of at most 25 evaluations
        trainable,
        lr=cfg.learning_rate,
        max_iter=1,
        max_eval=26,
        tolerance_change=0,
        tolerance_grad=0,
        line_search_fn="strong_wolfe",
    )


def _step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, rate: float) -> float:
    """One step; the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = rate

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    return float(optimizer.step(closure))


class _Batches:
    """Row numbers of a step: epoch after epoch, each a permutation of all rows from its own stream."""

    def __init__(self, rows: int, batch_size: int | None, streams: Streams) -> None:
        self.rows, self.size, self.streams = rows, batch_size, streams
        self._epoch, self._order = -1, torch.empty(0)

    @property
    def per_epoch(self) -> int:
        """Steps; 1 where a step sees all rows."""
        return 1 if self.size is None else max(1, self.rows // self.size)

    def __call__(self, step: int) -> Tensor | None:
        if self.size is None or self.rows == 0:
            return None
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = self.streams.generator(f"fit/{epoch}")
            self._epoch, self._order = epoch, torch.randperm(self.rows, generator=generator)
        return self._order[place * self.size : (place + 1) * self.size]


def saved(module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> State:
    """Everything that the next step depends on, flat; lists become numbered entries."""
    state: State = {"step": step}
    state |= {f"module.{name}": tensor for name, tensor in weights(module).items()}
    for index, slots in optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            many = isinstance(value, list)
            for place, part in enumerate(value if many else [value]):
                if part is not None and slot != "al":  # scratch space of L-BFGS, written before it is read
                    copied = part.clone() if isinstance(part, Tensor) else part
                    state[f"optimizer.{index}.{slot}" + f".{place}" * many] = copied
    return state


def restore(state: State, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put `saved`'s state back."""
    cut = len("module.")
    module.load_state_dict({name[cut:]: value for name, value in state.items() if name.startswith("module.")})
    slots: dict[int, dict[str, Any]] = {}
    for name, value in state.items():
        kind, *path = name.split(".")
        if kind == "optimizer":
            own = slots.setdefault(int(path[0]), {})
            value = value.clone() if isinstance(value, Tensor) else value
            if len(path) == 2:
                own[path[1]] = value
            else:
                own.setdefault(path[1], []).append(value)
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
