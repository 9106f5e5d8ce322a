"""Is anything lost in a sweep? Injected failures, two launchers, two sweeps in one folder, folders that were moved.

    OMP_NUM_THREADS=1 python -m benchmarks.sweeps

Four parts, each a line or two of findings; `--only failures` takes one of them. `--jobs 500`: tiny jobs of the basic
launcher, of which 5 % fail, counted again by `llcx.collect`. `--parallel 64`: measurements with basic and with joblib's
two processes, whose numbers must be the same. `--pairs 10`: two different sweeps started at once into one folder, of
which one must be refused and the other be whole. Then a sweep and a run are moved, reported and redrawn elsewhere.
Exits 1 where anything is lost.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from llcx import artifacts
from llcx.artifacts.files import read_csv
from llcx.collect import find
from llcx.collect.jobs import Job

ROOT = Path(__file__).parents[1]
TOYS = ("-m", "tests.toys", "--config-dir", "tests/conf", "+experiment=toy_short", "run.verbosity=quiet")
NUMBERS = "run.stages=[train,measure,analyse]"  # without figures and report
EVERY = 20  # of so many jobs one fails
Finding = tuple[str, bool]  # what was found, and whether it is as it must be


def failures(folder: Path, jobs: int) -> Iterator[Finding]:
    """Toys of which points that do not exist are told to fail, but for one list in twenty, which is that of point 0."""
    lists = ",".join(f"[{k}]" for k in range(EVERY))
    words = (*TOYS, NUMBERS, "-m", f"task.fails={lists}", f"seed=range(0,{max(1, jobs // EVERY)})")
    code, seconds = python(*words, f"hydra.sweep.dir={folder}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    found = collected(folder)
    bad, good = [job for job in found if job.state != "completed"], [job for job in found if job.state == "completed"]
    yield (
        f"{len(found)} jobs in {seconds:.0f} s ({seconds / len(found):.2f} s a job, {peak:.0f} MiB at most), exit code "
        f"{code}: {states(found)}",
        code == 1 and len(found) == EVERY * max(1, jobs // EVERY) and len(bad) == len(found) // EVERY,
    )
    told = sum(explained(job) for job in bad)
    yield f"{told} of {len(bad)} failed jobs have the traceback in their own log and status.json", told == len(bad)
    numbers = sum(bool(row["llc"]) for job in good for row in job.rows)
    kept = len(read_csv(folder / "collected.csv")) == sum(len(artifacts.load(job.path).rows) for job in found)
    yield f"{numbers} of {len(good)} completed jobs have their number, all rows collected: {kept}", numbers == len(good)
    alone = folder.with_name("alone")
    python(*TOYS, NUMBERS, *good[-1].words[-2:], f"hydra.run.dir={alone}")
    same = rows(alone) == rows(good[-1].path)
    yield f"the last completed job, run alone, gives the same numbers: {same}", same


def launchers(folder: Path, jobs: int) -> Iterator[Finding]:
    """The default network by HMC from `jobs` seeds."""
    words = ("train.py", "-m", "sampler=hmc", f"seed=range(0,{jobs})", NUMBERS, "run.verbosity=quiet")
    took: dict[str, float] = {}
    for name, more in {"basic": (), "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")}.items():
        code, took[name] = python(*words, *more, f"hydra.sweep.dir={folder / name}")
        yield f"{jobs} jobs with {name}: {took[name]:.0f} s, {states(find([folder / name]).jobs)}", code == 0
    same = all(rows(folder / "basic" / f"{k}") == rows(folder / "joblib" / f"{k}") for k in range(jobs))
    yield f"basic / joblib n_jobs=2 = {took['basic'] / took['joblib']:.2f}; same numbers: {same}", same


def pairs(folder: Path, count: int) -> Iterator[Finding]:
    """Two sweeps of three toys each, from different seeds, started at the same time."""
    outcomes = Counter[str]()
    for k in range(count):
        path = folder / f"{k}"
        words = [(*TOYS, NUMBERS, "-m", f"seed={3 * i},{3 * i + 1},{3 * i + 2}") for i in range(2)]
        both = [start(*each, f"hydra.sweep.dir={path}") for each in words]
        codes = [each.wait() for each in both]
        outcomes["one refused, the other whole" if one_won(path, codes) else f"exit codes {codes}"] += 1
    told = ", ".join(f"{count} x {what}" for what, count in outcomes.items())
    yield f"{count} pairs of sweeps at once into one folder: {told}", set(outcomes) == {"one refused, the other whole"}


def one_won(path: Path, codes: Sequence[int]) -> bool:
    """Whether exactly one sweep ran, and all that lies there is its own."""
    if sorted(codes) != [0, 1]:
        return False
    first = 3 * codes.index(0)
    found = find([path]).jobs
    seeds = [(job.told["seed"], [row["seed"] for row in job.rows]) for job in found]
    return seeds == [(f"{first + k}", [f"{first + k}"]) for k in range(3)]


def moved(folder: Path, jobs: int) -> Iterator[Finding]:
    """A sweep and a run with all their figures, moved to a place of another depth."""
    code, _ = python("train.py", "-m", "sampler=hmc", f"seed=range(0,{jobs})", f"hydra.sweep.dir={folder / 'here'}")
    collected(folder / "here")
    tables = [(folder / "here" / name).read_bytes() for name in ("collected.csv", "jobs.csv")]
    there = folder / "some" / "where" / "else"
    there.parent.mkdir(parents=True)
    shutil.move(folder / "here", there)
    collected(there)
    same = [(there / name).read_bytes() for name in ("collected.csv", "jobs.csv")] == tables
    yield f"a sweep of {jobs} moved: collected again, the tables are the same bytes: {same}", same and code == 0
    run, before = there / "0", rows(there / "0")
    for name in ("report.html", "llc_traces.png"):
        (run / name).unlink()
    codes = [python("-m", f"llcx.{room}", str(run))[0] for room in ("figures", "report", "doctor")]
    codes.append(python("train.py", f"run.resume={run}", "run.stages=[measure]")[0])
    drawn = all((run / name).stat().st_size > 10_000 for name in ("report.html", "llc_traces.png"))
    good = codes == [0] * 4 and drawn and rows(run) == before
    yield f"a run moved: redrawn, reported, diagnosed, resumed with exit codes {codes}, rows unchanged: {good}", good


def python(*words: str) -> tuple[int, float]:
    """Exit code and seconds of a command."""
    begun = perf_counter()
    return start(*words).wait(), perf_counter() - begun


def start(*words: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def collected(folder: Path) -> list[Job]:
    """Collect with the command itself; the jobs that it found."""
    python("-m", "llcx.collect", str(folder))
    return find([folder]).jobs


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a run without the seconds they took."""
    return [{key: cell for key, cell in row.items() if key != "seconds"} for row in artifacts.load(path).rows]


