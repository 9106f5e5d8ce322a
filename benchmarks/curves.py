"""Estimates -> median error against gradients, and how many gradients an error takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, inf, log
from operator import attrgetter
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter
from rich.table import Table

LEVELS = (0.2, 0.1, 0.07, 0.05, 0.03, 0.02)  # median errors whose price is asked
LEVELS_OF_MOST = (0.5, 0.3, 0.2, 0.15, 0.1)  # and errors that one network in ten exceeds
PEER = ("devinterp sgld", "devinterp rmsprop_sgld")


@dataclass(frozen=True)
class Row:
    """One estimate."""

    net: str
    arm: str
    budget: int  # gradients a chain that were granted
    step: float  # the peer's learning rate times n*beta; 0 where it is not swept
    seed: int
    gradients: int  # evaluations, over all chains
    examples: int  # rows that they are of
    seconds: float
    llc: float
    lam: float
    at: float  # what a long run gives at the same n*beta and gamma


@dataclass(frozen=True)
class Point:
    """Of a curve: medians over networks and seeds."""

    gradients: float
    examples: float
    seconds: float
    error: float
    worse: float  # 90 % of the errors are below


Truth = Callable[[Row], float]
Curve = Callable[[Sequence[Row], Truth, str], list[Point]]  # (rows, truth, which field of Point a choice looks at)


def against_lambda(row: Row) -> float:
    return row.lam


def against_posterior(row: Row) -> float:
    return row.at


def error(row: Row, truth: Truth) -> float:
    """Relative; inf where there is no number."""
    found = abs(row.llc / truth(row) - 1)
    return found if found == found else inf


def best_step(arm: str, rows: Sequence[Row], truth: Truth, by: str = "error") -> list[Point]:
    """Errors at each budget; of several steps those of the one with the smallest."""
    of_arm = [row for row in rows if row.arm == arm]
    found = []
    for budget in sorted({row.budget for row in of_arm}):
        here = [row for row in of_arm if row.budget == budget]
        steps = sorted({row.step for row in here})
        points = [_point([row for row in here if row.step == step], truth) for step in steps]
        found.append(min(points, key=attrgetter(by)))
    return found


def best_of_each(rows: Sequence[Row], truth: Truth, by: str = "error") -> list[Point]:
    """The peer with method and step chosen by the truth, for every network and budget anew."""
    del by
    of_peer = [row for row in rows if row.arm in PEER]
    found = []
    for budget in sorted({row.budget for row in of_peer}):
        here = [row for row in of_peer if row.budget == budget]
        nets = sorted({row.net for row in here})
        chosen = [min((r for r in here if r.net == net), key=lambda r: error(r, truth)) for net in nets]
        found.append(_point(chosen, truth))
    return found


LINES: dict[str, tuple[Curve, str]] = {  # label -> curve, style
    "llcx HMC, 4 leapfrogs": (partial(best_step, "llcx hmc"), "o-C0"),
    "llcx MALA": (partial(best_step, "llcx mala"), "s-C4"),
    "llcx, no arguments": (partial(best_step, "llcx default"), "*C0"),
    "devinterp SGLD, best step": (partial(best_step, PEER[0]), "o-C1"),
    "devinterp RMSprop-SGLD, best step": (partial(best_step, PEER[1]), "o-C2"),
    "devinterp, best for each network": (best_of_each, "o:C3"),
    "devinterp SGLD, as documented": (partial(best_step, f"{PEER[0]} documented"), "xC1"),
    "devinterp RMSprop-SGLD, as documented": (partial(best_step, f"{PEER[1]} documented"), "xC2"),
}
OURS = "llcx HMC, 4 leapfrogs"
SWEPT = tuple(label for label in LINES if label.startswith("devinterp") and "best" in label)


def price(points: Sequence[Point], level: float, of: str, by: str = "error") -> float:
    """Cost `of` a point from which on its error stays at `level` or below, by logarithms; inf: it does not stay."""
    above = [k for k, point in enumerate(points) if getattr(point, by) > level]
    if not points or (above and above[-1] == len(points) - 1):
        return inf
    if not above:
        return float(getattr(points[0], of))
    pair = points[above[-1]], points[above[-1] + 1]
    (much, less), (cheap, dear) = ([getattr(point, name) for point in pair] for name in (by, of))
    share = log(much / level) / log(much / max(less, 1e-9)) if much < inf else 1.0
    return exp((1 - share) * log(cheap) + share * log(dear))


def tables(rows: Sequence[Row]) -> list[Table]:
    """Errors by budget, and what an error costs on either side."""
    return [errors(rows), prices(rows, "error"), prices(rows, "worse")]


def errors(rows: Sequence[Row]) -> Table:
    columns = ("arm", "gradients", "of rows", "seconds", "% off lambda", "90 % of them", "% off the posterior mean")
    table = Table(*columns, title="medians over networks; devinterp's steps are chosen by the truth of each column")
    for label, (of, _) in LINES.items():
        for point, other in zip(of(rows, against_lambda, "error"), of(rows, against_posterior, "error"), strict=True):
            costs = (f"{point.gradients:.0f}", f"{point.examples:.2g}", f"{point.seconds:.2g}")
            table.add_row(label, *costs, *map(_percent, (point.error, point.worse, other.error)))
    return table


def prices(rows: Sequence[Row], by: str) -> Table:
    """Gradients and seconds at which an error falls to a level for good, and how many times llcx's they are."""
    costs = ("gradients", "seconds")
    curves = {label: LINES[label][0](rows, against_lambda, by) for label in (OURS, *SWEPT)}
    whose = "half" if by == "error" else "90 %"
    table = Table(f"{whose} of the errors", *curves, title="gradients (seconds) that it takes, and times those of llcx")
    for level in LEVELS if by == "error" else LEVELS_OF_MOST:
        found = {label: [price(points, level, of, by) for of in costs] for label, points in curves.items()}
        cells = (_cell(cost, None if label == OURS else found[OURS]) for label, cost in found.items())
        table.add_row(f"below {100 * level:.0f} %", *cells)
    return table


def draw(rows: Sequence[Row], path: Path) -> None:
    """Error against lambda over gradients (left) and over seconds (right)."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), sharey=True, constrained_layout=True)
    for label, (of, style) in LINES.items():
        shown = [point for point in of(rows, against_lambda, "error") if point.error < 10]
        for axis, cost in zip(axes, ("gradients", "seconds"), strict=True):
            axis.plot([getattr(p, cost) for p in shown], [p.error for p in shown], style, label=label, markersize=4)
    for axis, name in zip(axes, ("gradients, all chains together", "seconds"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel=name)
        axis.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter=PercentFormatter(1, decimals=0))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.grid(alpha=0.3, linewidth=0.5)
    axes[0].set_ylabel("median error against lambda")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _point(rows: Sequence[Row], truth: Truth) -> Point:
    off = sorted(error(row, truth) for row in rows)
    gradients, examples = (median(getattr(row, cost) for row in rows) for cost in ("gradients", "examples"))
    worse = off[min(len(off) - 1, int(0.9 * len(off)))]
    return Point(gradients, examples, median(row.seconds for row in rows), median(off), worse)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 10 else "> 1000"


def _cell(cost: Sequence[float], ours: Sequence[float] | None = None) -> str:
    if cost[0] == inf:
        return "not reached"
    times = "" if ours is None or ours[0] == inf else f": x{cost[0] / ours[0]:.1f} (x{cost[1] / ours[1]:.1f})"
    return f"{cost[0]:.0f} ({cost[1]:.2g} s){times}"
