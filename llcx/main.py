"""The entry: arguments, errors, exit codes. `llcx` and `python train.py` both come here.

Exit 0: every point has a number. Exit 1: bad input, a point or training without a number, a crash; one line says which.
Exit 128 + signal: a signal ended it, with its state kept.
A job raises and never exits: a launcher reports what it raised, and a sweep goes on with its next job.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import hydra
import yaml  # type: ignore[import-untyped]
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llcx import artifacts, config, scheduler
from llcx.run import Incomplete, run
from llcx.signals import Signals, Stopped
from llcx.terminal import hide_stacks

log = logging.getLogger(__name__)
QUIET = "run.verbosity=quiet"  # what -q stands for
BESIDE_RESUME = ("run.verbosity", "run.stages")  # overrides that may stand beside run.resume
# What a run imports, which is named again where it is resumed.
IMPORTS = ("task.model", "task.data", "task.loss", "task.forward", "task.others")
OF_SWEEPS = ("hydra/launcher", "hydra.launcher")  # those too where a sweep is resumed


def main(argv: Sequence[str] | None = None) -> int:
    """Run with the command line, or with `argv` in its place, and return the exit code."""
    words = [QUIET if word == "-q" else word for word in (sys.argv[1:] if argv is None else argv)]
    wants_stack = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        with environment(HYDRA_FULL_ERROR="1"), redirect_stderr(sys.stderr if wants_stack else Quieter(sys.stderr)):
            launch(words)
    except Stopped as stopped:
        sys.stderr.write(f"error: {stopped}; run.resume=DIR goes on with it\n")
        return 128 + stopped.number
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; run.resume=DIR goes on with it\n")
        return 130
    except SystemExit as stop:  # Hydra's own --help, and its refusal of unknown flags
        return 1 if stop.code else 0
    except Exception as error:
        if wants_stack:
            raise
        sys.stderr.write(f"error: {line(error)}\n")
        return 1
    return 0


def launch(words: list[str]) -> None:
    """Start Hydra with the command line that `words` mean."""
    args = get_args_parser().parse_intermixed_args(words)
    words = [*(word for word in words if word not in args.overrides), *args.overrides]  # argparse wants flags together
    if args.experimental_rerun:
        raise ValueError(
            "--experimental-rerun must be left out, it would load a pickle; run.resume=DIR goes on with it"
        )
    acts = not (args.cfg or args.info or args.help or args.hydra_help or args.shell_completion)
    OmegaConf.register_new_resolver("unused", artifacts.unused if acts else str, use_cache=True, replace=True)
    config.install()
    resume = [word for word in args.overrides if key_of(word) == "run.resume"]
    if resume and acts and value_of(resume[-1]) != "null":
        words = resumed(words, args.overrides, Path(value_of(resume[-1])), args.multirun)
    elif acts:
        refuse_used(args.overrides)
    sweeps = [value_of(word) for word in words if key_of(word) == "hydra.sweep.dir" and "${" not in word]
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        with artifacts.claimed(Path(sweeps[-1])) if sweeps and acts else nullcontext():
            hydra.main(version_base="1.3", config_path=conf(), config_name="config")(job)()
    finally:
        sys.argv = before


def job(cfg: Any) -> float | None:
    """One run of one configuration (a DictConfig), in the folder that Hydra gave it; returns `run.objective`."""
    now = HydraConfig.get()
    hide_stacks()
    if (warning := scheduler.idle(now)) and cfg.run.resume is None:
        log.warning(warning)
    signals = Signals()
    try:
        with signals:
            found = config.records(cfg)
            vouched(found, now.overrides.task)
            return run(found, config.resolved(cfg), Path(now.runtime.output_dir), signals)
    except Stopped as stopped:
        log.warning("%s; run.resume=%s goes on with it", stopped, now.runtime.output_dir)
        signals.hand_on(stopped)
        raise
    except Exception as error:
        if now.mode == RunMode.MULTIRUN:
            log.error("job %s failed: %s", now.job.num, line(error))
        log.error("stopped by", exc_info=True)
        artifacts.note_failure(Path(now.runtime.output_dir), error)
        raise


def conf() -> str:
    """Where the YAML files are: inside the installed package, or beside it in a checkout."""
    if importlib.util.find_spec("llcx.conf") is not None:
        return "pkg://llcx.conf"
    beside = Path(__file__).parents[1] / "conf"
    if not (beside / "config.yaml").exists():
        raise ValueError("llcx.conf must be installed with llcx, got no config.yaml; pip install -e . in a checkout")
    return str(beside)


OmegaConf.register_new_resolver("unused", artifacts.unused, use_cache=True, replace=True)  # for a launcher's workers


def vouched(cfg: config.Config, words: Sequence[str]) -> None:
    """ValueError where a resumed run would import what its folder names and the command line does not name again.

    What stands after run.resume in `words` is the command line's own.
    """
    if cfg.run.resume is None or not hasattr(cfg.task, "imported"):
        return
    own = dropwhile(lambda word: key_of(word) != "run.resume", words)
    given = {key_of(word): value_of(word) for word in own}
    missing = [f"{key}={name}" for key, name in cfg.task.imported().items() if given.get(key) != name]
    if missing:
        raise ValueError(
            f"run.resume={cfg.run.resume} would import and run what that folder names; where you trust it, name it "
            f"again beside run.resume: {' '.join(missing)}"
        )


def named_again(word: str) -> bool:
    """Whether a word beside run.resume may name what the run imports; several values would make a sweep."""
    key = key_of(word)
    return (key in IMPORTS or key.startswith("task.others.")) and "," not in word


def resumed(words: list[str], overrides: list[str], path: Path, multirun: bool) -> list[str]:
    """The command line that goes on with `path`; ValueError where that is no run or sweep, or a word contradicts."""
    sweep = (path / "multirun.yaml").exists()
    beside = [word for word in overrides if key_of(word) != "run.resume"]
    free = BESIDE_RESUME + (OF_SWEEPS if sweep else ())
    for word in [*beside, *(["--multirun"] if multirun else [])]:
        if not key_of(word).startswith(free) and not named_again(word):
            raise ValueError(f"run.resume must stand alone, got {word} beside it; leave it out, or start a new run")
    if not sweep and not (path / ".hydra" / "overrides.yaml").exists():
        raise ValueError(f"run.resume must be a run folder or a sweep, got {path}; no .hydra/overrides.yaml is there")
    flags = [word for word in words if word not in overrides]
    where = ["hydra.mode=MULTIRUN", f"hydra.sweep.dir={quoted(path)}"] if sweep else [
        "hydra.mode=RUN", f"hydra.run.dir={quoted(path)}", "hydra.output_subdir=null"]  # fmt: skip
    return [*flags, *began_with(path, sweep), *where, f"run.resume={quoted(path)}", *beside]


def began_with(path: Path, sweep: bool) -> list[str]:
    """The overrides that a run or sweep was started with. Those of Hydra itself could run code, and are refused."""
    if sweep:
        found = yaml.safe_load((path / "multirun.yaml").read_text())["hydra"]["overrides"]["task"]
    else:
        found = yaml.safe_load((path / ".hydra" / "overrides.yaml").read_text())
    kept = list(
        takewhile(lambda word: key_of(word) != "run.resume", map(str, found or []))
    )  # then: an earlier resume's
    for word in kept:
        if key_of(word).startswith(("hydra.", "hydra/", "hydra@")) or word.startswith("-"):
            raise ValueError(f"run.resume must be a folder whose overrides leave hydra alone, got {word} in {path}")
    return kept


def refuse_used(overrides: list[str]) -> None:
    """ValueError where a run is sent into a folder that has one, before Hydra writes there."""
    for word in overrides:
        path = Path(value_of(word))
        if key_of(word) == "hydra.run.dir":
            artifacts.refuse_used(path)
        if key_of(word) == "hydra.sweep.dir" and has_sweep(path):
            raise ValueError(f"hydra.sweep.dir must have no sweep yet, got {path}; run.resume={path} goes on with it")


def has_sweep(path: Path) -> bool:
    """Whether a sweep has begun there; optuna leaves no multirun.yaml, but its jobs."""
    return (path / "multirun.yaml").exists() or any(path.glob("*/.hydra"))


def line(error: BaseException) -> str:
    """What the user sees of an error: field, value, cure; of a crash, its type and where its stack is."""
    if said := scheduler.told(error):
        return said
    if isinstance(error, (HydraException, OmegaConfBaseException, ValueError, Incomplete)):
        return config.fault(error)
    if isinstance(error, OSError) and error.filename:
        return str(artifacts.not_writable(error))
    return f"{type(error).__name__}: {' '.join(str(error).split())}; the stack is in the run's log and status.json"


class Quieter:
    """stderr without the line that Hydra writes before it raises what a job raised: ours says it once."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Error executing job with overrides") else int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def key_of(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def value_of(word: str) -> str:
    return word.partition("=")[2].strip("'\"")


def quoted(path: Path) -> str:
    """A path as a value of Hydra's override grammar."""
    escaped = str(path).replace("'", "\\'")
    return f"'{escaped}'"


if __name__ == "__main__":
    raise SystemExit(main())
