"""What a person sees while a run is under way and at its end: progress, log lines, the table."""

import io
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from multiprocessing import parent_process
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

LEVELS = {"quiet": logging.WARNING, "normal": logging.INFO, "debug": logging.DEBUG}
WIDTH = 120  # of lines where there is no terminal
log = logging.getLogger(__name__)


class Terminal:
    """Progress as a context: bars on a terminal, log lines every `interval` s elsewhere, nothing when quiet.

    Calling it is types.Progress: `(stage, done, total, what to show)`. Jobs that share a terminal, as joblib's do, get
    lines: each would draw its bars over the others'.
    """

    def __init__(self, verbosity: str = "normal", interval: float = 10.0, console: Console | None = None) -> None:
        wide = None if sys.stdout.isatty() else 160  # a log file has no edge
        self.console = console if console is not None else Console(width=wide)
        self.verbosity, self.interval = verbosity, interval
        self.bars: Progress | None = None
        self._task: dict[str, Any] = {}
        self._streams: list[tuple[logging.StreamHandler[Any], Any]] = []
        self._prefix = ""
        self._spoken = time.monotonic()
        self._pace: tuple[str, int, float] = ("", 0, 0.0)  # the stage, where in it and when it was first seen

    def __enter__(self) -> "Terminal":
        logging.getLogger("llcx").setLevel(LEVELS[self.verbosity])
        for handler in console_handlers():
            handler.setLevel(LEVELS[self.verbosity])
        if self.console.is_terminal and self.verbosity != "quiet" and parent_process() is None:
            self.bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=16),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                TextColumn("{task.fields[shown]}"),
                console=self.console,
                transient=True,
            )
            handlers = console_handlers()
            self.bars.start()
            self._streams = [
                (handler, handler.setStream(sys.stdout)) for handler in handlers
            ]  # lines go above the bars
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
            for handler, stream in self._streams:
                handler.setStream(stream)
        self.bars, self._task, self._streams = None, {}, []

    def __call__(self, stage: str, done: int, total: int, shown: Mapping[str, int | float]) -> None:
        if self.bars is None:
            self._say(stage, done, total, figures(shown))
        else:
            self._draw(self.bars, stage, done, total, figures(shown))

    def point(self, name: str, done: int, total: int) -> None:
        """Say which of the points, or which of its samplers, is next."""
        self._prefix = f"{name} "
        if self.bars is not None:
            for stage in [key for key in self._task if key != "points"]:
                self.bars.remove_task(self._task.pop(stage))
            self._draw(self.bars, "points", done, total, name)

    def print(self, thing: Any) -> None:
        """Show a table or a line, unless quiet."""
        if self.verbosity != "quiet":
            self.console.print(thing, soft_wrap=isinstance(thing, str))

    def _draw(self, bars: Progress, stage: str, done: int, total: int, text: str) -> None:
        if stage not in self._task:
            self._task[stage] = bars.add_task(stage, total=total, shown=text)
        bars.update(self._task[stage], completed=done, total=total, shown=text)

    def _say(self, stage: str, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if stage != self._pace[0] or done < self._pace[1]:
            self._pace = stage, done, now
        if now - self._spoken >= self.interval:
            self._spoken = now
            _, first, begun = self._pace
            seconds = (now - begun) / (done - first) * (total - done) if done > first else None
            left = "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
            log.info("%s%s", self._prefix, ", ".join(filter(None, (f"{stage} {done}/{total}", left, text))))


def figures(shown: Mapping[str, int | float]) -> str:
    """`llc`, `se` and `chains` as `lambda 9.48 +- 0.11, 16 chains`, anything else as `name value`."""
    told = []
    if "llc" in shown:
        told.append(f"lambda {shown['llc']:.4g}" + (f" +- {shown['se']:.2g}" if "se" in shown else ""))
    if "chains" in shown:
        told.append(f"{shown['chains']} chains")
    rest = [f"{key} {value:.4g}" for key, value in shown.items() if key not in ("llc", "se", "chains")]
    return ", ".join([*told, *([" ".join(rest)] if rest else [])])


def console_handlers() -> list[logging.StreamHandler[Any]]:
    """The root logger's handlers that write to the screen."""
    return [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr)
    ]


def hide_stacks() -> None:
    """Stacks go to the log file alone; the screen gets the line."""

    def line(record: logging.LogRecord) -> bool:
        return record.exc_info is None

    for handler in console_handlers():
        handler.addFilter(line)


def table(rows: Iterable[Mapping[str, str]]) -> Table:
    """Estimate, interval, known value and flags of each row of metrics_summary.csv."""
    kept = list(rows)
    told = [name for name in ("sampler", "where") if len({row.get(name, "") for row in kept}) > 1]
    found = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("point", *told):
        found.add_column(name)
    for name in ("lambda_hat", "95 % interval", "known", "rel. error"):
        found.add_column(name, justify="right")
    found.add_column("flags", overflow="fold")
    for row in kept:
        label = (row.get(name, "") for name in ("point", *told))
        cells = map(Text, (*label, *entries(row)))  # not markup: a message may hold brackets
        found.add_row(*cells, style=None if row["healthy"] == "True" else "yellow")
    return found


def entries(row: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    interval = f"[{number(row['low'])}, {number(row['high'])}]" if row.get("low") else ""
    error = f"{float(row['rel_error']):+.1%}" if row.get("rel_error") else ""
    flags = "healthy" if row["healthy"] == "True" else row["flags"].replace(";", ", ")
    return number(row.get("llc", "")), interval, number(row.get("known_llc", "")), error, flags


def number(text: str) -> str:
    """Four digits; empty where unknown."""
    return f"{float(text):.4g}" if text else ""


def listing(title: str, rows: Sequence[Mapping[str, str]], width: int | None = None) -> Group:
    """Rows of text as a table: names to the left, numbers to the right; turned where it is wider than `width`.

    Not turned where two rows have one name.
    """
    named = len({next(iter(row.values()), "") for row in rows}) == len(rows)
    if named and width is not None and sum(2 + max(map(len, column)) for column in _columns(rows)) - 2 > width:
        first, *names = rows[0]
        rows = [{first: name, **{row[first]: row[name] for row in rows}} for name in names]
    found = Table(box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(rows[0] if rows else {}):
        found.add_column(name, justify="right" if index else "left")
    for row in rows:
        found.add_row(*map(Text, row.values()))
    return Group(Text(title, style="italic"), found)


def _columns(rows: Sequence[Mapping[str, str]]) -> list[list[str]]:
    return [[name, *(row[name] for row in rows)] for name in (rows[0] if rows else ())]


def plain(thing: Any, width: int = 160) -> str:
    """What `print` would show, as text for a file."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(thing)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
