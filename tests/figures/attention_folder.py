"""Made-up run folders of linear self-attention and of full attention: theory's values, disturbed a little."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llcx import theory
from llcx.artifacts.files import write_yaml
from llcx.artifacts.rows import columns
from tests.figures.run_folder import Net, describe, row, table

Cells = dict[str, Any]


class Problem(NamedTuple):
    """A random problem of linear self-attention."""

    d: int
    d_l: int
    alpha: int
    rank_m: int

    @property
    def theories(self) -> tuple[float, float]:
        """lambda_matrix and lambda_full."""
        d, p, rank_b = self.d, self.d + 1, self.rank_m + self.alpha
        return float(theory.dln([d, self.d_l, d], self.rank_m).lam), float(theory.dln([p, self.d_l, p], rank_b).lam)


def problems(count: int, sizes: tuple[int, int] = (3, 8), *, alphas: Sequence[int] = (0, 1, 2)) -> list[Problem]:
    """`count` feasible ones, ratios 0.5 to 1.5, alpha in turn."""
    rng, found = np.random.default_rng(0), list[Problem]()
    while len(found) < count:
        d, alpha = int(rng.integers(sizes[0], sizes[1] + 1)), alphas[len(found) % len(alphas)]
        d_l = int(d * rng.uniform(0.5, 1.5))
        most = min(d_l - alpha, d - 1, 2 * d - d_l)
        if most >= 1:
            found.append(Problem(d, d_l, alpha, int(rng.integers(1, most + 1))))
    return found


def write(path: Path, task: Cells, rows: Sequence[Cells], analyses: dict[str, list[Cells]] | None = None) -> Path:
    """The files that the figures of a task read."""
    table(path / "metrics_summary.csv", columns(rows), rows)
    describe(path, task["name"])
    write_yaml(path / "config.yaml", {"seed": 0, "task": task, "sampler": {"name": "auto"}})
    for stem, lines in (analyses or {}).items():
        table(path / "analysis" / f"{stem}.csv", tuple(lines[0]), lines)
    return path


def measured(net: Net, index: int, task: str, extra: Cells) -> Cells:
    """A row of metrics_summary.csv whose number is `net.lam` itself."""
    cells = row(index, net, task)
    if not net.failed:
        half = 0.03 * abs(net.lam) + 0.05
        cells |= {"llc": net.lam, "low": net.lam - half, "high": net.lam + half}
        cells["rel_error"] = net.lam / net.known - 1 if net.known else None
    return {key: value for key, value in cells.items() if key not in ("at.class", "at.net")} | extra


def lsa(
    path: Path, found: Sequence[Problem], samplers: Sequence[str] = ("auto", "sgld"), *, simple: bool = False
) -> Path:
    """One class of random problems: auto is right up to noise, others are too hot, the third problem of auto fails."""
    rng, rows = np.random.default_rng(1), list[Cells]()
    for index, problem in enumerate(found):
        matrix, full = problem.theories
        extra = {"at.class": "small", "at.net": index, "at.d": problem.d, "at.d_l": problem.d_l}
        extra |= {"at.alpha": problem.alpha, "at.rank_m": problem.rank_m, "at.rank_b": problem.rank_m + problem.alpha}
        theories = {"known.lambda_full": full} | ({} if simple else {"known.lambda_matrix": matrix})
        for sampler in samplers:
            off = 0.012 * rng.standard_normal() if sampler in ("auto", "gibbs") else abs(0.3 * rng.standard_normal())
            net = Net(f"small-{index}", full * (1 + off), sampler, full, 2 * (problem.d + 1) * problem.d_l)
            net = net._replace(flags="fluctuation_high" if off > 0.25 else "", nbeta=8686.0)
            net = net._replace(failed="NaN in chain 2 at draw 17" if (index, sampler) == (2, "auto") else "")
            rows.append(measured(net, index, "lsa", extra | ({} if net.failed else theories)))
    errors = [line for sampler in samplers for line in summaries(rows, sampler)]
    return write(path, lsa_task(simple=simple), rows, {"errors": errors})


def lsa_task(*, simple: bool = False, d: int | None = None) -> Cells:
    """Its part of config.yaml."""
    model = {"d": 5, "d_l": 5, "rank": 2, "alpha": 0, "w_star": "simple" if simple else "alpha", "output": "matrix"}
    return {"name": "lsa", "model": model, "theory": {"d": d, "ranks": [1, 5, 10, 14], "d_l": 60}, "nets": 24}


def summaries(rows: Sequence[Cells], sampler: str) -> list[Cells]:
    """analysis/errors.csv of one sampler."""
    lines = []
    for alpha in sorted({cells["at.alpha"] for cells in rows}):
        group = [cells for cells in rows if (cells["at.alpha"], cells["sampler"]) == (alpha, sampler)]
        alive = [cells for cells in group if cells.get("llc") is not None]
        for name in ("lambda_matrix", "lambda_full"):
            values = [cells["llc"] / cells[f"known.{name}"] - 1 for cells in alive if f"known.{name}" in cells]
            signed = np.array(values or [nan])
            line = {"class": "small", "alpha": alpha, "sampler": sampler, "target": "data", "nets": len(group)}
            line |= {"failed": len(group) - len(alive), "flagged": sum(not cells["healthy"] for cells in alive)}
            line |= {"median_abs": np.median(abs(signed)), "mean_abs": abs(signed).mean()}
            line |= {"p90_abs": np.quantile(abs(signed), 0.9), "max_abs": abs(signed).max()}
            line |= {"bias": np.median(signed), "order_preservation": 0.98, "median_seconds": 1.5, "covered": 0.95}
            lines.append(line | {"against": f"known.{name}"})
    return lines


def gap(d: int, widest: int) -> list[Cells]:
    """analysis/gap.csv, exact."""
    return [gap_line(d, r, a, d_l) for r in range(d + 1) for a in (0, 1, 2) for d_l in range(1, widest + 1)]


def gap_line(d: int, rank: int, alpha: int, d_l: int) -> Cells:
    p = d + 1
    line: Cells = {"d": d, "rank": rank, "alpha": alpha, "d_l": d_l}
    feasible = rank + alpha <= min(d_l, p) and rank <= min(d, d_l)
    names = ("lambda_matrix", "lambda_full", "gap", "mult_matrix", "mult_full")
    if not feasible:
        return line | dict.fromkeys(names, None) | {"feasible": False}
    matrix, full = theory.dln([d, d_l, d], rank), theory.dln([p, d_l, p], rank + alpha)
    numbers = (float(matrix.lam), float(full.lam), float(full.lam - matrix.lam), matrix.mult, full.mult)
    return line | dict(zip(names, numbers, strict=True)) | {"feasible": True}


def theory_only(path: Path, d: int, widest: int) -> Path:
    """A run of no points that holds the two theories alone."""
    return write(path, {**lsa_task(d=d), "nets": 0}, [], {"gap": gap(d, widest)})


class Journey(NamedTuple):
    """What a made-up training of full attention is like."""

    d: int = 8
    widths: Sequence[int] = (6, 9, 12)
    seeds: int = 3
    epochs: Sequence[int] = tuple(range(0, 201, 25))
    views: Sequence[str] = ("lsa", "full")
    samplers: Sequence[str] = ("auto", "sgld")
    spread: float = 1.15  # between the rates of successive directions
    where: str = "all"


def full_attn(path: Path, journey: Journey) -> Path:
    """Every training of a study, with its analyses."""
    rng = np.random.default_rng(3)
    rows, spectra, ranks, tolerances, curves = (list[Cells]() for _ in range(5))
    for d_l in journey.widths:
        for seed in range(journey.seeds):
            name = f"full_attn,d_l={d_l},seed={seed}"
            pace = 1 + 0.1 * rng.standard_normal()
            curves += losses(journey, d_l, pace, name)
            for epoch in journey.epochs:
                at = {"d_l": d_l, "seed": seed, "epoch": epoch}
                sigma_b, sigma_u = spectrum(journey, d_l, epoch * pace)
                both = zip(sigma_b, sigma_u, strict=True)
                spectra += [{**at, "index": i, "sigma_B": b, "sigma_U": u} for i, (b, u) in enumerate(both, 1)]
                seen = int(np.nansum(sigma_u > 1e-3))
                ranks.append({**at, **rank_line(journey, d_l, sigma_b, sigma_u), "directions": seen})
                tolerances += [
                    {**at, "tolerance": tol, "rank_B": rank(sigma_b, tol), "rank_M": rank(sigma_u, tol)}
                    | {"rank_U": rank(sigma_u, tol)}
                    for tol in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
                ]
                rows += [
                    estimate(rng, journey, f"{name},epoch={epoch}", at, ranks[-1], view=view, sampler=sampler)
                    for view in journey.views
                    for sampler in journey.samplers
                ]
    model = {"d": journey.d, "d_l": journey.widths[0], "w_star": "trained"}
    task = {"name": "full_attn", "model": model, "view": journey.views[0], "seeds": journey.seeds}
    write(path, task, rows, {"spectra": spectra, "ranks": ranks, "tolerances": tolerances})
    table(path / "metrics.csv", tuple(curves[0]), curves)
    return path


def grown(journey: Journey, d_l: int, time: float) -> np.ndarray:
    """Shares in [0, 1] of the final singular values: logistic growth, one direction after the other."""
    rates = 60 / max(journey.epochs) * journey.spread ** -np.arange(min(journey.d, d_l))
    return np.asarray(1 / (1 + 1e5 * np.exp(-rates * time)))


def spectrum(journey: Journey, d_l: int, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of B and of U, which has one less: the frozen row of B is its last one."""
    share = grown(journey, d_l, time)
    sigma_u = 0.1 * share * np.linspace(1, 0.8, len(share))
    most = min(d_l, journey.d + 1)
    sigma_b = np.sort(np.concatenate([sigma_u, np.full(most - len(share), 3e-5 * (1 + 1e-3 * time))]))[::-1]
    return sigma_b, np.concatenate([sigma_u, np.full(most - len(share), nan)])


