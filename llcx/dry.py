"""What a run would do and roughly cost, before it does anything."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from llcx import calibrate, gradients, measure
from llcx.config import Config
from llcx.estimators import places
from llcx.estimators.grid import Cell
from llcx.estimators.llc import LLC
from llcx.params import layout
from llcx.types import Point, Potential, Task

BUFFERS = 10  # chains-by-parameters arrays alive at once: position, gradient, momentum, proposals, noise
STEP = 2e-4  # s that a kernel step takes however small the model is
CHECKS = 1.5  # calibration and checks on top of the run itself
COLUMNS = ("point", "sampler", "where", "parameters", "memory GiB", "seconds (rough)", "training steps")
Price = tuple[str, str, tuple[str, str, str], float]  # sampler, where, (parameters, memory, seconds) as text, seconds


def forecast(task: Task, grid: Sequence[Cell], cfg: Config) -> Table:
    """One line a measurement: parameters, GiB, seconds on one slow core (rough, within a factor of five).

    Those of a point are every sampler at every place. What a point that is still to be trained is made of is not known:
    neither are its modules, which `where_each=auto` would name.
    """
    kernels = {cfg.sampler.name: cfg.sampler, **cfg.samplers}
    trainings = {each.name: each.total for each in task.trainings()}
    found = Table(title=f"{task.name}: {len(grid)} points x {len(kernels)} samplers", box=None, pad_edge=False)
    for name in COLUMNS:
        found.add_column(name, justify="left" if name in COLUMNS[:3] else "right")
    total, count, before = 0.0, 0, None
    prices: list[Price] = []  # of the point before: n*beta, gamma and step change nothing
    for cell in grid:
        training = cell.of.training
        steps = str(trainings.get(training, "")) if training else ""
        if training or cell.of != before:
            before = cell.of
            prices = list(untrained(kernels, cfg) if training else built(task.point(cell.of, None), kernels, cfg))
        for label, where, told, seconds in prices:
            total, count = total + seconds, count + 1
            found.add_row(cell.spec.name, label, *map(escape, (where, *told)), steps)
    found.add_section()
    later = " and what follows training" if any(cell.of.training for cell in grid) else ""
    found.add_row(f"all {count}", "", "", "", "", f"{total:.2g}{later}", str(sum(trainings.values()) or ""))
    return found


def untrained(kernels: Mapping[str, Any], cfg: Config) -> Iterator[Price]:
    """The measurements of a point without weights."""
    own = cfg.estimator.where_each == places.AUTO
    wheres = [each.place for each in places.each(cfg.estimator, places.parts(cfg.estimator.where_each))]
    for where in [*wheres, *(["each module"] if own else [])]:
        for label in kernels:
            yield label, where, ("?", "?", "? (after training)"), 0.0


def built(point: Point, kernels: Mapping[str, Any], cfg: Config) -> Iterator[Price]:
    """The measurements of a point; a kernel that does not suit it is not asked, a part that it does not have fails."""
    names = layout(point.model.module)
    own = cfg.estimator.where_each == places.AUTO
    for each in places.each(cfg.estimator, names.groups() if own else places.parts(cfg.estimator.where_each)):
        for label in (label for label, kernel in kernels.items() if kernel.name not in point.unsuited):
            try:
                size, memory, seconds = costs(point, kernels[label], cfg, each)
            except ValueError as error:
                yield label, each.place, ("", "", f"none: {error}"), 0.0
                continue
            yield label, each.place, (str(size), f"{memory:.2g}", f"{seconds:.2g}"), seconds


def costs(point: Point, kernel: Any, cfg: Config, estimator: LLC) -> tuple[int, float, float]:
    """(parameters, GiB, seconds) of one measurement, from counted operations; ValueError where it cannot be begun."""
    hardware, estimator = cfg.hardware, measure.wished(estimator, point)
    point = measure.on(point, estimator.measure_on)
    dtype = measure.precision(kernel, hardware.dtype, sum(tensor.numel() for tensor in point.model.module.parameters()))
    target = estimator.target or point.target
    potential, _, _ = gradients.of_model(point.model, point.data, target=target, dtype=dtype, device=hardware.device)
    if estimator.where is not None:
        potential = gradients.restrict(potential, layout(point.model.module).select(estimator.where))
    kernel = calibrate.choose(potential) if kernel.name == "auto" else kernel
    chains, warmup, draws, every = calibrate.counts(potential, kernel, estimator)
    steps = warmup + draws * every
    gradients_a_step = getattr(kernel, "leapfrog", 1) or calibrate.LEAPFROG
    seconds = CHECKS * steps * gradients_a_step * (STEP + chains * operations(potential, kernel) / calibrate.RATE)
    size = len(potential.at)
    return size, BUFFERS * chains * size * dtype.itemsize / 2**30, seconds


def operations(potential: Potential, kernel: Any) -> float:
    """Floating-point operations of one gradient of one chain. Minibatches go through the module, closed form or not."""
    batch = getattr(kernel, "batch_size", None)
    if batch is None or not potential.rows:
        return potential.flops
    if potential.exact:
        return 6.0 * len(potential.at) * batch  # forward 2, backward 4 a parameter and row
    return potential.flops * min(1.0, batch / potential.rows)
