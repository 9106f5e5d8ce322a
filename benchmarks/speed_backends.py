"""What a step of one chain costs on each backend, and how long the first draw takes.

    OMP_NUM_THREADS=1 python -m benchmarks.speed_backends --workloads W1 W2

SGLD as in speed.py, all backends in one process and taking turns: microseconds of the processor a chain-step, medians
of the repeats, and seconds on the wall until the first draw, compiling included, with nothing compiled before.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.speed import Drawn, potential_of
from benchmarks.speed_models import WORKLOADS, Workload
from llcx import chains
from llcx.samplers.sgld import SGLD
from llcx.types import Plan

BACKENDS = ("seq", "vmap", "fx", "compile")


def sampling(workload: Workload, backend: str) -> Callable[[int], float]:
    """Seconds of the processor for so many steps of all chains, each a draw, after the first."""
    potential = potential_of(workload, backend)
    kernel = SGLD(step_size=workload.step_size, batch_size=workload.batch, baseline="paired")
    plan = Plan(kernel, nbeta=10.0, gamma=1.0, chains=workload.chains, warmup=0, draws=10_000, every=1)

    def run(steps: int) -> float:
        begun = process_time()

        def drawn(stage: str, done: int, total: int, told: Mapping[str, float]) -> None:
            nonlocal begun
            if stage == "sample" and done == 1:
                begun = process_time()
            if stage == "sample" and done == steps + 1:
                raise Drawn

        with suppress(Drawn):
            chains.run(potential, plan, seed=0, progress=drawn)
        return process_time() - begun

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", default=["W1", "W2"], choices=list(WORKLOADS))
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=list(BACKENDS))
    parser.add_argument("--repeats", type=int, default=5)
    told = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("workload", "backend", "us a chain-step", "first draw, s")
    with TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        for name in told.workloads:
            workload, runs, first = WORKLOADS[name], dict[str, Callable[[int], float]](), dict[str, float]()
            for backend in told.backends:
                begun = perf_counter()
                runs[backend] = sampling(workload, backend)
                runs[backend](0)
                first[backend] = perf_counter() - begun
            times: dict[str, list[float]] = {backend: [] for backend in runs}
            for _ in range(told.repeats):
                for backend, run in runs.items():
                    times[backend].append(1e6 * run(workload.quick) / workload.quick / workload.chains)
            for backend, found in times.items():
                table.add_row(name, backend, f"{median(found):.1f}", f"{first[backend]:.2f}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
