"""Every point with every sampler, at every combination of the estimator's axes: rows of metrics_summary.csv."""

import logging
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from llcx import trajectory
from llcx.artifacts import Journal, TrainingLog, Writer, rows
from llcx.config import Config
from llcx.estimators import places
from llcx.estimators.grid import AXES, Cell, Grid, cells, settled
from llcx.measure import Measurement, measure
from llcx.params import layout
from llcx.parts import overlap
from llcx.registry import SAMPLERS
from llcx.signals import Signals
from llcx.terminal import Terminal
from llcx.types import Point, Snapshots, Spec, Task

log = logging.getLogger("llcx.run")


class Session(NamedTuple):
    """What a run has at hand."""

    cfg: Config
    folder: Writer
    terminal: Terminal
    signals: Signals
    broken: dict[str, str]  # training -> why it failed


class Asked(NamedTuple):
    """A row that is wanted, and with what."""

    row: rows.Row
    kernel: Any
    estimator: Any
    before: Sequence[str] | None = None  # earlier points of its trajectory; None: it is on none


def combinations(specs: Sequence[Spec], cfg: Config) -> list[Cell]:
    """What is measured with each sampler: the points, at every combination of estimator.grid where there is one.

    Raises ValueError where a sampler has no step size and the grid has some.
    """
    grid: Grid = getattr(cfg.estimator, "grid", None) or Grid()
    for kernel in (cfg.sampler, *cfg.samplers.values()):
        if grid.step_size and not hasattr(kernel, "step_size"):
            raise ValueError(
                f"estimator.grid.step_size must be empty with sampler={kernel.name}, got {list(grid.step_size)}; "
                "sampler=hmc and sampler=sgld have a step size"
            )
    return cells(grid, specs)


def measure_all(task: Task, grid: Sequence[Cell], session: Session) -> None:
    """Every row that the folder does not have yet, each written as soon as it is done."""
    cfg, folder, terminal = session.cfg, session.folder, session.terminal
    at_hand, passed = Built(task, session), defaultdict[Hashable, list[str]](list)
    for done, cell in enumerate(grid):
        before = earlier(cell.spec, passed)
        terminal.point(cell.spec.name, done, len(grid))
        folder.at(done, len(grid))
        parts, own = places.parts(cfg.estimator.where_each), cfg.estimator.where_each == places.AUTO
        asked = list(wanted(task, cell.spec, cfg, folder, parts))
        if (asked or own) and passed_over(cell.of, session):
            log.info("%s: not asked, training %s ended before %s", cell.spec.name, cell.of.training, cell.of.role)
            continue
        try:
            if own:
                parts = layout(at_hand(cell.of).model.module).groups()
                asked = list(wanted(task, cell.spec, cfg, folder, parts))
            if asked:
                note_parts(at_hand(cell.of), cell.spec, parts, session)
        except Exception as error:
            give_up(asked, error, folder)
            continue
        for each in asked:
            point = at_hand(cell.of)
            if len(asked) > 1:
                terminal.point(f"{each.row['point']} {each.row['sampler']} {each.row['where']}", done, len(grid))
            if why := point.unsuited.get(each.kernel.name):
                log.debug("%s %s: not asked, %s", each.row["point"], each.row["sampler"], why)
                continue
            try:
                session.signals.rest()
                measure_one(settings(cell, each, session)._replace(before=before), point, session)
            except Exception as error:
                give_up([each], error, folder)


def earlier(spec: Spec, passed: dict[Hashable, list[str]]) -> list[str] | None:
    """Points before this one on its trajectory, to which it is added; None: it is on none."""
    if not spec.moment:
        return None
    before = passed[trajectory.of(spec)]
    passed[trajectory.of(spec)] = [*before, spec.name]
    return before


class Built:
    """The point that was built last: its samplers and parts share it."""

    def __init__(self, task: Task, session: Session) -> None:
        self.task, self.session = task, session
        self.last: tuple[Spec, Point] | None = None

    def __call__(self, spec: Spec) -> Point:
        if self.last is None or self.last[0] != spec:
            self.last = None
            self.last = spec, build(self.task, spec, self.session)
        return self.last[1]


