"""What a preconditioner that follows w does to a number, and what one that comes to rest does.

    OMP_NUM_THREADS=1 python -m benchmarks.memory

RMSprop- and Adam-SGLD on rows, at the calibrated step and, in four times as many steps, at a quarter of it: 32 chains,
error against the known answer. A bias of the step falls with it, one of the metric grows.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.problems import PROBLEMS
from benchmarks.spoiling import BATCH
from llcx import calibrate, chains, rng
from llcx.diagnostics import standard_error
from llcx.estimators.llc import LLC
from llcx.samplers import SGLD, AdamSGLD, RMSpropSGLD

KERNELS: tuple[tuple[str, Any], ...] = (
    ("sgld", SGLD()),
    ("rmsprop_sgld", RMSpropSGLD()),
    ("rmsprop_sgld steady", RMSpropSGLD(memory="steady")),
    ("rmsprop_sgld steady, divergence", RMSpropSGLD(memory="steady", divergence=True)),
    ("adam_sgld", AdamSGLD()),
    ("adam_sgld steady", AdamSGLD(memory="steady")),
    ("adam_sgld 0.9", AdamSGLD(momentum=0.9)),
    ("adam_sgld 0.9 steady", AdamSGLD(momentum=0.9, memory="steady")),
)
CHAINS, WARMUP, DRAWS, EVERY = 32, 3_000, 200, 35


def line(name: str, label: str, kernel: Any, finer: int) -> str:
    """A kernel on a problem at 1/`finer` of its calibrated step."""
    problem = PROBLEMS[name]
    potential, streams = problem.build(torch.float32, 0.0), rng.streams(0)
    cfg = LLC(nbeta=problem.nbeta, gamma=problem.gamma)
    plan, _ = calibrate.plan(potential, replace(kernel, batch_size=BATCH), cfg, streams.generator("probes"))
    sampler = replace(plan.sampler, step_size=plan.sampler.step_size / finer)
    plan = replace(plan, sampler=sampler, chains=CHAINS, warmup=finer * WARMUP, draws=DRAWS, every=finer * EVERY)
    energy = chains.run(potential, plan, streams.seed).energy
    error, se = float(energy.mean()) / problem.answer - 1, standard_error(energy) / problem.answer
    return f"{name:12} {label:32} step / {finer}  {100 * error:+5.1f} +- {100 * se:.1f} %"


def main(names: Sequence[str]) -> None:
    torch.set_num_threads(1)
    for name in names or ("linear_rows", "tanh_rows"):
        for label, kernel in KERNELS:
            for finer in (1, 4):
                sys.stdout.write(f"{line(name, label, kernel, finer)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
