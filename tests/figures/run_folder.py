"""A run folder of the contract with made-up numbers: what figures and report are tested on.

Energies n*beta*K are Gamma(lambda, 1), the law of a regular model, with a first-order autocorrelation along each chain.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaincinv, ndtr

from llcx import artifacts
from llcx.artifacts.files import csv_lines, replace, write_arrays, write_json, write_yaml
from llcx.artifacts.rows import columns


class Net(NamedTuple):
    """What one made-up measurement shall look like."""

    point: str
    lam: float  # mean of the energies
    sampler: str = "auto"
    known: float | None = None
    parameters: int = 100
    flags: str = ""
    failed: str = ""  # the message of a measurement without a number
    group: str = "1k"  # at.class
    nbeta: float = 1e4
    target: str = "data"
    chains: int = 4
    draws: int = 120
    warmup: int = 60


def write(path: Path, nets: Sequence[Net], *, task: str = "dln", metrics: bool = False, errors: bool = False) -> Path:
    """Write every file of the contract that readers use."""
    rows = [row(index, net, task) for index, net in enumerate(nets)]
    table(path / "metrics_summary.csv", columns(rows), rows)
    for index, (net, cells) in enumerate(zip(nets, rows, strict=True)):
        if not net.failed:
            write_arrays(path / artifacts.draws_path(cells), draws(net, index))
    if metrics:
        table(path / "metrics.csv", ("training", "step", "time", "split", "name", "value"), curves())
    if errors:
        table(path / "analysis" / "errors.csv", tuple(summary("", "", [])), summaries(nets))
    describe(path, task)
    return path


def row(index: int, net: Net, task: str) -> dict[str, Any]:
    """One line of metrics_summary.csv; unknown cells are None."""
    flags = f"failed: {net.failed}" if net.failed else net.flags
    asked = {"task": task, "point": net.point, "at.class": net.group, "at.net": index, "sampler": net.sampler}
    asked |= {"where": "all", "target": net.target, "seed": 0, "healthy": not flags, "flags": flags}
    return asked if net.failed else asked | measured(net, index)


def measured(net: Net, index: int) -> dict[str, Any]:
    """The columns that a measurement with a number fills."""
    mean, half = float(draws(net, index)["energy"].mean()), 0.04 * abs(net.lam) + 0.1
    cells = {"llc": mean, "llc_sd": abs(mean) ** 0.5, "se": half / 2, "low": mean - half, "high": mean + half}
    cells |= {"llc_fluct": mean * 0.98, "nbeta": net.nbeta, "gamma": 1.0, "step_size": 1e-4, "loss_at": 0.0}
    cells |= {"n": 100000, "parameters": net.parameters, "chains": net.chains, "warmup": net.warmup, "wnv": 12.5}
    cells |= {"draws": net.draws, "ess": 310.2, "rhat": 1.52 if "rhat" in net.flags else 1.02, "seconds": 1.25}
    cells |= {"gradients": 7300, "gradients_main": 5100, "accept": None if net.sampler == "sgld" else 0.81}
    if net.known is not None:
        cells |= {"known_llc": net.known, "known_mult": 1, "known_from": "Aoyagi (2024), Theorem 1"}
        cells |= {"known_at": 0.99 * net.known, "rel_error": mean / net.known - 1}
    return cells | {"dtype": "float64", "backend": "closed", "stopped_by": "draws"}


def draws(net: Net, seed: int) -> dict[str, np.ndarray]:
    """energy [C,T], warmup [C,W], distance [C,T], accept [C]: stationary after a warm-up that rises from 0."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((net.chains, net.warmup + net.draws))
    for step in range(1, normal.shape[1]):  # AR(1) with unit variance
        normal[:, step] = 0.8 * normal[:, step - 1] + 0.6 * normal[:, step]
    energy = np.sign(net.lam) * gammaincinv(abs(net.lam), np.clip(ndtr(normal), 1e-9, 1 - 1e-9))
    energy[:, : net.warmup] *= 1 - np.exp(-np.arange(net.warmup) / (0.2 * net.warmup))
    kept = {"energy": energy[:, net.warmup :], "warmup": energy[:, : net.warmup]}
    kept["distance"] = 1 + normal[:, net.warmup :] ** 2
    return kept if net.sampler == "sgld" else {**kept, "accept": np.full(net.chains, 0.81)}