def note_parts(point: Point, spec: Spec, parts: places.Parts, session: Session) -> None:
    """In target_info.json: what the parts of a point are, and `cut`, what is amiss with them as a partition."""
    if not parts:
        return
    names, where = layout(point.model.module), session.cfg.estimator.where
    chosen = []
    for globs in parts.values():
        with suppress(ValueError):  # its own row says so
            chosen.append(names.select(globs))
    cut = overlap(chosen, torch.arange(names.size) if where is None else names.select(where))
    session.folder.describe(session.cfg.task.name, spec.name, {"parts": dict(parts), "cut": cut})


def passed_over(spec: Spec, session: Session) -> bool:
    """Whether a training came to its end without a moment that it may not have."""
    if spec.certain or spec.training is None:
        return False
    files = TrainingLog(session.folder.path, spec.training)
    return files.done and files.snapshot(spec.role) is None


def wanted(task: Task, spec: Spec, cfg: Config, folder: Writer, parts: places.Parts) -> Iterator[Asked]:
    """Rows of a point without a number so far: each sampler, each place (estimator.where, and each part alone)."""
    for settled_on in places.each(cfg.estimator, parts):
        for label, kernel in {cfg.sampler.name: cfg.sampler, **cfg.samplers}.items():
            if not folder.has(spec.name, label, settled_on.place):
                row = rows.asked(task.name, seed_of(spec, cfg), spec, label, settled_on.place)
                yield Asked(row, kernel, settled_on)


def settings(cell: Cell, asked: Asked, session: Session) -> Asked:
    """With the values of a combination; its factors refer to what the point itself was measured at.

    A part is measured at n*beta and gamma of the whole, where these are open and the whole has a number.
    """
    chosen = chosen_for(cell.of.name, asked.row["where"], asked, session)
    kernel, estimator = settled(cell, asked.kernel, asked.estimator, chosen)
    whole = session.cfg.estimator.place
    if asked.row["where"] != whole and (there := chosen_for(cell.spec.name, whole, asked, session)):
        held = {key: there[key] for key in ("nbeta", "gamma") if getattr(estimator, key) is None}
        estimator = replace(estimator, **held)
    return Asked(asked.row, kernel, estimator)


def chosen_for(point: str, where: str, asked: Asked, session: Session) -> dict[str, float] | None:
    """n*beta, gamma and step size that a point was measured at with the same sampler; None: it has no number."""
    key = (point, asked.row["sampler"], where)
    found = [row for row in session.folder.rows if (row["point"], row["sampler"], row["where"]) == key and row["llc"]]
    return {axis: float(found[0][axis] or "nan") for axis in AXES} if found else None


def build(task: Task, spec: Spec, session: Session) -> Point:
    """The point, from its snapshot where it has a training; LookupError where that left none."""
    folder = session.folder
    snapshot = None
    if spec.training is not None:
        snapshot = snapshots(folder)(spec.training, spec.role)
        if snapshot is None:
            left = TrainingLog(folder.path, spec.training).roles()
            why = session.broken.get(spec.training, f"it left {', '.join(left) or 'nothing'}")
            raise LookupError(f"training {spec.training} left no snapshot {spec.role}: {why}")
    point = task.point(spec, snapshot)
    folder.describe(task.name, spec.name, rows.facts(point))
    return point


def snapshots(folder: Writer) -> Snapshots:
    """The weights that trainings left in the folder."""
    return lambda training, role: TrainingLog(folder.path, training).snapshot(role)


