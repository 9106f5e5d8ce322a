"""Estimates on trained networks against long runs of full-data HMC on the same functional.

    python -m benchmarks.trained --out outputs/trained.jsonl            all problems, three seeds a route
    python -m benchmarks.trained --out outputs/trained.jsonl --only p1 p4 --seeds 1 --draws 100
    python -m benchmarks.trained --out outputs/trained.jsonl --report   the tables, from what is there

Three routes are measured, each forced by what it is allowed to cost: `full`, HMC on all rows and the labels; `subset`,
HMC on frozen subsets of the self target; `minibatch`, SGLD in Gauss-Newton coordinates on the self target. A reference
or measurement is one JSON line; what is there already is not run again, so that trained_references.jsonl, copied to
where the lines go, spares the long runs.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console

from benchmarks.networks import NETWORKS, Network, build
from benchmarks.trained_report import FUNCTIONAL, ROUTES, tables
from llcx import calibrate, chains, gradients, routes
from llcx.calibrate import Auto
from llcx.diagnostics import ess, rhat, standard_error
from llcx.estimators.llc import LLC
from llcx.measure import measure
from llcx.samplers import HMC
from llcx.types import Plan, Point

LEAPFROG = 16
MOST = 5e12  # floating-point operations of a reference, beyond which it is shorter


@dataclass(frozen=True)
class Hardware:
    """Where a measurement runs."""

    device: str = "cpu"
    dtype: str = "auto"
    backend: str = "auto"
    memory: float | None = 1.0


def main() -> None:
    args = _arguments()
    console, out = Console(file=sys.stdout), Path(args.out)
    found = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    if args.report:
        for table in tables(found):
            console.print(table)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    done = {(row["problem"], row["kind"], row["seed"]) for row in found}
    names = args.only or list(NETWORKS)
    for count, name in enumerate(names):
        begun, point = perf_counter(), build(NETWORKS[name])
        for row in _rows(NETWORKS[name], point, args, done):
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            console.print(f"[{count + 1}/{len(names)}] {name} {row['kind']} seed {row['seed']}: {row['llc']:.4g} "
                          f"+- {row['se']:.2g} in {row['seconds']:.0f} s {row['flags']}")  # fmt: skip
        console.print(f"[{count + 1}/{len(names)}] {name}: {perf_counter() - begun:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="outputs/trained.jsonl")
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), help="problems; all by default")
    parser.add_argument("--routes", nargs="*", choices=ROUTES, default=list(ROUTES))
    parser.add_argument("--seeds", type=int, default=3, help="measurements a route")
    parser.add_argument("--draws", type=int, default=400, help="of a reference, a chain")
    parser.add_argument("--gamma", type=float, default=1.0, help="factor on the default localiser")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    return parser.parse_args()


def _rows(network: Network, point: Point, args: argparse.Namespace, done: set[Any]) -> Iterator[dict[str, Any]]:
    """References and measurements of a problem that are not done yet."""
    for target in sorted({FUNCTIONAL[route] for route in args.routes}):
        if (network.name, target, 0) not in done:
            yield {"problem": network.name, "kind": target, "seed": 0, **reference(point, target, args)}
    for route in args.routes:
        for seed in range(1, 1 + args.seeds):
            if (network.name, route, seed) in done:
                continue
            yield {"problem": network.name, "kind": route, "seed": seed, **measured(point, route, seed, args.gamma)}


def _wishes(point: Point, factor: float) -> LLC:
    weights = torch.cat([p.detach().flatten() for p in point.model.module.parameters()])
    return LLC(gamma=factor * 10 * len(weights) / float(weights.double().square().sum()))


def reference(point: Point, target: str, args: argparse.Namespace) -> dict[str, Any]:
    """A long run of HMC on all rows."""
    potential, _, loss = gradients.of_model(point.model, point.data, target=target, dtype=torch.float64)
    nbeta, gamma = calibrate.temperature(potential, _wishes(point, args.gamma))
    draws = int(min(args.draws, max(60, MOST / (8 * LEAPFROG * potential.flops))))
    warmup = max(40, draws // 4)
    sampler = HMC(step_size=0.08, leapfrog=LEAPFROG, adapt=warmup, accept=0.8)
    plan = Plan(sampler, nbeta, gamma, 8, warmup, draws, 1, metric="ggn")
    ran = chains.run(potential, plan, 0, role="reference")
    energy = ran.energy
    return {
        "llc": float(energy.mean()),
        "se": standard_error(energy),
        "rhat": rhat(energy),
        "ess": ess(energy),
        "ratio": float(energy.var() / energy.mean()),
        "parameters": len(potential.at),
        "n": potential.n,
        "loss": loss,
        "nbeta": nbeta,
        "gamma": gamma,
        "gradients": ran.gradients,
        "seconds": ran.seconds,
        "flags": [],
    }


def measured(point: Point, route: str, seed: int, factor: float) -> dict[str, Any]:
    """A measurement by `route`, checks included."""
    begun = perf_counter()
    with _forced(route):
        found = measure(point, Auto(), _wishes(point, factor), Hardware(), seed).estimate
    return {
        **{key: getattr(found, key) for key in ("llc", "se", "low", "high", "llc_fluct", "rhat", "ess", "target")},
        **{
            key: found.beside.get(key, nan) for key in ("planned", "llc_labels", "llc_subset", "llc_full", "llc_looser")
        },
        "gradients": found.gradients,
        "gradients_main": found.gradients_main,
        "examples": found.examples,
        "seconds": perf_counter() - begun,
        "flags": list(found.flags),
        "notes": list(found.notes),
    }


def _forced(route: str) -> Any:
    """Let only `route` be affordable; where the estimate asks for too many rows for a subset, half of all are one."""
    true_choice = routes.choose

    def chosen(potential: Any, cfg: Any, generator: Any) -> routes.Route:
        allowed = {"full": float("inf"), "subset": 0.9 * routes.cost(potential.flops), "minibatch": 1.0}[route]
        with patch.object(calibrate, "AFFORDABLE", allowed):
            found = true_choice(potential, cfg, generator)
        if route != "subset" or found.subset:
            return found
        return routes.Route(HMC(leapfrog=routes.LEAPFROG), "self", potential.rows // 2)

    return patch.object(routes, "choose", chosen)


if __name__ == "__main__":
    main()