def curves() -> list[dict[str, Any]]:
    """A falling training and test loss and a rising accuracy, for two trainings."""
    return [
        {"training": training, "step": step, "time": 0.01 * step, "split": split, "name": name, "value": value}
        for training, rate in (("net-a", 80.0), ("net-b", 140.0))
        for step in range(0, 501, 10)
        for split, lag in (("train", 1.0), ("test", 1.5))
        for name, value in (
            ("loss", lag * np.exp(-step / rate) + 1e-3 * lag),
            ("accuracy", 1 - 0.9 * np.exp(-step / rate / lag)),
        )
    ]


def summaries(nets: Sequence[Net]) -> list[dict[str, Any]]:
    """analysis/errors.csv: one row per class and sampler."""
    keys = dict.fromkeys((net.group, net.sampler) for net in nets)
    return [
        summary(group, sampler, [n for n in nets if (n.group, n.sampler) == (group, sampler)])
        for group, sampler in keys
    ]


def summary(group: str, sampler: str, nets: Sequence[Net]) -> dict[str, Any]:
    """Errors of one class and sampler, as shares."""
    errors = [abs(net.lam / net.known - 1) for net in nets if not net.failed and net.known] or [0.0]
    cells = {"class": group, "sampler": sampler, "target": "data", "nets": len(nets)}
    cells |= {"failed": sum(bool(net.failed) for net in nets), "flagged": sum(bool(net.flags) for net in nets)}
    cells |= {"median_abs": float(np.median(errors)), "mean_abs": float(np.mean(errors))}
    cells |= {"p90_abs": float(np.quantile(errors, 0.9)), "max_abs": max(errors), "bias": -0.004}
    return cells | {"order_preservation": 0.994, "median_seconds": 1.3, "covered": 0.96, "against": "known_llc"}


def describe(path: Path, task: str) -> None:
    """config.yaml and the three information files."""
    estimator = {"name": "llc", "nbeta": None, "gamma": None, "chains": 16}
    of_task = {"name": task, "nets": 24, "grid": {}, "data": {"n": 100000, "mode": "population"}}
    write_yaml(path / "config.yaml", {"seed": 0, "task": of_task, "sampler": {"name": "auto"}, "estimator": estimator})
    write_json(path / "target_info.json", {"task": task, "model": "deep linear network 6-4-6", "parameters": 48})
    versions = {"python": "3.12.4", "llcx": "0.1.0", "torch": "2.13.0"}
    git = {"commit": "0123abcd" * 5, "dirty": True, "diff_sha256": "ab" * 32}
    run = {"schema": 1, "command": "python train.py task=dln seed=0", "git": git, "versions": versions, "device": "cpu"}
    spent = {"train": {"seconds": 0.5, "gradients": 500}, "measure": {"seconds": 12.5, "gradients": 7300}}
    write_json(path / "run_info.json", {**run, "seed": 0, "stages": spent})
    write_json(path / "status.json", {"state": "completed", "stage": "report", "error": None})


def table(path: Path, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    replace(path, csv_lines(names, rows))


def study(count: int = 24, *, seed: int = 7) -> list[Net]:
    """`count` networks of two classes measured by auto and sgld: some flagged, one failed, lambda from 0.5 to 1000."""
    rng = np.random.default_rng(seed)
    nets = []
    for index, lam in enumerate(np.round(np.geomspace(0.5, 1000, count) * 2).tolist()):
        truth, group = lam / 2, ("1k", "10k")[index % 2]
        cold = Net(f"net={index}", truth * (1 + 0.02 * rng.standard_normal()), "auto", truth, int(6 * truth + 20))
        hot = cold._replace(sampler="sgld", lam=truth * (1 + abs(0.3 * rng.standard_normal())), nbeta=8686.0)
        nets.append(cold._replace(group=group, flags="rhat;drift" if index == 5 else ""))
        failed = "NaN in chain 2 at draw 17" if index == 3 else ""
        flag = "fluctuation_high" if hot.lam > 1.3 * truth and not failed else ""
        nets.append(hot._replace(group=group, flags=flag, failed=failed))
    return nets
