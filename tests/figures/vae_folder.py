"""The files of a run of task=vae with the made-up trainings of vae_arms: tables that follow from them."""

from collections.abc import Sequence
from itertools import product
from math import exp, nan
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from llcx.artifacts.files import write_arrays, write_json, write_yaml
from tests.figures.run_folder import table
from tests.figures.vae_arms import OF_SERIES, TAU, Arm, Made

TOLD = ("loss", "mse", "kl", "nats")
TESTED = (*TOLD, "active")
EIGENVALUES = 64
Rows = list[dict[str, Any]]


def write(path: Path, made: Made) -> Path:
    """Every file that the figures read."""
    tables = {"networks": networks, "dimensions": dimensions, "gammas": gammas, "targets": targets}
    tables |= {"stability": stability, "spectra": spectra}
    for stem, rows in ((stem, of(made)) for stem, of in tables.items()):
        table(path / "analysis" / f"{stem}.csv", tuple(rows[0]), rows)
    write_arrays(path / "analysis" / "curves.npz", courses(made))
    write_arrays(path / "analysis" / "eigenvalues.npz", eigenvalues(made))
    if made.pictures:
        write_arrays(path / "analysis" / "pictures.npz", pictures(made))
    if made.measured:
        rows = measured(made)
        table(path / "metrics_summary.csv", tuple(rows[0]), rows)
    write_json(path / "status.json", {"state": "completed"})
    write_yaml(path / "config.yaml", {"seed": 0, "task": config(made)})
    return path


def config(made: Made) -> dict[str, Any]:
    model = {"arch": "mlp", "latent_dim": made.latents, "width": 256, "layers": 1, "likelihood": "mse"}
    model |= {"parametrisation": made.ways[0], "scaled": True, "noise_std": None}
    prior = {"kind": "power", "gamma": made.gammas[0], "min_scale": 1e-3}
    loss = {"divergence": "kl", "reduction": "seed", "kl_coeff": 0.1, "beta": 1.0}
    data = {"source": "digits", "n_train": 1200, "n_test": 500, "binarise": "none"}
    fit = {"optimizer": "adam", "learning_rate": 1e-3, "epochs": 10, "batch_size": 64, "checkpoints": []}
    grid = {"gamma": list(made.gammas)[1:] and list(made.gammas), "variant": list(made.variants)}
    grid |= {"parametrisation": list(made.ways)[1:] and list(made.ways), "latent_dim": list(made.latent_dims)}
    parts = {"model": model, "prior": prior, "loss": loss, "data": data, "fit": fit, "grid": grid}
    return {"name": "vae", **parts, "variant": None, "moments": ["final"], "seeds": made.seeds}


def networks(made: Made) -> Rows:
    return [network(arm) for arm in made.arms]


