"""task=suite: a list of problems, each with its own stream of random numbers."""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, cast
from zlib import crc32

from llcx import rng
from llcx.registry import TASKS
from llcx.tasks.suite.analytic import ANALYTIC
from llcx.tasks.suite.networks import NETWORKS
from llcx.tasks.suite.noise import NOISE
from llcx.tasks.suite.problems import Entry
from llcx.tasks.suite.schema import FAMILIES, Suite
from llcx.tasks.summary import errors, leaderboard
from llcx.types import Point, Snapshots, Spec, State, Streams, Study, Tables, Training

BUILDERS = {**ANALYTIC, **NETWORKS, **NOISE}


class SuiteTask:
    """Problem by problem; nothing is trained."""

    name = "suite"

    def __init__(self, cfg: Suite, streams: Streams) -> None:
        self._points: dict[str, tuple[Spec, Entry, Streams]] = {}
        for seed in range(cfg.seeds):
            of_seed = streams if seed == 0 else cast(Streams, rng.streams(streams.seed + seed))
            for family, entry in entries(cfg):
                coords: dict[str, Any] = {"family": family}
                name = entry.name
                if cfg.seeds > 1:
                    name, coords = f"{name},seed={of_seed.seed}", coords | {"seed": of_seed.seed}
                own = of_seed.replicate(crc32(entry.name.encode()))
                self._points[name] = Spec(name, coords), entry, own

    def trainings(self) -> tuple[Training, ...]:
        return ()

    def points(self) -> tuple[Spec, ...]:
        return tuple(spec for spec, _, _ in self._points.values())

    def point(self, spec: Spec, snapshot: State | None) -> Point:
        del snapshot
        _, entry, streams = self._points[spec.name]
        return replace(entry.build(streams), name=spec.name, coords=spec.coords)

    def studies(self) -> tuple[Study, ...]:
        return ()

    def analyse(self, rows: list[dict[str, Any]], snapshot: Snapshots) -> Tables:
        """analysis/: errors.csv by family, leaderboard.csv by sampler, bias_by_multiplicity.csv."""
        del snapshot
        found = leaderboard(rows)
        return found._replace(tables={"errors": errors(rows, {"family": "at.family"}), **found.tables})


@TASKS.register("suite", Suite)
def build(cfg: Suite, streams: Streams) -> SuiteTask:
    """Raises ValueError where no problem has a name asked for."""
    found = SuiteTask(cfg, streams)
    if not found.points():
        raise ValueError(
            f"task.problems must name problems of the families {', '.join(cfg.families)}, got "
            f"{', '.join(cfg.problems) or 'nothing'}; run.dry=true with task.problems=[] lists them"
        )
    return found


def entries(cfg: Suite) -> Iterator[tuple[str, Entry]]:
    """(family, problem) in the order of the families."""
    for family in FAMILIES:
        for entry in BUILDERS[family](cfg) if family in cfg.families else ():
            if not cfg.problems or any(fnmatchcase(entry.name, wanted) for wanted in cfg.problems):
                yield family, entry
