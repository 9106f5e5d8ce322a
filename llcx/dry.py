"""What a run would do and roughly cost, before it does anything."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from llcx import calibrate, gradients
from llcx.config import Config
from llcx.estimators.grid import Cell
from llcx.measure import precision
from llcx.types import Point, Potential, Task

BUFFERS = 10  # chains-by-parameters arrays alive at once: position, gradient, momentum, proposals, noise
STEP = 2e-4  # s that a kernel step takes however small the model is
CHECKS = 1.5  # calibration and checks on top of the run itself


def forecast(task: Task, grid: Sequence[Cell], cfg: Config) -> Table:
    """One line a point and sampler: parameters, GiB, seconds on one slow core (rough, within a factor of five)."""
    kernels = {cfg.sampler.name: cfg.sampler, **cfg.samplers}
    trainings = {each.name: each.total for each in task.trainings()}
    found = Table(title=f"{task.name}: {len(grid)} points x {len(kernels)} samplers", box=None, pad_edge=False)
    for name in ("point", "sampler", "parameters", "memory GiB", "seconds (rough)", "training steps"):
        found.add_column(name, justify="left" if name in ("point", "sampler") else "right")
    total, before = 0.0, None
    prices: dict[str, tuple[int, float, float]] = {}  # of a point by sampler: n*beta, gamma and step change nothing
    for cell in grid:
        training = cell.of.training
        steps = str(trainings.get(training, "")) if training else ""
        if not training and cell.of != before:
            point, before = task.point(cell.of, None), cell.of
            prices = {label: costs(point, kernel, cfg) for label, kernel in kernels.items()}
        for label in kernels:
            if training:
                found.add_row(cell.spec.name, label, "?", "?", "? (after training)", steps)
                continue
            size, memory, seconds = prices[label]
            total += seconds
            found.add_row(cell.spec.name, label, str(size), f"{memory:.2g}", f"{seconds:.2g}", steps)
    found.add_section()
    found.add_row("all", "", "", "", f"{total:.2g}", str(sum(trainings.values()) or ""))
    return found


def costs(point: Point, kernel: Any, cfg: Config) -> tuple[int, float, float]:
    """(parameters, GiB, seconds) of one measurement, from counted operations."""
    hardware = cfg.hardware
    size = sum(tensor.numel() for tensor in point.model.module.parameters())
    dtype = precision(kernel, hardware.dtype, size)
    target = cfg.estimator.target or point.target
    potential, _, _ = gradients.of_model(point.model, point.data, target=target, dtype=dtype, device=hardware.device)
    kernel = calibrate.choose(potential) if kernel.name == "auto" else kernel
    chains, warmup, draws, every = calibrate.counts(potential, kernel, cfg.estimator)
    steps = warmup + draws * every
    gradients_a_step = getattr(kernel, "leapfrog", 1) or calibrate.LEAPFROG
    seconds = CHECKS * steps * gradients_a_step * (STEP + chains * operations(potential, kernel) / calibrate.RATE)
    return size, BUFFERS * chains * size * dtype.itemsize / 2**30, seconds


def operations(potential: Potential, kernel: Any) -> float:
    """Floating-point operations of one gradient of one chain. Minibatches go through the module, closed form or not."""
    batch = getattr(kernel, "batch_size", None)
    if batch is None or not potential.rows:
        return potential.flops
    if potential.exact:
        return 6.0 * len(potential.at) * batch  # forward 2, backward 4 a parameter and row
    return potential.flops * min(1.0, batch / potential.rows)