def network(arm: Arm) -> dict[str, Any]:
    last, latents = arm.steps[-1], arm.about["latent_dim"]
    row = {**arm.about, "parameters": 40_000, "steps": int(last), "ended": not arm.lost}
    row |= {f"initial_{name}": float(arm.value(name, 0)) for name in ("loss", "mse", "kl")}
    row |= {f"test_{name}": float(arm.value(name, last)) for name in TOLD}
    nll = None if arm.lost or not arm.made.importance else float(arm.value("nats", last)) - 1.0
    row |= {"nll": nll, "nll_se": nll and 0.1, "nll_bits": nll and nll / 64, "nll_samples": 200, "nll_rows": 500}
    active = None if arm.lost else int(arm.value("active", last))
    row |= {"nll_ess": 20.0, "active": active, "predicted_active": latents // 2 + 1, "noise": 0.4}
    return row | {"latent_exponent": 1.1, "prior_exponent": 1.0, "participation": 3.0, "effective_rank": 4.0}


def dimensions(made: Made) -> Rows:
    """The first half of the latents carries everything, 1/i of it each."""
    found = []
    for arm in (arm for arm in made.arms if not arm.lost):
        latents = arm.about["latent_dim"]
        for i in range(1, latents + 1):
            active, scale = i <= latents / 2, i**-arm.law
            told = {"dimension": i, "scale": scale, "kl": 3.0 / i if active else 1e-4}
            found.append({**arm.about, **told, "carried": 1.0 / i if active else 1e-5})
    return found


def grouped(made: Made) -> dict[tuple[Any, ...], list[Arm]]:
    """Arms by series and gamma: what differs in seed alone, one of a seed."""
    found: dict[tuple[Any, ...], dict[int, Arm]] = {}
    for arm in made.arms:
        found.setdefault(tuple(arm.about[name] for name in OF_SERIES), {}).setdefault(arm.seed, arm)
    return {key: list(arms.values()) for key, arms in found.items()}


def gammas(made: Made) -> Rows:
    found, groups = [], grouped(made)
    for key, arms in groups.items():
        first = {arm.seed: arm for arm in groups.get((*key[:2], 0.0, *key[3:]), [])}
        for step, name in product(made.steps, (*(f"test/{n}" for n in TESTED), *(f"train/{n}" for n in TOLD))):
            here = [arm for arm in arms if step <= arm.steps[-1]]
            values = [float(arm.value(name.partition("/")[2], step)) for arm in here]
            pairs = [float(first[arm.seed].value(name.partition("/")[2], step)) for arm in here if arm.seed in first]
            row = {**dict(zip(OF_SERIES, key, strict=True)), "step": step, "metric": name}
            row |= dict(zip(("mean", "low", "high"), interval(values), strict=True)) | {"seeds": len(values)}
            differ = [a - b for a, b in zip(values, pairs, strict=True)] if pairs else []
            names = ("difference", "difference_low", "difference_high")
            found.append(row | dict(zip(names, interval(differ), strict=True)))
    return found


def interval(values: Sequence[float]) -> tuple[float | None, ...]:
    """Mean and 95 % t interval."""
    if not values:
        return None, None, None
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, None, None
    half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5)
    return mean, mean - half, mean + half


def targets(made: Made) -> Rows:
    """What the smallest gamma has at the end, and when each was there first."""
    found, marks = [], dict[tuple[Any, ...], Arm]()
    for arm in made.arms:
        marks.setdefault((arm.about["variant"], arm.about["latent_dim"], arm.seed), arm)
    for arm in made.arms:
        first = marks[arm.about["variant"], arm.about["latent_dim"], arm.seed]
        target = float(first.value("loss", made.steps[-1]))
        own, its = (reached(each.value("loss", each.steps), each.steps, target) for each in (arm, first))
        row = {**arm.about, "target": target, "reached": own, "steps": int(arm.steps[-1])}
        found.append(row | {"ratio": own / its if own and its else None})
    return found


def reached(losses: np.ndarray, steps: np.ndarray, target: float) -> float | None:
    """The step, linear between events."""
    below = np.flatnonzero(losses <= target)
    if not len(below):
        return None
    place = int(below[0])
    if place == 0:
        return float(steps[0])
    share = (losses[place - 1] - target) / (losses[place - 1] - losses[place])
    return float(steps[place - 1] + share * (steps[place] - steps[place - 1]))


def stability(made: Made) -> Rows:
    found = []
    for key, arms in grouped(made).items():
        finals = [float(arm.value("loss", arm.steps[-1])) for arm in arms if not arm.lost]
        share = sum(arm.lost for arm in arms) / len(arms)
        spread = float(np.std(finals, ddof=1)) if len(finals) > 1 else None
        row = {**dict(zip(OF_SERIES, key, strict=True)), "runs": len(arms), "not_finite": share, "diverged": share}
        row |= {"spread": spread, "spread_relative": spread and spread / float(np.mean(finals))}
        jump = 0.05 * exp(arms[0].tau / TAU)
        row |= {"jump": jump, "jump_max": 2 * jump, "gradient_median": 0.1, "gradient_q99": 0.1 * arms[0].tau / TAU}
        found.append(row | {"gradient_max": 0.2 * arms[0].tau / TAU, "tail": arms[0].tau / TAU})
    return found


