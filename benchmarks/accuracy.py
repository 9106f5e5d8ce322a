"""Error against gradients and seconds, side by side with devinterp 1.3.2 on random deep linear networks.

    python -m benchmarks.accuracy --peer-python VENV/bin/python --out outputs/accuracy.csv --figure FIGURE.png

Networks of the class `small` (2-5 layers, widths 3-10, deepest point, noise-free labels), whose learning coefficient is
known. Both see the same rows, weights, n*beta = n/log n and gamma = 1; arms named `documented` have devinterp's own
settings. Of its chains each prefix is an estimate, its first half dropped; of its steps the best by the truth is taken.
VENV is an environment of its own: python -m venv VENV; VENV/bin/pip install devinterp==1.3.2
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from benchmarks.curves import Row, draw, tables
from llcx import gradients, rng
from llcx.estimators.llc import LLC
from llcx.measure import of_potential
from llcx.params import layout
from llcx.samplers import HMC, MALA
from llcx.tasks.dln import build
from llcx.tasks.dln.schema import DLN, Size, Teacher
from llcx.types import Point, Potential, Rows

PEER = Path(__file__).with_name("peer_devinterp.py")
STEPS = {"sgld": (0.01, 0.03, 0.1, 0.2), "rmsprop_sgld": (0.003, 0.01)}  # over n*beta; larger ones diverge
BUDGETS = (50, 100, 200, 400, 800, 1600, 3200)  # gradients a chain that llcx is granted
CHAINS, BATCH, REPEATS = 4, 500, 5


@dataclass(frozen=True)
class Net:
    """One network, and what its estimates should be."""

    name: str
    point: Point
    potential: Potential  # float64, all rows
    nbeta: float
    lam: float
    at: float  # E[n*beta K] at this n*beta and gamma = 1, by a long run


@dataclass(frozen=True)
class Arm:
    """Settings of devinterp."""

    method: str
    lr: float
    localization: float  # gamma
    nbeta: float | None = None  # None: its own helper, batch / log(batch)
    chains: int = 10  # the defaults of estimate_learning_coeff_with_summary
    draws: int = 100
    batch: int = BATCH
    seed: int = 0

    @property
    def documented(self) -> bool:
        return self.nbeta is None


DOCUMENTED = (Arm("sgld", 4e-4, 100.0), Arm("rmsprop_sgld", 0.01, 0.1))  # its introduction's and its docstring's


def networks(count: int, n: int, seed: int) -> Iterator[Net]:
    """`count` random networks on `n` rows."""
    cfg = DLN(sizes={"small": Size([2, 5], [3, 10], n)}, data=Teacher(mode="noise_free"), nets=count)
    task = build(cfg, rng.streams(seed))
    for spec in task.points():
        point = task.point(spec, None)
        potential = gradients.of_model(point.model, point.data, dtype=torch.float64)[0]
        nbeta = n / log(n)
        long = LLC(nbeta=nbeta, gamma=1.0, chains=32, warmup=80, draws=200, check="off")
        known = point.known.lam if point.known.local is None else point.known.local
        assert known is not None
        at = of_potential(potential, HMC(), long, seed=99)[0].llc
        yield Net(f"{spec.name} of seed {seed}", point, potential, nbeta, known, at)


def ours(net: Net) -> Iterator[Row]:
    """HMC with short trajectories and MALA, half of the budget for warm-up, and the default of no arguments."""
    for seed, budget in product(range(REPEATS), BUDGETS):
        draws = budget // 2 // 4
        told = LLC(chains=CHAINS, warmup=draws, draws=draws, check="off")
        yield _measured(net, "llcx hmc", HMC(leapfrog=4), told, (seed, budget))
        yield _measured(net, "llcx mala", MALA(), replace(told, warmup=4 * draws, every=4), (seed, budget))
    yield _measured(net, "llcx default", HMC(), LLC(), (0, 0))


def _measured(net: Net, arm: str, sampler: Any, told: LLC, which: tuple[int, int]) -> Row:
    """`which`: seed and budget."""
    seed, budget = which
    begun = perf_counter()
    found, plan, _ = of_potential(net.potential, sampler, replace(told, nbeta=net.nbeta, gamma=1.0), seed)
    spent = plan.gradients + (found.gradients - plan.gradients) * found.chains  # calibration works at single points
    costs = (spent, spent * net.potential.rows, perf_counter() - begun)  # the closed form counts as all rows
    return Row(net.name, arm, budget, 0.0, seed, *costs, found.llc, net.lam, net.at)


def peers(net: Net, python: str, draws: int) -> Iterator[Row]:
    """devinterp with every step of STEPS, and as documented."""
    swept = [Arm(method, step / net.nbeta, 1.0, net.nbeta, CHAINS, draws) for method in STEPS for step in STEPS[method]]
    arms = [*swept, *DOCUMENTED]
    found = _run_peer(net, python, arms)
    for k, arm in enumerate(arms):
        losses, baseline, nbeta, seconds = (found[f"{name}_{k}"] for name in ("loss", "baseline", "nbeta", "seconds"))
        for used in [arm.draws] if arm.documented else prefixes(draws):
            kept = losses if arm.documented else losses[:, used // 2 : used]
            spent = arm.chains * used
            name = f"devinterp {arm.method}" + (" documented" if arm.documented else "")
            costs = (spent, spent * BATCH, float(seconds) * used / arm.draws)
            llc = float(nbeta * (kept.mean(dtype=np.float64) - baseline))
            step = 0.0 if arm.documented else float(arm.lr * net.nbeta)
            yield Row(net.name, name, used, round(step, 6), 0, *costs, llc, net.lam, net.at)


def prefixes(draws: int) -> list[int]:
    """Lengths at which a chain is read: all of it, its half, its quarter, ... down to 16 draws."""
    return [draws >> k for k in range(draws.bit_length() - 1, -1, -1) if draws >> k >= 16]


def _run_peer(net: Net, python: str, arms: Sequence[Arm]) -> dict[str, np.ndarray]:
    x, y = _all_rows(net.point)
    weights = layout(net.point.model.module).unflatten(net.potential.at)
    arrays = {"x": x.numpy(), "y": y.numpy(), **{f"layer_{k}": w.numpy() for k, w in enumerate(weights.values())}}
    with TemporaryDirectory() as folder:
        problem, told, out = (str(Path(folder, name)) for name in ("problem.npz", "arms.json", "out.npz"))
        np.savez(problem, allow_pickle=False, **arrays)
        Path(told).write_text(json.dumps([asdict(arm) for arm in arms]))
        subprocess.run([python, str(PEER), problem, told, out], check=True)
        return dict(np.load(out, allow_pickle=False))


def _all_rows(point: Point) -> tuple[Tensor, Tensor]:
    train = point.data.train
    return train.take(torch.arange(train.total)) if isinstance(train, Rows) else train


def write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read(path: Path) -> list[Row]:
    kinds: dict[str, Any] = {field.name: field.type for field in fields(Row)}
    with path.open(newline="") as file:
        return [Row(**{name: kinds[name](value) for name, value in row.items()}) for row in csv.DictReader(file)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("--peer-python", help="the Python of an environment with devinterp 1.3.2")
    parser.add_argument("--read", type=Path, nargs="+", default=[], help="CSV files of earlier runs to begin with")
    parser.add_argument("--nets", type=int, default=12)
    parser.add_argument("--n", type=int, default=100_000, help="rows")
    parser.add_argument("--draws", type=int, default=2048, help="steps of a chain of devinterp")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a CSV file, one row an estimate")
    parser.add_argument("--figure", type=Path, help="a PNG: error against gradients and against seconds")
    told = parser.parse_args(argv)
    torch.set_num_threads(1)
    if told.peer_python is None and not told.read:
        parser.error("--peer-python is required, unless --read names CSV files of earlier runs")
    console = Console(width=160)
    rows = [row for path in told.read for row in read(path)]
    for net in networks(told.nets, told.n, told.seed) if told.peer_python else ():
        rows += [*ours(net), *peers(net, told.peer_python, told.draws)]
        default = next(row.llc for row in rows if (row.net, row.arm) == (net.name, "llcx default"))
        console.print(f"{net.name}: lambda {net.lam:g}, {net.at:.3f} here; llcx without arguments {default:.3f}")
        if told.out is not None:
            write(told.out, rows)
    for table in tables(rows):
        console.print(table)
    if told.figure is not None:
        draw(rows, told.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
