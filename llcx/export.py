"""A measurement as arviz.InferenceData, the form in which other tools read chains.

    posterior          energy n*beta*K, whose mean is the estimate; distance |w - w*|^2; what is observed: [chain, draw]
    sample_stats       norms of the kernel's last step [chain, draw]; acceptance_rate [chain]
    warmup_posterior   energy at about 100 places along the warm-up, that of the start first: [chain, draw]
    attrs              every known cell of the row of metrics_summary.csv: llc, low, high, nbeta, gamma, target ...

Weights are not kept by a run, so they are not here. Needs the extra arviz, imported on first use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module, metadata
from typing import Any

import numpy as np

from llcx.artifacts import RunFolder
from llcx.artifacts.folder import TEXT, typed

KEYS = ("point", "sampler", "where", "target")
SHOWN = 6  # choices that an error lists
MEANING = {
    "energy": "n*beta*(L(w) - L(w*)), nats; its mean is the estimate",
    "distance": "|w - w*|^2",
    "acceptance_rate": "mean over kept draws",
}
Arrays = Mapping[str, np.ndarray]


def of_run(folder: RunFolder, **chosen: str | None) -> Any:
    """InferenceData of the one row that `point`, `sampler`, `where`, `target` choose.

    Raises ValueError, naming the choices, where they fit none or several; ImportError without the extra.
    """
    row = the_row(folder.rows, chosen)
    arrays = folder.draws(row)
    norms = {name.replace("norm.", "norm_"): trace for name, trace in arrays.items() if name.startswith("norm.")}
    if "accept" in arrays:
        norms["acceptance_rate"] = arrays["accept"]
    cells = {key: typed([cell], key in TEXT)[0] for key, cell in row.items() if cell or key == "flags"}
    posterior = {name: arrays[name] for name in ("energy", "distance")}
    return inference_data(posterior, norms, {"energy": arrays["warmup"]}, cells)


def of_estimate(estimate: Any) -> Any:
    """InferenceData of what llcx.estimate returned, with what it was asked to observe."""
    observed = {name: trace.detach().cpu().numpy() for name, trace in estimate.observed.items()}
    numbers = {field.name: getattr(estimate, field.name) for field in fields(estimate)}
    cells = {name: value for name, value in numbers.items() if isinstance(value, (str, int, float)) and value == value}
    cells |= {"healthy": estimate.healthy, "flags": ";".join(estimate.flags)}
    return inference_data({"energy": estimate.draws.detach().cpu().numpy(), **observed}, {}, {}, cells)


def inference_data(posterior: Arrays, stats: Arrays, warmup: Arrays, cells: Mapping[str, Any]) -> Any:
    """Arrays [C], [C, T] or [C, T, ...] by name, in groups; `cells` are everyone's attributes."""
    arviz, xarray = imported("arviz"), imported("xarray")
    about = {key: int(cell) if isinstance(cell, bool) else cell for key, cell in cells.items()}  # netCDF has no bool
    about |= {"inference_library": "llcx", "inference_library_version": metadata.version("llcx")}

    def group(arrays: Arrays) -> Any:
        named = {name: (dims(name, array.ndim), array, meaning(name)) for name, array in arrays.items()}
        found = xarray.Dataset(named, attrs=about)
        return found.assign_coords({name: np.arange(size) for name, size in found.sizes.items()})

    groups = {"posterior": posterior, "sample_stats": stats, "warmup_posterior": warmup}
    return arviz.InferenceData(**{name: group(arrays) for name, arrays in groups.items() if arrays}, attrs=about)


def dims(name: str, count: int) -> tuple[str, ...]:
    """chain, draw, and axes of its own."""
    return ("chain", "draw", *(f"{name}_dim_{axis}" for axis in range(count - 2)))[:count]


def meaning(name: str) -> dict[str, str]:
    return {"long_name": MEANING[name]} if name in MEANING else {}


def the_row(rows: Sequence[Mapping[str, str]], chosen: Mapping[str, str | None]) -> Mapping[str, str]:
    """The one row with a number that has these cells; ValueError lists what could be chosen."""
    found = [row for row in rows if row["llc"]]
    if not found:
        raise ValueError("the run must hold a measurement with a number, got none; summary.txt says what went wrong")
    for key in KEYS:
        there, wanted = list(dict.fromkeys(row[key] for row in found)), chosen.get(key)
        if wanted is not None and wanted not in there:
            raise ValueError(f"{key} must be one of {_listed(there)}, got {wanted}")
        found = [row for row in found if wanted in (None, row[key])]
    for key in KEYS:
        there = list(dict.fromkeys(row[key] for row in found))
        if len(there) > 1:
            raise ValueError(f"{key} must be one of {_listed(there)}, got nothing; {len(found)} measurements fit")
    return found[0]


def imported(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"to_arviz must have the extra arviz, got no {error.name}; pip install -c constraints.txt -e '.[arviz]'"
        ) from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
