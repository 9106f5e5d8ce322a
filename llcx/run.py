"""One run, from its configuration to its report. Read it from top to bottom."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from llcx import dry, influence, parts, rng, tensorboard, trajectory
from llcx.artifacts import TrainingLog, Writer
from llcx.artifacts.manifest import manifest
from llcx.config import STAGES, Config, ranges
from llcx.registry import TASKS
from llcx.signals import Signals
from llcx.survey import Session, combinations, measure_all, snapshots, told
from llcx.terminal import Terminal, listing, plain, table
from llcx.types import Spec, Study, Tables, Task, Training

Shown = list[dict[str, str]]
log = logging.getLogger(__name__)
HEADLINE = 3  # metrics of a training that the progress line shows


class Incomplete(RuntimeError):
    """Everything was tried and written; some of it is not what was asked for."""


def run(cfg: Config, resolved: Mapping[str, Any], path: Path, signals: Signals) -> float | None:
    """Do what `cfg` asks for and leave it in `path`; `resolved` is what config.yaml shall hold.

    Returns `run.objective`, for a sweeper that looks for its minimum. Raises ValueError for what cannot be begun,
    Stopped where `signals` say so, and Incomplete at the very end where a point has no number.
    """
    torch.set_num_threads(cfg.hardware.threads)
    require(cfg.hardware.device)
    rng.use(cfg.hardware.noise, cfg.hardware.device)
    if cfg.log.tensorboard:
        tensorboard.require()
    task = TASKS.builder(cfg.task.name)(cfg.task, rng.streams(cfg.seed))
    specs = selected(task.points(), cfg.run.points)
    grid = combinations(specs, cfg)
    if cfg.run.dry:
        Terminal().print(dry.forecast(task, grid, cfg))
        return None
    about = manifest(cfg.seed, cfg.hardware.device, cfg.hardware.threads)
    with (
        Writer(path, resolved, about, cfg.run.resume is not None, cfg.log.tensorboard) as folder,
        Terminal(cfg.run.verbosity, cfg.log.interval) as terminal,
    ):
        require_trained(task, cfg.run.stages, folder)
        session = Session(cfg, folder, terminal, signals, {})
        said: dict[str, Shown] = {}  # title -> rows that an analysis has for the reader
        work: dict[str, Callable[[], Any]] = {
            "train": lambda: train(task, specs, session),
            "measure": lambda: measure_all(task, grid, session),
            **{study.name: partial(pursue, study, session, said) for study in task.studies()},
            "analyse": lambda: said.update(analyse(task, folder, cfg)),
            "figures": lambda: draw(folder),
            "report": lambda: write_report(folder),
        }
        for stage in (stage for stage in work if wanted(stage, cfg.run.stages)):
            with folder.stage(stage):
                signals.rest()
                work[stage]()
        conclude(folder, terminal, said)
        verdict(folder.rows, session.broken, cfg.run.strict, {cell.spec.name: cell.of.name for cell in grid})
        return objective(folder.rows, cfg.run.objective)


def require(device: str) -> None:
    """ValueError where there is no such device."""
    count = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    index = int(device.partition(":")[2] or 0)
    if device != "cpu" and index >= count:
        there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
        raise ValueError(f"hardware.device must be one of {there}, got {device}; hardware=cpu needs no GPU")


def require_trained(task: Task, stages: Sequence[str], folder: Writer) -> None:
    """ValueError where studies of trainings are asked for and there are none; those that did not end are told."""
    studies = [study.name for study in task.studies() if wanted(study.name, stages)]
    names = [training.name for training in task.trainings()] if studies and not wanted("train", stages) else []
    without = [name for name in names if not TrainingLog(folder.path, name).done]
    if names and without == names:
        raise ValueError(
            f"run.stages must have train before {studies[0]} where nothing has been trained, got {', '.join(stages)}; "
            "run.resume=DIR goes on with a run that has trained"
        )
    if without:
        told = f"{len(without)} of {len(names)} trainings did not come to an end; first {without[0]}"
        log.warning("%s: %s", ", ".join(studies), told)


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


def train(task: Task, specs: Sequence[Spec], session: Session) -> None:
    """Every training, or those that `run.points` need, from where each was left; what goes wrong is noted."""
    wanted = {spec.training for spec in specs}
    for training in (each for each in task.trainings() if session.cfg.run.points is None or each.name in wanted):
        files = TrainingLog(session.folder.path, training.name, session.cfg.log.checkpoint, session.folder.board)
        try:
            if not files.done:
                drive(training, files, session)
        except Exception as error:
            session.broken[training.name] = told(error)
            log.error("training %s failed: %s", training.name, told(error))
            log.error("its stack:", exc_info=True)
            files.flush()


def drive(training: Training, files: TrainingLog, session: Session) -> None:
    state = files.resume()
    before = files.step
    for event in training.steps(training.start() if state is None else state):
        files.follow(event, now=(asked := session.signals.asked))
        session.folder.at(event.step, training.total)
        session.terminal(f"train {training.name}", event.step, training.total, headline(event.metrics))
        if asked:
            session.signals.rest()
    files.finish()
    session.folder.spend("train", gradients=files.step - before)


def wanted(stage: str, stages: Sequence[str]) -> bool:
    """Whether it is asked for; `studies` asks for all of a task's own."""
    return stage in stages or (stage not in STAGES and "studies" in stages)


