"""Rows of metrics_summary.csv: which columns there are, in which order, and what a measurement puts into them."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import numpy as np
from torch.utils._pytree import tree_leaves

from llcx.artifacts.files import Row, cell
from llcx.types import Draws, Known, Point, Rows, Spec

KEY = ("point", "sampler", "where", "target")
BEFORE_AT = ("task", "point")
BEFORE_KNOWN = (
    *("sampler", "where", "target", "seed", "llc", "llc_sd", "se", "low", "high", "llc_fluct"),
    *("known_llc", "known_mult", "known_global", "known_local", "known_at", "known_from"),
)
AFTER_KNOWN = (
    *("rel_error", "rel_error_at", "nbeta", "gamma", "step_size", "n", "parameters", "loss_at", "chains", "warmup"),
    *("draws", "ess", "rhat", "accept", "wnv", "gradients", "gradients_main", "examples", "seconds", "dtype"),
    *("backend", "stopped_by", "healthy", "flags"),
)
BESIDE = (
    *("gamma_slope", "decrement", "llc_quarter", "llc_looser", "llc_longer", "llc_second"),
    *("polish_moved", "polish_drop"),
    *("planned", "subset_rows", "llc_subset", "llc_full", "llc_labels"),
    *("wbic", "llc_wbic", "llc_wbic_se", "functional_variance", "nu", "nu_se", "gibbs_loss", "waic", "waic_se"),
    "mult_weights",
)
FOLLOWED = ("losses of ", "rows of ", "predictions of ")  # names of what influence.py keeps among what is observed
OF_ESTIMATE = (
    *("target", "llc", "llc_sd", "se", "low", "high", "llc_fluct", "nbeta", "gamma", "step_size", "chains", "warmup"),
    *("ess", "rhat", "accept", "gradients", "gradients_main", "examples", "seconds", "stopped_by", "healthy", "flags"),
)


def columns(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """All columns, in the order of the contract: coordinates and further known values are those that the rows have."""
    seen = dict.fromkeys(key for row in rows for key in row)
    at = [key for key in seen if key.startswith("at.")]
    extra = [key for key in seen if key.startswith("known.")]
    return (*BEFORE_AT, *at, *BEFORE_KNOWN, *extra, *AFTER_KNOWN, *BESIDE)


def texts(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as it will stand in the file."""
    return {key: cell(value) for key, value in row.items()}


def asked(task: str, seed: int, spec: Spec, sampler: str, where: str) -> Row:
    """What is known of a row before anything is measured."""
    at = {f"at.{key}": value for key, value in spec.coords.items()}
    return {"task": task, "point": spec.name, **at, "sampler": sampler, "where": where, "seed": seed}


def failed(row: Row, message: str, target: str) -> Row:
    """The row of a point without a number."""
    told = " ".join(message.replace(";", ",").split())  # `;` separates flags
    return {**row, "target": target, "healthy": False, "flags": (f"failed: {told}",)}


def measured(row: Row, measurement: Any) -> Row:
    """The row of a measurement (measure.Measurement); FloatingPointError where its number is not finite."""
    estimate = measurement.estimate
    if not isfinite(estimate.llc):
        raise FloatingPointError(f"the estimate is {estimate.llc}")
    chains, draws = estimate.draws.shape
    return {
        **row,
        **{key: getattr(estimate, key) for key in OF_ESTIMATE},
        **answers(key(measurement.point, measurement.sampled), estimate.llc, estimate.nbeta, estimate.gamma),
        **{key: getattr(measurement, key) for key in ("where", "n", "parameters", "loss_at", "dtype", "backend")},
        **{name: estimate.beside[name] for name in BESIDE if name in estimate.beside},
        "chains": chains,
        "draws": draws,
        "wnv": estimate.llc_sd**2 / estimate.ess * equivalents(measurement) if estimate.ess > 0 else None,
    }


def equivalents(measurement: Any) -> float:
    """Gradients on all rows that warm-up and draws of all chains came to; a minibatch is its share of one."""
    estimate, train = measurement.estimate, measurement.point.data.train
    if not estimate.examples:  # of a closed form
        return float(estimate.gradients_main * estimate.draws.shape[0])
    rows = train.total if isinstance(train, Rows) else len(tree_leaves(train)[0])
    return float(estimate.examples / rows)


def key(point: Point, sampled: frozenset[str] | None) -> Known:
    """The answer key where `sampled` parameters alone move (None: all do), without which nothing is known of them."""
    if sampled is None:
        return point.known
    return Known() if point.restricted is None else point.restricted(sampled)


def answers(known: Known, llc: float, nbeta: float, gamma: float) -> Row:
    """The answer key's columns and what the estimate misses it by."""
    truth = known.local if known.local is not None else known.lam
    at = known.at(nbeta, gamma) if known.at is not None else None
    return {
        "known_llc": truth,
        "known_mult": known.mult,
        "known_global": known.lam,
        "known_local": known.local,
        "known_at": at,
        "known_from": known.reference or None,
        **{f"known.{key}": value for key, value in known.extra.items()},
        "rel_error": llc / truth - 1 if truth else None,
        "rel_error_at": llc / at - 1 if at else None,
    }


def facts(point: Point) -> Row:
    """A point's part of target_info.json."""
    shapes = {name: list(tensor.shape) for name, tensor in point.model.module.named_parameters()}
    known = point.known
    return {
        "model": type(point.model.module).__name__,
        "parameters": sum(tensor.numel() for tensor in point.model.module.parameters()),
        "n": point.data.n,
        "mode": point.data.mode,
        "known": {"global": known.lam, "multiplicity": known.mult, "local": known.local, "from": known.reference},
        "shapes": shapes,
    }


def arrays(draws: Draws) -> dict[str, np.ndarray]:
    """The file beside a row: energy n*beta*K [C, T], warmup [C, W], distance |w - w*|^2 [C, T], accept [C].

    Further `settling.<name>` [W], what adapted along the warm-up, `norm.<name>` [C, T] of a step's vectors, and of
    the rows that were followed in a data set `losses of <name>` [C, T, R] above those at w*, `rows of <name>` [R], and
    `predictions of <name>` [1], how many a row holds on average.
    """
    kept = {"energy": draws.energy, "warmup": draws.warmup, "distance": draws.distance, "accept": draws.accept}
    kept |= {f"settling.{name}": value for name, value in draws.settling.items()}
    kept |= {f"norm.{name}": value for name, value in draws.norms.items()}
    kept |= {name: value for name, value in draws.observed.items() if name.startswith(FOLLOWED)}
    return {key: value.detach().cpu().numpy() for key, value in kept.items() if value is not None}
