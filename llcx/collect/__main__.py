"""`python -m llcx.collect DIR...`: collected.csv, jobs.csv, collected.png, report.html; `--log`: experiments.csv."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from llcx import report
from llcx.artifacts.folder import MARKS
from llcx.collect import experiments, jobs, pooled, tables
from llcx.figures import style, sweep
from llcx.terminal import Terminal, listing

FILES = ("collected.csv", "jobs.csv", "collected.png", "report.html")


class Parser(ArgumentParser):
    """Refuses in one line, as every command of llcx does."""

    def error(self, message: str) -> NoReturn:
        raise SystemExit(f"error: {message}; python -m llcx.collect --help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits with one line on standard error where there is nothing to collect."""
    parser = Parser(prog="python -m llcx.collect", description="Sweeps and other folders of runs as one table.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a sweep, a run, or a folder of them")
    parser.add_argument("--out", type=Path, help="where to write; DIR, if it is the only one")
    parser.add_argument("--x", help="the figure's horizontal axis: an override that differs, as sampler.step_size")
    parser.add_argument("--y", help="its vertical axis: a column of metrics_summary.csv, as rel_error or seconds")
    parser.add_argument("--log", action="store_true", help="keep experiments.csv and experiments.md, a line a run")
    asked = parser.parse_args(arguments)
    try:
        if asked.log:
            log(asked)
        else:
            collect(asked)
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None


def collect(asked: Namespace) -> None:
    """Tables, figure, report; then what a person wants to see of them."""
    out = asked.out or only(asked.folders)
    found = jobs.find(asked.folders)
    measured, overview = tables.write(found, out)
    picture = sweep.figure(measured, overview, x=asked.x, y=asked.y)
    style.save(picture, out / "collected.png")
    together = pooled.write(found.jobs, out)
    report.write_sweep(out)
    terminal = Terminal()
    if measured:
        terminal.print(listing("", tables.shown(measured, found.swept)))
    terminal.print(f"{tables.states(found.jobs)}; {len(measured)} measurements")
    for line in tables.unfinished(found.jobs):
        terminal.print(line)
    for title, lines in together.shown.items():
        terminal.print(listing(title, lines, terminal.console.width))
    if together.note:
        terminal.print(together.note)
    terminal.print(f"{out}: {', '.join([*FILES, *together.files])}")


def log(asked: Namespace) -> None:
    """Keep the experiment log."""
    out = asked.out or asked.folders[0]
    lines = experiments.keep(jobs.find(asked.folders).jobs, out)
    Terminal().print(f"{len(lines)} runs in {out / 'experiments.csv'} and {out / 'experiments.md'}")


def only(folders: Sequence[Path]) -> Path:
    """Where to write; a run's own folder has a report of its own, and of several none is the right one."""
    if len(folders) > 1:
        raise ValueError("--out must name a folder where several are collected, got none; --out outputs/compared")
    if any((folders[0] / name).exists() for name in MARKS):
        raise ValueError(f"--out must name a folder where one run is collected, got {folders[0]}; its report is there")
    return folders[0]


if __name__ == "__main__":
    main()
