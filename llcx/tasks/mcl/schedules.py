"""The share of a weight at an optimiser step.

linear   first + (last - first) t,    t = (step - begin) / (end - begin), kept in [0, 1]
cosine   first + (last - first) (1 - cos(pi t)) / 2
step     first before `end`, last from there on
const    last
"""

from math import cos, pi

from llcx.tasks.mcl.model_settings import SCHEDULES, Schedule


def share(cfg: Schedule, step: int) -> float:
    """Raises ValueError for a kind that there is not."""
    done = min(1.0, max(0.0, (step - cfg.begin) / (cfg.end - cfg.begin)))
    if cfg.kind == "const":
        return cfg.last
    if cfg.kind == "linear":
        return cfg.first + (cfg.last - cfg.first) * done
    if cfg.kind == "cosine":
        return cfg.first + (cfg.last - cfg.first) * (1 - cos(pi * done)) / 2
    if cfg.kind == "step":
        return cfg.last if step >= cfg.end else cfg.first
    raise ValueError(f"task.weights.*.kind must be one of {', '.join(SCHEDULES)}, got {cfg.kind}")
