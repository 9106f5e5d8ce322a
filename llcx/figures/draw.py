"""Every picture of a run folder: the ones each run has, then those of its task."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import comparison, eps_beta, influence, leaderboard, parts, qq, style, traces, training, warmup

FIGURES: dict[str, Callable[[RunFolder], Figure | None]] = {
    "llc_traces.png": traces.figure,
    "llc_warmup.png": warmup.figure,
    "eps_beta.png": eps_beta.figure,
    "llc_comparison.png": comparison.figure,
    "leaderboard.png": leaderboard.figure,
    "llc_parts.png": parts.figure,
    "influence.png": influence.figure,
    "susceptibilities.png": influence.responses,
    "llc_qq.png": qq.figure,
    "training.png": training.figure,
}


def draw(folder: RunFolder) -> list[Path]:
    """Draw everything from saved numbers; returns the paths written, the task's own figures last."""
    paths = []
    for name, make in FIGURES.items():
        picture = make(folder)
        if picture is not None:
            paths.append(style.save(picture, folder.path / name))
    return paths + of_task(folder, folder.config.get("task", {}).get("name", ""))


def of_task(folder: RunFolder, task: str) -> list[Path]:
    """Figures of llcx/figures/<task>.py by its `draw(folder) -> list[Path]`; none where there is no such file."""
    module = f"{__package__}.{task}"
    if not task.isidentifier() or importlib.util.find_spec(module) is None:
        return []
    return list(importlib.import_module(module).draw(folder))
