"""A run folder as figures, reports and people's notebooks read it."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llcx.artifacts import lock
from llcx.artifacts.files import read_arrays, read_csv, read_json, read_yaml, slug

if TYPE_CHECKING:
    from pandas import DataFrame

TEXT = ("task", "point", "sampler", "where", "target", "known_from", "dtype", "backend", "stopped_by", "flags")
MARKS = ("status.json", "config.yaml", "metrics_summary.csv")  # one of them makes a folder a run folder


def load(path: Path | str) -> "RunFolder":
    """The run folder at `path`; ValueError where there is none."""
    found = Path(path)
    if not any((found / name).exists() for name in MARKS):
        raise ValueError(f"the run folder must hold {' or '.join(MARKS)}, got {path}")
    return RunFolder(found)


def draws_path(row: Mapping[str, Any]) -> Path:
    """Where in its run folder the draws of a row lie."""
    return Path("draws") / ("--".join(slug(str(row[key])) for key in ("point", "sampler", "where", "target")) + ".npz")


class RunFolder:
    """What a run has written so far; every look reads the disk again, so a running run can be watched."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def rows(self) -> list[dict[str, str]]:
        """metrics_summary.csv as it stands: text, empty where unknown."""
        return read_csv(self.path / "metrics_summary.csv")

    def frame(self) -> "DataFrame":
        """metrics_summary.csv with numbers as numbers (bit for bit), nan where unknown, text never nan."""
        return self._frame("metrics_summary.csv", TEXT)

    def metrics(self) -> "DataFrame":
        """metrics.csv: training, step, time (s of training), split, name, value; no rows where nothing was trained."""
        return self._frame("metrics.csv", ("training", "split", "name"))

    def draws(self, row: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """energy n*beta*K [C, T], warmup [C, W], distance [C, T], accept [C] (Metropolis kernels) of a row."""
        return read_arrays(self.path / draws_path(row))

    def analysis(self, stem: str) -> Any:
        """The rows of analysis/<stem>.csv, or else the arrays of analysis/<stem>.npz."""
        table, arrays = self.path / "analysis" / f"{stem}.csv", self.path / "analysis" / f"{stem}.npz"
        if not table.exists() and not arrays.exists():
            known = sorted({path.stem for path in (self.path / "analysis").glob("*.*")})
            raise FileNotFoundError(f"analysis must be one of {', '.join(known) or 'none'}, got {stem} in {self.path}")
        return read_csv(table) if table.exists() else read_arrays(arrays)

    @property
    def config(self) -> dict[str, Any]:
        return read_yaml(self.path / "config.yaml")

    @property
    def target_info(self) -> dict[str, Any]:
        return read_json(self.path / "target_info.json")

    @property
    def run_info(self) -> dict[str, Any]:
        return read_json(self.path / "run_info.json")

    @property
    def status(self) -> dict[str, Any]:
        """status.json; `running` without a living writer reads as `killed`."""
        found = read_json(self.path / "status.json")
        if found.get("state") == "running" and not lock.alive(self.path / lock.NAME):
            found["state"] = "killed"
        return found

    def _frame(self, name: str, text: tuple[str, ...]) -> "DataFrame":
        import pandas

        rows = read_csv(self.path / name)
        columns = rows[0] if rows else ()
        return pandas.DataFrame({key: typed([row[key] for row in rows], key in text) for key in columns})


def typed(cells: list[str], text: bool) -> list[Any]:
    """Cells of a column as truth values, integers or floats (empty: nan) where all are, else as they stand."""
    if text or not any(cells):
        return cells if text else [nan] * len(cells)
    if set(cells) <= {"True", "False"}:
        return [cell == "True" for cell in cells]
    for kind in (int, lambda cell: float(cell) if cell else nan):
        try:
            return list(map(kind, cells))
        except ValueError:
            continue
    return cells
