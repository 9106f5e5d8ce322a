"""Starting runs in tests: in this process where that is enough, in one of its own where it must be killed."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from llcx.main import main
from llcx.registry import TASKS
from tests import toys

ROOT = Path(__file__).parents[1]
CONF = ROOT / "tests" / "conf"
NUMBERS = "run.stages=[train,measure,analyse]"  # everything but figures and report, which take seconds
NEVER_EQUAL = ("seconds",)  # columns that two equal runs may differ in


def toys_registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy task as a registered one, logging as it was, and no job of a scheduler; for a fixture."""
    TASKS.names()
    monkeypatch.setattr(TASKS, "_entries", {**TASKS._entries, "toy": (toys.build, toys.Toy)})
    for name in ("HYDRA_FULL_ERROR", "SLURM_JOB_ID", "SLURM_RESTART_COUNT", "TOY_KILL"):
        monkeypatch.delenv(name, raising=False)
    root, ours = logging.getLogger(), logging.getLogger("llcx")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def start(folder: Path | None, *words: str) -> int:
    """The exit code of a run of short toys into `folder`."""
    where = [] if folder is None else [f"hydra.run.dir={folder}"]
    return main(["--config-dir", str(CONF), "+experiment=toy_short", NUMBERS, *where, *words])


def resume(folder: Path, *words: str) -> int:
    return main(["--config-dir", str(CONF), f"run.resume={folder}", *words])


def process(folder: Path | str, *words: str, kill: str = "", cwd: Path = ROOT) -> BaseProcess:
    """The same in a process of its own, forked: a start of the interpreter would take seconds. `kill`: see toys."""

    return child(lambda: start(None, f"hydra.run.dir={folder}", *words), kill, cwd)


def child(work: Callable[[], int], kill: str = "", cwd: Path = ROOT) -> BaseProcess:
    """A forked process that ends with the exit code `work()`."""

    def whole() -> None:
        os.environ["TOY_KILL"] = kill
        os.chdir(cwd)
        code = work()
        logging.shutdown()
        os._exit(code)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which here hold no lock
        found = get_context("fork").Process(target=whole)
        found.start()
    return found


def comparable(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows without what two equal runs may differ in."""
    return [{key: value for key, value in row.items() if key not in NEVER_EQUAL} for row in rows]
