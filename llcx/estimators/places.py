"""What else is asked of a measurement: parts of the model, each sampled alone, and rows whose losses are followed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

AUTO = "auto"  # parts that the model itself has; parts.py finds them
ROWS = 2000  # rows that can be followed: a matrix of them is kept
Parts = Mapping[str, list[str]]  # name -> globs


def parts(asked: Any) -> Parts:
    """`estimator.where_each` as globs by name: a glob or a list of globs is called what it says. None of `auto`.

    Raises ValueError for anything but globs, lists of globs, {name: globs}, auto and null.
    """
    if asked is None or asked == AUTO:
        return {}
    told = f"estimator.where_each must be globs, lists of globs, {{name: globs}}, auto or null, got {asked!r}"
    if isinstance(asked, str) or not isinstance(asked, (list, tuple, Mapping)):
        raise ValueError(f"{told}; ['*weight'] is a list")
    named = {str(name): _globs(each) for name, each in asked.items()} if isinstance(asked, Mapping) else None
    found = named if named is not None else {",".join(_globs(each)): _globs(each) for each in asked}
    if not all(found.values()) or "all" in found:
        raise ValueError(f"{told}; all is what the whole is called" if "all" in found else told)
    return found


def each(estimator: Any, named: Parts) -> list[Any]:
    """Settings (llc.LLC) of all that is measured at a point: its own, then of each part alone, each place once."""
    whole = replace(estimator, where_each=None)
    alone = [replace(whole, where=globs, part=name) for name, globs in named.items()]
    return list({one.place: one for one in (whole, *alone)}.values())


def _globs(part: Any) -> list[str]:
    """The globs of one part; none where it is something else."""
    if isinstance(part, str):
        return [part]
    return list(part) if isinstance(part, (list, tuple)) and all(isinstance(glob, str) for glob in part) else []


def check_rows(asked: Any) -> None:
    """Raise ValueError unless `estimator.influence` is null, a number in 2..ROWS, or as many different row numbers."""
    if asked is None:
        return
    listed = list(asked) if isinstance(asked, (list, tuple)) else None
    count = asked if listed is None else len(listed)
    numbers = listed is None or (
        all(type(row) is int and row >= 0 for row in listed) and len(set(listed)) == len(listed)
    )
    if type(count) is not int or not 2 <= count <= ROWS or not numbers:
        raise ValueError(
            f"estimator.influence must be 2 to {ROWS} rows, a list of as many row numbers or null, got {asked!r}"
        )
