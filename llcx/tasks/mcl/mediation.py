"""Whether runs that share more compose better, over all arms and seeds: rank correlations, no verdict.

overall mixes arms, which differ in more than sharing; within has each arm's mean taken from both numbers first, so that
what is left is between seeds. Neither is an effect of sharing: whatever makes one run better may make it share.
"""

from collections import defaultdict
from collections.abc import Mapping
from math import nan
from statistics import fmean

from llcx.tasks.mcl.contrasts import Evidence, Row, means, where
from llcx.tasks.mcl.verdicts import Registered

Runs = Mapping[tuple[str, str], float]  # by arm and seed
FEWEST = 4  # runs


def mediation(evidence: Evidence, cfg: Registered) -> list[Row]:
    """A row for CKA and one for the distance, of tasks never trained, against IoU on test_len3."""
    layers = [row for row in evidence.geometry if str(row["layer"]).startswith(cfg.layers)]
    unseen = where(layers, split="unseen")
    iou = _runs(where(evidence.zero_shot, split="test_len3"), "iou")
    return [{"sharing": name, **_related(_runs(unseen, name), iou)} for name in ("cka", "grassmann")]


def _runs(rows: list[Row], value: str) -> Runs:
    return {(arm, seed): mean for (arm, seed, _), mean in means(rows, value, "arm").items()}


def _related(one: Runs, other: Runs) -> Row:
    both = sorted(one.keys() & other.keys())
    told: Row = {"runs": len(both), "arms": len({arm for arm, _ in both})}
    for name, pair in (("overall", (one, other)), ("within", (_centred(one, both), _centred(other, both)))):
        told[name], told[f"{name}_p"] = _spearman(*([each[key] for key in both] for each in pair))
    return told


def _centred(runs: Runs, kept: list[tuple[str, str]]) -> Runs:
    """Less the mean of each arm."""
    of = defaultdict(list)
    for arm, seed in kept:
        of[arm].append(runs[arm, seed])
    return {(arm, seed): runs[arm, seed] - fmean(of[arm]) for arm, seed in kept}


def _spearman(x: list[float], y: list[float]) -> tuple[float, float]:
    """And its two-sided p; nan where there are few, or all the same."""
    from scipy.stats import spearmanr  # slow to import

    if len(x) < FEWEST or len(set(x)) < 2 or len(set(y)) < 2:
        return nan, nan
    found = spearmanr(x, y)
    return float(found.statistic), float(found.pvalue)
