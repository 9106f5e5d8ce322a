"""What a step of one chain costs by the number of parameters, and by the number of chains.

    OMP_NUM_THREADS=1 python -m benchmarks.speed_sweeps

SGLD as in speed.py, this package alone: perceptrons 32-h-h-10 on minibatches of 64 rows, four chains (two of 1e7), and
the linear layers of W1 with 1 to 256 chains. Microseconds of the processor, medians of five repeats.
"""

from dataclasses import replace
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.speed import floor, sampling
from benchmarks.speed_models import WORKLOADS, Workload

HIDDEN = {18: 400, 80: 200, 293: 60, 977: 8, 3140: 3}  # width -> steps of a repeat
CHAINS = {1: 400, 4: 300, 16: 150, 64: 60, 256: 20}  # chains -> steps


def microseconds(workload: Workload, method: str, steps: int, repeats: int = 5) -> float:
    run = sampling(workload, method)
    run(0)
    return 1e6 * median(run(steps) for _ in range(repeats)) / steps / workload.chains


def perceptron(hidden: int) -> Workload:
    chains = 2 if hidden > 2000 else 4
    return Workload("mlp", (32, hidden, hidden, 10), 2000, 64, chains, 1e-8, 0, 0)


def main() -> None:
    torch.set_num_threads(1)
    console = Console(width=100)
    table = Table("parameters", "us a chain-step", "without recording", "floor, us", "ns a parameter")
    for hidden, steps in HIDDEN.items():
        workload = perceptron(hidden)
        count = sum((a + 1) * b for a, b in zip(workload.widths, workload.widths[1:], strict=False))
        found, plain = (microseconds(workload, method, steps) for method in ("llcx", "llcx vmap"))
        table.add_row(
            f"{count}", f"{found:.1f}", f"{plain:.1f}", f"{floor(workload):.1f}", f"{1e3 * found / count:.2f}"
        )
    console.print(table)
    table = Table("chains", "us a chain-step", "without recording", "floor, us")
    for chains, steps in CHAINS.items():
        workload = replace(WORKLOADS["W1"], chains=chains)
        found, plain = (microseconds(workload, method, steps) for method in ("llcx", "llcx vmap"))
        table.add_row(f"{chains}", f"{found:.1f}", f"{plain:.1f}", f"{floor(workload):.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
