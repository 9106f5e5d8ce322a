"""Differences of the learning coefficient along trajectories: is the change from one moment to the next real?

Chain c draws the same random numbers at every point of a seed. Where two measurements have equally many chains and
draws, the difference of two estimates is therefore the mean over chains of the differences of chain means, its standard
error their spread over sqrt(C): smaller than that of two estimates by themselves as far as their chains move alike.

They do as long as they take the same steps: HMC and MALA adapt theirs at the first moment, the next ones hold it while
its acceptance is within HELD of the kernel's aim, there and where it comes from; else they adapt again. Chains whose
steps were adapted at every moment draw apart: the interval of a change was up to three times as wide.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import isclose, isfinite, nan, sqrt
from typing import Any, NamedTuple

import torch

from llcx.diagnostics import t_quantile
from llcx.types import Plan, Spec, Trace

HELD = (0.15, 0.06)  # how far below and above the kernel's aim the acceptance of a held step may be
UNSETTLED = "warmup_not_settled"  # the flag
Row = Mapping[str, Any]  # of metrics_summary.csv


def held(plan: Plan, row: Row, asked: Any) -> Any:
    """The kernel of a measurement, its step held; None: it is not to be. `row` has step_size, accept and flags.

    A route of `auto` other than full gradients, and coordinates that the warm-up finds, are chosen anew each time. A
    step that had not settled, or was not accepted as often as it should be, would not do at the next moment either;
    one that was asked for is held anyway.
    """
    sampler = plan.sampler
    alone = set(getattr(sampler, "watched", ())) == {"step_size", "accept"}
    if not alone or plan.subset or plan.metric == "diagonal" or getattr(asked, "step_size", "auto") != "auto":
        return None
    if (sampler.adapt and UNSETTLED in row["flags"]) or not _well(sampler, float(row["accept"])):
        return None
    leave = {"leave": sampler.adapt // 8} if hasattr(sampler, "leave") and sampler.adapt else {}
    return replace(sampler, step_size=float(row["step_size"]), adapt=0, **leave)


def _well(kernel: Any, accept: float) -> bool:
    """Whether a kernel is accepted about as often as it aims at."""
    return bool(kernel.accept - HELD[0] <= accept <= kernel.accept + HELD[1])


def measured(by: Callable[[Any], Any], asked: Any, kernel: Any) -> tuple[Any, bool]:
    """The measurement `by` the held `kernel` where there is one and it will do, else as `asked`; and which it was.

    What a run by the held kernel cost that was given up is counted.
    """
    if kernel is None:
        return by(asked), False
    try:
        found = by(kernel)
    except FloatingPointError:
        return by(asked), False
    if _well(kernel, found.estimate.accept):
        return found, True
    return _added(by(asked), found.estimate.gradients, found.estimate.seconds), False


def _added(found: Any, gradients: int, seconds: float) -> Any:
    """The measurement with what went before it."""
    estimate = found.estimate
    spent = {
        **found.spent,
        "calibrate": tuple(map(sum, zip(found.spent["calibrate"], (seconds, gradients), strict=True))),
    }
    more = {"gradients": estimate.gradients + gradients, "seconds": estimate.seconds + seconds}
    return replace(found, estimate=replace(estimate, **more), spent=spent)


class Difference(NamedTuple):
    """Of a second estimate minus a first."""

    value: float
    se: float
    se_unpaired: float  # of two estimates with random numbers of their own
    correlation: float  # of chain means
    half_width: float  # of the 95 % interval


def paired(first: Trace, second: Trace) -> Difference:
    """Of the means of two energies [C, T] of the same chains. Raises ValueError for a single chain."""
    if len(first) < 2:
        raise ValueError(f"chains must be >= 2 for the error of a difference, got {len(first)}")
    means = torch.stack([first.double().mean(1), second.double().mean(1)])
    apart, chains = means[1] - means[0], first.shape[0]
    se = float(apart.std()) / sqrt(chains)
    alone = float(means.var(1).sum().sqrt()) / sqrt(chains)
    correlation = float(torch.corrcoef(means)[0, 1]) if bool((means.std(1) > 0).all()) else nan
    return Difference(float(apart.mean()), se, alone, correlation, t_quantile(chains) * se)


def changes(specs: Sequence[Spec], rows: Sequence[Row], energy: Callable[[Row], Trace]) -> list[dict[str, Any]]:
    """A row for each two successive moments of a trajectory, and for its first and last, sampler and where alike.

    Measurements without a number are passed over. `alike`: both are at one n*beta and gamma, without which the
    difference is not of the models alone; `significant`: they are, and the 95 % interval leaves out zero; `healthy`:
    both estimates are.
    """
    found = []
    for group in _trajectories(specs, rows):
        ends = [(group[0], group[-1])] if len(group) > 2 else []
        for first, second in [*pairwise(group), *ends]:
            if (first["chains"], first["draws"]) == (second["chains"], second["draws"]) and int(first["chains"]) > 1:
                found.append(_change(first, second, paired(energy(first), energy(second))))
    return found


def _change(first: Row, second: Row, found: Difference) -> dict[str, Any]:
    alike = all(isclose(float(first[key]), float(second[key]), rel_tol=1e-6) for key in ("nbeta", "gamma"))
    both = {key: first[key] for key in ("seed", "sampler", "where", "target")}
    return {
        **{"from": first["point"], "to": second["point"], **both},
        **{"llc_from": float(first["llc"]), "llc_to": float(second["llc"]), "difference": found.value},
        **{"se": found.se, "low": found.value - found.half_width, "high": found.value + found.half_width},
        **{"se_unpaired": found.se_unpaired, "correlation": found.correlation},
        "alike": alike,
        "significant": alike and abs(found.value) > found.half_width,
        "healthy": str(first["healthy"]) == str(second["healthy"]) == "True",
    }


def of(spec: Spec) -> Hashable:
    """What the points of one trajectory have in common; None of a point that is on none."""
    same = tuple((key, value) for key, value in spec.coords.items() if key != spec.moment)
    return (spec.training, same) if spec.moment else None


def _trajectories(specs: Sequence[Spec], rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows of each trajectory with two moments or more, in their order."""
    found = defaultdict(list)
    for row in rows:
        if row["llc"] not in (None, "") and isfinite(float(row["llc"])):
            found[row["point"]].append(row)
    groups = defaultdict(list)
    for spec in (spec for spec in specs if spec.moment):
        for row in found[spec.name]:
            groups[of(spec), row["sampler"], row["where"], row["target"]].append(row)
    return (group for group in groups.values() if len(group) > 1)
