"""One run, from its configuration to its report. Read it from top to bottom."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from llcx import dry, rng
from llcx.artifacts import TrainingLog, Writer, rows
from llcx.artifacts.manifest import manifest
from llcx.config import STAGES, Config, ranges
from llcx.estimators.grid import AXES, Cell, Grid, cells, settled
from llcx.measure import measure
from llcx.registry import TASKS
from llcx.terminal import Terminal, plain, table
from llcx.types import Point, Snapshots, Spec, Task, Training

log = logging.getLogger(__name__)


class Incomplete(RuntimeError):
    """Everything was tried and written; some of it is not what was asked for."""


def run(cfg: Config, resolved: Mapping[str, Any], path: Path) -> None:
    """Do what `cfg` asks for and leave it in `path`; `resolved` is what config.yaml shall hold.

    Raises ValueError for what cannot be begun, and Incomplete at the very end where a point has no number.
    """
    torch.set_num_threads(cfg.hardware.threads)
    require(cfg.hardware.device)
    task = TASKS.builder(cfg.task.name)(cfg.task, rng.streams(cfg.seed))
    specs = selected(task.points(), cfg.run.points)
    grid = combinations(specs, cfg)
    if cfg.run.dry:
        Terminal().print(dry.forecast(task, grid, cfg))
        return
    about = manifest(cfg.seed, cfg.hardware.device, cfg.hardware.threads)
    with (
        Writer(path, resolved, about, resume=cfg.run.resume is not None) as folder,
        Terminal(cfg.run.verbosity, cfg.log.interval) as terminal,
    ):
        broken: dict[str, str] = {}  # training -> why it failed
        work: dict[str, Callable[[], Any]] = {
            "train": lambda: train(task, specs, cfg, folder, terminal, broken),
            "measure": lambda: measure_all(task, grid, cfg, folder, terminal, broken),
            "analyse": lambda: folder.tables(task.analyse([dict(row) for row in folder.rows], snapshots(folder))),
            "figures": lambda: draw(folder),
            "report": lambda: write_report(folder),
        }
        for stage in (stage for stage in STAGES if stage in cfg.run.stages):
            with folder.stage(stage):
                work[stage]()
        conclude(folder, terminal)
        verdict(folder.rows, broken, cfg.run.strict, {cell.spec.name: cell.of.name for cell in grid})


def require(device: str) -> None:
    """ValueError where there is no such device."""
    count = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    index = int(device.partition(":")[2] or 0)
    if device != "cpu" and index >= count:
        there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
        raise ValueError(f"hardware.device must be one of {there}, got {device}; hardware=cpu needs no GPU")


def selected(specs: Sequence[Spec], points: Any) -> list[Spec]:
    """The points of this run; ValueError for an index there is no point for, or two points of one name."""
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the task's points must have different names, got {twice} twice")
    if points is None:
        return list(specs)
    wanted = sorted({index for part in ranges(points) for index in part})
    if wanted[-1] >= len(specs):
        raise ValueError(f"run.points must be in 0-{len(specs) - 1}, got {wanted[-1]}; there are {len(specs)} points")
    return [specs[index] for index in wanted]


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


def train(
    task: Task, specs: Sequence[Spec], cfg: Config, folder: Writer, terminal: Terminal, broken: dict[str, str]
) -> None:
    """Every training that the points need, from where it was left; what goes wrong is noted in `broken`."""
    wanted = {spec.training for spec in specs}
    for training in (each for each in task.trainings() if each.name in wanted):
        files = TrainingLog(folder.path, training.name, cfg.log.checkpoint)
        try:
            if not files.done:
                drive(training, files, folder, terminal)
        except Exception as error:
            broken[training.name] = told(error)
            log.error("training %s failed: %s", training.name, told(error))
            log.error("its stack:", exc_info=True)
            files.flush()


def drive(training: Training, files: TrainingLog, folder: Writer, terminal: Terminal) -> None:
    state = files.resume()
    before = files.step
    for event in training.steps(training.start() if state is None else state):
        files.follow(event)
        folder.at(event.step, training.total)
        terminal(f"train {training.name}", event.step, training.total, event.metrics)
    files.finish()
    folder.spend("train", gradients=files.step - before)


def measure_all(
    task: Task, grid: Sequence[Cell], cfg: Config, folder: Writer, terminal: Terminal, broken: Mapping[str, str]
) -> None:
    """Every point with every sampler, each written as soon as it is done; what has a number is not measured again."""
    kernels = {cfg.sampler.name: cfg.sampler, **cfg.samplers}
    globs = getattr(cfg.estimator, "where", None)
    where = "all" if globs is None else ",".join(globs)
    point: Point | None = None
    built: Spec | None = None
    for done, cell in enumerate(grid):
        of, spec = cell.of, cell.spec
        terminal.point(spec.name, done, len(grid))
        folder.at(done, len(grid))
        todo = {label: kernel for label, kernel in kernels.items() if not folder.has(spec.name, label, where)}
        asked = [rows.asked(task.name, seed_of(spec, cfg), spec, label, where) for label in todo]
        try:
            if todo and built != of:
                point, built = build(task, of, folder, broken), of
        except Exception as error:
            give_up(asked, error, cfg, folder)
            continue
        for row, kernel in zip(asked, todo.values(), strict=True):
            assert point is not None
            try:
                measure_one(row, point, *settings(cell, row, kernel, cfg, folder), folder, terminal)
            except Exception as error:
                give_up([row], error, cfg, folder)


def settings(cell: Cell, row: rows.Row, kernel: Any, cfg: Config, folder: Writer) -> tuple[Any, Config]:
    """The kernel and the configuration at a combination; its factors refer to what the point itself was measured at."""
    itself = (cell.of.name, row["sampler"], row["where"])
    found = [old for old in folder.rows if (old["point"], old["sampler"], old["where"]) == itself and old["llc"]]
    chosen = {axis: float(found[0][axis] or "nan") for axis in AXES} if found else None
    kernel, estimator = settled(cell, kernel, cfg.estimator, chosen)
    return kernel, replace(cfg, estimator=estimator)


def build(task: Task, spec: Spec, folder: Writer, broken: Mapping[str, str]) -> Point:
    """The point, from its snapshot where it has a training; LookupError where that left none."""
    snapshot = None
    if spec.training is not None:
        snapshot = snapshots(folder)(spec.training, spec.role)
        if snapshot is None:
            left = TrainingLog(folder.path, spec.training).roles()
            why = broken.get(spec.training, f"it left {', '.join(left) or 'nothing'}")
            raise LookupError(f"training {spec.training} left no snapshot {spec.role}: {why}")
    point = task.point(spec, snapshot)
    folder.describe(task.name, spec.name, rows.facts(point))
    return point


def snapshots(folder: Writer) -> Snapshots:
    """The weights that trainings left in the folder."""
    return lambda training, role: TrainingLog(folder.path, training).snapshot(role)


def measure_one(row: rows.Row, point: Point, kernel: Any, cfg: Config, folder: Writer, terminal: Terminal) -> None:
    with profiled(folder.path / "profile.json") if cfg.run.profile else nullcontext():
        found = measure(point, kernel, cfg.estimator, cfg.hardware, row["seed"], progress=terminal)
    explain(row, found.estimate.notes, folder)
    folder.spend("measure", gradients=found.estimate.gradients)
    folder.add(rows.measured(row, found), rows.arrays(found.draws))


def explain(row: rows.Row, notes: Sequence[str], folder: Writer) -> None:
    """What calibration chose and why: for every point in target_info.json, for the first also on the screen."""
    folder.describe(row["task"], row["point"], {f"plan of {row['sampler']}": notes})
    first = not any(old["sampler"] == row["sampler"] for old in folder.rows)
    for note in notes:
        log.log(logging.INFO if first else logging.DEBUG, "%s %s: %s", row["point"], row["sampler"], note)


def give_up(asked: Sequence[rows.Row], error: Exception, cfg: Config, folder: Writer) -> None:
    """Rows without a number, and why."""
    for row in asked:
        log.error("%s %s failed: %s", row["point"], row["sampler"], told(error))
        folder.add(rows.failed(row, told(error), getattr(cfg.estimator, "target", None) or ""))
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


def draw(folder: Writer) -> None:
    from llcx.figures.draw import draw  # matplotlib takes a second

    draw(folder)


def write_report(folder: Writer) -> None:
    from llcx import report

    report.write(folder)


def conclude(folder: Writer, terminal: Terminal) -> None:
    """The table, on the screen and in summary.txt."""
    found = folder.rows
    healthy = sum(row["healthy"] == "True" for row in found)
    numbers = sum(bool(row["llc"]) for row in found)
    line = f"{len(found)} measurements, {numbers} with a number, {healthy} healthy; {folder.path}"
    folder.text("summary.txt", f"{plain(table(found))}\n{line}\n")
    terminal.print(table(found))
    terminal.print(line)


def verdict(
    found: Sequence[Mapping[str, str]], broken: Mapping[str, str], strict: bool, points: Mapping[str, str]
) -> None:
    """Raise Incomplete where a sampler has no number for a point, or a flagged one if `strict`, or a training broke.

    `points`: name of a row -> its point. Of a grid's combinations, which may be out of a sampler's reach, one will do.
    """
    number = {_series(row, points) for row in found if row["llc"]}
    bad = [row for row in found if _series(row, points) not in number or (strict and row["healthy"] != "True")]
    if bad:
        first = f"{bad[0]['point']} ({bad[0]['sampler']}): {bad[0]['flags'].removeprefix('failed: ')}"
        what = "a healthy number" if strict else "a number"
        raise Incomplete(f"every measurement must have {what}, got {len(bad)} of {len(found)} without; first {first}")
    for name, why in broken.items():
        raise Incomplete(f"every training must come to its end, got {len(broken)} that did not; first {name}: {why}")


def _series(row: Mapping[str, str], points: Mapping[str, str]) -> tuple[str, str, str]:
    return points.get(row["point"], row["point"]), row["sampler"], row["where"]
