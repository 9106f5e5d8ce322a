"""What a second core gives: threads, processes that meet at each step, or processes that never meet.

    python -m benchmarks.workers --workloads W1 W2 W4

SGLD's gradient and update, seconds on the wall a chain-step, medians of the repeats, the ways taking turns:

    one       one process of one thread
    threads   one process of two threads
    split     two processes of one thread; each has half of the chains and at every step waits for the other, as a
              kernel that sees the whole [C, P] in shared memory has to
    apart     two processes of one thread, each with all chains of a run of its own, as a launcher starts them; the
              steps of both count

Two quiet cores are needed, and OMP_NUM_THREADS is not to be set.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Generator, Tensor
from torch import multiprocessing as mp

from benchmarks.speed import potential_of
from benchmarks.speed_models import WORKLOADS, Workload

STEPS = {"W1": 3000, "W2": 800, "W3": 3, "W4": 12}  # steps of a repeat


@dataclass(frozen=True)
class Way:
    name: str
    processes: int
    threads: int
    meet: bool = False  # the chains are split, and the processes wait for each other at each step


WAYS = (Way("one", 1, 1), Way("threads", 1, 2), Way("split", 2, 1, meet=True), Way("apart", 2, 1))


def stepping(workload: Workload, w: Tensor, some: slice, wait: Callable[[], Any]) -> Callable[[int], None]:
    """So many steps of the chains `some` of w [C, P], in place; `wait` stands between two of them."""
    potential = potential_of(workload, "fx")
    mini, draw, eps = potential.mini, Generator().manual_seed(some.start), workload.step_size
    assert mini is not None
    own, at = w[some], potential.at
    noise = torch.empty_like(own)

    def run(steps: int) -> None:
        for _ in range(steps):
            idx = torch.randint(potential.rows, (len(own), workload.batch), generator=draw)
            grad = mini(own, idx)[1]
            drift = grad.mul_(10.0).add_(own).sub_(at)
            noise.normal_(generator=draw)
            own.add_(drift, alpha=-0.5 * eps).add_(noise, alpha=eps**0.5)
            wait()

    return run


def worker(name: str, way: Way, rank: int, w: Tensor, barrier: Barrier, pipe: Connection) -> None:
    """Answers each number on the pipe, once it has made so many steps; None ends it."""
    torch.set_num_threads(way.threads)
    chains = WORKLOADS[name].chains
    half = slice(rank * chains // 2, (rank + 1) * chains // 2) if way.meet else slice(0, chains)
    run = stepping(WORKLOADS[name], w, half, barrier.wait if way.meet else lambda: None)
    run(3)
    pipe.send(True)
    while (steps := pipe.recv()) is not None:
        run(steps)
        pipe.send(True)


class Team:
    """The processes of one way, which share the [C, P] of a run where they meet."""

    def __init__(self, name: str, way: Way) -> None:
        spawn, self.way, self.chains = mp.get_context("spawn"), way, WORKLOADS[name].chains
        at = potential_of(WORKLOADS[name], "vmap").at
        barrier, shared = spawn.Barrier(way.processes), at.repeat(self.chains, 1).share_memory_()
        self.pipes, self.workers = list[Connection](), list[Any]()
        for rank in range(way.processes):
            here, there = spawn.Pipe()
            w = shared if way.meet else shared.clone().share_memory_()
            begun = spawn.Process(target=worker, args=(name, way, rank, w, barrier, there), daemon=True)
            begun.start()
            self.pipes.append(here)
            self.workers.append(begun)
        self.answered()

    def answered(self) -> None:
        for pipe in self.pipes:
            pipe.recv()

    def told(self, what: int | None) -> None:
        for pipe in self.pipes:
            pipe.send(what)

    def microseconds(self, steps: int) -> float:
        """On the wall, a step of one chain."""
        begun = perf_counter()
        self.told(steps)
        self.answered()
        runs = 1 if self.way.meet else self.way.processes
        return 1e6 * (perf_counter() - begun) / steps / self.chains / runs

    def end(self) -> None:
        self.told(None)
        for each in self.workers:
            each.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", default=["W1", "W2", "W4"], choices=list(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", type=float, default=1.0, help="of the steps of a repeat")
    told = parser.parse_args()
    if "OMP_NUM_THREADS" in os.environ:
        parser.error("OMP_NUM_THREADS must not be set, got " + os.environ["OMP_NUM_THREADS"] + "; two threads run here")
    table = Table("workload", "way", "us a chain-step, on the wall", "one / it")
    for name in told.workloads:
        steps = max(1, round(told.part * STEPS[name]))
        teams = [Team(name, way) for way in WAYS]
        times: list[list[float]] = [[] for _ in teams]
        for _ in range(told.repeats):
            for team, found in zip(teams, times, strict=True):
                found.append(team.microseconds(steps))
        for team in teams:
            team.end()
        for way, found in zip(WAYS, times, strict=True):
            table.add_row(name, way.name, f"{median(found):.1f}", f"{median(times[0]) / median(found):.2f}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
