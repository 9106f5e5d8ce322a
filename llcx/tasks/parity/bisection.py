"""alpha*: the output scale at which a network's tangent kernel changes by a given share until its training ends.

    mean over seeds of log10 |Theta_end - Theta_0| / |Theta_0|  =  log10 c

The change falls with alpha, from learning features to lazy, so log alpha is bisected. Each evaluation trains all seeds
at one alpha, as one ensemble, to the end that the settings say. alpha* ~ h^(-1/2) with an output over sqrt(h), and does
not depend on h with one over h.

Geiger, Spigler, Jacot and Wyart (2020), "Disentangling feature and lazy training in deep neural networks",
arXiv:1906.08034.
"""

from collections.abc import Iterator, Sequence
from math import log10, sqrt
from typing import NamedTuple

import torch

from llcx.tasks.parity import course, spectra, together
from llcx.tasks.parity.schema import Parity
from llcx.tasks.parity.together import Arm
from llcx.tasks.parity.trained import gram
from llcx.types import Event, State, Training

ROLE = "alpha_star"


class Change(NamedTuple):
    """Of the kernels at one alpha, over seeds."""

    mean: float  # of log10
    sd: float  # of log10; 0 for one seed


def training(name: str, cfg: Parity, arms: Sequence[Arm]) -> Training:
    """The search, an evaluation a step; it ends with the snapshot `alpha_star`.

    Raises ValueError where the change is not above c at the lower end, or not below it at the upper one.
    """
    search = cfg.search

    def start() -> State:
        return {"step": 0, "low": search.low, "high": search.high}

    def steps(state: State) -> Iterator[Event]:
        low, high, done = float(state["low"]), float(state["high"]), int(state["step"])
        for step in range(done, search.rounds + 2):
            alpha = (low, high)[step] if step < 2 else sqrt(low * high)
            found = change(cfg, arms, alpha)
            above = found.mean > log10(_wanted(cfg))
            if step < 2 and above != (step == 0):
                raise ValueError(_outside(cfg, step, alpha, 10**found.mean))
            if step >= 2:
                low, high = (alpha, high) if above else (low, alpha)
            told = {"alpha": alpha, "kernel_change": 10**found.mean, "spread": found.sd, "low": low, "high": high}
            last = step == search.rounds + 1
            kept: dict[str, State] = {ROLE: {"low": low, "high": high, "seeds": len(arms)}} if last else {}
            yield Event({"step": step + 1, "low": low, "high": high}, step + 1, told, kept)

    return Training(name, search.rounds + 2, start, steps)


def change(cfg: Parity, arms: Sequence[Arm], alpha: float) -> Change:
    """Of the kernel on the first `kernel.rows` training rows, from the start to the end of training."""
    at = [arm._replace(alpha=alpha) for arm in arms]
    made = together.training("inner", cfg, at)
    ends: dict[str, State] = {}
    for event in made.steps(made.start()):
        ends |= {role: kept for role, kept in event.snapshots.items() if role.partition("/")[0] == "final"}
    w = torch.stack([torch.as_tensor(ends[course.role("final", arm.name)]["w"]) for arm in at])
    whole = together.ensemble(cfg, at)
    first, last = (gram(cfg, whole, each, max(2, cfg.kernel.rows)) for each in (whole.w0, w))
    logs = spectra.change(last, first).log10()
    return Change(float(logs.mean()), float(logs.std()) if len(logs) > 1 else 0.0)


def _wanted(cfg: Parity) -> float:
    if cfg.search.change is None:
        raise ValueError("task.search.change must be a number to search for alpha*, got null")
    return cfg.search.change


def _outside(cfg: Parity, step: int, alpha: float, found: float) -> str:
    side, cure = (("above", "lower task.search.low"), ("below", "raise task.search.high"))[step]
    return (
        f"task.search.change={cfg.search.change:g} must be crossed between task.search.low and high, got a change of "
        f"{found:.3g} at alpha={alpha:g}, which is not {side} it; {cure}"
    )
