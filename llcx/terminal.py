"""What a person sees while a run is under way and at its end: progress, log lines, the table."""

import io
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

LEVELS = {"quiet": logging.WARNING, "normal": logging.INFO, "debug": logging.DEBUG}
WIDTH = 120  # of lines where there is no terminal
log = logging.getLogger(__name__)


class Terminal:
    """Progress as a context: bars on a terminal, log lines every `interval` s elsewhere, nothing when quiet.

    Calling it is types.Progress: `(stage, done, total, what to show)`.
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

    def __enter__(self) -> "Terminal":
        logging.getLogger("llcx").setLevel(LEVELS[self.verbosity])
        for handler in console_handlers():
            handler.setLevel(LEVELS[self.verbosity])
        if self.console.is_terminal and self.verbosity != "quiet":
            self.bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
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
        text = figures(shown)
        if self.bars is None:
            self._say(stage, done, total, text)
            return
        name = f"{self._prefix}{stage}"
        if stage not in self._task:
            self._task[stage] = self.bars.add_task(name, total=total, shown=text)
        self.bars.update(self._task[stage], description=name, completed=done, total=total, shown=text)

    def point(self, name: str, done: int, total: int) -> None:
        """Say which of the points is next."""
        if self.bars is not None:
            for stage in [key for key in self._task if key != "points"]:
                self.bars.remove_task(self._task.pop(stage))
        self._prefix = ""
        self("points", done, total, {})
        self._prefix = f"{name} "

    def print(self, thing: Any) -> None:
        """Show a table or a line, unless quiet."""
        if self.verbosity != "quiet":
            self.console.print(thing, soft_wrap=isinstance(thing, str))

    def _say(self, stage: str, done: int, total: int, text: str) -> None:
        if time.monotonic() - self._spoken >= self.interval:
            self._spoken = time.monotonic()
            log.info("%s%s %d/%d %s", self._prefix, stage, done, total, text)


def figures(shown: Mapping[str, int | float]) -> str:
    """`llc` and `se` as `lambda 9.48 +- 0.11`, anything else as `name value`."""
    rest = " ".join(f"{key} {value:.4g}" for key, value in shown.items() if key not in ("llc", "se"))
    if "llc" not in shown:
        return rest
    error = f" +- {shown['se']:.2g}" if "se" in shown else ""
    return f"lambda {shown['llc']:.4g}{error} {rest}".rstrip()


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
    several = len({row["sampler"] for row in kept}) > 1
    found = Table(box=None, header_style="bold", pad_edge=False)
    found.add_column("point")
    if several:
        found.add_column("sampler")
    for name in ("lambda_hat", "95 % interval", "known", "rel. error"):
        found.add_column(name, justify="right")
    found.add_column("flags", overflow="fold")
    for row in kept:
        label = (row["point"], row["sampler"]) if several else (row["point"],)
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


def listing(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Rows of text as a table: names to the left, numbers to the right."""
    found = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(rows[0] if rows else {}):
        found.add_column(name, justify="right" if index else "left")
    for row in rows:
        found.add_row(*map(Text, row.values()))
    return found


def plain(thing: Any, width: int = 160) -> str:
    """What `print` would show, as text for a file."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(thing)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