def rank(sigma: np.ndarray, tolerance: float = 1e-3) -> int:
    return int((sigma > tolerance * np.nanmax(sigma)).sum())


def rank_line(journey: Journey, d_l: int, sigma_b: np.ndarray, sigma_u: np.ndarray) -> Cells:
    d, p, (rank_b, rank_u) = journey.d, journey.d + 1, (rank(sigma_b), rank(sigma_u))
    return {
        **{"rank_B": rank_b, "rank_M": rank_u, "rank_U": rank_u, "sigma_rank": sigma_b[rank_b - 1]},
        "lambda_B": float(theory.dln([p, d_l, p], rank_b).lam),
        "lambda_FA": d / 2 + float(theory.dln([p, d_l, d], rank_u).lam),
    }


def losses(journey: Journey, d_l: int, pace: float, name: str) -> list[Cells]:
    """One drop a direction."""
    lines = []
    for epoch in range(1, max(journey.epochs) + 1):
        left = np.pad((1 - grown(journey, d_l, epoch * pace)) ** 2, (0, max(0, journey.d - d_l)), constant_values=1.0)
        loss = 4 * float(left.mean()) + 0.03
        cells = {"training": name, "step": epoch, "time": 0.01 * epoch, "split": "train"}
        lines += [{**cells, "name": "loss", "value": loss}, {**cells, "name": "gradient", "value": 0.1}]
    return lines


