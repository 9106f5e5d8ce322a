"""Microseconds of processor time a step of one chain, side by side with devinterp, posteriors and JAX.

    python -m benchmarks.speed --venv VENV --out outputs/speed.csv
    python -m benchmarks.speed --peer devinterp=PYTHON --peer jax=PYTHON --workloads W1 W2

SGLD with a minibatch of its own for each chain and the loss recorded at each step, float32, one thread. Every method is
a process of its own, and they take turns, so that what else the machine does hits all of them; the number is the median
of the repeats, the ratio that of the medians. Of this package the steps after the first draw are timed: until then a
run looks at all rows once and records its gradient, which is the time to the first draw. VENV is made if it is not
there, with the peers in it (REQUIREMENTS). The floor is what the products of a step take at the speed at which torch
does them on this machine at these shapes, one by one.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time
from typing import IO, Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.speed_models import WORKLOADS, Workload, network, rows
from llcx import chains, gradients, rng
from llcx.likelihoods import Categorical, Gaussian, NextToken
from llcx.samplers.sgld import SGLD
from llcx.tasks.dln.loss import Quadratic, of_rows
from llcx.types import Data, Plan, Potential, StatModel

REQUIREMENTS = ("devinterp==1.3.2", "posteriors==0.1.3", "jax==0.10.2")
OWN = ("llcx", "llcx vmap", "llcx closed")  # as it comes; nothing recorded; all rows by their second moments
NATIVE = "llcx native"  # hardware.noise=native
PEERS = ("devinterp", "posteriors", "jax")
SLOW = ("devinterp", "posteriors")
LEFT_OUT = {("llcx closed", "W2"), ("llcx closed", "W3")}  # a closed form there is of layers in a row alone
WORKER = Path(__file__).with_name("speed_peers.py")
FLAGS = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


class Row(NamedTuple):
    workload: str
    method: str
    microseconds: float  # of the processor, a step of one chain
    ratio: float  # of devinterp's to it, or nan
    first: float  # seconds of the processor until the first draw, imports left out
    memory: float  # peak of the process, MiB
    floor: float  # microseconds


def potential_of(workload: Workload, backend: str = "auto", **where: Any) -> Potential:
    """`where`: device, dtype and memory of gradients.of_model."""
    data, net = rows(workload), network(workload)
    if workload.kind == "transformer":
        like = NextToken()
        model, count = StatModel(net, like, like.kl, forward=like.forward), workload.rows * workload.widths[3]
    elif workload.kind == "dln":
        model, count = StatModel(net, Gaussian(), Gaussian().kl), workload.rows
    else:
        model, count = StatModel(net, Categorical(), Categorical().kl), workload.rows
    return gradients.of_model(model, Data(data, count), backend=backend, **where)[0]


def closed_of(workload: Workload) -> Potential:
    """Of all rows, by their second moments: what task=dln does."""
    net, data = network(workload), rows(workload)
    layers = [p.detach() for p in net.parameters()]
    centre = product([layer.unsqueeze(0) for layer in layers[::-1]])[0]
    value = Quadratic(workload.widths, centre, 1.0, lambda: of_rows([(data[0], data[1])], centre))
    return gradients.of_function(value, torch.cat([p.flatten() for p in layers]), n=workload.rows, population=False)


def product(layers: list[torch.Tensor]) -> torch.Tensor:
    return layers[0] if len(layers) == 1 else layers[0] @ product(layers[1:])


class Drawn(Exception):
    """The first draw is there."""


def sampling(workload: Workload, method: str) -> Callable[[int], float]:
    """Seconds of so many steps of all chains, each a draw, after the first draw of a long run; of 0 steps: until it."""
    closed = method == "llcx closed"
    potential = closed_of(workload) if closed else potential_of(workload, "vmap" if method == "llcx vmap" else "auto")
    rng.use("native" if method == NATIVE else "torch")
    batch = None if closed else workload.batch
    kernel = SGLD(step_size=workload.step_size, batch_size=batch, baseline="paired")

    def run(steps: int) -> float:
        begun = process_time()

        def drawn(stage: str, done: int, total: int, told: Mapping[str, float]) -> None:
            nonlocal begun
            if stage == "sample" and done == 1 and steps:
                begun = process_time()
            if stage == "sample" and done == steps + 1:
                raise Drawn

        plan = Plan(kernel, nbeta=10.0, gamma=1.0, chains=workload.chains, warmup=0, draws=10_000, every=1)
        with suppress(Drawn):
            chains.run(replace(potential, memory=2**40), plan, seed=0, progress=drawn)  # all chains in every step
        return process_time() - begun

    return run


def work(method: str, name: str) -> None:
    """What speed_peers.py does, for this package."""
    torch.set_num_threads(1)
    workload = WORKLOADS[name]
    begun = process_time()
    run = sampling(workload, method)
    run(0)
    answer({"first": process_time() - begun})
    for line in sys.stdin:
        seconds = run(int(line))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer({"seconds": seconds, "memory": memory})


def answer(found: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


class Worker:
    """A process that runs a method on a workload when it is told."""

    def __init__(self, command: Sequence[str], workload: Workload, steps: int, stack: ExitStack) -> None:
        begun = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **FLAGS}
        )
        self.process, self.workload, self.steps = stack.enter_context(begun), workload, steps
        stack.callback(self._end)
        self.first, self.memory, self.times = self._answer()["first"], 0.0, list[float]()

    def repeat(self) -> None:
        steps = self.steps
        pipe: IO[str] | None = self.process.stdin
        assert pipe is not None
        pipe.write(f"{steps}\n")
        pipe.flush()
        found = self._answer()
        self.memory = found["memory"]
        self.times.append(1e6 * found["seconds"] / steps / self.workload.chains)

    def _answer(self) -> dict[str, float]:
        pipe: IO[str] | None = self.process.stdout
        assert pipe is not None
        while line := pipe.readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError(f"{self.process.args!r} ended without an answer")

    def _end(self) -> None:
        self.process.kill()


def measured(name: str, methods: dict[str, list[str]], repeats: int) -> Iterator[Row]:
    """Rows of one workload; its workers take turns, the first turn of each is not counted."""
    workload = WORKLOADS[name]
    with ExitStack() as stack:
        workers = {
            method: Worker([*command, name], workload, workload.steps if method in SLOW else workload.quick, stack)
            for method, command in methods.items()
            if (method, name) not in LEFT_OUT
        }
        for _ in range(repeats + 1):
            for worker in workers.values():
                worker.repeat()
    lowest = floor(workload)
    found = {method: median(worker.times[1:]) for method, worker in workers.items()}
    for method, worker in workers.items():
        ratio = found.get("devinterp", float("nan")) / found[method]
        yield Row(name, method, found[method], ratio, worker.first, worker.memory, lowest)


def floor(workload: Workload) -> float:
    """Products of a step of one chain, forwards and backwards, at the speed of the same products alone."""
    if workload.kind == "transformer":
        tokens, width, layers, length = workload.widths
        each = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
        pairs, count = layers * each + [(width, tokens)], workload.batch * length
    else:
        pairs, count = list(zip(workload.widths, workload.widths[1:], strict=False)), workload.batch
    return sum(_product(a, b, count, workload.chains, last=k == 0) for k, (a, b) in enumerate(pairs))


def _product(into: int, out: int, count: int, many: int, last: bool) -> float:
    """Microseconds a chain of y = W x, dW = dy x^T and, but in the first layer, dx = W^T dy, rows side by side."""
    draw = torch.Generator().manual_seed(0)
    weight, x, y = (torch.randn(many, *shape, generator=draw) for shape in ((out, into), (into, count), (out, count)))
    times = []
    for _ in range(7):
        begun, turns = process_time(), max(1, int(1e8 / (6 * into * out * count * many)))
        for _ in range(turns):
            torch.bmm(weight, x)
            torch.bmm(y, x.mT)
            if not last:
                torch.bmm(weight.mT, y)
        times.append((process_time() - begun) / turns)
    return 1e6 * median(times) / many


def made(venv: Path) -> str:
    """The Python of an environment with the peers in it."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return str(python)