def pursue(study: Study, session: Session, said: dict[str, Shown]) -> None:
    """Every part of a study, what it found written part by part; what it has for the reader is `said`."""
    folder, whole = session.folder, Tables()
    for done, name in enumerate(study.parts):
        session.signals.rest()
        folder.at(done, len(study.parts))
        session.terminal(study.name, done, len(study.parts), {})
        found = study.work(name, snapshots(folder), folder.table)
        whole = joined(whole, found)
        folder.tables(whole)
    session.terminal(study.name, len(study.parts), len(study.parts), {})
    said.update(whole.shown)


def joined(whole: Tables, part: Tables) -> Tables:
    """Rows of one table one after the other; arrays and documents of one stem by their keys."""
    tables = {stem: [*whole.tables.get(stem, []), *rows] for stem, rows in part.tables.items()}
    arrays = {stem: {**whole.arrays.get(stem, {}), **more} for stem, more in part.arrays.items()}
    shown = {**whole.shown, **part.shown}
    documents = {stem: {**whole.documents.get(stem, {}), **more} for stem, more in part.documents.items()}
    return Tables({**whole.tables, **tables}, {**whole.arrays, **arrays}, shown, {**whole.documents, **documents})


def headline(metrics: Mapping[str, float]) -> Mapping[str, float]:
    """The first ones, which a line has room for."""
    return dict(list(metrics.items())[:HEADLINE])


def analyse(task: Task, folder: Writer, cfg: Config) -> Mapping[str, Shown]:
    """The task's own tables, what changes along trajectories, what parts add up to and which rows hang together.

    All are written; returned is what of them is to be shown.
    """
    rows = folder.rows
    own = task.analyse([dict(row) for row in rows], snapshots(folder))
    found = joined(own, influence.tables(rows, folder.draws, cfg.estimator.place))
    changes = trajectory.changes(task.points(), rows, partial(energy, folder))
    beside = parts.beside(rows, cfg.estimator.place, partial(energy, folder), parts.cuts(folder.target_info))
    ours = {stem: lines for stem, lines in {"changes": changes, "parts": beside}.items() if lines}
    shown = {parts.TITLE: parts.shown(beside)} if beside else {}
    folder.tables(found._replace(tables={**found.tables, **ours}))
    return {**found.shown, **shown}


def energy(folder: Writer, row: Mapping[str, Any]) -> torch.Tensor:
    """n*beta*K [C, T] of a row."""
    return torch.from_numpy(folder.draws(row)["energy"])


def draw(folder: Writer) -> None:
    from llcx.figures.draw import draw  # matplotlib takes a second

    draw(folder)


def write_report(folder: Writer) -> None:
    from llcx import report

    report.write(folder)


def objective(found: Sequence[Mapping[str, str]], column: str | None) -> float | None:
    """Mean of |column| over the rows; None where no column is asked for, ValueError where it has no number."""
    if column is None:
        return None
    without = [row["point"] for row in found if not row.get(column)]
    if without or not found:
        where = f"none at {without[0]}" if without else "no measurement"
        raise ValueError(f"run.objective must be a column with numbers in every row, got {column}, {where}; llc, se")
    return fmean(abs(float(row[column])) for row in found)


def conclude(folder: Writer, terminal: Terminal, said: Mapping[str, Shown]) -> None:
    """The tables, on the screen and in summary.txt."""
    found = folder.rows
    healthy = sum(row["healthy"] == "True" for row in found)
    numbers = sum(bool(row["llc"]) for row in found)
    most = folder.run_info.get("peak_memory_gib")
    memory = f"peak memory {most:.2g} GiB; " if most else ""
    line = f"{len(found)} measurements, {numbers} with a number, {healthy} healthy; {memory}{folder.path}"
    tables = [table(found), *(listing(title, lines) for title, lines in said.items())]
    folder.text("summary.txt", "\n".join([*map(plain, tables), f"{line}\n"]))
    terminal.print(tables[0])
    for title, lines in said.items():
        terminal.print(listing(title, lines, terminal.console.width))
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