def explained(job: Job) -> bool:
    """Whether a failed job's own files say why."""
    mark = "Traceback (most recent call last)"
    log = job.path / "llcx.log"
    return log.exists() and mark in log.read_text() and mark in str(artifacts.load(job.path).status.get("traceback"))


def states(jobs: Sequence[Job]) -> str:
    return ", ".join(f"{count} {state}" for state, count in Counter(job.state for job in jobs).most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--parallel", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--moved", type=int, default=4)
    parser.add_argument("--only", choices=("failures", "launchers", "pairs", "moved"))
    parser.add_argument("--folder", type=Path, help="where the sweeps go and stay; default: nowhere for long")
    asked = parser.parse_args()
    parts = {
        "failures": (failures, asked.jobs),
        "launchers": (launchers, asked.parallel),
        "pairs": (pairs, asked.pairs),
        "moved": (moved, asked.moved),
    }
    whole = True
    with TemporaryDirectory() as scratch:
        for name in [asked.only] if asked.only else parts:
            part, count = parts[name]
            for finding, good in part((asked.folder or Path(scratch)) / name, count):
                whole &= good
                sys.stdout.write(f"{name}: {finding}{'' if good else '  <- NOT AS IT MUST BE'}\n")
                sys.stdout.flush()
    raise SystemExit(0 if whole else 1)


if __name__ == "__main__":
    main()
