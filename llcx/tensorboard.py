"""TensorBoard's event files of a run: training metrics by step, traces of each measurement, final numbers by settings.

Each training and each measurement is a "run" of TensorBoard, a folder of its own. Whatever is written twice, as after a
kill, starts by taking back what stood there from that step on. Needs the extra tensorboard, imported on first use.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

MARKS = 250  # points of a trace at most
SETTINGS = (
    *("task", "sampler", "where", "target", "seed", "nbeta", "gamma", "step_size", "chains", "warmup", "draws"),
    *("n", "parameters", "dtype"),
)
RESULTS = (
    *("llc", "se", "low", "high", "llc_fluct", "known_llc", "rel_error", "rel_error_at"),
    *("rhat", "ess", "accept", "gradients", "seconds", "healthy"),
)
Row = Mapping[str, Any]


def require() -> None:
    """ValueError where the extra is not installed."""
    if find_spec("tensorboard") is None:
        raise ValueError(
            "log.tensorboard must be false without the extra tensorboard, got true; "
            "pip install -c constraints.txt -e '.[tensorboard]'"
        )


class Board:
    """The event files below `path`; `close` it at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._training: tuple[str, Any] | None = None  # the one whose metrics come in now, and its writer

    def metrics(self, training: str, rows: Sequence[Row]) -> None:
        """Scalars out of rows of metrics.csv: step, time (s of training), split, name, value."""
        writer, now = self._of(training, int(rows[0]["step"])), time.time() - rows[-1]["time"]
        for row in rows:
            writer.add_scalar(f"{row['split']}/{row['name']}", row["value"], row["step"], walltime=now + row["time"])
        writer.flush()

    def measurement(self, name: str, row: Row, arrays: Mapping[str, np.ndarray]) -> None:
        """Traces and final numbers of a row of metrics_summary.csv, from the arrays of its draws."""
        folder = self.path / "measure" / name
        with _writer(folder, 0) as writer:
            for tag, trace in traces(arrays):
                for index in marks(len(trace)):
                    writer.add_scalar(tag, trace[index], index + 1)
            settings = plain(row, [*SETTINGS, *(key for key in row if key.startswith("at."))])
            results = {f"summary/{key}": float(value) for key, value in plain(row, RESULTS).items()}
            _hparams(writer, settings, results)

    def close(self) -> None:
        if self._training is not None:
            self._training[1].close()
        self._training = None

    def _of(self, training: str, step: int) -> Any:
        if self._training is None or self._training[0] != training:
            self.close()
            self._training = training, _writer(self.path / "train" / training, step)
        return self._training[1]


def traces(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Tags and what they show, by draw: the running estimate [T] and its error, n*beta*K of all chains and extremes."""
    energy = arrays["energy"]
    running = energy.cumsum(1) / np.arange(1, energy.shape[1] + 1)
    yield "sample/lambda_hat", running.mean(0)
    if len(energy) > 1:
        yield "sample/lambda_hat_se", running.std(0, ddof=1) / len(energy) ** 0.5
        yield "sample/energy_lowest_chain", energy.min(0)
        yield "sample/energy_highest_chain", energy.max(0)
    yield "sample/energy", energy.mean(0)
    yield "sample/distance", arrays["distance"].mean(0)
    yield "warmup/energy", arrays["warmup"].mean(0)


def marks(length: int) -> list[int]:
    """Indices of a trace that are shown, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, MARKS)).round().astype(int)).tolist()


def plain(row: Row, names: Sequence[str]) -> dict[str, float | int | str]:
    """The known ones of these columns, as numbers and text."""
    cells = {key: row[key] for key in names if key in row}
    found = {key: cell.item() if hasattr(cell, "item") else cell for key, cell in cells.items()}
    return {key: cell for key, cell in found.items() if _known(cell)}


def _known(cell: Any) -> bool:
    return isinstance(cell, (str, int)) or (isinstance(cell, float) and isfinite(cell))


def _hparams(writer: Any, settings: Row, results: Mapping[str, float]) -> None:
    """As SummaryWriter.add_hparams, which would begin a second file and with it a second order of events."""
    from torch.utils.tensorboard.summary import hparams

    for part in hparams(dict(settings), dict(results)):
        writer.file_writer.add_summary(part)
    for tag, value in results.items():
        writer.add_scalar(tag, value)


def _writer(folder: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step if folder.exists() else None)