def shown(found: Sequence[Row], console: Console) -> None:
    table = Table(
        *("workload", "method", "us a chain-step", "devinterp / it", "first draw, s", "memory, MiB", "floor, us")
    )
    for row in found:
        times = "-" if row.ratio != row.ratio else f"{row.ratio:.2f}"
        numbers = (f"{row.microseconds:.1f}", times, f"{row.first:.2f}", f"{row.memory:.0f}", f"{row.floor:.1f}")
        table.add_row(row.workload, row.method, *numbers)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--own", nargs="+", default=list(OWN), choices=[*OWN, NATIVE], help="what of this package")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--venv", type=Path, help="environment of the peers, made if it is not there")
    parser.add_argument("--peer", action="append", default=[], help="NAME=PYTHON, NAME one of " + ", ".join(PEERS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", nargs=2, metavar=("METHOD", "WORKLOAD"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.work:
        work(*told.work)
        return
    pythons = dict.fromkeys(PEERS, made(told.venv)) if told.venv else {}
    pythons |= dict(each.split("=", 1) for each in told.peer)
    methods = {method: [sys.executable, "-m", "benchmarks.speed", "--work", method] for method in told.own}
    methods |= {peer: [python, str(WORKER), peer] for peer, python in pythons.items()}
    found = [row for name in told.workloads for row in measured(name, methods, told.repeats)]
    shown(found, Console(width=120))
    if told.out:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        with told.out.open("w", newline="") as file:
            csv.writer(file).writerows([Row._fields, *found])


if __name__ == "__main__":
    main()
