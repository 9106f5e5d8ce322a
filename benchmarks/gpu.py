"""Is a GPU right, and how fast is it? Its gradients beside the CPU's, chain-steps a second beside the memory's floor.

    python -m benchmarks.gpu                      # on cuda; exit status 1 where a number is not the CPU's
    python -m benchmarks.gpu --device cpu --workloads W1 --chains 8 --steps 50

The workloads are those of speed.py with more chains; float32 (without TF32, as torch has it), SGLD on a minibatch of
its own for each chain. `off` is the largest relative distance of losses and gradients, on all rows and on minibatches,
from the CPU's in float64. The floor is what reading weights, gradient and w*, and writing the weights take, 16 bytes a
parameter, at the speed at which the device copies its own memory.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.speed import potential_of
from benchmarks.speed_models import WORKLOADS, Workload, network
from llcx import chains, gradients
from llcx.gradients.traces import PAYS
from llcx.samplers.sgld import SGLD
from llcx.types import Plan

TOLERANCE = 1e-3  # relative, of float32 on another device
TOUCHED = 16  # bytes a parameter that a step cannot do without
MANY = {"W1": (8, 64, 512), "W2": (4, 64, 512), "W3": (4, 16), "W4": (2, 16)}


class Row(NamedTuple):
    workload: str
    chains: int
    off: float  # relative
    steps: float  # of one chain, a second
    floor: float  # the same, at the memory's speed
    memory: float  # peak, MiB
    backend: str  # that gradients ran on


def off(workload: Workload, device: torch.device) -> float:
    """The largest relative distance from the CPU in float64, at two places near w*."""
    reference, found = potential_of(workload, dtype=torch.float64), potential_of(workload, device=device)
    draw = torch.Generator().manual_seed(2)
    step = 0.1 * reference.at.abs().mean()
    w = reference.at + step * torch.randn(2, len(reference.at), generator=draw, dtype=torch.float64)
    idx = torch.randint(workload.rows, (2, workload.batch), generator=draw)
    assert reference.mini is not None and found.mini is not None
    here = w.to(device, torch.float32)
    with gradients.repeated(PAYS):  # so that they come as the steps' do
        pairs = [(reference.full(w), found.full(here)), (reference.mini(w, idx), found.mini(here, idx.to(device)))]
    return max(_apart(one, other) for truth, got in pairs for one, other in zip(truth, got, strict=True))


def _apart(truth: torch.Tensor, found: torch.Tensor) -> float:
    return float((found.cpu().double() - truth).norm() / truth.norm())


def speed(workload: Workload, many: int, device: torch.device, steps: int, repeats: int) -> tuple[float, str]:
    """Steps of one chain a second, the median of repeats without the first; and the backend of gradients."""
    target = potential_of(workload, device=device, memory=4.0)
    kernel = SGLD(step_size=workload.step_size, batch_size=workload.batch, baseline="paired")
    plan = Plan(kernel, nbeta=10.0, gamma=1.0, chains=many, warmup=0, draws=steps, every=1)
    times, backend = [], ""
    for turn in range(repeats + 1):
        begun = perf_counter()
        backend = chains.run(target, plan, seed=turn).backend
        _wait(device)
        times.append(perf_counter() - begun)
    return many * steps / median(times[1:]), backend


def copied(device: torch.device) -> float:
    """Bytes a second that the device reads and writes, copying 256 MiB."""
    block = torch.zeros(2**26, device=device)
    there, times = torch.empty_like(block), []
    for _ in range(8):
        _wait(device)
        begun = perf_counter()
        there.copy_(block)
        _wait(device)
        times.append(perf_counter() - begun)
    return 2 * block.numel() * block.element_size() / median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(device: torch.device) -> float:
    """MiB on the GPU since it was asked last; nan without one."""
    if device.type != "cuda":
        return float("nan")
    found = torch.cuda.max_memory_allocated(device) / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    return found


def measured(
    names: list[str], counts: list[int] | None, device: torch.device, steps: int, repeats: int
) -> Iterator[Row]:
    rate = copied(device)
    for name in names:
        workload = WORKLOADS[name]
        far, size = off(workload, device), sum(p.numel() for p in network(workload).parameters())
        for many in counts or MANY[name]:
            peak(device)
            found, backend = speed(workload, many, device, steps, repeats)
            yield Row(name, many, far, found, rate / (TOUCHED * size), peak(device), backend)


def shown(found: list[Row], name: str, console: Console) -> None:
    names = ("workload", "chains", "off", "chain-steps/s", "floor", "floor / it", "peak MiB", "backend")
    table = Table(*names, title=name)
    for row in found:
        numbers = (f"{row.off:.1e}", f"{row.steps:.3g}", f"{row.floor:.3g}", f"{row.floor / row.steps:.3g}")
        peaked = "-" if row.memory != row.memory else f"{row.memory:.0f}"
        table.add_row(row.workload, str(row.chains), *numbers, peaked, row.backend)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--chains", nargs="+", type=int, help="default: " + str(MANY))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if told.device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu goes the same way on the processor")
    name = torch.cuda.get_device_name(told.device) if told.device.type == "cuda" else "cpu"
    found = list(measured(told.workloads, told.chains, told.device, told.steps, told.repeats))
    shown(found, name, Console(width=120))
    if told.out:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        with told.out.open("w", newline="") as file:
            csv.writer(file).writerows([("device", *Row._fields), *((name, *row) for row in found)])
    wrong = sorted({row.workload for row in found if not row.off <= told.tolerance})
    for each in wrong:
        sys.stderr.write(f"{each}: not the numbers of the CPU, off by more than {told.tolerance:g}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
