"""How much faster are kernels by layers, and ensembles, than loops over examples and over networks?

    OMP_NUM_THREADS=1 python -m benchmarks.parity

The loops are those of `benchmarks/loops.py`. A line each: CPU seconds of the loop and of ours, the ratio, the largest
relative difference of the results. A round of a sweep trains the ensemble and one network alone, whose seconds are
scaled; the ratio is that of the medians over `--rounds`. What is saved is what does not grow with the network: ratios
are larger with `--width 10` or `--width 30`, and with `--layers 3 --rows 700 --inputs 30` arithmetic takes most of the
time of both. `--dtype float32` is of ours alone.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import loops
from llcx import rng
from llcx.tasks.parity import course, data, kernels
from llcx.tasks.parity.ensemble import Ensemble, Member, Problem
from llcx.tasks.parity.flow import Flowing
from llcx.tasks.parity.kernels import Blocks, Jacobians, Layerwise, Source
from llcx.tasks.parity.network import FullyConnected
from llcx.tasks.parity.schema import Fit, Flow, Loss, Network, Stop
from llcx.tasks.parity.schema import Strings as StringsConfig

FLOW = Flow(max_dgrad=1e-4)
SIZES = {"inputs": 10, "rows": 128, "width": 100, "layers": 1, "members": 24, "rounds": 5, "steps": 300}


class Case(NamedTuple):
    """A network, and its members: their weights at the start, strings, alphas and taus."""

    network: FullyConnected
    starts: list[Tensor]
    strings: list[data.Strings]
    alphas: list[float]
    taus: list[float]


def case(asked: argparse.Namespace) -> Case:
    """Four seeds, alphas 1e-2 .. 1e4."""
    network = FullyConnected(
        Network(h=asked.width, layers=asked.layers, normalise=False, out_scale="ntk", dtype=asked.dtype), asked.inputs
    )
    cfg = StringsConfig(d=asked.inputs, k=min(3, asked.inputs), n_train=asked.rows, n_test=0)
    alphas = torch.logspace(-2, 4, asked.members).tolist()
    streams = [rng.streams(member % 4) for member in range(asked.members)]
    starts = [network.initial(one.generator("weights")) for one in streams]
    taus = [FLOW.tau(asked.width, alpha) for alpha in alphas]
    return Case(network, starts, [data.draw(cfg, one) for one in streams], alphas, taus)


def timed(run: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """CPU seconds of the fastest of so many, and what it gave."""
    seconds = []
    for _ in range(times):
        begun = process_time()
        found = run()
        seconds.append(process_time() - begun)
    return min(seconds), found


def difference(one: Iterable[Tensor], other: Iterable[Tensor]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(one, other, strict=True))


def grams(of: Case) -> Iterator[str]:
    """A third of the rows are train inputs, the others test inputs."""
    w, x = of.starts[0], of.strings[0].x_train
    train, test = x.tensor_split([len(x) // 3])
    chain = loops.Chain(of.network, w.double()).double()
    slow, wanted = timed(lambda: loops.gram(chain, train, test))
    sources: dict[str, Source] = {"layers": Layerwise(of.network), "Jacobians": Jacobians(chain)}
    for name, source in sources.items():
        at = w if name == "layers" else w.double()
        fast, found = timed(partial(kernels.blocks, source, at[None], train.to(at), test.to(at)), 5)
        yield (
            f"Gram matrices by {name}  P {len(w)}  rows {len(x)}  loop {slow:.3f} s  ours {fast:.4f} s  "
            f"x {slow / fast:.1f}  difference {difference(Blocks(*(block.double() for block in found)), wanted):.1e}"
        )


def ensemble(of: Case, steps: int) -> list[loops.Reached]:
    """All members together."""
    fit = replace(Fit(flow=FLOW), stop=Stop(margin=None, max_steps=steps))
    members = [Member(f"{i}", *own) for i, own in enumerate(zip(*of[1:], strict=True))]
    training = course.training("", lambda: Ensemble(Problem(of.network, Loss()), members), fit, Flowing(fit.flow))
    *_, last = training.steps(training.start())
    t, w = (torch.as_tensor(last.state[name]) for name in ("t", "w"))
    return [loops.Reached(*row) for row in zip(t.tolist(), w.double(), strict=True)]


def looped(of: Case, member: int, steps: int) -> loops.Reached:
    """One of them alone."""
    strings = of.strings[member]
    problem = loops.Problem(strings.x_train, strings.y_train, of.alphas[member], of.taus[member], FLOW)
    return loops.training(loops.Chain(of.network, of.starts[member].double()), problem, steps)


def sweep(of: Case, steps: int, rounds: int) -> str:
    """Every member for so many steps tried."""
    members = len(of.starts)
    chosen = [members * each // rounds for each in range(rounds)]
    both = [(timed(partial(looped, of, member, steps)), timed(partial(ensemble, of, steps))) for member in chosen]
    slow, fast = members * median(one[0] for one, _ in both), median(all_[0] for _, all_ in both)
    wanted, found = [one[1] for one, _ in both], both[-1][1][1]
    late = max(abs(found[member].t / one.t - 1) for member, one in zip(chosen, wanted, strict=True))
    return (
        f"sweep  P {len(of.starts[0])}  rows {len(of.strings[0].x_train)}  members {members}  steps {steps}  "
        f"loop {slow:.2f} s  ours {fast:.2f} s  x {slow / fast:.1f}  "
        f"difference {difference((found[i].w for i in chosen), (one.w for one in wanted)):.1e} in w, {late:.1e} in t"
    )


def settings(given: list[str] | None = None) -> argparse.Namespace:
    """From the command line, or from `given`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, least in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=least)
    parser.add_argument("--dtype", default="float64", choices=("float64", "float32"))
    return parser.parse_args(given)


def main() -> None:
    asked = settings()
    of = case(asked)
    for line in (*grams(of), sweep(of, asked.steps, asked.rounds)):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