def estimate(
    rng: np.random.Generator, journey: Journey, point: str, at: Cells, ranks: Cells, *, view: str, sampler: str
) -> Cells:
    """A row of one checkpoint; sgld is too cold, flagged at the start, and fails once."""
    d, d_l = journey.d, at["d_l"]
    part = float(theory.dln([d + 1, d_l, d], ranks["directions"]).lam)
    alone = part if journey.where != "all" or ranks["directions"] == 0 else part + d / 2
    truth = ranks["lambda_B"] if view == "lsa" else alone
    off = 0.01 * rng.standard_normal() - (0.15 if sampler == "sgld" else 0)
    flags = "rhat;too_few_draws" if sampler == "sgld" and at["epoch"] == 0 else ""
    net = Net(f"{point},view={view}", truth * (1 + off), sampler, truth, 4 * (d + 1) * d_l, flags)
    net = net._replace(target="data" if view == "data" else "self")
    if (sampler, at["epoch"], at["seed"]) == ("sgld", 25, 0):
        net = net._replace(failed="NaN in chain 2 at draw 17")
    extra = {"at.d_l": d_l, "at.seed": at["seed"], "at.epoch": at["epoch"], "at.view": view, "where": journey.where}
    cells = measured(net, 0, "full_attn", extra)
    if net.failed:
        return cells
    theories = {"known.lambda_B": ranks["lambda_B"]} | ({} if view == "lsa" else {"known.lambda_FA": alone})
    return cells | theories | {"known_llc": truth, "known_at": None}
