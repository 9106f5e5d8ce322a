"""When a level was reached, where not all come to it, and what a curve over few examples amounts to.

A training that was followed for so long without reaching the level is censored there: it may have come later, or never.

    restricted mean = integral_0^h S(t) dt

with S the share that has not reached the level by t (Kaplan and Meier 1958) is the mean of min(T, h), and does not ask
when the censored would have come. Where all are followed to h it is just the mean of min(T, h).
Royston and Parmar (2013).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite, log2, nan
from typing import NamedTuple


class Reached(NamedTuple):
    """The time of a level, or, where it was not seen, the time until which it was not reached."""

    time: float
    seen: bool

    def within(self, horizon: float, *, never: bool = False) -> float:
        """min(T, horizon). never: what was not seen would not have come, as after an early stop.

        Raises ValueError where the time is censored before the horizon, and so min(T, horizon) is not known.
        """
        if not self.seen and not never and self.time < horizon:
            raise ValueError(f"horizon must be <= what was followed, {self.time}, got {horizon}; lower the horizon")
        return min(self.time if self.seen else inf, horizon)


def reached(times: Sequence[float], values: Sequence[float], level: float) -> Reached:
    """When values first are at the level or above, on straight lines between ascending times.

    A value that is not finite is below any level. Raises ValueError for no values, or times that do not ascend.
    """
    if not times or len(times) != len(values) or any(b <= a for a, b in pairwise(times)):
        raise ValueError(f"times must ascend, one for each value, got {list(times)} for {len(values)} values")
    place = next((place for place, value in enumerate(values) if value >= level), None)
    if place is None:
        return Reached(float(times[-1]), False)
    if place == 0 or not isfinite(values[place - 1]):
        return Reached(float(times[place]), True)
    share = (level - values[place - 1]) / (values[place] - values[place - 1])
    return Reached(times[place - 1] + share * (times[place] - times[place - 1]), True)


def restricted_mean(found: Sequence[Reached], horizon: float) -> float:
    """Area below Kaplan and Meier's curve up to the horizon; nan where it is not known that far."""
    area, alive, before = 0.0, 1.0, 0.0
    for time in sorted({each.time for each in found if each.seen and each.time < horizon}):
        at_risk = sum(each.time >= time for each in found)
        area += alive * (time - before)
        alive *= 1 - sum(each.seen and each.time == time for each in found) / at_risk
        before = time
    followed = max((each.time for each in found), default=0.0)
    known = alive == 0 or followed >= horizon
    return area + alive * (horizon - before) if known and found else nan


def censored(found: Sequence[Reached], horizon: float) -> float:
    """The share that had not reached the level by the horizon."""
    return sum(not each.seen or each.time > horizon for each in found) / len(found) if found else nan


def area(curve: Mapping[float, float]) -> float:
    """Of scores by numbers of examples: the mean over log2 n, by trapezoids; of one number its score, of none nan."""
    if len(curve) < 2:
        return next(iter(curve.values()), nan)
    points = sorted((log2(n), score) for n, score in curve.items())
    pieces = [(b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points)]
    return sum(pieces) / (points[-1][0] - points[0][0])


def samples_to(curve: Mapping[float, float], level: float) -> Reached:
    """Of scores by numbers of examples: the number at which the level is reached, on straight lines over log2 n."""
    points = sorted(curve.items())
    found = reached([log2(n) for n, _ in points], [score for _, score in points], level)
    return found._replace(time=min(2**found.time, points[-1][0]) if found.seen else points[-1][0])