def measure_one(asked: Asked, point: Point, session: Session) -> None:
    """Along a trajectory with the step of the moment before, as long as it will do."""
    cfg, folder, row, journals = session.cfg, session.folder, asked.row, list[Journal]()
    kernel, hopeless = held(asked, session)

    def by(sampler: Any) -> Measurement:
        name = row if sampler is asked.kernel else row | {"where": f"{row['where']} held"}
        journals.append(journal := Journal(folder.path, name, cfg.log.checkpoint, session.signals))
        return measure(point, sampler, asked.estimator, cfg.hardware, row["seed"], session.terminal, journal=journal)

    with profiled(folder.path / "profile.json") if cfg.run.profile else nullcontext():
        found, steady = trajectory.measured(by, asked.kernel, kernel)
    how = "held" if steady else "adapted, as the one held before would not do here"
    notes = [f"step {found.estimate.step_size:.2g} {how}"] if kernel is not None else []
    explain(row, [*found.estimate.notes, *notes], folder)
    parts = {part: {"seconds": seconds, "gradients": count} for part, (seconds, count) in found.spent.items()}
    folder.charge({"stages": {"measure": {"gradients": found.estimate.gradients}}, "measuring": parts})
    line = rows.measured(row, found)
    hopeless = hopeless or (kernel is not None and not steady)
    keep(asked, None if hopeless else trajectory.held(found.plan, line, asked.kernel), hopeless, folder)
    folder.add(line, rows.arrays(found.draws))
    for journal in journals:
        journal.clear()


def held(asked: Asked, session: Session) -> tuple[Any, bool]:
    """The kernel of the last moment before that has a number, its step held, None where none is; whether one failed.

    Chains begin at w*, where in many dimensions a step that serves them later is refused: so it is tried once.
    """
    where, folder = asked.row["where"], session.folder
    measured = (name for name in reversed(asked.before or ()) if chosen_for(name, where, asked, session) is not None)
    if (last := next(measured, None)) is None:
        return None, False
    kept = folder.target_info.get("points", {}).get(last, {}).get(key_of(asked.row))
    return (SAMPLERS.schema(kept["name"])(**kept), False) if kept else (None, kept == {})


def keep(asked: Asked, kernel: Any, hopeless: bool, folder: Writer) -> None:
    """In target_info.json, before the row: the kernel that the next moment will hold, also in another process."""
    if asked.before is not None and (hopeless or kernel is not None):
        folder.describe(asked.row["task"], asked.row["point"], {key_of(asked.row): {} if hopeless else asdict(kernel)})


def key_of(row: rows.Row) -> str:
    return f"step of {row['sampler']} at {row['where']}"


def explain(row: rows.Row, notes: Sequence[str], folder: Writer) -> None:
    """What calibration chose and why: for every point in target_info.json, for the first also on the screen."""
    folder.describe(row["task"], row["point"], {f"plan of {row['sampler']}": notes})
    first = not any(old["sampler"] == row["sampler"] for old in folder.rows)
    for note in notes:
        log.log(logging.INFO if first else logging.DEBUG, "%s %s: %s", row["point"], row["sampler"], note)


def give_up(asked: Sequence[Asked], error: Exception, folder: Writer) -> None:
    """Rows without a number, and why."""
    for each in asked:
        log.error("%s %s failed: %s", each.row["point"], each.row["sampler"], told(error))
        folder.add(rows.failed(each.row, told(error), getattr(each.estimator, "target", None) or ""))
    log.error("the stack:", exc_info=error)


def seed_of(spec: Spec, cfg: Config) -> int:
    """The point's own seed where seeds are an axis, so that its row is that of a run with this seed."""
    return int(spec.coords.get("seed", cfg.seed))


def told(error: Exception) -> str:
    """One line: the message, with the type before it where that says more than ours do."""
    text = " ".join(str(error).split())
    plain_enough = text and isinstance(error, (ValueError, FloatingPointError, LookupError))
    return text if plain_enough else f"{type(error).__name__}: {text}"


@contextmanager
def profiled(path: Path) -> Iterator[None]:
    """torch.profiler's trace of the block, unless the run has one already."""
    if path.exists():
        yield
        return
    with torch.profiler.profile() as profile:
        yield
    profile.export_chrome_trace(str(path))
