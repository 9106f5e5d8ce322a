"""How accurate is the default on wide deep linear networks, in how many gradients?

    OMP_NUM_THREADS=1 python -m benchmarks.wide

One line a network: the relative error against the exact lambda, Var / mean, acceptance, flags, full-batch gradients a
chain (of the estimate alone, and with calibration and checks), seconds. `--most 1e5` leaves out what is larger.
"""

import argparse
import sys
from itertools import pairwise
from time import perf_counter

from llcx import measure, rng
from llcx.calibrate import Auto
from llcx.config import Hardware
from llcx.estimators.llc import LLC
from llcx.registry import TASKS
from llcx.tasks.dln.schema import DLN, Model

NETWORKS = (  # widths, rank
    ([83, 53, 57], 12),
    ([55, 68, 87], 34),
    ([62, 76, 70, 83], 13),
    ([52, 85, 77, 69], 26),
    ([200, 150, 250], 50),
    ([200, 260, 180, 240], 60),
    ([500, 600, 550, 500], 150),
)


def parameters(widths: list[int]) -> int:
    return sum(a * b for a, b in pairwise(widths))


def line(widths: list[int], rank: int, check: str) -> str:
    """Measure one network at its deepest point, without an argument but the level of checks."""
    task = TASKS.builder("dln")(DLN(model=Model(widths=widths, rank=rank)), rng.streams(0))
    point = task.point(task.points()[0], None)
    begun = perf_counter()
    found = measure.measure(point, Auto(), LLC(check=check), Hardware(), seed=0).estimate
    lam = float(point.known.lam)
    return (
        f"{'-'.join(map(str, widths))} r{rank}  P {parameters(widths)}  "
        f"lambda {lam:g}  error {100 * (found.llc / lam - 1):+.2f} %  covered {found.low <= lam <= found.high}  "
        f"Var/mean {found.llc_fluct / found.llc:.2f}  accept {found.accept:.2f}  "
        f"gradients {found.gradients_main} ({found.gradients})  {perf_counter() - begun:.0f} s  "
        f"{', '.join(found.flags) or 'healthy'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--most", type=float, default=2e6, help="parameters of the largest network")
    parser.add_argument("--check", default="quick", choices=("off", "quick", "full"))
    asked = parser.parse_args()
    for widths, rank in NETWORKS:
        if parameters(widths) <= asked.most:
            sys.stdout.write(f"{line(widths, rank, asked.check)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
