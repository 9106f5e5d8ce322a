"""What a step of one chain costs by the number of parameters, and by the number of chains.

    OMP_NUM_THREADS=1 python -m benchmarks.speed_sweeps

SGLD as in speed.py, this package alone: perceptrons 32-h-h-10 on minibatches of 64 rows, four chains (two of 1e7), and
the linear layers of W1 with 1 to 256 chains; each with torch's normals, with hardware.noise=native, and with nothing
recorded. Before that, millions of normals a second. Microseconds of the processor, medians of five repeats.
"""

from dataclasses import replace
from statistics import median
from time import process_time

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.speed import NATIVE, floor, sampling
from benchmarks.speed_models import WORKLOADS, Workload
from llcx import rng

HIDDEN = {18: 400, 80: 200, 293: 60, 977: 8, 3140: 3}  # width -> steps of a repeat
SIZES = (160, 10_000, 1_000_000)  # normals of a call
METHODS = ("llcx", NATIVE, "llcx vmap")
CHAINS = {1: 400, 4: 300, 16: 150, 64: 60, 256: 20}  # chains -> steps


def microseconds(workload: Workload, method: str, steps: int, repeats: int = 5) -> float:
    run = sampling(workload, method)
    run(0)
    return 1e6 * median(run(steps) for _ in range(repeats)) / steps / workload.chains


def perceptron(hidden: int) -> Workload:
    chains = 2 if hidden > 2000 else 4
    return Workload("mlp", (32, hidden, hidden, 10), 2000, 64, chains, 1e-8, 0, 0)


def millions(noise: str, size: int, dtype: torch.dtype, repeats: int = 5) -> float:
    """Normals a microsecond of the processor, of one chain, blocks of steps included."""
    rng.use(noise)
    made, like, turns = rng.ChainNoise(0, 1), torch.zeros(1, size, dtype=dtype), max(1, 10**7 // size)
    times = []
    for _ in range(repeats):
        begun = process_time()
        for _ in range(turns):
            made.normal(like)
        times.append(process_time() - begun)
    return 1e-6 * turns * size / median(times)


def normals() -> Table:
    table = Table("normals", "torch, M/s", "native, M/s", "torch float64", "native float64")
    for size in SIZES:
        each = (millions(noise, size, dtype) for dtype in (torch.float32, torch.float64) for noise in rng.NOISES)
        table.add_row(f"{size}", *(f"{number:.0f}" for number in each))
    return table


def main() -> None:
    torch.set_num_threads(1)
    console = Console(width=100)
    console.print(normals())
    table = Table("parameters", "us a chain-step", "native noise", "without recording", "floor, us", "ns a parameter")
    for hidden, steps in HIDDEN.items():
        workload = perceptron(hidden)
        count = sum((a + 1) * b for a, b in zip(workload.widths, workload.widths[1:], strict=False))
        found, native, plain = (microseconds(workload, method, steps) for method in METHODS)
        each = f"{1e3 * found / count:.2f}"
        table.add_row(f"{count}", *(f"{number:.1f}" for number in (found, native, plain, floor(workload))), each)
    console.print(table)
    table = Table("chains", "us a chain-step", "native noise", "without recording", "floor, us")
    for chains, steps in CHAINS.items():
        workload = replace(WORKLOADS["W1"], chains=chains)
        numbers = *(microseconds(workload, method, steps) for method in METHODS), floor(workload)
        table.add_row(f"{chains}", *(f"{number:.1f}" for number in numbers))
    console.print(table)


if __name__ == "__main__":
    main()