def courses(made: Made) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for arm in made.arms:
        every = np.arange(arm.steps[-1])
        loss = arm.value("loss", every)
        told = {"loss": np.append(loss[:-1], nan) if arm.lost else loss, "gradient": 0.1 * np.exp(-every / arm.tau)}
        told |= {"at": arm.steps, "ended": np.array(not arm.lost)}
        told |= {f"test/{name}": arm.value(name, arm.steps) for name in TESTED}
        told |= {f"train/{name}": 0.95 * arm.value(name, arm.steps) for name in TOLD}
        latents = arm.about["latent_dim"]
        share = np.where(np.arange(latents) < latents / 2, 1 / (1 + np.arange(latents)), 1e-4)
        told |= {"kl": np.outer(arm.value("kl", arm.steps), share / share.sum())}
        found |= {f"{arm.name}/{name}": values for name, values in told.items()}
    return found


def spectra(made: Made) -> Rows:
    shared = {"effective_rank": 12.0, "participation": 6.0, "above": 3, "noise": 0.4}
    line = {"what": "input", "training": "", "gamma": None, "first": 2, "last": 40, "exponent": 1.25}
    found: Rows = [{**line, "low": 1.22, "high": 1.28, **shared}]
    for arm, what in product((arm for arm in made.arms if not arm.lost), ("means", "aggregated")):
        row = {"what": what, "training": arm.name, "gamma": arm.about["gamma"], "first": 1, "last": 8}
        found.append({**row, "exponent": 2 * arm.law, "low": None, "high": None, **shared})
    return found


def eigenvalues(made: Made) -> dict[str, np.ndarray]:
    found = {"input": 4.0 * np.arange(1, EIGENVALUES + 1.0) ** -1.25}
    for arm in (arm for arm in made.arms if not arm.lost):
        latents = arm.about["latent_dim"]
        scale = np.arange(1, latents + 1.0) ** -arm.law
        means = np.where(np.arange(latents) < latents / 2, scale**2, 1e-6)
        told = {"means": means, "aggregated": scale**2, "scale": scale}
        found |= {f"{arm.name}/{name}": values for name, values in told.items()}
    return found


def pictures(made: Made) -> dict[str, np.ndarray]:
    """Bars that move, noisier where they are reconstructed or sampled; of at most 8 arms of the first seed."""
    noise, count = np.random.default_rng(0), 6
    x = np.eye(8)[:count, None, None].repeat(8, 2)
    found = {"x": x}
    for arm in [arm for arm in made.arms if arm.seed == 0 and not arm.lost][:8]:
        found[f"{arm.name}/reconstruction"] = np.clip(x + 0.1 * noise.standard_normal(x.shape), 0, 1)
        found[f"{arm.name}/samples"] = np.clip(0.5 + 0.3 * noise.standard_normal(x.shape), 0, 1)
    return found


def measured(made: Made) -> Rows:
    """lambda = 10 (1 + gamma) times 1, 2 and 3 at the start, in the middle and at the end; flagged at the start."""
    found = []
    moments = {"init": 0, "epoch=5": 5, "final": 10}
    for arm, (moment, epoch) in product((arm for arm in made.arms if not arm.lost), moments.items()):
        llc = 10.0 * (1 + arm.law) * (1 + list(moments).index(moment))
        row: dict[str, Any] = {"task": "vae", "point": f"{arm.name},{moment}"}
        row |= {"sampler": "auto", "where": "all", "target": "self"}
        row |= {f"at.{name}": value for name, value in arm.coords.items()} | {"at.epoch": epoch}
        row |= {"seed": arm.seed, "llc": llc, "low": 0.95 * llc, "high": 1.05 * llc, "nbeta": 169.0, "gamma": 1.0}
        found.append(row | {"healthy": moment != "init", "flags": "drift" if moment == "init" else ""})
    return found
