"""Training a machine: batches of groups, AdamW, the loss of an arm; resumable at every event, bit for bit on a CPU.

What is random at a step (positions, dropout, dealt groups) is a function of (seed, step); a state holds the machine,
the optimiser, the loss's own state, how often each group was visited, and the course. Seconds are told apart by what
they went into: data, forward pass, loss, backward pass, autoencoder. Evaluations are in none of them. They are seconds
of the processor, over all its cores: another job on the machine does not decide which arm takes less.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import cos, inf, isfinite, nan, pi
from time import process_time

import torch
from torch import Tensor, nn

from llcx import course, rng
from llcx.course import Course
from llcx.fit import restore, saved, weights
from llcx.flat import part, within
from llcx.tasks.mcl import losses, schema
from llcx.tasks.mcl.batches import Sample
from llcx.tasks.mcl.built import inputs, machine_of, sets_of
from llcx.tasks.mcl.machine import Machine, Outputs
from llcx.tasks.mcl.manager import Labels, LossManager, Terms, gradient_shares
from llcx.tasks.mcl.prompts import trimmed
from llcx.types import Event, State, Streams, Training

BEST = "best"  # the snapshot with the highest macro IoU of val_id
CHUNK = 512
VALIDATION = ("val_id", "val_ood")

Clock = Callable[[], float]


def training(name: str, cfg: schema.MCL, streams: Streams, *, clock: Clock = process_time) -> Training:
    """Of `cfg` with its arm in place. Raises FloatingPointError where the loss is no longer finite."""
    cfg = schema.applied(cfg)

    def start() -> State:
        machine = machine_of(cfg, streams)
        return saved(machine, _optimizer(machine, cfg.fit), 0)

    def steps(state: State) -> Iterator[Event]:
        run = Run(cfg, streams, state, clock)
        if run.step == 0 and not run.course.begun:
            yield run.event({})
        while run.step < cfg.fit.steps:
            told = run.advance()
            if not isfinite(told["loss/total"]):
                raise FloatingPointError(
                    f"training {name}: loss {told['loss/total']} at step {run.step}; lower task.fit.learning_rate"
                )
            if run.step % cfg.fit.every == 0 or run.step in (moment for _, moment in cfg.fit.moments()):
                yield run.event(told)

    return Training(name, cfg.fit.steps, start, steps)


class Run:
    """A training under way, from where `state` left it."""

    def __init__(self, cfg: schema.MCL, streams: Streams, state: State, clock: Clock) -> None:
        self.cfg, self.streams, self.sets = cfg, streams, sets_of(cfg, streams)
        self.machine = machine_of(cfg, streams)
        self.manager = LossManager(cfg.weights, cfg.share, cfg.model.latent, streams)
        self.optimizer = _optimizer(self.machine, cfg.fit)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=cfg.fit.precision == "float16")
        self.sampler = self.sets.sampler()
        restore(state, self.machine, self.optimizer)
        self.step = int(state["step"])
        self.course = Course(self._watch, state)
        self.spent = Spent(clock, part("spent", state))
        self.best = float(state.get("best", -inf))
        self.least = {"share/groups": nan, "gradient/share": nan}  # since the last event
        if self.course.begun:  # not where the state is that of `start`
            self.manager.load_state_dict(part("manager", state))
            self.scaler.load_state_dict(part("scaler", state))
            self.sampler.load_state_dict(part("sampler", state))

    @property
    def device(self) -> torch.device:
        return self.machine.head.weight.device

    def advance(self) -> dict[str, float]:
        """One optimiser step, and what it tells."""
        fit = self.cfg.fit
        rate = _rate(fit, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.machine.train()
        self.optimizer.zero_grad()
        told: dict[str, float] = {}
        codes = []
        with rng.seeded(self.streams.generator(f"fit/step/{self.step}")):
            for turn in range(fit.accumulate):
                out, terms = self._batch(turn)
                told = self._told(out, terms)
                with self.spent("backward"):
                    self.scaler.scale(terms.total / fit.accumulate).backward()
                codes.append(out.codes)
        with self.spent("backward"):
            norm = self._update()
        with self.spent("sae"):
            for each in codes if self.manager.at(self.step)["sae"] > 0 else []:
                self.machine.sae.observe(each)
        self.step += 1
        self.course.step(told["loss/total"], norm)
        return {**told, "gradient": norm, "learning_rate": rate}

    def event(self, told: Mapping[str, float]) -> Event:
        """Now: what is told, an evaluation, and the snapshots that are due."""
        found = self.course.event(self.machine)
        self.least = dict.fromkeys(self.least, nan)
        kept = {role: weights(self.machine) for role, moment in self.cfg.fit.moments() if moment == self.step}
        if self.step > 0 and found["val_id/iou"] > self.best:
            self.best = found["val_id/iou"]
            kept[BEST] = weights(self.machine)
        if self.step == self.cfg.fit.steps:
            kept[course.ROLE] = self.course.told(ended=True)
        return Event(self.state(), self.step, {**found, **told, **self.spent.told()}, kept)

    def state(self) -> State:
        """Everything that the next step depends on, and what was spent."""
        state = saved(self.machine, self.optimizer, self.step) | self.course.state() | {"best": self.best}
        state |= within("manager", weights(self.manager)) | within("scaler", self.scaler.state_dict())
        return state | within("sampler", self.sampler.state_dict()) | within("spent", self.spent.seconds)

    def _batch(self, turn: int) -> tuple[Outputs, Terms]:
        """The next batch through the machine, and its loss."""
        with self.spent("data"):
            batch = self.sets.train.take(torch.tensor(next(self.sampler)))
            seen = trimmed(inputs(batch, self.cfg.data.conditioning))
            seen = self.machine.randomised(seen, self.streams.generator(f"fit/positions/{self.step}/{turn}"))
        with self.spent("forward"), self._autocast():
            out = self.machine(seen)
        with self.spent("loss"), self._autocast():
            labels = Labels(batch.target, batch.primitives, batch.group_id)
            terms = self.manager(self.machine, out, labels, self.step)
        return out, terms

    def _told(self, out: Outputs, terms: Terms) -> dict[str, float]:
        """Losses and metrics of a batch; now and then how much of the gradient on h is each term's."""
        told = terms.told()
        if "share" in terms.weighted:
            self._note("share/groups", terms.metrics["share/groups"])
        if self.manager.looks(self.step):
            told |= gradient_shares(terms.weighted, out.h)
            if "gradient/share" in told:
                self._note("gradient/share", told["gradient/share"])
        return told

    def _note(self, name: str, value: float) -> None:
        """The least since the last event."""
        self.least[name] = value if not self.least[name] <= value else self.least[name]

    def _update(self) -> float:
        """The optimiser's step; the gradient's norm before it was clipped."""
        self.scaler.unscale_(self.optimizer)
        parameters = [p for p in self.machine.parameters() if p.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(parameters, self.cfg.fit.clip))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    def _watch(self, machine: nn.Module) -> dict[str, float | Tensor]:
        """How well rows of the validation splits are predicted, what h is like, and what sharing was doing."""
        assert isinstance(machine, Machine)
        found: dict[str, float | Tensor] = {}
        for split in (split for split in VALIDATION if split in self.sets.evaluation):
            rows = self.sets.evaluation[split].at(slice(self.cfg.fit.rows))
            logits, h = evaluated(machine, rows, self.cfg)
            scores = losses.scores(logits.argmax(1), rows.target, rows.input, self.cfg.data.colours).means()
            found |= {f"{split}/iou": scores["macro_iou"], f"{split}/exact": scores["exact"]}
            found |= {f"{split}/accuracy": scores["accuracy"], f"{split}/changed": scores["changed"]}
            if split == VALIDATION[0]:
                found |= {f"{split}/loss": float(losses.cross_entropy(logits, rows.target))}
                found |= self.manager.evaluated(h) | self._sharing(h, rows)
        least = {f"{name}_min": value for name, value in self.least.items()}
        return found | least | {"seconds": self.spent.total}

    def _sharing(self, h: Tensor, rows: Sample) -> dict[str, float]:
        """Distances of the groups' subspaces, beside those of halves of groups."""
        with torch.no_grad():
            metrics = self.manager.sharing(h, rows.group_id, report=True).metrics
        return {f"h/{name}": metrics.get(f"share/{name}", nan) for name in ("norm", "floor")}

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        kind = getattr(torch, self.cfg.fit.precision)
        with torch.autocast(self.device.type, dtype=kind, enabled=kind != torch.float32):
            yield


