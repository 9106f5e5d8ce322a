"""A run folder of task=parity with made-up numbers: lazy laws that hold exactly, and curves that fall when they say.

t1 = T1 / (1 + alpha), the kernel's change is C / alpha at every moment, F is right on all rows after t1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from llcx.artifacts.files import slug, write_arrays, write_json, write_yaml
from tests.figures.run_folder import table

T1, C = 1000.0, 0.02
STEPS = (0, 1, 10, 100, 300, 900, 1000, 3000)
MOMENTS = ("init", "t1", "final")
WEIGHTS = ("norm", "dnorm", "relevant", "irrelevant", "drelevant", "dirrelevant")


@dataclass(frozen=True)
class Made:
    """What the folder shall hold."""

    alphas: Sequence[float] = (1.0, 10.0, 100.0, 1000.0)
    widths: Sequence[int] = ()
    encodings: Sequence[str] = ()
    seeds: int = 1
    scale: str = "mf"
    cut: Sequence[float] = ()  # alphas stopped by max_steps
    dynamics: str = "flow"
    decay: float = 0.0
    power: float = 1.0  # of 1 / alpha in the kernel's change
    measured: bool = False  # with an LLC at each moment
    extra: Sequence[str] = ()  # further metrics

    @property
    def trainings(self) -> list[tuple[str, dict[str, Any]]]:
        """Names and what they have of their own."""
        pairs = product(self.widths or [100], self.encodings or ["pm1"])
        found = []
        for h, encoding in pairs:
            parts = [f"h={h}"] * bool(self.widths) + [f"encoding={encoding}"] * bool(self.encodings)
            found.append((",".join(["parity", *parts]), {"h": h, "encoding": encoding, "bias_column": False}))
        return found

    @property
    def members(self) -> list[tuple[str, int, float]]:
        """Name, seed and alpha."""
        found = []
        for seed, alpha in product(range(self.seeds), self.alphas):
            parts = [f"seed={seed}"] * (self.seeds > 1) + [f"alpha={alpha:g}"] * (len(self.alphas) > 1)
            found.append((",".join(parts), seed, alpha))
        return found


def t1(alpha: float) -> float:
    return T1 / (1 + alpha)


def write(path: Path, made: Made) -> Path:
    """Every file that the figures read."""
    lines = list(metrics(made))
    table(path / "metrics.csv", tuple(lines[0]), lines)
    found = {"moments": moments(made), "kernels": kernels(made), "ensembles": ensembles(made) if made.seeds > 1 else []}
    if made.measured:
        found["changes"] = changes(made)
        rows = list(measured(made))
        table(path / "metrics_summary.csv", tuple(rows[0]), rows)
    for stem, each in found.items():
        if each:
            table(path / "analysis" / f"{stem}.csv", tuple(each[0]), each)
    if made.dynamics == "flow":
        arrays(path, made)
    write_json(path / "status.json", {"state": "completed"})
    write_yaml(path / "config.yaml", {"seed": 0, "task": config(made)})
    return path


def config(made: Made) -> dict[str, Any]:
    model = {"h": 100, "layers": 1, "act": "softplus", "out_scale": made.scale, "alpha": made.alphas[0]}
    data = {"d": 10, "k": 2, "n_train": 128, "n_test": 512, "encoding": "pm1", "online": False, "mode": "data"}
    fit = {
        "dynamics": made.dynamics,
        "flow": {"tau_over_h": 0.0, "max_dgrad": 1e-3, "max_dout": 0.1},
        "descent": {"learning_rate": 0.1, "batch_size": 32, "weight_decay": made.decay},
        "stop": {"max_t1": 4.0},
    }
    grid = {"alpha": list(made.alphas), "h": list(made.widths), "encoding": list(made.encodings)}
    loss = {"kind": "softhinge"}
    return {"name": "parity", "model": model, "data": data, "loss": loss, "fit": fit, "grid": grid, "seeds": made.seeds}


def metrics(made: Made) -> Iterator[dict[str, Any]]:
    """Errors of a half until t1; at step 0 the noise of F = 0."""
    for (training, _), (name, seed, alpha) in product(made.trainings, made.members):
        for step in STEPS:
            late = step >= t1(alpha)
            told = {"aloss": 1 / (1 + step / t1(alpha)), "err": 1.0 if step == 0 else 0.1 * (1 - late) * (5 - seed)}
            weights = {key: 1.0 + place + step / 3000 for place, key in enumerate((*WEIGHTS, *made.extra))}
            steps = {"t": float(step), "grad_norm": 0.1}
            if made.dynamics == "flow":
                counts = {"accepted": max(0.0, step - 1.0), "rejected": min(step, 1)}
                steps |= {"dt": 1.0, "dgrad": 5e-4, "dout": 0.02, **counts}
            for split, values in (("train", told | weights | steps), ("test", told)):
                who = {"training": training, "step": step, "time": 0.1, "split": f"{split} {name}".strip()}
                yield from ({**who, "name": key, "value": value} for key, value in values.items())


def about(training: str, own: dict[str, Any], name: str, seed: int, alpha: float, scale: str) -> dict[str, Any]:
    reduced = alpha * own["h"] ** 0.5 if scale == "ntk" else alpha
    who = {"training": training, "member": name, "seed": seed, "alpha": alpha, "alpha_reduced": reduced}
    return who | own


def moments(made: Made) -> list[dict[str, Any]]:
    found = []
    for (training, own), (name, seed, alpha), moment in product(made.trainings, made.members, MOMENTS):
        row = about(training, own, name, seed, alpha, made.scale) | {"moment": moment}
        time = {"init": 0.0, "t1": t1(alpha), "final": 4 * t1(alpha)}[moment]
        ends = "max_steps" if alpha in made.cut else "max_t1"
        row |= {"step": int(time), "t": time, "t1": None if moment == "init" else t1(alpha) * (1 + 0.1 * seed)}
        row |= {"aloss": 0.1, "stopped": ends if moment == "final" else "", "test_err": 0.3, "alignment": 0.01}
        found.append(row | {"kernel_change": 0.0 if moment == "init" else C * alpha**-made.power})
    return found


def kernels(made: Made) -> list[dict[str, Any]]:
    """The machine of the start is lazy at every alpha."""
    found = []
    for (training, own), (name, seed, alpha), kind in product(made.trainings, made.members, ("init", "final")):
        row = about(training, own, name, seed, alpha, made.scale) | {"kernel": kind, "alignment": 0.004}
        row |= {"machine_t1": T1 / alpha, "machine_stopped": "max_t1", "machine_test_err": 0.25}
        found.append(row | {"machine_train_aloss": 0.2})
    return found


def ensembles(made: Made) -> list[dict[str, Any]]:
    return [
        {"training": training, "h": own["h"], "alpha": alpha, "alpha_reduced": alpha, "seeds": made.seeds}
        | {"variance": alpha / own["h"], "mean_square": 1.0, "error": 0.3, "error_of_mean": 0.1}
        for (training, own), alpha in product(made.trainings, made.alphas)
    ]


def measured(made: Made) -> Iterator[dict[str, Any]]:
    """lambda = alpha at the start and half of it at the end; flagged at the smallest alpha."""
    for sampler, (training, own), (name, seed, alpha), moment in product(
        ("auto", "sgld"), made.trainings, made.members, MOMENTS
    ):
        llc = alpha * (1 - 0.25 * MOMENTS.index(moment))
        point = ",".join(part for part in (training, name, moment) if part)
        row = {"task": "parity", "point": point, "sampler": sampler, "where": "all", "target": "self"}
        row |= {"at.alpha": alpha, "at.alpha_reduced": alpha, "at.h": own["h"], "at.moment": moment}
        row |= {"seed": seed, "llc": llc, "low": 0.9 * llc, "high": 1.1 * llc, "nbeta": 26.0, "gamma": 1.0}
        yield row | {"healthy": alpha != min(made.alphas), "flags": "drift" if alpha == min(made.alphas) else ""}


def changes(made: Made) -> list[dict[str, Any]]:
    """Of the first sampler; significant at all alphas but the largest."""
    found = []
    for (training, _), (name, _, alpha), (one, two) in product(
        made.trainings, made.members, (("init", "t1"), ("t1", "final"), ("init", "final"))
    ):
        member = ",".join(part for part in (training, name) if part)
        half = 0.1 if alpha != max(made.alphas) else alpha
        value = -0.25 * alpha
        row = {"from": f"{member},{one}", "to": f"{member},{two}", "sampler": "auto", "where": "all", "target": "self"}
        row |= {"difference": value, "low": value - half, "high": value + half}
        found.append(row | {"significant": abs(value) > half, "healthy": True})
    return found


def arrays(path: Path, made: Made) -> None:
    """Gram matrices of the smallest and largest alpha; the labels lie along the second eigenvector."""
    training, gram = made.trainings[0][0], np.eye(6) + 1.0
    names = [made.members[0][0], made.members[len(made.alphas) - 1][0]]
    grams = {f"{moment} {name}".strip(): gram for name in dict.fromkeys(names) for moment in ("init", "final")}
    write_arrays(path / "analysis" / f"{slug(f'grams {training}')}.npz", grams)
    spectra: dict[str, np.ndarray] = {}
    for (name, *_), kind in product(made.members[: len(made.alphas)], ("init", "final")):
        label = ",".join(part for part in (name, kind) if part)
        spectra |= {f"values {label}": np.array([7.0, 1, 1, 1, 1, 1]), f"projections {label}": 6**0.5 * np.eye(6)[1]}
    write_arrays(path / "analysis" / f"{slug(f'spectra {training}')}.npz", spectra)
