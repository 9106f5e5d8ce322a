"""What a kernel is told of its step: its length, its coordinates, and the length that a predicted bias allows."""

from collections.abc import Callable
from typing import Any

from llcx.settings import one_of

LIMIT = 1.02  # what a step found by calibration may inflate lambda to by each bias, or a bound of lambda's inflation
METRICS = ("auto", "identity", "diagonal", "ggn")
Factors = tuple[float, float]  # on a variance: (discretisation, minibatch noise)


def check_step_size(step_size: Any) -> None:
    """Raise ValueError unless `step_size` is "auto" or a positive number."""
    number = isinstance(step_size, int | float) and not isinstance(step_size, bool)
    if step_size != "auto" and not (number and 0 < step_size < float("inf")):
        raise ValueError(f"sampler.step_size must be a number > 0 or auto, got {step_size!r}")


def check_metric(metric: str) -> None:
    """Raise ValueError unless `metric` names coordinates that a kernel can run in."""
    one_of("sampler.metric", metric, METRICS)


def within(key: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless low < value < high."""
    if not low < value < high:
        raise ValueError(f"sampler.{key} must lie above {low:g} and below {high:g}, got {value}")


def largest_step(factors: Callable[[float], Factors], bound: float) -> float:
    """The largest step below `bound` whose predicted `factors`, which grow with it, are within LIMIT."""
    low, high = 0.0, bound
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if max(factors(middle)) <= LIMIT else (low, middle)
    return low
