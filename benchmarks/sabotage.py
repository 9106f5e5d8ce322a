"""How many wrong numbers pass unflagged, and how many good runs are flagged.

    python -m benchmarks.sabotage --runs 300 --check full --out outputs/sabotage.csv
    python -m benchmarks.sabotage --read outputs/sabotage.csv           the tables, of `full` and of what `quick` saw

A run is a problem of known answer, a sampler and a kind of sabotage (spoiling.py); a third of the runs are good. A
number is wrong where it is more than 15 % off the answer at its n*beta and gamma. A chain that diverges is a flag.
"""

import argparse
import csv
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import count, cycle, islice
from math import isnan, nan
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.problems import PROBLEMS
from benchmarks.spoiling import GOOD, KINDS, applies, external, runs_on, spoiled
from llcx.estimators.llc import LLC
from llcx.measure import of_potential
from llcx.registry import SAMPLERS

WRONG = 0.15  # of the answer


@dataclass(frozen=True)
class Case:
    """What is run."""

    problem: str
    sampler: str
    kind: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of it; nan where there is no number. Flags are separated by semicolons."""

    problem: str
    sampler: str
    kind: str
    seed: int
    answer: float
    llc: float = nan
    error: float = nan  # relative
    flags: str = "diverged"
    se: float = nan
    rhat: float = nan
    ess: float = nan
    fluctuation: float = nan  # Var(n*beta K) / mean
    step_size: float = nan
    gradients: int = 0
    seconds: float = 0.0

    @property
    def wrong(self) -> bool:
        return isnan(self.llc) or abs(self.error) > WRONG

    @property
    def flagged(self) -> bool:
        return bool(self.flags)


def cases(runs: int, problems: Sequence[str], samplers: Sequence[str], kinds: Sequence[str]) -> list[Case]:
    """`runs` cases, every third a good one; each kind takes its pairs of problem and sampler in a mixed order."""
    every = [(problem, sampler) for problem in problems for sampler in samplers if runs_on(sampler, PROBLEMS[problem])]
    turns: dict[str, Iterator[Case]] = {}
    for kind in (GOOD, *kinds):
        pairs = [pair for pair in every if applies(kind, pair[1], PROBLEMS[pair[0]])]
        random.Random(kind).shuffle(pairs)
        turns[kind] = iter([Case(*pair, kind, seed) for seed in range(runs) for pair in pairs])
    bad = cycle(kinds)
    order = (next(bad) if kinds and run % 3 else GOOD for run in count())
    found = (next(turns[kind], None) for kind in islice(order, 4 * runs))  # a kind may apply to no pair at all
    return list(islice((case for case in found if case is not None), runs))


def run(case: Case, check: str) -> Outcome:
    """One measurement, sabotaged."""
    problem, begun = PROBLEMS[case.problem], perf_counter()
    given = spoiled(case.kind, case.sampler, problem, case.seed)
    cfg = LLC(nbeta=problem.nbeta, gamma=problem.gamma, check=check, **given.wishes)  # type: ignore[arg-type]
    nothing = Outcome(**asdict(case), answer=problem.answer)
    try:
        with given.broken:
            found, _, _ = of_potential(given.potential, given.sampler, cfg, case.seed)
    except FloatingPointError:
        return replace(nothing, seconds=perf_counter() - begun)
    return replace(
        nothing,
        **{name: getattr(found, name) for name in ("llc", "se", "rhat", "ess", "step_size", "gradients")},
        error=found.llc / problem.answer - 1,
        flags=";".join(found.flags),
        fluctuation=found.llc_fluct / found.llc if found.llc else nan,
        seconds=perf_counter() - begun,
    )


def summary(outcomes: Sequence[Outcome], check: str) -> Table:
    """One line a kind: how many numbers are wrong, how many of them unflagged, how many right ones flagged."""
    table = Table("kind", "runs", "wrong", "wrong unflagged", "right", "right flagged", title=f"check={check}")
    for kind in (GOOD, *KINDS, "all"):
        of_kind = [found for found in outcomes if kind in (found.kind, "all")]
        wrong, right = [f for f in of_kind if f.wrong], [f for f in of_kind if not f.wrong]
        silent, alarmed = [f for f in wrong if not f.flagged], [f for f in right if f.flagged]
        table.add_row(kind, *(str(len(each)) for each in (of_kind, wrong, silent, right, alarmed)))
    return table


def as_quick(found: Outcome) -> Outcome:
    """What check=quick would have said of a run with check=full: the same draws without the flags that full adds."""
    more, kernel = {"moved_with_budget"}, cast(Any, SAMPLERS.schema(found.sampler))
    if kernel.unbiased:  # the others have their second sampler in any case
        more.add("second_sampler_disagrees")
    return replace(found, flags=";".join(flag for flag in found.flags.split(";") if flag not in more))


def line(found: Outcome) -> str:
    """A run on one line."""
    verdict = "SILENT" if found.wrong and not found.flagged else "alarm" if found.flagged and not found.wrong else ""
    where = f"{found.problem:12} {found.sampler:12} {found.kind:10} {found.seed}"
    return f"{where:40} {found.llc:9.3f} {100 * found.error:+7.1f} % {found.seconds:5.1f} s {verdict:6} {found.flags}"


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*asdict(outcomes[0]), "wrong"])
        writer.writeheader()
        writer.writerows({**asdict(found), "wrong": found.wrong} for found in outcomes)


def read(paths: Sequence[Path]) -> list[Outcome]:
    """What `write` wrote, whatever further columns there are."""
    found = []
    for path in paths:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                found.append(Outcome(**{each.name: each.type(row[each.name]) for each in fields(Outcome)}))  # type: ignore[operator]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    samplers = [name for name in SAMPLERS.names() if name != "auto"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sabotage")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first run, to go on from there")
    parser.add_argument("--check", default="quick", choices=("off", "quick", "full"))
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    own = [name for name in samplers if not external(name)]
    parser.add_argument("--samplers", nargs="+", default=own, choices=samplers)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--out", type=Path, help="a CSV file, one row a run")
    parser.add_argument(
        "--read", type=Path, nargs="+", help="CSV files of runs at check=full, of which to print tables"
    )
    told = parser.parse_args(argv)
    torch.set_num_threads(1)
    console = Console()
    if told.read:
        found = read(told.read)
        console.print(summary(found, "full"), summary([as_quick(each) for each in found], "quick"))
        return 0
    outcomes: list[Outcome] = []
    for case in cases(told.first + told.runs, told.problems, told.samplers, told.kinds)[told.first :]:
        outcomes.append(run(case, told.check))
        console.print(line(outcomes[-1]), highlight=False, soft_wrap=True)
        if told.out is not None:
            write(told.out, outcomes)
    console.print(summary(outcomes, told.check))
    return 0


if __name__ == "__main__":
    sys.exit(main())
