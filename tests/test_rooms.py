"""The lock on the rooms: who may import whom inside llcx.

The table is that of docs/architecture.md. It is sound because other forms than `from llcx.x import y` and
`from llcx import x` are refused.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LLCX = Path(__file__).parents[1] / "llcx"
FILES = sorted(LLCX.rglob("*.py"))

# From below to above: each may import those before it.
CORE = (
    *("registry", "flat", "native", "rng", "params", "diagnostics", "gradients", "posterior", "minimum", "journal"),
    *("sample", "likelihoods"),
)
KERNELS = {"samplers", "estimators", "calibrate"}
READERS = {"types", "registry", "artifacts", "figures"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),  # its names are lazy
    "types": set(),
    "theory": {"types"},
    "terminal": {"types"},
    "settings": set(),
    "checkpoints": {"types"},
    "fingerprint": set(),
    "given": {"types", "registry", "rowwise"},
    "rowwise": {"types"},
    "tensorboard": set(),
    "signals": set(),
    "scheduler": set(),
    "config": {"types", "registry", "settings"},
    **{room: {"types", *CORE[:i]} for i, room in enumerate(CORE)},
    "samplers": {"types", "registry", "settings"},  # no model, data, theory or disk
    "estimators": {"types", "registry", "settings", "diagnostics"},  # the answer key is not in the exam room
    "probes": {"types"},
    "calibrate": {
        "types",
        "registry",
        "posterior",
        "probes",
        "metric",
        "gradients",
        "diagnostics",
        "samplers",
        "estimators",
    },
    "metric": {"types"},
    "subsets": {"types"},
    "groups": {"types", "flat", "journal"},
    "chains": {"types", *CORE, "metric", "subsets", "groups"},
    "routes": {"types", *CORE, *KERNELS, "metric", "subsets", "checks"},
    "checks": {"types", *CORE, *KERNELS, "probes", "chains"},
    "information": {"types", "diagnostics", "influence"},
    "multiplicity": {"types", "diagnostics"},
    "covariance": set(),
    "influence": {"types", "covariance"},
    "followed": {"types", "rng", "params", "gradients", "influence"},
    "parts": {"types", "diagnostics"},
    "measure": {
        "types",
        *CORE,
        *KERNELS,
        "probes",
        "chains",
        "routes",
        "checks",
        "information",
        "multiplicity",
        "influence",
        "followed",
    },
    "flat": {"types"},
    "course": {"types", "flat"},
    "fit": {"types", "settings", "params", "rng", "gradients", "course"},
    "tasks": {
        "types",
        "registry",
        "settings",
        "theory",
        "course",
        "fit",
        "params",
        "rng",
        "likelihoods",
        "diagnostics",
        "flat",
        "checkpoints",
        "given",
        "rowwise",
    },
    "artifacts": {"types", "config", "tensorboard"},
    "figures": {"types", "artifacts", "theory"},
    "trajectory": {"types", "diagnostics"},
    "export": {"artifacts"},
    "report": READERS,
    "collect": {*READERS, "terminal", "doctor", "report"},
    "doctor": READERS,
}
SHARED = ("__init__", "generic", "rows", "summary", "attention")  # of tasks: what any task may build on
TOP = {"run", "survey", "dry", "along", "online", "api", "main"}  # may import everything; nobody below imports them
ALSO = {"run": {"dry", "survey"}, "online": {"along"}, "api": {"along"}, "main": TOP}
MAY_IMPORT |= {room: {*MAY_IMPORT, *ALSO.get(room, ())} for room in TOP}


def room_of(file: Path) -> str:
    """llcx/rng.py -> rng, llcx/tasks/dln/task.py -> tasks."""
    return file.relative_to(LLCX).with_suffix("").parts[0]


def task_of(parts: tuple[str, ...]) -> str:
    """The task of a module below tasks; what any task may build on, and the folder itself, are none."""
    return parts[1] if len(parts) > 1 and parts[0] == "tasks" and parts[1] not in SHARED else ""


def modules(node: ast.ImportFrom) -> list[tuple[str, ...]]:
    """What stands behind `llcx` in an import: `from llcx.tasks.dln import nets` -> [(tasks, dln, nets)]."""
    return [(*(node.module or "").split(".")[1:], alias.name) for alias in node.names]


def import_offences(file: Path, source: str) -> Iterator[str]:
    room, own = room_of(file), task_of(file.relative_to(LLCX).with_suffix("").parts)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "llcx" for alias in node.names):
            yield f"line {node.lineno}: write `from llcx import x`, not `import llcx.x`"
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            yield f"line {node.lineno}: relative import; write `from llcx.x import y`"
        elif (node.module or "").split(".")[0] == "llcx":
            for parts in modules(node):
                if parts[0] != room and parts[0] not in MAY_IMPORT[room]:
                    yield f"line {node.lineno}: {room} may not import {parts[0]}"
                if own and task_of(parts) not in ("", own):
                    yield f"line {node.lineno}: task {own} may not import task {task_of(parts)}"


def path(file: Path) -> str:
    return file.relative_to(LLCX).as_posix()


def test_every_file_has_a_room() -> None:
    assert len(FILES) >= 40
    assert {room_of(file) for file in FILES} <= MAY_IMPORT.keys()
    assert len({room_of(file) for file in FILES}) >= 16


@pytest.mark.parametrize("file", FILES, ids=path)
def test_a_file_imports_only_what_its_room_may(file: Path) -> None:
    assert list(import_offences(file, file.read_text())) == []


def test_the_core_has_no_way_round() -> None:
    """No chain of allowed imports leads from a kernel or an estimator to the answers, the tasks or the disk."""
    reached, found = set[str](), {"samplers", "estimators", "measure", *CORE}
    while found:
        reached |= found
        found = set().union(*(MAY_IMPORT[room] for room in found)) - reached
    assert reached.isdisjoint({"theory", "tasks", "artifacts", "figures", "config"})


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("samplers/sgld.py", "from llcx.theory import dln"),
        ("samplers/sgld.py", "from llcx import theory"),
        ("estimators/llc.py", "from llcx import registry, theory"),
        ("gradients.py", "def f():\n    from llcx.posterior import Posterior"),
        ("tasks/dln/task.py", "from llcx.tasks.lsa import build"),
        ("tasks/dln/task.py", "from llcx.tasks import lsa"),
        ("tasks/dln/task.py", "from llcx.samplers import SGLD"),
        ("posterior.py", "import llcx.theory"),
        ("posterior.py", "from . import theory"),
        ("measure.py", "from llcx.run import main"),
        ("run.py", "from llcx.main import main"),
    ],
)
def test_the_lock_refuses_a_forbidden_import(file: str, line: str) -> None:
    assert len(list(import_offences(LLCX / file, line))) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("tasks/dln/task.py", "from llcx.tasks.dln import answer\nfrom llcx.tasks.generic import GenericTask"),
        ("main.py", "from llcx import run"),
        ("sample.py", "from llcx import types, rng\nfrom torch import nn\nimport math"),
    ],
)
def test_the_lock_lets_an_allowed_import_pass(file: str, line: str) -> None:
    assert list(import_offences(LLCX / file, line)) == []