class Spent:
    """Seconds by what they were spent on."""

    def __init__(self, clock: Clock, before: State) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float, {name: float(value) for name, value in before.items()})

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        begun = self.clock()
        yield
        self.seconds[what] += self.clock() - begun

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def told(self) -> dict[str, float]:
        return {f"seconds/{name}": value for name, value in self.seconds.items()}


@torch.no_grad()
def evaluated(machine: Machine, rows: Sample, cfg: schema.MCL) -> tuple[Tensor, Tensor]:
    """Logits [n, C, 8, 8] and h [n, latent] of rows, in evaluation mode."""
    training = machine.training
    machine.eval()
    parts = [rows.at(slice(start, start + CHUNK)) for start in range(0, len(rows.input), CHUNK)]
    found = [machine(inputs(part, cfg.data.conditioning)) for part in parts]
    machine.train(training)
    return torch.cat([out.logits for out in found]), torch.cat([out.h for out in found])


def _optimizer(machine: nn.Module, fit: schema.Fit) -> torch.optim.Optimizer:
    betas = fit.betas[0], fit.betas[1]
    return torch.optim.AdamW(machine.parameters(), lr=fit.learning_rate, betas=betas, weight_decay=fit.weight_decay)


def _rate(fit: schema.Fit, step: int) -> float:
    """The learning rate of a step."""
    if step < fit.warmup:
        return fit.learning_rate * (step + 1) / fit.warmup
    if fit.schedule == "constant":
        return fit.learning_rate
    return fit.learning_rate * 0.5 * (1 + cos(pi * (step - fit.warmup) / max(1, fit.steps - fit.warmup)))
